//! Finds what can be changed in a file, and writes the file with all changes behind a question each.
//!
//! A planted question leaves types, borrows and the order of evaluation as they are: a truth value is passed through a function,
//! a statement stands behind an `if`, a function begins with an early `return`.

mod edits;
mod fits;
#[cfg(test)]
mod tests;

use std::ops::Range;

use proc_macro2::Span;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ReturnType, Stmt, Type};

use edits::Edits;
use fits::{defaults, is_comparison, is_plain, is_test};

/// One change of the source.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// From 1 on.
    pub number: u32,
    /// Below the sources of the runtime.
    pub file: String,
    pub line: usize,
    /// The function that it is in.
    pub function: String,
    pub change: String,
}

/// Methods whose closure says yes or no.
const ASKING: [&str; 14] = [
    "all",
    "any",
    "filter",
    "find",
    "is_none_or",
    "is_ok_and",
    "is_some_and",
    "next_if",
    "partition",
    "pop_front_if",
    "position",
    "retain",
    "skip_while",
    "take_while",
];
/// The longest text that a mutant quotes, in characters.
const QUOTED_MAX: usize = 70;

/// The file with its mutants, which are added to `mutants`; none is planted in a line of `without`.
pub fn plant(
    file: &str,
    text: &str,
    without: &[usize],
    mutants: &mut Vec<Mutant>,
) -> anyhow::Result<String> {
    let parsed = syn::parse_file(text)?;
    let mut planter = Planter {
        file,
        text,
        without,
        mutants,
        function: Vec::new(),
        edits: Edits::default(),
    };
    planter.visit_file(&parsed);
    Ok(planter.edits.made(text))
}

struct Planter<'a> {
    file: &'a str,
    text: &'a str,
    without: &'a [usize],
    mutants: &'a mut Vec<Mutant>,
    /// The names of the items around.
    function: Vec<String>,
    edits: Edits,
}

impl Planter<'_> {
    /// A number for this change, if one is made there.
    fn add(&mut self, span: Span, change: String) -> Option<u32> {
        let (line, end) = (span.start().line, span.end().line);
        if self.without.iter().any(|one| (line..=end).contains(one)) {
            return None;
        }
        let number = u32::try_from(self.mutants.len() + 1).ok()?;
        self.mutants.push(Mutant {
            number,
            file: self.file.to_owned(),
            line,
            function: self.function.join("::"),
            change,
        });
        Some(number)
    }

    fn quoted(&self, range: Range<usize>) -> String {
        let words: Vec<_> = self.text[range].split_whitespace().collect();
        let text = words.join(" ");
        match text.char_indices().nth(QUOTED_MAX) {
            Some((end, _)) => format!("`{}…`", &text[..end]),
            None => format!("`{text}`"),
        }
    }

    /// Something that is true or false: it is either always.
    fn truth(&mut self, expr: &Expr) {
        match expr {
            Expr::Paren(inner) => return self.truth(&inner.expr),
            Expr::Binary(binary) if matches!(binary.op, BinOp::And(_) | BinOp::Or(_)) => {
                self.truth(&binary.left);
                return self.truth(&binary.right);
            }
            Expr::Unary(not) if matches!(not.op, syn::UnOp::Not(_)) => {
                return self.truth(&not.expr);
            }
            Expr::Let(inner) => return self.visit_expr(&inner.expr),
            Expr::Lit(_) | Expr::Block(_) => return self.visit_expr(expr),
            Expr::Binary(binary) if is_comparison(&binary.op) => {
                return self.comparison(expr, binary);
            }
            // What it is made of is asked about by itself.
            Expr::Match(_) | Expr::If(_) => return self.visit_expr(expr),
            _ => {}
        }
        self.always(expr);
        self.visit_expr(expr);
    }

    fn always(&mut self, expr: &Expr) {
        let range = expr.span().byte_range();
        let quoted = self.quoted(range.clone());
        let yes = self.add(expr.span(), format!("{quoted} is always true"));
        let no = self.add(expr.span(), format!("{quoted} is always false"));
        if let (Some(yes), Some(_)) = (yes, no) {
            self.edits
                .around(range, format!("crate::mutants::truth({yes}, "), ")");
        }
    }

    fn comparison(&mut self, expr: &Expr, binary: &syn::ExprBinary) {
        // At the edge, where both sides can be written twice.
        let edge = match binary.op {
            BinOp::Lt(_) => Some(("<=", "||")),
            BinOp::Gt(_) => Some((">=", "||")),
            BinOp::Le(_) => Some(("<", "&& !")),
            BinOp::Ge(_) => Some((">", "&& !")),
            _ => None,
        };
        self.always(expr);
        if let Some((instead, joined)) = edge
            && is_plain(&binary.left)
            && is_plain(&binary.right)
        {
            let quoted = self.quoted(expr.span().byte_range());
            let change = format!("{quoted} with `{instead}`");
            if let Some(number) = self.add(expr.span(), change) {
                let left = &self.text[binary.left.span().byte_range()];
                let right = &self.text[binary.right.span().byte_range()];
                // Asked where it matters alone.
                let after =
                    format!(") {joined}(({left}) == ({right}) && crate::mutants::on({number}))");
                self.edits
                    .around(expr.span().byte_range(), "(".to_owned(), &after);
            }
        }
        self.visit_expr(&binary.left);
        self.visit_expr(&binary.right);
    }

    /// A function whose body is passed over.
    fn body(&mut self, output: &ReturnType, block: &syn::Block) {
        if block.stmts.is_empty() {
            return;
        }
        let values = match output {
            ReturnType::Default => vec![String::new()],
            ReturnType::Type(_, kind) => defaults(kind),
        };
        for value in values {
            let change = match value.is_empty() {
                true => "does nothing".to_owned(),
                false => format!("is always `{value}`"),
            };
            let span = block.brace_token.span.open();
            if let Some(number) = self.add(span, change) {
                let text = format!(" if crate::mutants::on({number}) {{ return {value}; }}");
                self.edits.insert(span.byte_range().end, text);
            }
        }
    }

    fn within(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        self.function.push(name);
        visit(self);
        self.function.pop();
    }

    fn function(
        &mut self,
        attributes: &[syn::Attribute],
        signature: &syn::Signature,
        block: &syn::Block,
    ) {
        // What a constant is computed with asks nothing at run time.
        if is_test(attributes) || signature.constness.is_some() {
            return;
        }
        self.within(signature.ident.to_string(), |planter| {
            planter.body(&signature.output, block);
            planter.visit_block(block);
        });
    }
}

