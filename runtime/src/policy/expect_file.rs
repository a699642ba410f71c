//! Expectations read from TOML: every problem at once, each with its line. An unknown key is one.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toml::Spanned;
use toml::value::Datetime;

use super::AdminAction;
use super::expect::{AdminCase, CallerText, Case, Described, Expect, Expectations};
use crate::capability::{Capability, Tier};
use crate::catalog::manifest::{Definition, Manifest, Need, Requires, Wishes};
use crate::clock::Timestamp;
use crate::ids::{Publisher, Tenant, ToolName};
use crate::problem::{Problem, line_at};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    now: Option<Spanned<Datetime>>,
    #[serde(default)]
    caller: BTreeMap<String, Spanned<RawCaller>>,
    #[serde(default)]
    tool: Vec<RawTool>,
    #[serde(default)]
    case: Vec<RawCase>,
    #[serde(default)]
    admin: Vec<RawAdmin>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCaller {
    issuer: Option<String>,
    client: Option<String>,
    claims: Spanned<toml::Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTool {
    name: Spanned<ToolName>,
    package: Option<ToolName>,
    publisher: Option<Publisher>,
    #[serde(default)]
    needs: Vec<Spanned<String>>,
    #[serde(default)]
    optional: Vec<Spanned<String>>,
    #[serde(default)]
    requires: Requires,
    #[serde(default)]
    tags: BTreeSet<String>,
    input: Option<Spanned<toml::Table>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: Spanned<String>,
    caller: Option<Spanned<String>>,
    issuer: Option<String>,
    client: Option<String>,
    claims: Option<Spanned<toml::Table>>,
    tool: ToolName,
    arguments: Option<Spanned<toml::Table>>,
    capability: Option<Spanned<String>>,
    expect: Expect,
    tier: Option<Spanned<Tier>>,
    now: Option<Spanned<Datetime>>,
}

/// A case about administrators.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdmin {
    name: Spanned<String>,
    caller: Option<Spanned<String>>,
    issuer: Option<String>,
    client: Option<String>,
    claims: Option<Spanned<toml::Table>>,
    action: Spanned<String>,
    tenant: Option<Tenant>,
    expect: Spanned<Expect>,
    now: Option<Spanned<Datetime>>,
}

/// Who asks, as a case says it.
struct Who<'a> {
    case: &'a Spanned<String>,
    caller: Option<&'a Spanned<String>>,
    issuer: Option<&'a String>,
    client: Option<&'a String>,
    claims: Option<&'a Spanned<toml::Table>>,
}

impl Expectations {
    /// Reads a file of expectations. One without a case is refused: nothing would be tested.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let raw: File = toml::from_str(text).map_err(|error| {
            vec![Problem {
                file: file.to_owned(),
                line: error.span().map(|span| line_at(text, span.start)),
                message: error.message().to_owned(),
                help: None,
            }]
        })?;
        let mut reader = Reader {
            file,
            text,
            problems: Vec::new(),
        };
        let now = raw.now.as_ref().and_then(|now| reader.time(now));
        let mut callers: Vec<_> = raw.caller.iter().collect();
        callers.sort_by_key(|(_, caller)| caller.span().start);
        let callers: Vec<_> = callers
            .into_iter()
            .map(|(name, caller)| {
                let caller = caller.get_ref();
                let text = CallerText {
                    issuer: caller.issuer.clone(),
                    client: caller.client.clone(),
                    claims: reader.table(Some(&caller.claims)),
                };
                (name.clone(), text)
            })
            .collect();
        let tools = raw.tool.iter().map(|tool| reader.tool(tool)).collect();
        let cases = raw.case.iter();
        let cases: Vec<_> = cases.map(|one| reader.case(one, &callers, now)).collect();
        let admin: Vec<_> = raw
            .admin
            .iter()
            .filter_map(|one| reader.admin(one, &callers, now))
            .collect();
        if raw.case.is_empty() && raw.admin.is_empty() {
            reader.problems.push(Problem {
                file: file.to_owned(),
                line: None,
                message: "there is no case, so nothing would be tested".to_owned(),
                help: Some("add a `[[case]]` or an `[[admin]]`".to_owned()),
            });
        }
        if !reader.problems.is_empty() {
            return Err(reader.problems);
        }
        Ok(Self {
            file: file.to_owned(),
            callers,
            tools,
            cases,
            admin,
        })
    }
}

