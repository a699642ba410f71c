//! Reads the function of an author and says what is wrong with it.

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, FnArg, ItemFn, Lit, Meta, Result, ReturnType, Type};

/// The types by which a tool asks for a capability, by the last part of their path.
const CAPABILITIES: [&str; 12] = [
    "Http", "Files", "Clock", "Progress", "Ask", "Kv", "Config", "Secret", "Call", "Caller",
    "Reveal", "Deliver",
];

/// One parameter of a tool.
pub enum Parameter {
    Arguments(Type),
    Capability(Type),
}

/// The parameters in their order, if the function can be a tool.
pub fn parameters(function: &ItemFn) -> Result<Vec<Parameter>> {
    let signature = &function.sig;
    if let Some(asyncness) = &signature.asyncness {
        let message =
            "a tool is not `async`: the host runs each call by itself, so waiting holds up nobody";
        return Err(Error::new(asyncness.span(), message));
    }
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new(unsafety.span(), "a tool cannot be `unsafe`"));
    }
    if !signature.generics.params.is_empty() {
        let message = "a tool has no generics: its schema is made from the types as they stand";
        return Err(Error::new_spanned(&signature.generics, message));
    }
    if let ReturnType::Type(_, kind) = &signature.output
        && let Type::ImplTrait(kind) = &**kind
    {
        let message = "a tool names the type that it returns: its output schema is made from it";
        return Err(Error::new_spanned(kind, message));
    }

    let mut parameters = Vec::new();
    let mut has_arguments = false;
    for input in &signature.inputs {
        let input = match input {
            FnArg::Typed(input) => input,
            FnArg::Receiver(receiver) => {
                let message =
                    "a tool is a plain function and has no `self`: every call starts anew";
                return Err(Error::new(receiver.span(), message));
            }
        };
        if is_capability(&input.ty) {
            parameters.push(Parameter::Capability((*input.ty).clone()));
        } else if let Type::Reference(reference) = &*input.ty {
            let message = "a tool owns what it is given: take this by value";
            return Err(Error::new_spanned(reference, message));
        } else if has_arguments {
            let message = "a tool takes one struct of arguments; put both into one. \
                           (Capabilities are `Http`, `Files`, `Clock`, `Progress`, `Ask`, `Kv`, `Config`, `Secret`, `Call`, `Caller`, `Reveal` and `Deliver`.)";
            return Err(Error::new_spanned(&input.ty, message));
        } else {
            has_arguments = true;
            parameters.push(Parameter::Arguments((*input.ty).clone()));
        }
    }
    Ok(parameters)
}

fn is_capability(kind: &Type) -> bool {
    match kind {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .is_some_and(|last| CAPABILITIES.iter().any(|name| last.ident == name)),
        _ => false,
    }
}

/// The description: the doc comment of the function.
pub fn description(function: &ItemFn) -> Result<String> {
    let mut lines = Vec::new();
    for attribute in &function.attrs {
        lines.extend(doc(attribute)?);
    }
    let text = paragraphs(&lines);
    if text.is_empty() {
        let message =
            "a tool has a doc comment: it is what the model reads to know when to call it";
        return Err(Error::new(function.sig.ident.span(), message));
    }
    Ok(text)
}

fn doc(attribute: &Attribute) -> Result<Vec<String>> {
    if !attribute.path().is_ident("doc") {
        return Ok(Vec::new());
    }
    match &attribute.meta {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Ok(text.value().lines().map(str::to_owned).collect()),
                other => Err(Error::new(other.span(), "a doc comment is text")),
            },
            other => {
                let message = format!(
                    "the description must be written out here, not as `{}`",
                    other.to_token_stream()
                );
                Err(Error::new(other.span(), message))
            }
        },
        // `#[doc(hidden)]` and its like say nothing about the tool.
        _ => Ok(Vec::new()),
    }
}

/// Joins the lines of a paragraph, which end where the editor was full, and keeps what is set in lines on purpose.
fn paragraphs(lines: &[String]) -> String {
    let mut text = String::new();
    let mut in_code = false;
    let mut joins = false;
    for line in lines {
        let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
        let fence = line.trim_start().starts_with("```");
        let own_line =
            in_code || fence || line.is_empty() || line.starts_with(['-', '*', '#', '|', '>']);
        if !text.is_empty() {
            text.push(if joins && !own_line { ' ' } else { '\n' });
        }
        text.push_str(line);
        in_code ^= fence;
        joins = !in_code && !fence && !line.is_empty();
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_one_line_and_a_list_keeps_its_lines() {
        let lines = [
            " Reads a", " page.", "", " - one", " - two", " ```", " a", " b", " ```",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(
            paragraphs(&lines),
            "Reads a page.\n\n- one\n- two\n```\na\nb\n```"
        );
    }
}
