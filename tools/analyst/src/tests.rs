//! What the files may look like, and what a statement may not be.

use std::path::{Path, PathBuf};

use bailiwick_sdk::{Files, IntoReply, ToolError};
use serde_json::{Value, json};

use crate::analyst::{Question, analyst_query, analyst_tables};
use crate::read::Format;
use crate::show::Shown;
use crate::sql::{ROWS_SCANNED_MAX, SQL_BYTES_MAX, SQL_NESTING_MAX, SQL_OPERATORS_MAX};
use crate::table::{CELL_BYTES_MAX, COLUMNS_MAX, Kind, ROWS_MAX};

/// A folder with these files.
fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = std::env::temp_dir().join(format!("analyst-{name}-{}", std::process::id()));
    std::fs::create_dir_all(root.join("data")).unwrap();
    for (file, text) in files {
        std::fs::write(root.join("data").join(file), text).unwrap();
    }
    root
}

fn ask(root: &Path, sql: &str) -> Result<Shown, ToolError> {
    analyst_query(Question { sql: sql.into() }, Files::rooted_at(root))
}

fn rows(root: &Path, sql: &str) -> Value {
    let shown = ask(root, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    json!(shown.rows)
}

fn kinds(format: Format, text: &str) -> Vec<(String, Kind)> {
    format.read(text.as_bytes()).unwrap().columns
}

fn problem(format: Format, bytes: &[u8]) -> String {
    format.read(bytes).unwrap_err()
}

const SALES: &str =
    "city,amount,paid,at\nOslo,10,true,2026-01-02\nBergen,2.5,false,\nOslo,4,TRUE,x\n";

#[test]
fn a_table_is_asked_by_the_name_of_its_file() {
    let files = folder(
        "names",
        &[
            ("sales.csv", SALES),
            ("sales-2024.csv", "n\n1\n"),
            ("people.json", r#"[{"city": "Oslo", "mayor": "Anne"}]"#),
            ("log.jsonl", "{\"n\": 1}\n\n{\"n\": 2}\n"),
            ("both.csv", "n\n1\n"),
            ("both.json", r#"[{"n": 2}]"#),
            ("readme.txt", "none"),
        ],
    );
    let found = rows(
        &files,
        "SELECT city, SUM(amount) AS total, COUNT(*) AS n FROM sales GROUP BY city ORDER BY total DESC",
    );
    assert_eq!(found, json!([["Oslo", 14.0, 2], ["Bergen", 2.5, 1]]));
    let found = rows(
        &files,
        "SELECT s.amount, p.mayor FROM sales s JOIN people p ON s.city = p.city WHERE s.paid ORDER BY s.amount",
    );
    assert_eq!(found, json!([[4.0, "Anne"], [10.0, "Anne"]]));
    assert_eq!(rows(&files, "SELECT * FROM \"sales-2024\""), json!([[1]]));
    assert_eq!(
        rows(&files, "SELECT * FROM \"sales.csv\" LIMIT 1")
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(rows(&files, "SELECT MAX(n) FROM log"), json!([[2]]));
    assert_eq!(rows(&files, "SELECT n FROM \"both.json\""), json!([[2]]));
    for sql in [
        "SELECT * FROM both",
        "SELECT * FROM Sales",
        "SELECT * FROM readme",
        "SELECT * FROM \"../x\"",
    ] {
        let error = ask(&files, sql).unwrap_err().to_string();
        assert!(
            error.contains("called `both`") || error.contains("there is no table"),
            "{sql}: {error}"
        );
    }
    let listed = analyst_tables(Files::rooted_at(files)).unwrap().0;
    let names: Vec<_> = listed.tables.iter().map(|one| one.table.as_str()).collect();
    assert_eq!(
        names,
        [
            "both.csv",
            "both.json",
            "log",
            "people",
            "sales-2024",
            "sales"
        ]
    );
    let sales = listed.tables.last().unwrap();
    let kinds: Vec<_> = sales.columns.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(
        (sales.rows, kinds),
        (Some(3), vec!["text", "number", "boolean", "text"])
    );
}

#[test]
fn nothing_but_one_select_runs() {
    let files = folder("select", &[("t.csv", "n\n1\n")]);
    for sql in [
        "DELETE FROM t",
        "UPDATE t SET n = 2",
        "INSERT INTO t VALUES (2)",
        "DROP TABLE t",
        "CREATE TABLE x AS SELECT * FROM t",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP TABLE t",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
        "BEGIN",
        "",
        "SELEC 1",
        "SELECT 'open",
        "SELECT REPEAT('x', 1000000000)",
        "SELECT * FROM SERIES(1000000000)",
        "SELECT LPAD('x', 1000000000)",
        "SELECT \"REPEAT\"('x', 1000000000)",
        "SELECT n FROM t LIMIT 1 + 1",
    ] {
        let error = ask(&files, sql).unwrap_err();
        assert!(
            matches!(error, ToolError::InvalidArguments(_)),
            "{sql}: {error}"
        );
    }
    for sql in [
        "SELECT m FROM t",
        "SELECT n / 0 FROM t",
        "SELECT * INTO x FROM t",
    ] {
        let error = ask(&files, sql).unwrap_err();
        assert!(matches!(error, ToolError::Failed(_)), "{sql}: {error}");
    }
    assert_eq!(rows(&files, "SELECT n FROM t;"), json!([[1]]));
    let listed = analyst_tables(Files::rooted_at(files)).unwrap().0;
    assert_eq!(listed.tables.len(), 1, "a table was made");
}

#[test]
fn a_statement_is_short_and_shallow() {
    let files = folder("shallow", &[("t.csv", "n\n1\n")]);
    let nested = |depth| format!("SELECT {}n{} FROM t", "(".repeat(depth), ")".repeat(depth));
    let chain = |terms: usize| format!("SELECT n{} FROM t", " + n".repeat(terms));
    let long = |length: usize| format!("SELECT '{}' FROM t", "x".repeat(length));
    for (most, more) in [
        (nested(SQL_NESTING_MAX), nested(SQL_NESTING_MAX + 1)),
        (chain(SQL_OPERATORS_MAX), chain(SQL_OPERATORS_MAX + 1)),
        (long(SQL_BYTES_MAX - 16), long(SQL_BYTES_MAX)),
        (
            format!("SELECT n{} FROM t", ", n".repeat(190)),
            format!("SELECT n{} FROM t", ", n".repeat(200)),
        ),
    ] {
        assert!(ask(&files, &most).is_ok(), "{most}");
        let error = ask(&files, &more).unwrap_err();
        assert!(
            matches!(error, ToolError::InvalidArguments(_)),
            "{more}: {error}"
        );
    }
}

#[test]
fn answers_and_work_are_bounded() {
    let many: String = (0..1_000)
        .map(|n| format!("{n},{}\n", "y".repeat(100)))
        .collect();
    let files = folder("bounds", &[("t.csv", &format!("n,text\n{many}"))]);
    let all = ask(&files, "SELECT n FROM t").unwrap();
    assert_eq!((all.rows.len(), all.more), (500, true));
    let some = ask(&files, "SELECT n FROM t LIMIT 3").unwrap();
    assert_eq!((some.rows.len(), some.more), (3, false));
    let paged = ask(&files, "SELECT n FROM t ORDER BY n LIMIT 1000 OFFSET 990").unwrap();
    assert_eq!((paged.rows.len(), paged.more), (10, false));
    let wide = ask(&files, "SELECT text AS a, text AS b, text AS c FROM t").unwrap();
    assert!(wide.more && wide.rows.len() < 500, "{}", wide.rows.len());
    let (content, structured) = wide.into_reply().unwrap().into_parts();
    assert!(structured.unwrap().len() < 128 * 1024);
    assert_eq!(content.len(), 1);
    let joined = ask(&files, "SELECT COUNT(*) FROM t a JOIN t b ON a.n < b.n")
        .unwrap_err()
        .to_string();
    let told = format!("more than {ROWS_SCANNED_MAX} rows");
    assert!(joined.contains(&told), "{joined}");
}

#[test]
fn csv_is_read_as_documented() {
    let read = |text: &str| kinds(Format::Csv, text);
    let column = |name: &str, kind| (name.to_owned(), kind);
    assert_eq!(
        read("\u{feff}a,b\r\n1,x\r\n"),
        [column("a", Kind::Integer), column("b", Kind::Text)]
    );
    assert_eq!(
        read("a,\n1,2\n"),
        [
            column("a", Kind::Integer),
            column("column_2", Kind::Integer)
        ]
    );
    assert_eq!(read("a\n"), [column("a", Kind::Text)]);
    for (cells, kind) in [
        ("1\n-2\n\"\"\n", Kind::Integer),
        ("1\n2.5\n", Kind::Number),
        ("9223372036854775808\n1\n", Kind::Text),
        ("9007199254740993\n0.5\n", Kind::Text),
        ("1e999\n", Kind::Text),
        ("007\n", Kind::Text),
        ("true\nFalse\n", Kind::Boolean),
        ("true\n1\n", Kind::Text),
        ("+1\n", Kind::Text),
    ] {
        assert_eq!(read(&format!("a\n{cells}")), [column("a", kind)], "{cells}");
    }
    let files = folder(
        "csv",
        &[(
            "t.csv",
            "a,b\r\n\"one\r\ntwo\",\"say \"\"hi\"\"\"\r\n,é\r\n",
        )],
    );
    assert_eq!(
        rows(&files, "SELECT * FROM t"),
        json!([["one\r\ntwo", "say \"hi\""], [null, "é"]])
    );
    let text = ask(&files, "SELECT a FROM t")
        .unwrap()
        .into_reply()
        .unwrap();
    assert!(format!("{text:?}").contains("one  two"), "{text:?}");
    for (bytes, told) in [
        (&b""[..], "empty"),
        (b"a,b\n1\n", "the row at line 2 has 1 fields"),
        (b"a,a\n1,2\n", "two columns are called `a`"),
        (b"a\n\xff\n", "not UTF-8"),
    ] {
        let problem = problem(Format::Csv, bytes);
        assert!(problem.contains(told), "{problem}");
    }
}

#[test]
fn json_is_read_as_documented() {
    let files = folder(
        "json",
        &[(
            "t.json",
            r#"[{"a": 1, "b": {"c": [1, 2]}}, {"b": null, "d": true, "a": 12345678901234567890}]"#,
        )],
    );
    let found = rows(&files, "SELECT * FROM t");
    assert_eq!(
        found,
        json!([
            ["1", r#"{"c": [1, 2]}"#, null],
            ["12345678901234567890", null, true]
        ])
    );
    for (text, told) in [
        ("", "empty"),
        ("{}", "not a JSON array of objects"),
        ("[1]", "not a JSON array of objects"),
        ("[{\"a\": 1, \"a\": 2}]", "a name twice"),
        ("[{\"a\": 1}", "ends too early"),
    ] {
        let problem = problem(Format::Json, text.as_bytes());
        assert!(problem.contains(told), "{text}: {problem}");
    }
    assert!(
        problem(Format::JsonLines, b"{\"a\": 1}\n[]\n").contains("line 2 is not a JSON object")
    );
    assert!(kinds(Format::Json, "[]").is_empty() && kinds(Format::JsonLines, "").is_empty());
}

#[test]
fn a_file_is_no_larger_than_its_bounds() {
    let names: Vec<_> = (0..=COLUMNS_MAX).map(|n| format!("c{n}")).collect();
    let fits = names
        .iter()
        .take(COLUMNS_MAX)
        .cloned()
        .collect::<Vec<_>>()
        .join(",");
    assert!(Format::Csv.read(fits.as_bytes()).is_ok());
    assert!(problem(Format::Csv, names.join(",").as_bytes()).contains("columns"));
    let cell = |length| format!("a\n{}\n", "x".repeat(length));
    assert!(Format::Csv.read(cell(CELL_BYTES_MAX).as_bytes()).is_ok());
    assert!(problem(Format::Csv, cell(CELL_BYTES_MAX + 1).as_bytes()).contains("cell"));
    let rows = |count| format!("a\n{}", "1\n".repeat(count));
    assert!(Format::Csv.read(rows(ROWS_MAX).as_bytes()).is_ok());
    assert!(problem(Format::Csv, rows(ROWS_MAX + 1).as_bytes()).contains("rows"));
    let wide = format!("a,b,c,d,e,f,g,h\n{}", "1,1,1,1,1,1,1,1\n".repeat(70_000));
    assert!(problem(Format::Csv, wide.as_bytes()).contains("cells"));
}

#[test]
fn a_folder_must_be_granted_and_a_bad_file_hides_no_other() {
    let none = std::env::temp_dir().join("analyst-none");
    let error = ask(&none, "SELECT 1").unwrap_err();
    assert!(matches!(error, ToolError::Denied(_)), "{error}");
    let files = folder("bad", &[("bad.csv", "a,a\n"), ("good.csv", "a\n1\n")]);
    let listed = analyst_tables(Files::rooted_at(files.clone()))
        .unwrap()
        .0
        .tables;
    assert!(listed[0].problem.is_some() && listed[0].rows.is_none());
    assert_eq!((listed[1].rows, &listed[1].problem), (Some(1), &None));
    assert_eq!(rows(&files, "SELECT a FROM good"), json!([[1]]));
}
