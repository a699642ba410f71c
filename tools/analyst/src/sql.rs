//! One SELECT over tables that can only be read.

use std::cell::{Cell as Counter, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bailiwick_sdk::ToolError;
use gluesql_core::data::{Key, Schema, Value};
use gluesql_core::error::{Error, Result as EngineResult};
use gluesql_core::prelude::{Payload, execute, translate};
use gluesql_core::sqlparser::ast::{Expr, Query, Statement, Value as Literal};
use gluesql_core::sqlparser::dialect::PostgreSqlDialect;
use gluesql_core::sqlparser::parser::Parser;
use gluesql_core::sqlparser::tokenizer::{Token, Tokenizer};
use gluesql_core::store::{
    AlterTable, CustomFunction, CustomFunctionMut, Index, IndexMut, Metadata, Planner, RowIter,
    Store, StoreMut, Transaction,
};

use crate::table::Table;

/// Longest statement, in bytes. What a model writes stays below 1 KiB.
pub const SQL_BYTES_MAX: usize = 4 * 1024;
/// Most words and signs of a statement. Translation recurses over chains such as `a + b + c`, on a stack of 64 KiB.
pub const SQL_TOKENS_MAX: usize = 400;
/// Most operators of a statement: each may be one more level of recursion, on a stack of 64 KiB.
pub const SQL_OPERATORS_MAX: usize = 40;
/// Deepest nesting of parentheses and `CASE`: the parser and the engine recurse through them, on a stack of 64 KiB.
pub const SQL_NESTING_MAX: usize = 4;
/// Rows that one statement may look at; joins and subqueries look at the same rows again. About half a second.
pub const ROWS_SCANNED_MAX: usize = 300_000;
/// Rows of a result. A model cannot use more.
pub const RESULT_ROWS_MAX: usize = 500;

/// What may stand before `(`: functions whose work is bounded by what they are given, and words of the language. `REPEAT`,
/// `LPAD` and `SERIES` would make much of little.
const BEFORE_PARENTHESIS: [&str; 52] = [
    "ABS", "ALL", "AND", "AS", "AVG", "BETWEEN", "BY", "CASE", "CAST", "CEIL", "COALESCE",
    "CONCAT", "COUNT", "DISTINCT", "ELSE", "EXISTS", "EXTRACT", "FLOOR", "FROM", "GREATEST",
    "HAVING", "IFNULL", "IN", "JOIN", "LEFT", "LENGTH", "LIKE", "LOWER", "LTRIM", "MAX", "MIN",
    "MOD", "NOT", "NULLIF", "ON", "OR", "POSITION", "RIGHT", "ROUND", "RTRIM", "SELECT", "SQRT",
    "STDEV", "SUBSTR", "SUM", "THEN", "TO_DATE", "TRIM", "UPPER", "VARIANCE", "WHEN", "WHERE",
];

const DIALECT: PostgreSqlDialect = PostgreSqlDialect {};

/// What a statement gave.
#[derive(Debug)]
pub struct Answer {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<Value>>,
    /// Whether there were more rows than these.
    pub more: bool,
}

/// Tables by name, each read when it is first named. The engine changes nothing through it: every method that would is the
/// engine's own, which refuses.
pub struct Tables<L> {
    load: L,
    loaded: RefCell<BTreeMap<String, Rc<Table>>>,
    scanned: Rc<Counter<usize>>,
    /// Why a table could not be read, which is told in place of the engine's words.
    refused: RefCell<Option<ToolError>>,
}

impl<L: Fn(&str) -> Result<Table, ToolError>> Tables<L> {
    pub fn new(load: L) -> Self {
        Self {
            load,
            loaded: RefCell::default(),
            scanned: Rc::default(),
            refused: RefCell::default(),
        }
    }

    /// Runs one SELECT, and nothing else.
    pub fn query(mut self, sql: &str) -> Result<Answer, ToolError> {
        let (query, most) = checked(sql)?;
        let plan = translate(&Statement::Query(query)).map_err(|error| wrong(&error))?;
        let run = self.plan(plan.into());
        let run = run.and_then(|plan| execute(&mut self, &plan));
        if let Some(refused) = self.refused.take() {
            return Err(refused);
        }
        match run.map_err(|error| wrong(&error))? {
            Payload::Select {
                labels: columns,
                mut rows,
            } => {
                let more = rows.len() > most;
                rows.truncate(most);
                Ok(Answer {
                    columns,
                    rows,
                    more,
                })
            }
            _ => Err(only_select()),
        }
    }

    fn table(&self, name: &str) -> EngineResult<Rc<Table>> {
        if let Some(table) = self.loaded.borrow().get(name) {
            return Ok(Rc::clone(table));
        }
        match (self.load)(name) {
            Ok(table) => {
                let table = Rc::new(table);
                self.loaded
                    .borrow_mut()
                    .insert(name.to_owned(), Rc::clone(&table));
                Ok(table)
            }
            Err(error) => {
                self.refused.replace(Some(error));
                Err(Error::StorageMsg("the table cannot be read".into()))
            }
        }
    }
}

/// The one query of the text, with a limit, and the rows that its answer may have.
fn checked(sql: &str) -> Result<(Box<Query>, usize), ToolError> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(ToolError::invalid_arguments(format_args!(
            "`sql` is longer than {SQL_BYTES_MAX} bytes"
        )));
    }
    let tokens = Tokenizer::new(&DIALECT, sql)
        .tokenize()
        .map_err(|error| ToolError::invalid_arguments(format_args!("`sql` is not SQL: {error}")))?;
    check_size(&tokens)?;
    let mut statements = Parser::new(&DIALECT)
        .with_tokens(tokens)
        .parse_statements()
        .map_err(|error| ToolError::invalid_arguments(format_args!("`sql` is not SQL: {error}")))?;
    let (Some(Statement::Query(mut query)), true) = (statements.pop(), statements.is_empty())
    else {
        return Err(only_select());
    };
    // The engine holds a result whole, so that it must not be larger than what is answered.
    let most = match &query.limit {
        None => RESULT_ROWS_MAX,
        Some(Expr::Value(Literal::Number(number, _))) => number
            .to_string()
            .parse()
            .unwrap_or(RESULT_ROWS_MAX)
            .min(RESULT_ROWS_MAX),
        Some(_) => {
            return Err(ToolError::invalid_arguments("`LIMIT` takes a number"));
        }
    };
    let asked = query.limit.is_some() && most < RESULT_ROWS_MAX;
    // One more shows that there are more.
    let limit = u64::try_from(most + usize::from(!asked)).unwrap_or(0);
    query.limit = Some(Expr::Value(Literal::Number(limit.into(), false)));
    Ok((query, most))
}