/// Collects what is wrong while the rest is still read.
struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn line<T>(&self, at: &Spanned<T>) -> usize {
        line_at(self.text, at.span().start)
    }

    fn wrong<T>(&mut self, at: &Spanned<T>, message: String, help: &str) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: Some(self.line(at)),
            message,
            help: (!help.is_empty()).then(|| help.to_owned()),
        });
    }

    fn time(&mut self, at: &Spanned<Datetime>) -> Option<Timestamp> {
        let text = at.get_ref().to_string();
        match OffsetDateTime::parse(&text, &Rfc3339) {
            Ok(time) => Some(Timestamp::from_secs(time.unix_timestamp())),
            Err(_) => {
                let help = "write a date and a time with its offset, such as 2027-01-04T09:30:00Z";
                self.wrong(at, format!("`{text}` is no moment"), help);
                None
            }
        }
    }

    fn table(&mut self, table: Option<&Spanned<toml::Table>>) -> Map<String, Value> {
        let Some(table) = table else {
            return Map::new();
        };
        let values = table.get_ref().iter();
        let values: Result<Map<_, _>, String> = values
            .map(|(name, value)| Ok((name.clone(), json(name, value)?)))
            .collect();
        values.unwrap_or_else(|message| {
            self.wrong(table, message, "write it as the token or the client would");
            Map::new()
        })
    }

    fn tool(&mut self, raw: &RawTool) -> Described {
        let asked = raw.needs.iter().map(|text| (text, false));
        let asked: Vec<_> = asked
            .chain(raw.optional.iter().map(|text| (text, true)))
            .collect();
        let mut needs = Vec::new();
        for (number, (text, optional)) in asked.into_iter().enumerate() {
            if let Some(capability) = self.capability(text) {
                needs.push(Need {
                    id: format!("need-{number}"),
                    kind: capability.kind(),
                    capabilities: [capability].into_iter().collect(),
                    reason: "described in a file of expectations".to_owned(),
                    optional,
                });
            }
        }
        let name = raw.name.get_ref();
        let mut input_schema = self.table(raw.input.as_ref());
        let object = || Value::String("object".to_owned());
        input_schema.entry("type".to_owned()).or_insert_with(object);
        let mut kinds: Vec<_> = needs.iter().map(|need| need.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let definition = Definition {
            name: name.clone(),
            title: None,
            description: "Described in a file of expectations".to_owned(),
            input_schema: Value::Object(input_schema),
            output_schema: None,
            capabilities: kinds,
        };
        let package = raw.package.clone().unwrap_or_else(|| name.clone());
        let manifest = Manifest {
            format: 1,
            title: package.to_string(),
            name: package,
            version: "0.0.0".to_owned(),
            description: "Described in a file of expectations".to_owned(),
            publisher: raw.publisher.clone().unwrap_or_else(nobody),
            needs,
            limits: Wishes::default(),
            requires: raw.requires.clone(),
            tools: vec![definition],
        };
        Described {
            line: self.line(&raw.name),
            manifest,
            tags: raw.tags.clone(),
        }
    }

    fn capability(&mut self, text: &Spanned<String>) -> Option<Capability> {
        match text.get_ref().parse() {
            Ok(capability) => Some(capability),
            Err(error) => {
                let message = format!("`{}` is no capability: {error}", text.get_ref());
                self.wrong(text, message, "write it as `bailiwick inspect` prints it");
                None
            }
        }
    }

    fn who(&mut self, who: &Who<'_>, callers: &[(String, CallerText)]) -> CallerText {
        let mut caller = CallerText::default();
        if let Some(name) = who.caller {
            match callers.iter().find(|(known, _)| known == name.get_ref()) {
                Some((_, known)) => caller = known.clone(),
                None => {
                    let message = format!("there is no `[caller.{}]`", name.get_ref());
                    self.wrong(name, message, "describe the caller");
                }
            }
        } else if who.claims.is_none() {
            let message = "it does not say who asks".to_owned();
            self.wrong(who.case, message, "add `caller`, or `claims`");
        }
        caller.issuer = who.issuer.cloned().or(caller.issuer);
        caller.client = who.client.cloned().or(caller.client);
        caller.claims.extend(self.table(who.claims));
        caller
    }

    fn admin(
        &mut self,
        raw: &RawAdmin,
        callers: &[(String, CallerText)],
        now: Option<Timestamp>,
    ) -> Option<AdminCase> {
        let who = Who {
            case: &raw.name,
            caller: raw.caller.as_ref(),
            issuer: raw.issuer.as_ref(),
            client: raw.client.as_ref(),
            claims: raw.claims.as_ref(),
        };
        let caller = self.who(&who, callers);
        let expect = *raw.expect.get_ref();
        if matches!(expect, Expect::Hidden | Expect::Listed) {
            let message = "what administrators do is allowed or denied".to_owned();
            self.wrong(&raw.expect, message, "write `allow` or `deny`");
        }
        let action = match raw.action.get_ref().parse::<AdminAction>() {
            Ok(action) => action,
            Err(message) => {
                self.wrong(&raw.action, message, "");
                return None;
            }
        };
        let own = raw.now.as_ref().and_then(|now| self.time(now));
        Some(AdminCase {
            line: self.line(&raw.name),
            name: raw.name.get_ref().clone(),
            caller,
            action,
            tenant: raw.tenant.clone(),
            expect,
            now: own.or(now),
        })
    }

    fn case(
        &mut self,
        raw: &RawCase,
        callers: &[(String, CallerText)],
        now: Option<Timestamp>,
    ) -> Case {
        let who = Who {
            case: &raw.name,
            caller: raw.caller.as_ref(),
            issuer: raw.issuer.as_ref(),
            client: raw.client.as_ref(),
            claims: raw.claims.as_ref(),
        };
        let caller = self.who(&who, callers);
        if raw.capability.is_some() && matches!(raw.expect, Expect::Hidden | Expect::Listed) {
            let message = "a capability is allowed or denied, never listed or hidden".to_owned();
            self.wrong(&raw.name, message, "take `capability` away");
        }
        if let Some(tier) = raw.tier.as_ref().filter(|_| raw.expect != Expect::Allow) {
            let message = "only what is allowed is consented to".to_owned();
            self.wrong(tier, message, "take `tier` away, or expect `allow`");
        }
        let own = raw.now.as_ref().and_then(|now| self.time(now));
        Case {
            line: self.line(&raw.name),
            name: raw.name.get_ref().clone(),
            caller,
            tool: raw.tool.clone(),
            arguments: self.table(raw.arguments.as_ref()),
            capability: raw
                .capability
                .as_ref()
                .and_then(|text| self.capability(text)),
            expect: raw.expect,
            tier: raw.tier.as_ref().map(|tier| *tier.get_ref()),
            now: own.or(now),
        }
    }
}

