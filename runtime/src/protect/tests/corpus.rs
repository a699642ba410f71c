//! A seeded corpus of tool calls in English and Japanese: how much of what was planted is found, and what else.
//!
//! The table in `docs/data.md` is what this computes.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::*;

mod made;

use made::{Chance, PLANTS, Plant};

/// Values of each class that are planted with a label, and without one.
const LABELLED: usize = 120;
const BARE: usize = 40;
/// Values of each kind that is no personal data.
const OTHERS: usize = 120;

/// What came of one class.
#[derive(Default)]
struct Count {
    labelled: usize,
    labelled_sure: usize,
    bare: usize,
    bare_sure: usize,
    bare_any: usize,
    wrong: usize,
}

impl Count {
    fn right(&self) -> usize {
        self.labelled_sure + self.bare_sure
    }

    fn precision(&self) -> f64 {
        self.right() as f64 / (self.right() + self.wrong) as f64
    }

    fn recall(&self) -> f64 {
        self.labelled_sure as f64 / self.labelled as f64
    }
}

/// A call with a value in it that has a label, as people and programs write them.
fn labelled(chance: &mut Chance, plant: &Plant, value: &str) -> Value {
    let (en, ja, field) = (
        chance.one(plant.en),
        chance.one(plant.ja),
        chance.one(plant.fields),
    );
    let id = chance.hex(8);
    // A password or an address in running text is not promised.
    let kinds = if plant.field_alone { 4 } else { 9 };
    match chance.below(kinds) {
        0 => json!({"id": id, field: value}),
        1 => {
            json!({"name": "customers_update", "arguments": {"id": id, "customer": {field: value, "since": "2021-04-01"}}})
        }
        2 => json!({"rows": [{"row": 1, field: value}, {"row": 2, field: Value::Null}]}),
        3 => {
            json!({"content": [{"type": "text", "text": "ok"}], "structuredContent": {field: value, "version": "1.2.3"}})
        }
        4 => json!({"text": format!("Please note my {en}: {value}. Thank you.")}),
        5 => json!({"text": format!("The {en} of the guest is {value}, order 4711.")}),
        6 => json!({"本文": format!("{ja}は{value}です。よろしくお願いします。")}),
        7 => json!({"message": format!("お客様の{ja}：{value}\n受付番号：A-1234")}),
        _ => {
            json!({"fields": [{"label": en, "value": value}, {"label": "status", "value": "open"}]})
        }
    }
}

/// The same without anything that says what it is.
fn bare(chance: &mut Chance, value: &str) -> Value {
    match chance.below(3) {
        0 => json!({"text": value}),
        1 => json!({"rows": [[chance.hex(6), value, 3]]}),
        _ => json!({"note": format!("See {value} for this.")}),
    }
}

fn holds(value: &Value, finding: &Finding, planted: &str) -> bool {
    let text = value.pointer(&finding.pointer).and_then(Value::as_str);
    text.and_then(|text| text.get(finding.span.clone())) == Some(planted)
}

fn measure() -> BTreeMap<&'static str, Count> {
    let detector = Detector::built_in();
    let mut all: BTreeMap<&'static str, Count> = BTreeMap::new();
    let mut chance = Chance(0x0b41_1a3c);
    let look =
        |value: &Value, planted: Option<(&str, &str)>, all: &mut BTreeMap<&'static str, Count>| {
            let scan = detector.scan(value, &Value::Null);
            assert!(!scan.truncated);
            let (mut sure, mut any) = (false, false);
            for finding in &scan.findings {
                let right = planted.is_some_and(|(class, text)| {
                    finding.class.as_str() == class && holds(value, finding, text)
                });
                any |= right;
                if finding.confidence == Confidence::Sure {
                    sure |= right;
                    if !right {
                        let class = finding.class.built_in().unwrap().name;
                        all.entry(class).or_default().wrong += 1;
                    }
                }
            }
            (sure, any)
        };
    for plant in PLANTS {
        for nth in 0..LABELLED + BARE {
            let text = (plant.make)(&mut chance);
            let text = if chance.below(12) == 0 {
                made::wide(plant, &text)
            } else {
                text
            };
            let is_labelled = nth < LABELLED;
            if !is_labelled && plant.field_alone {
                continue;
            }
            let value = match is_labelled {
                true => labelled(&mut chance, plant, &text),
                false => bare(&mut chance, &text),
            };
            let (sure, any) = look(&value, Some((plant.class, &text)), &mut all);
            let count = all.entry(plant.class).or_default();
            if is_labelled {
                count.labelled += 1;
                count.labelled_sure += usize::from(sure);
            } else {
                count.bare += 1;
                count.bare_sure += usize::from(sure);
                count.bare_any += usize::from(any);
            }
        }
    }
    for make in made::OTHERS {
        for _ in 0..OTHERS {
            let value = make(&mut chance);
            look(&value, None, &mut all);
        }
    }
    all
}

fn table(all: &BTreeMap<&'static str, Count>) -> String {
    let mut out = String::from(
        "| class | precision | recall with a label | recall without, sure | without, likely or sure |\n|---|---|---|---|---|\n",
    );
    for plant in PLANTS {
        let count = &all[plant.class];
        let share = |part: usize| match count.bare {
            0 => "–".to_owned(),
            bare => format!("{:.2}", part as f64 / bare as f64),
        };
        writeln!(
            out,
            "| `{}` | {:.3} | {:.3} | {} | {} |",
            plant.class,
            count.precision(),
            count.recall(),
            share(count.bare_sure),
            share(count.bare_any)
        )
        .unwrap();
    }
    out
}

#[test]
fn what_is_planted_is_found_and_little_else() {
    let all = measure();
    let table = table(&all);
    println!("{table}");
    for plant in PLANTS {
        let count = &all[plant.class];
        assert!(count.labelled == LABELLED);
        assert!(
            count.precision() >= plant.floor,
            "{}: precision {:.3}\n{table}",
            plant.class,
            count.precision()
        );
        assert!(
            count.recall() >= plant.floor,
            "{}: recall {:.3}\n{table}",
            plant.class,
            count.recall()
        );
    }
    let planted: Vec<_> = PLANTS.iter().map(|plant| plant.class).collect();
    for (class, count) in &all {
        assert!(
            planted.contains(class) || count.wrong == 0,
            "{class} was found {} times and never planted",
            count.wrong
        );
    }
    let doc = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/data.md");
    let doc = std::fs::read_to_string(doc).unwrap();
    for one in built_in() {
        let named = doc.contains(&format!("`{}`", one.name));
        assert!(named, "docs/data.md does not name {}", one.name);
    }
    assert!(
        doc.contains(&table),
        "docs/data.md has other figures than these:\n{table}"
    );
}