fn check_size(tokens: &[Token]) -> Result<(), ToolError> {
    let tokens: Vec<_> = tokens
        .iter()
        .filter(|token| !matches!(token, Token::Whitespace(_)))
        .collect();
    let (mut depth, mut deepest, mut operators) = (0_usize, 0, 0);
    let mut before: Option<&Token> = None;
    for token in &tokens {
        match token {
            Token::LParen => {
                depth += 1;
                if let Some(Token::Word(word)) = before {
                    let name = word.value.to_ascii_uppercase();
                    if word.quote_style.is_some() || !BEFORE_PARENTHESIS.contains(&name.as_str()) {
                        return Err(ToolError::invalid_arguments(format_args!(
                            "`{}(` is not among what `sql` may use; there are the functions {}",
                            word.value,
                            "ABS, AVG, CAST, CEIL, COALESCE, CONCAT, COUNT, EXTRACT, FLOOR, GREATEST, IFNULL, LEFT, LENGTH, LOWER, LTRIM, MAX, MIN, MOD, NULLIF, POSITION, RIGHT, ROUND, RTRIM, SQRT, STDEV, SUBSTR, SUM, TO_DATE, TRIM, UPPER and VARIANCE"
                        )));
                    }
                }
            }
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Word(word) if word.quote_style.is_none() => {
                match word.value.to_ascii_uppercase().as_str() {
                    "CASE" => depth += 1,
                    "END" => depth = depth.saturating_sub(1),
                    "AND" | "OR" | "NOT" | "UNION" | "EXCEPT" | "INTERSECT" | "JOIN" | "LIKE"
                    | "ILIKE" | "IS" | "BETWEEN" | "IN" => operators += 1,
                    _ => {}
                }
            }
            Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Comma
            | Token::Period
            | Token::SemiColon
            | Token::EOF => {}
            _ => operators += 1,
        }
        deepest = deepest.max(depth);
        before = Some(*token);
    }
    for (found, most, what) in [
        (tokens.len(), SQL_TOKENS_MAX, "words and signs"),
        (operators, SQL_OPERATORS_MAX, "operators"),
        (deepest, SQL_NESTING_MAX, "levels of parentheses and CASE"),
    ] {
        if found > most {
            return Err(ToolError::invalid_arguments(format_args!(
                "`sql` has more than {most} {what}; ask in several steps"
            )));
        }
    }
    Ok(())
}

fn only_select() -> ToolError {
    ToolError::invalid_arguments("`sql` is one SELECT statement; nothing can be changed here")
}

fn wrong(error: &Error) -> ToolError {
    ToolError::failed(format_args!(
        "{error}; `analyst_tables` has the tables and their columns, names count upper and lower case"
    ))
}

impl<L: Fn(&str) -> Result<Table, ToolError>> Store for Tables<L> {
    fn fetch_schema(&self, name: &str) -> EngineResult<Option<Schema>> {
        Ok(Some(self.table(name)?.schema(name)))
    }

    fn fetch_all_schemas(&self) -> EngineResult<Vec<Schema>> {
        let loaded = self.loaded.borrow();
        Ok(loaded
            .iter()
            .map(|(name, table)| table.schema(name))
            .collect())
    }

    fn fetch_data(&self, name: &str, key: &Key) -> EngineResult<Option<Vec<Value>>> {
        let Key::U64(at) = key else { return Ok(None) };
        let at = usize::try_from(*at).ok();
        Ok(at.and_then(|at| self.table(name).ok()?.rows.get(at).cloned()))
    }

    fn scan_data<'a>(&'a self, name: &str) -> EngineResult<RowIter<'a>> {
        let table = self.table(name)?;
        let scanned = Rc::clone(&self.scanned);
        let mut at = 0_usize;
        Ok(Box::new(std::iter::from_fn(move || {
            let row = table.rows.get(at)?.clone();
            let key = Key::U64(u64::try_from(at).ok()?);
            at += 1;
            scanned.set(scanned.get() + 1);
            if scanned.get() > ROWS_SCANNED_MAX {
                return Some(Err(Error::StorageMsg(format!(
                    "the statement looks at more than {ROWS_SCANNED_MAX} rows; join on equal columns, or ask in several steps"
                ))));
            }
            Some(Ok((key, row)))
        })))
    }
}

impl<L: Fn(&str) -> Result<Table, ToolError>> Planner for Tables<L> {}
impl<L> StoreMut for Tables<L> {}
impl<L> IndexMut for Tables<L> {}
impl<L> Index for Tables<L> {}
impl<L> Metadata for Tables<L> {}
impl<L> CustomFunction for Tables<L> {}
impl<L> CustomFunctionMut for Tables<L> {}
impl<L: Fn(&str) -> Result<Table, ToolError>> AlterTable for Tables<L> {}
impl<L> Transaction for Tables<L> {}