/// The publisher of tools that name none.
fn nobody() -> Publisher {
    #[expect(clippy::expect_used, reason = "a constant of ours; a test reads it")]
    "example.test".parse().expect("a publisher")
}

/// TOML has dates and numbers that JSON lacks; none of them may turn into something else on the way.
fn json(name: &str, value: &toml::Value) -> Result<Value, String> {
    match value {
        toml::Value::String(text) => Ok(Value::from(text.as_str())),
        toml::Value::Integer(number) => Ok(Value::from(*number)),
        toml::Value::Boolean(truth) => Ok(Value::from(*truth)),
        toml::Value::Float(number) => serde_json::Number::from_f64(*number)
            .map(Value::Number)
            .ok_or_else(|| format!("`{name}` is no number of JSON")),
        toml::Value::Datetime(_) => Err(format!("`{name}` is a date, which JSON does not have")),
        toml::Value::Array(all) => all.iter().map(|one| json(name, one)).collect(),
        toml::Value::Table(members) => members
            .iter()
            .map(|(name, value)| Ok((name.clone(), json(name, value)?)))
            .collect::<Result<Map<_, _>, String>>()
            .map(Value::Object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let all = Expectations::parse("e.toml", text).unwrap_err();
        let all: Vec<_> = all.iter().map(ToString::to_string).collect();
        all.join("\n")
    }

    const GOOD: &str =
        "[[case]]\nname = \"a\"\nclaims = { sub = \"a\" }\ntool = \"t\"\nexpect = \"allow\"\n";

    #[test]
    fn a_file_that_would_test_nothing_is_refused() {
        for text in ["", "# nothing\n", "now = 2027-01-04T09:30:00Z\n"] {
            assert!(problems(text).contains("there is no case"), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_with_its_line() {
        assert!(Expectations::parse("e.toml", GOOD).is_ok());
        for (text, expected) in [
            (format!("{GOOD}tol = 1\n"), "e.toml:6: unknown field `tol`"),
            (
                GOOD.replace("allow", "maybe"),
                "e.toml:5: unknown variant `maybe`",
            ),
            (GOOD.replace("\"t\"", "\"a tool\""), "e.toml:4:"),
            (
                format!("{GOOD}caller = \"bob\"\n"),
                "e.toml:6: there is no `[caller.bob]`",
            ),
            (
                format!("{GOOD}tier = \"T4\"\n"),
                "e.toml:6: unknown variant `T4`",
            ),
            (
                GOOD.replace("allow", "deny") + "tier = \"T3\"\n",
                "e.toml:6: only what is allowed is consented to",
            ),
            (
                format!("{GOOD}capability = \"fly\"\n"),
                "e.toml:6: `fly` is no capability",
            ),
            (
                format!("{GOOD}now = 09:30:00\n"),
                "e.toml:6: `09:30:00` is no moment",
            ),
            (
                GOOD.replace("sub = \"a\"", "sub = 1979-05-27"),
                "e.toml:3: `sub` is a date",
            ),
            (
                GOOD.replace("sub = \"a\"", "n = nan"),
                "e.toml:3: `n` is no number",
            ),
            (
                GOOD.replace("claims = { sub = \"a\" }\n", ""),
                "e.toml:2: it does not say who asks",
            ),
        ] {
            let said = problems(&text);
            assert!(said.starts_with(expected), "{said}\n{text}");
        }
    }

    #[test]
    fn a_case_about_administrators_names_an_action_and_allows_or_denies() {
        let good = GOOD
            .replace("[[case]]", "[[admin]]")
            .replace("tool = \"t\"", "action = \"admin:revoke\"");
        let read = Expectations::parse("e.toml", &good).unwrap();
        assert_eq!((read.cases.len(), read.admin.len()), (0, 1));
        assert_eq!(read.admin[0].action, AdminAction::Revoke);
        for (from, to, expected) in [
            (
                "admin:revoke",
                "admin",
                "e.toml:4: there is no action `admin`",
            ),
            (
                "\"allow\"",
                "\"hidden\"",
                "e.toml:5: what administrators do",
            ),
            (
                "claims",
                "tool = \"t\"\nclaims",
                "e.toml:3: unknown field `tool`",
            ),
        ] {
            let said = problems(&good.replace(from, to));
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn a_case_lays_its_own_claims_over_those_of_its_caller() {
        let text = "[caller.ada]\nclient = \"desk\"\nclaims = { sub = \"ada\", roles = [\"staff\"] }\n\n\
                    [[case]]\nname = \"a\"\ncaller = \"ada\"\nclaims = { roles = [] }\ntool = \"t\"\nexpect = \"deny\"\n";
        let read = Expectations::parse("e.toml", text).unwrap();
        let caller = &read.cases[0].caller;
        assert_eq!(caller.client.as_deref(), Some("desk"));
        let claims = serde_json::json!({"sub": "ada", "roles": []});
        assert_eq!(Value::Object(caller.claims.clone()), claims);
    }
}
