//! What an expression, an item or a type is good for.

use quote::ToTokens;
use syn::{BinOp, Expr, Type};

pub(super) fn is_comparison(op: &BinOp) -> bool {
    matches!(
        op,
        BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_)
    )
}

/// Whether writing it twice does the same twice, and moves nothing.
pub(super) fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) | Expr::Lit(_) => true,
        Expr::Field(field) => is_plain(&field.base),
        Expr::Unary(unary) => is_plain(&unary.expr),
        Expr::Paren(inner) => is_plain(&inner.expr),
        Expr::Reference(reference) => is_plain(&reference.expr),
        Expr::Binary(binary) => is_plain(&binary.left) && is_plain(&binary.right),
        Expr::MethodCall(call) => {
            let name = call.method.to_string();
            ["len", "as_secs", "count_ones"].contains(&name.as_str()) && is_plain(&call.receiver)
        }
        _ => false,
    }
}

pub(super) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.meta.to_token_stream().to_string();
        text.contains("cfg") && (text.contains("test") || text.contains("fuzzing"))
    })
}

/// Values of this type that can be returned instead.
pub(super) fn defaults(kind: &Type) -> Vec<String> {
    let Type::Path(path) = kind else {
        return match kind {
            Type::Tuple(tuple) if tuple.elems.is_empty() => vec!["()".to_owned()],
            Type::Reference(reference) if is_str(&reference.elem) => vec!["\"\"".to_owned()],
            _ => Vec::new(),
        };
    };
    let Some(last) = path.path.segments.last() else {
        return Vec::new();
    };
    let inner = || match &last.arguments {
        syn::PathArguments::AngleBracketed(given) => given.args.iter().find_map(|one| match one {
            syn::GenericArgument::Type(kind) => Some(kind),
            _ => None,
        }),
        _ => None,
    };
    let fixed = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    match last.ident.to_string().as_str() {
        "bool" => fixed(&["true", "false"]),
        "Option" => fixed(&["None"]),
        "Vec" => fixed(&["Vec::new()"]),
        "String" => fixed(&["String::new()"]),
        "u16" | "u32" | "u64" | "usize" | "i64" | "u8" => fixed(&["0", "1"]),
        "Result" => inner()
            .map(|kind| {
                defaults(kind)
                    .iter()
                    .map(|value| format!("Ok({value})"))
                    .collect()
            })
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn is_str(kind: &Type) -> bool {
    matches!(kind, Type::Path(path) if path.path.is_ident("str"))
}
