//! What stands in the parentheses of `#[tool(…)]`.

use syn::meta::ParseNestedMeta;
use syn::parse::Parser;
use syn::{Expr, LitStr, Result};

/// What stands in the parentheses of `#[tool(…)]`.
#[derive(Default)]
pub struct Options {
    pub name: Option<LitStr>,
    pub title: Option<LitStr>,
    pub schema: Option<Expr>,
}

impl Options {
    pub fn parse(tokens: proc_macro2::TokenStream) -> Result<Self> {
        let mut options = Self::default();
        let parser = syn::meta::parser(|meta| options.take(&meta));
        parser.parse2(tokens)?;
        Ok(options)
    }

    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("name") {
            let name = meta.value()?.parse()?;
            check_name(&name)?;
            set(&mut self.name, name, meta)
        } else if meta.path.is_ident("title") {
            set(&mut self.title, meta.value()?.parse()?, meta)
        } else if meta.path.is_ident("schema") {
            set(&mut self.schema, meta.value()?.parse()?, meta)
        } else {
            Err(meta.error("a tool has the options `name`, `title` and `schema`"))
        }
    }
}

fn set<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    match slot.replace(value) {
        Some(_) => Err(meta.error("this option is given twice")),
        None => Ok(()),
    }
}

/// The names that every client takes (MCP, tools, "Tool Names"), as `wit/handler.wit` says.
pub fn check_name(name: &LitStr) -> Result<()> {
    let text = name.value();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
        let message = "the name of a tool is 1 to 64 of the characters `A-Z a-z 0-9 _ . -`";
        return Err(syn::Error::new(name.span(), message));
    }
    Ok(())
}
