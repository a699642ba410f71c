//! Finds what can be changed in a file, and writes the file with all changes behind a question each.
//!
//! A planted question leaves types, borrows and the order of evaluation as they are: a truth value is passed through a function,
//! a statement stands behind an `if`, a function begins with an early `return`.

use std::ops::Range;

use proc_macro2::Span;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, ReturnType, Stmt, Type};

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
        edits: Vec::new(),
    };
    planter.visit_file(&parsed);
    let mut edits = planter.edits;
    edits.sort_by_key(|edit| (edit.at, edit.order));
    let mut planted = String::with_capacity(text.len() * 2);
    let mut from = 0;
    for edit in edits {
        planted.push_str(&text[from..edit.at]);
        planted.push_str(&edit.text);
        from = edit.at;
    }
    planted.push_str(&text[from..]);
    Ok(planted)
}

struct Planter<'a> {
    file: &'a str,
    text: &'a str,
    without: &'a [usize],
    mutants: &'a mut Vec<Mutant>,
    /// The names of the items around.
    function: Vec<String>,
    edits: Vec<Edit>,
}

struct Edit {
    at: usize,
    /// At one place what ends comes before what begins, the inner end first and the outer beginning first.
    order: i64,
    text: String,
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

    fn around(&mut self, range: Range<usize>, before: String, after: &str) {
        let nth = i64::try_from(self.edits.len()).unwrap_or(i64::MAX);
        self.edits.push(Edit {
            at: range.start,
            order: nth,
            text: before,
        });
        self.edits.push(Edit {
            at: range.end,
            order: i64::MIN / 2 - nth,
            text: after.to_owned(),
        });
    }

    fn insert(&mut self, at: usize, text: String) {
        let nth = i64::try_from(self.edits.len()).unwrap_or(i64::MAX);
        self.edits.push(Edit {
            at,
            order: nth,
            text,
        });
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
            self.around(range, format!("crate::mutants::truth({yes}, "), ")");
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
                self.around(expr.span().byte_range(), "(".to_owned(), &after);
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
                self.insert(span.byte_range().end, text);
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
                self.around(range, format!("if !crate::mutants::on({number}) {{ "), " }");
            }
        }
        visit::visit_stmt(self, statement);
    }
}

fn is_comparison(op: &BinOp) -> bool {
    matches!(
        op,
        BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_)
    )
}

/// Whether writing it twice does the same twice, and moves nothing.
fn is_plain(expr: &Expr) -> bool {
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

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.meta.to_token_stream().to_string();
        text.contains("cfg") && (text.contains("test") || text.contains("fuzzing"))
    })
}

/// Values of this type that can be returned instead.
fn defaults(kind: &Type) -> Vec<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(text: &str, without: &[usize]) -> (String, Vec<String>) {
        let mut mutants = Vec::new();
        let planted = plant("a.rs", text, without, &mut mutants).unwrap();
        syn::parse_file(&planted).unwrap();
        let told = mutants.iter().map(|one| {
            assert_eq!(one.file, "a.rs");
            format!(
                "{} {} {}: {}",
                one.number, one.line, one.function, one.change
            )
        });
        (planted, told.collect())
    }

    #[test]
    fn conditions_are_asked_about_in_their_parts_and_bodies_as_a_whole() {
        let text = "impl A {\n    fn f(&self, n: u8) -> bool { if n < 3 && self.ok() { g()?; } n == 1 }\n}\n";
        let (planted, told) = planted(text, &[]);
        assert_eq!(
            told,
            [
                "1 2 A::f: is always `true`",
                "2 2 A::f: is always `false`",
                "3 2 A::f: `n < 3` is always true",
                "4 2 A::f: `n < 3` is always false",
                "5 2 A::f: `n < 3` with `<=`",
                "6 2 A::f: `self.ok()` is always true",
                "7 2 A::f: `self.ok()` is always false",
                "8 2 A::f: `g()?;` is left out",
                "9 2 A::f: `n == 1` is always true",
                "10 2 A::f: `n == 1` is always false",
            ]
        );
        let expected = "impl A {\n    fn f(&self, n: u8) -> bool { if crate::mutants::on(1) { return true; } \
            if crate::mutants::on(2) { return false; } \
            if crate::mutants::truth(3, (n < 3) ||((n) == (3) && crate::mutants::on(5))) && crate::mutants::truth(6, self.ok()) \
            { if !crate::mutants::on(8) { g()?; } } crate::mutants::truth(9, n == 1) }\n}\n";
        assert_eq!(planted, expected);
    }

    #[test]
    fn closures_that_ask_guards_and_negations_are_found() {
        let text = "fn f() -> Result<Option<u8>, E> {\n    match x { y if !y.is_some() => a.iter().any(|z| z.p()), _ => b.map(|z| z.p()) }\n}\n";
        let (_, told) = planted(text, &[]);
        assert_eq!(
            told,
            [
                "1 1 f: is always `Ok(None)`",
                "2 2 f: `y.is_some()` is always true",
                "3 2 f: `y.is_some()` is always false",
                "4 2 f: `z.p()` is always true",
                "5 2 f: `z.p()` is always false",
            ]
        );
        // Lines that do not compile with a change are left as they are.
        let (planted, told) = planted(text, &[1, 2]);
        assert_eq!((planted.as_str(), told.len()), (text, 0));
    }

    #[test]
    fn what_is_no_decision_at_run_time_is_left_alone() {
        for text in [
            "const A: bool = 1 < 2;\n",
            "const fn f() -> bool { 1 < 2 }\n",
            "#[cfg(test)]\nmod tests { fn f() -> bool { 1 < 2 } }\n",
            "impl std::fmt::Display for A { fn fmt(&self) -> bool { 1 < 2 } }\n",
            "fn f() {}\n",
        ] {
            assert_eq!(planted(text, &[]), (text.to_owned(), Vec::new()));
        }
    }
}
