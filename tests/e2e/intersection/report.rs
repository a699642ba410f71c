//! What a guest says that it reached, held against what it should.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::atom::{ABSENT, PSEUDONYM, Point, SETTINGS, UNSET, sample, sealed};
use super::case::Case;
use super::model;
use super::visit::{Inner, LOCALE, SAID, nickname};
use super::world::{World, kept, set, told};

/// How long a pseudonym is.
const PSEUDONYM_LEN: usize = 64;

/// What came of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was what is there.
    Reached,
    /// It was refused, as what is not granted is.
    Nothing,
    /// It was anything else.
    Odd,
}

/// The lists of a report, each read from its beginning.
struct Report<'a> {
    all: &'a Value,
    next: BTreeMap<&'static str, usize>,
}

impl Report<'_> {
    fn take(&mut self, list: &'static str) -> Value {
        let at = self.next.entry(list).or_default();
        *at += 1;
        self.all[list][*at - 1].clone()
    }

    fn end(&mut self, list: &'static str, right: impl Into<Value>, nothing: Value) -> End {
        end(&self.take(list), &right.into(), &nothing)
    }
}

fn end(is: &Value, right: &Value, nothing: &Value) -> End {
    match is {
        is if is == right => End::Reached,
        is if is == nothing => End::Nothing,
        _ => End::Odd,
    }
}

/// One run of a guest.
pub struct Run<'a> {
    pub case: &'a Case,
    /// Of the caller.
    pub number: usize,
    /// Of the visit.
    pub run: usize,
    /// The call that it makes of another tool, and what is left to that one.
    pub inner: Option<(&'a Inner, Option<BTreeSet<Point>>)>,
    /// Whether it is a call that another tool makes.
    pub is_inner: bool,
}

/// Holds a report against what the law lets it reach. Says whether anything was reached.
pub fn compare(
    world: &World,
    run: &Run<'_>,
    report: &Value,
    reach: &BTreeSet<Point>,
) -> Result<bool, String> {
    let case = run.case;
    let mut all = Report {
        all: report,
        next: BTreeMap::new(),
    };
    let mut wrong = Vec::new();
    let mut some = false;
    for point in &case.tried {
        let end = match *point {
            Point::Request(..) => {
                let probe = all.take("requests");
                end(&probe["status"], &json!(200), &Value::Null)
            }
            Point::Read(mount, folder) => {
                all.end("read", told(case.tenant, mount, folder), Value::Null)
            }
            Point::Write(..) => all.end("write", true, json!(false)),
            Point::Clock => end(&report["clock"], &json!(true), &json!(false)),
            Point::Progress => end(&report["progress"], &json!(true), &json!(false)),
            Point::Value(store, key) => {
                all.end("value", kept(case.tenant, store, key), Value::Null)
            }
            Point::Keep(..) => all.end("keep", true, json!(false)),
            // What was not set is as what is not granted.
            Point::Setting(UNSET) if all.take("settings").is_null() => continue,
            Point::Setting(key) => all.end("settings", set(case.tool, key), Value::Null),
            Point::Question => {
                // Nobody stands behind a call that a tool makes.
                let answer = match case.is_answered() && !run.is_inner {
                    true => json!({"a": SAID}).to_string(),
                    false => "unavailable".to_owned(),
                };
                end(&report["ask"], &json!(answer), &json!("denied"))
            }
            Point::Exists(_) => all.end("exists", true, json!(false)),
            Point::Told(claim) => {
                let told = all.take("claims");
                let right = match claim {
                    PSEUDONYM => match told.as_str().map(str::len) {
                        Some(PSEUDONYM_LEN) => told.clone(),
                        _ => json!("a pseudonym"),
                    },
                    ABSENT => json!("absent"),
                    "nickname" => json!(json!(nickname(run.number)).to_string()),
                    _ => json!(json!(LOCALE).to_string()),
                };
                end(&told, &right, &json!("denied"))
            }
            // It ran, so it was given it.
            Point::Given(class) => all.end("given", sample(class), Value::Null),
            Point::Said(class) => match all.take("said") {
                said if said == sample(class) => End::Reached,
                said if said.as_str().is_some_and(|said| said.contains('*')) => End::Nothing,
                _ => End::Odd,
            },
            Point::Call(_) => {
                let text = all.take("calls");
                let text = text.as_str().ok_or("nothing was called")?;
                called(world, run, reach.contains(point), text)?
            }
            Point::Opened(class, field) => {
                let right = sealed(case.tool, case.tenant, class, field);
                all.end("opened", right, Value::Null)
            }
            // Only its host can say what it got.
            Point::Delivered(..) => {
                world.count_point(point, reach.contains(point));
                continue;
            }
            Point::Lent(..) => continue,
        };
        some |= end == End::Reached;
        let should = reach.contains(point);
        world.count_point(point, should);
        let right = match should {
            true => End::Reached,
            false => End::Nothing,
        };
        if end != right {
            wrong.push((point, end));
        }
    }
    let settings: Vec<_> = SETTINGS
        .into_iter()
        .filter(|key| *key != UNSET && reach.contains(&Point::Setting(key)))
        .collect();
    if report["all_settings"] != json!(settings) {
        return Err(format!("all settings should be {settings:?}: {report}"));
    }
    world.expect(run.run, case, reach);
    match wrong.is_empty() {
        true => Ok(some),
        false => Err(format!(
            "{wrong:?}; the law: {reach:?}; the guest: {report}"
        )),
    }
}

/// What came of the call of another tool: refused as a whole, or held against what is left to it.
fn called(world: &World, run: &Run<'_>, may: bool, text: &str) -> Result<End, String> {
    let (inner, left) = run.inner.as_ref().ok_or("nothing was to be called")?;
    let class = run.case.hands.filter(|_| may);
    let given = class.is_none_or(|class| {
        let left = left.as_ref();
        left.is_some_and(|left| left.contains(&Point::Given(class)))
    });
    if !given && text.starts_with("invalid-arguments: the tool was not called") {
        world.count_point(&Point::Given(class.unwrap_or_default()), false);
        return Ok(End::Reached);
    }
    let Some(left) = left.as_ref().filter(|_| may && given) else {
        return match text {
            // It could be called, and that was refused.
            "denied" if may && left.is_none() => Ok(End::Reached),
            "denied" if !may => Ok(End::Nothing),
            _ => Err(format!("the other tool was called: {text}")),
        };
    };
    let Some(reach) = model::reached(left) else {
        return match text.starts_with("failed: ") {
            true => Ok(End::Reached),
            false => Err(format!("the other tool could run: {text}")),
        };
    };
    let report: Value = serde_json::from_str(text)
        .map_err(|_| format!("the other tool should reach {reach:?}: {text}"))?;
    let run = Run {
        case: &inner.case,
        number: run.number,
        run: inner.run,
        inner: None,
        is_inner: true,
    };
    let compared = compare(world, &run, &report, &reach);
    compared.map_err(|failed| format!("within: {failed}"))?;
    if let Some(class) = class {
        if report["given"] != json!([sample(class)]) {
            return Err(format!("within: not given data of {class}: {report}"));
        }
        world.count_point(&Point::Given(class), true);
    }
    world.count(5);
    Ok(End::Reached)
}