impl<'ast> Visit<'ast> for Planter<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.attrs, &item.sig, &item.block);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.attrs, &item.sig, block);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if is_test(&item.attrs) {
            return;
        }
        // What is printed is no decision.
        let is_shown = item
            .trait_
            .as_ref()
            .and_then(|(_, path, _)| path.segments.last());
        if is_shown.is_some_and(|last| last.ident == "Display" || last.ident == "Debug") {
            return;
        }
        let name = item.self_ty.to_token_stream().to_string().replace(' ', "");
        self.within(name, |planter| visit::visit_item_impl(planter, item));
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_expr_if(&mut self, expr: &'ast syn::ExprIf) {
        self.truth(&expr.cond);
        self.visit_block(&expr.then_branch);
        if let Some((_, otherwise)) = &expr.else_branch {
            self.visit_expr(otherwise);
        }
    }

    fn visit_expr_while(&mut self, expr: &'ast syn::ExprWhile) {
        self.truth(&expr.cond);
        self.visit_block(&expr.body);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            self.truth(guard);
        }
        self.visit_expr(&arm.body);
    }

    fn visit_expr_binary(&mut self, expr: &'ast syn::ExprBinary) {
        match &expr.op {
            BinOp::And(_) | BinOp::Or(_) => {
                self.truth(&expr.left);
                self.truth(&expr.right);
            }
            op if is_comparison(op) => self.comparison(&Expr::Binary(expr.clone()), expr),
            _ => visit::visit_expr_binary(self, expr),
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let name = call.method.to_string();
        let asks = ASKING.contains(&name.as_str());
        if name == "then_some" {
            self.truth(&call.receiver);
        } else {
            self.visit_expr(&call.receiver);
        }
        for argument in &call.args {
            match argument {
                Expr::Closure(closure) if asks => self.truth(&closure.body),
                other => self.visit_expr(other),
            }
        }
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        if let Stmt::Expr(expr, Some(_)) = statement
            && matches!(
                expr,
                Expr::Call(_) | Expr::MethodCall(_) | Expr::Try(_) | Expr::Await(_)
            )
        {
            let range = statement.span().byte_range();
            let quoted = self.quoted(range.clone());
            if let Some(number) = self.add(expr.span(), format!("{quoted} is left out")) {
                self.edits
                    .around(range, format!("if !crate::mutants::on({number}) {{ "), " }");
            }
        }
        visit::visit_stmt(self, statement);
    }
}
