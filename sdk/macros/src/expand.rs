//! Writes the constant that says what a tool is and how it is called.

use std::collections::HashSet;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Item, ItemFn, ItemMod, LitStr, Meta, Result, ReturnType};

use crate::options::{self, Options};
use crate::signature::{self, Parameter};

/// A function that is the only tool of its component.
pub fn one(options: TokenStream, function: ItemFn) -> Result<TokenStream> {
    let entry = Tool::read(options, &function)?.entry();
    let export = export(quote!([#entry]));
    Ok(quote! {
        #function
        #export
    })
}

/// A module whose functions with `#[tool]` are the tools of its component.
pub fn many(options: TokenStream, mut module: ItemMod) -> Result<TokenStream> {
    if !options.is_empty() {
        return Err(Error::new(options.span(), "`#[tools]` has no options"));
    }
    let Some((_, items)) = &mut module.content else {
        let message = "`#[tools]` stands on a module that is written out here: `mod name { … }`";
        return Err(Error::new(module.span(), message));
    };
    let mut tools = Vec::new();
    for item in items.iter_mut() {
        if let Item::Fn(function) = item
            && let Some(at) = function.attrs.iter().position(is_tool)
        {
            let options = arguments(&function.attrs.remove(at))?;
            tools.push(Tool::read(options, function)?);
        }
    }
    if tools.is_empty() {
        let message = "no function of this module carries `#[tool]`";
        return Err(Error::new(module.ident.span(), message));
    }
    check_names(&tools)?;
    let entries: Vec<_> = tools.iter().map(Tool::entry).collect();
    let count = entries.len();
    items.push(Item::Verbatim(quote! {
        #[doc(hidden)]
        pub(super) const ENTRIES: [::bailiwick_sdk::__private::Entry; #count] = [#(#entries),*];
    }));
    let name = &module.ident;
    let export = export(quote!(#name::ENTRIES));
    Ok(quote! {
        #module
        #export
    })
}

fn export(entries: TokenStream) -> TokenStream {
    quote! {
        /// The tools of this component.
        pub const TOOLS: ::bailiwick_sdk::Tools = ::bailiwick_sdk::Tools::new(&#entries);

        ::bailiwick_sdk::__export!(TOOLS);
    }
}

fn is_tool(attribute: &Attribute) -> bool {
    let path = attribute.path();
    path.segments
        .last()
        .is_some_and(|last| last.ident == "tool")
}

fn arguments(attribute: &Attribute) -> Result<TokenStream> {
    match &attribute.meta {
        Meta::Path(_) => Ok(TokenStream::new()),
        Meta::List(list) => Ok(list.tokens.clone()),
        Meta::NameValue(pair) => Err(Error::new(pair.span(), "write `#[tool(name = \"…\")]`")),
    }
}

fn check_names(tools: &[Tool<'_>]) -> Result<()> {
    let mut seen = HashSet::new();
    for tool in tools {
        let name = tool.name.value();
        if !seen.insert(name.clone()) {
            let message = format!("there is another tool `{name}` in this module");
            return Err(Error::new(tool.name.span(), message));
        }
    }
    Ok(())
}

/// A function that has all that a tool needs.
struct Tool<'a> {
    function: &'a ItemFn,
    name: LitStr,
    description: String,
    options: Options,
    parameters: Vec<Parameter>,
}

impl<'a> Tool<'a> {
    fn read(options: TokenStream, function: &'a ItemFn) -> Result<Self> {
        let options = Options::parse(options)?;
        let ident = &function.sig.ident;
        let name = match &options.name {
            Some(name) => name.clone(),
            None => LitStr::new(&ident.unraw().to_string(), ident.span()),
        };
        options::check_name(&name)?;
        let parameters = signature::parameters(function)?;
        Ok(Self {
            function,
            name,
            description: signature::description(function)?,
            options,
            parameters,
        })
    }

    fn entry(&self) -> TokenStream {
        let function = &self.function.sig.ident;
        let (name, description) = (&self.name, &self.description);
        let title = match &self.options.title {
            Some(title) => quote!(::std::option::Option::Some(#title)),
            None => quote!(::std::option::Option::None),
        };
        let private = quote!(::bailiwick_sdk::__private);

        let mut read = quote!(#private::no_arguments(text)?;);
        let mut schema = quote!(#private::EMPTY.into());
        let mut handed = Vec::new();
        let mut kinds = Vec::new();
        for parameter in &self.parameters {
            match parameter {
                // With the span of the type, a missing `Deserialize` or `JsonSchema` is reported there.
                Parameter::Arguments(kind) => {
                    read = quote_spanned!(kind.span()=> let arguments = #private::arguments::<#kind>(text)?;);
                    schema = quote_spanned!(kind.span()=> #private::input::<#kind>());
                    handed.push(quote!(arguments));
                }
                Parameter::Capability(kind) => {
                    let capability = quote_spanned!(kind.span()=> <#kind as #private::Capability>);
                    handed.push(quote!(#capability::handle()));
                    kinds.push(quote!(#capability::KIND));
                }
            }
        }
        if let Some(written) = &self.options.schema {
            schema = quote_spanned!(written.span()=> {
                let schema: &'static str = #written;
                schema.into()
            });
        }
        let returned = match &self.function.sig.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, kind) => quote!(#kind),
        };
        let reply = quote_spanned!(returned.span()=> <#returned as #private::IntoReply>);
        quote! {
            #private::Entry {
                name: #name,
                title: #title,
                description: #description,
                input_schema: || #schema,
                output_schema: #reply::output_schema,
                capabilities: &[#(#kinds),*],
                call: |text| {
                    #read
                    #reply::into_reply(#function(#(#handed),*))
                },
            }
        }
    }
}
