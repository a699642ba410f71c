//! One caller: it calls, is asked, decides, calls again, and what came of it is held against the model.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bailiwick::clock::{Clock, SystemClock};
use bailiwick::consent::{Choice, PreConsent};
use serde_json::{Value, json};

use super::atom::{Atom, DELIVERY, Need, Point, sample, tool_name};
use super::case::{Case, Channel, Decision, Rule};
use super::model::{self, Agreed};
use super::report::{Run, compare};
use super::world::World;
use crate::harness::{Answer, Caller, Server, for_an_hour};

/// What a user answers to the question of a tool.
pub const SAID: &str = "yes";
/// What every token says.
pub const LOCALE: &str = "en-GB";

/// A caller that comes back.
#[derive(Clone)]
pub struct Visitor {
    pub number: usize,
    pub case: Case,
    pub agreed: Arc<Vec<Agreed>>,
    pub returns: bool,
}

/// The call of another tool that a case makes, after its caller called that tool by itself and decided about it.
pub struct Inner {
    pub case: Case,
    pub run: usize,
    /// What that tool has when it is called by itself; none where it is refused.
    pub alone: Option<BTreeSet<Point>>,
}

impl Inner {
    async fn prepared(world: &World, rules: &[Rule], of: &Visitor) -> Result<Option<Self>, String> {
        let Some(case) = of.case.callee() else {
            return Ok(None);
        };
        let run = world.visits.fetch_add(1, Ordering::Relaxed);
        let permitted = model::permitted(rules, &world.tools[of.case.tool], &of.case);
        let call = Point::Call(case.tool);
        let could = permitted.is_some_and(|all| all.iter().any(|atom| model::holds(atom, &call)));
        if !could {
            // It is refused whatever is decided about the other tool.
            return Ok(Some(Self {
                case,
                run,
                alone: None,
            }));
        }
        let visitor = Visitor { case, ..of.clone() };
        // Boxed, since it calls this one.
        let alone: Pin<Box<dyn Future<Output = _>>> = Box::pin(visit(world, rules, &visitor));
        let agreed = alone
            .await
            .map_err(|failed| format!("by itself: {failed}"))?;
        let case = visitor.case;
        let needs = &world.tools[case.tool];
        let alone = model::permitted(rules, needs, &case)
            .and_then(|permitted| model::granted(&permitted, needs, &agreed, &case));
        Ok(Some(Self { case, run, alone }))
    }
}

/// One caller calls, is asked, decides and calls again.
pub async fn visit(
    world: &World,
    rules: &[Rule],
    visitor: &Visitor,
) -> Result<Vec<Agreed>, String> {
    let Visitor {
        number,
        case,
        returns,
        ..
    } = visitor;
    let inner = Inner::prepared(world, rules, visitor).await?;
    let needs = &world.tools[case.tool];
    let caller = caller(&world.server, *number, case);
    let mut agreed: Vec<_> = visitor.agreed.to_vec();
    if case.channel == Channel::Operator && !returns {
        agreed = pre_consented(world, *number, case).await?;
    }
    let run = world.visits.fetch_add(1, Ordering::Relaxed);
    let tool = tool_name(case.tool);
    let arguments = arguments(world, case, run, inner.as_ref());
    let call = || caller.call(&tool, arguments.clone());
    let ended = async |answer: Answer, permitted: &[Atom], agreed: &[Agreed]| {
        let granted = model::granted(permitted, needs, agreed, case);
        let reach = granted.as_ref().and_then(model::reached);
        let (Some(granted), Some(reach)) = (granted, reach) else {
            world.count(0);
            for given in case.given() {
                world.count_point(&given, false);
            }
            return is_refused(&answer);
        };
        let answer = answered(case, &reach, answer, &caller, &tool, &arguments).await?;
        let report = answer.status == 200;
        let report = report.then(|| answer.json()["result"]["structuredContent"].clone());
        let Some(report) = report.filter(|report| !report.is_null()) else {
            return Err(format!("refused, and should reach {reach:?}: {answer:?}"));
        };
        let within = inner.as_ref().map(|inner| {
            let needs = &world.tools[inner.case.tool];
            let left = inner.alone.clone();
            let left = left.and_then(|alone| model::granted_within(&granted, alone, needs));
            (inner, left)
        });
        let run = Run {
            case,
            number: *number,
            run,
            inner: within,
            is_inner: false,
        };
        let some = compare(world, &run, &report, &reach)?;
        world.count(if some { 1 } else { 2 });
        Ok(())
    };

    let first = call().await;
    let Some(permitted) = model::permitted(rules, needs, case) else {
        world.count(0);
        is_refused(&first)?;
        return Ok(agreed);
    };
    if !model::could_be_given(&permitted, case) {
        world.count(0);
        for given in case.given() {
            world.count_point(&given, false);
        }
        is_refused(&first)?;
        return Ok(agreed);
    }
    let may_be_asked = model::to_be_asked(&permitted);
    let Some(link) = first.link() else {
        if case.channel != Channel::Operator && !returns && !may_be_asked.is_empty() {
            return Err(format!("nobody was asked: {first:?}"));
        }
        ended(first, &permitted, &agreed).await?;
        return Ok(agreed);
    };
    world.count(3);

    let items = world
        .server
        .asked(&link, user(*number, case).as_str())
        .await;
    let atoms: Vec<_> = items.iter().map(|text| Atom::parse(text)).collect();
    let asked = model::shown(&atoms);
    let is_right = match returns {
        // What was decided before is not asked again.
        true => asked.is_subset(&may_be_asked),
        false => asked == may_be_asked,
    };
    if !is_right || case.channel == Channel::Operator {
        return Err(format!("asked: {items:?}, to be asked: {may_be_asked:?}"));
    }
    if case.channel == Channel::Nobody {
        let second = call().await;
        let must = needs
            .iter()
            .filter(|need| !need.optional)
            .flat_map(Need::atoms);
        if must.into_iter().any(|atom| !model::is_free(&atom)) {
            return match second.link() {
                Some(same) if same == link => Ok(agreed),
                _ => Err(format!("not asked again: {second:?}")),
            };
        }
        ended(second, &permitted, &agreed).await?;
        return Ok(agreed);
    }

    let decisions = atoms.iter().enumerate();
    let decisions = decisions.map(|(n, atom)| match case.decision(n) {
        // What is asked about at every call cannot be agreed to for longer.
        Decision::Lasting if atom.tier() == 3 => Decision::Once,
        decision => decision,
    });
    let decisions: Vec<_> = decisions.collect();
    decide(world, *number, case, &link, &items, &decisions).await?;
    for (atom, decision) in atoms.into_iter().zip(decisions) {
        if decision != Decision::Deny {
            let lasting = decision == Decision::Lasting;
            agreed.push(Agreed { atom, lasting });
        }
    }
    let second = call().await;
    if let Some(link) = second.link() {
        return Err(format!(
            "asked twice: {:?}",
            world.server.asked(&link, &user(*number, case)).await
        ));
    }
    ended(second, &permitted, &agreed).await?;
    Ok(agreed)
}

/// The answer of the guest, after its user answered its question, if it was to ask one.
async fn answered(
    case: &Case,
    reach: &BTreeSet<Point>,
    answer: Answer,
    caller: &Caller,
    tool: &str,
    arguments: &Value,
) -> Result<Answer, String> {
    let asks = case.is_answered() && case.tried.contains(&Point::Question);
    let form = &answer.json()["result"]["inputRequests"]["form"];
    match (form.is_null(), asks && reach.contains(&Point::Question)) {
        (true, false) => Ok(answer),
        (false, true) => {
            let said = json!({"action": "accept", "content": {"a": SAID}});
            Ok(caller.fill(tool, arguments.clone(), &answer, said).await)
        }
        (_, should) => Err(format!("a question was to be asked: {should}, {answer:?}")),
    }
}

/// Who is behind the token.
fn user(number: usize, case: &Case) -> String {
    match case.channel {
        // The embedded identity provider can sign in two users.
        Channel::Page => ["alice", "root"][number % 2].to_owned(),
        Channel::Operator => client(number, case),
        Channel::Direct | Channel::Nobody => format!("user-{number}"),
    }
}

/// A client of its own for each, so that no decision of one serves another.
fn client(number: usize, case: &Case) -> String {
    format!("{}-{number}", case.client)
}

fn caller(server: &Server, number: usize, case: &Case) -> Caller {
    let scope = if case.extra_scope {
        "tools:call extra"
    } else {
        "tools:call"
    };
    let claims = json!({
        "client_id": client(number, case),
        "roles": case.roles,
        "tenant": case.tenant,
        "scope": scope,
        "nickname": nickname(number),
        "locale": LOCALE,
    });
    let caller = server.caller(&user(number, case)).with(server, claims);
    match case.forms {
        true => caller,
        false => caller.without_forms(),
    }
}

/// What a token says of its user.
pub fn nickname(number: usize) -> String {
    format!("nick {number}")
}

fn arguments(world: &World, case: &Case, run: usize, inner: Option<&Inner>) -> Value {
    let mut all = json!({
        "requests": [], "read": [], "write": [], "level": case.level, "value": [], "keep": [], "settings": [],
        "ask": case.tried.contains(&Point::Question), "exists": [], "calls": [], "claims": [], "given": [], "say": [],
        "open": [], "deliver": [],
    });
    for point in &case.tried {
        let (field, value) = match point {
            Point::Request(method, host, path) => {
                let url = format!("http://{host}{path}?run={run}");
                ("requests", json!([method, url]))
            }
            Point::Read(mount, folder) => ("read", json!(format!("/{mount}/{folder}/seed"))),
            Point::Write(mount, folder) => ("write", json!(format!("/{mount}/{folder}/run-{run}"))),
            Point::Value(store, key) => ("value", json!([store, key])),
            Point::Keep(store, key) => ("keep", json!([store, kept_key(key, run)])),
            Point::Setting(key) => ("settings", json!(key)),
            Point::Exists(name) => ("exists", json!(name)),
            Point::Call(tool) => {
                let inner = inner.map(|inner| arguments(world, &inner.case, inner.run, None));
                let inner = inner.unwrap().to_string();
                let handed: Vec<_> = case.hands.iter().map(|class| in_pieces(class)).collect();
                ("calls", json!([tool_name(*tool), inner, handed]))
            }
            Point::Told(claim) => ("claims", json!(claim)),
            Point::Given(class) => ("given", json!(sample(class))),
            Point::Said(class) => ("say", json!(in_pieces(class))),
            &Point::Opened(class, field) => ("open", json!(world.handle(case, class, field))),
            &Point::Delivered(host, class, field) => {
                let handle = world.handle(case, class, field);
                let url = format!("http://{host}{}?run={run}&to=", DELIVERY.1);
                ("deliver", json!([DELIVERY.0, url, handle]))
            }
            Point::Clock | Point::Progress | Point::Question | Point::Lent(..) => continue,
        };
        all[field].as_array_mut().unwrap().push(value);
    }
    all
}

/// Data of a class in pieces, in which nothing is recognized.
fn in_pieces(class: &str) -> Vec<String> {
    sample(class).chars().map(String::from).collect()
}

/// A key of one visit that begins with another one and leads out of no prefix and into none.
pub fn kept_key(key: &str, run: usize) -> String {
    format!("{key}~run-{run}")
}

/// The operator agrees for a caller without a user, to what only reads.
async fn pre_consented(world: &World, number: usize, case: &Case) -> Result<Vec<Agreed>, String> {
    let stages = &world.server.running.stages;
    let tool = stages.catalog.find(&tool_name(case.tool)).unwrap();
    let atoms = world.tools[case.tool].iter().flat_map(Need::atoms);
    let atoms: BTreeSet<_> = atoms.filter(model::is_reading).collect();
    let mut agreed = Vec::new();
    for (n, atom) in atoms.into_iter().enumerate() {
        if case.decision(n) == Decision::Deny {
            continue;
        }
        let until = SystemClock.now().plus(Duration::from_secs(3600));
        let wish = PreConsent {
            tenant: case.tenant.parse().unwrap(),
            user: world.server.user(&user(number, case)).user,
            client: client(number, case).parse().unwrap(),
            tool: &tool,
            capability: atom.text().parse().unwrap(),
            from: None,
            until,
        };
        let made = stages.consents.pre_consent(wish, SystemClock.now()).await;
        made.map_err(|error| format!("{}: {error}", atom.text()))?;
        agreed.push(Agreed {
            atom,
            lasting: true,
        });
    }
    Ok(agreed)
}

async fn decide(
    world: &World,
    number: usize,
    case: &Case,
    link: &str,
    items: &[String],
    decisions: &[Decision],
) -> Result<(), String> {
    let user = user(number, case);
    // The page wants a sign-in of the last five minutes for what is asked about at every call (`sealed.rs`).
    let fresh = items.iter().any(|item| Atom::parse(item).tier() == 3);
    if case.channel == Channel::Page && !fresh {
        world.count(4);
        let mut fields: Vec<_> = decisions.iter().enumerate().collect();
        // A field is found by how its name begins: `decision-1` after `decision-10`.
        fields.reverse();
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(n, decision)| {
                let word = match decision {
                    Decision::Deny => "deny",
                    Decision::Once => "allow-once",
                    Decision::Lasting => "allow-until",
                };
                (format!("decision-{n}"), word)
            })
            .collect();
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, word)| (name.as_str(), *word))
            .collect();
        let mut browser = world.browsers[number % 2].lock().await;
        let page = browser.open(link, &user).await;
        let done = browser.fill(&page, 0, &fields).await;
        return match done.status.as_u16() {
            200 => Ok(()),
            _ => Err(format!("the page took no decision: {done:?}")),
        };
    }
    let choice = |capability: &str| {
        let number = items.iter().position(|item| item == capability).unwrap();
        match decisions[number] {
            Decision::Deny => Choice::Deny,
            Decision::Once => Choice::Once,
            Decision::Lasting => for_an_hour(),
        }
    };
    world.server.decide_each(link, &user, choice).await;
    Ok(())
}

fn is_refused(answer: &Answer) -> Result<(), String> {
    let ran = answer.status == 200 && !answer.json()["result"]["structuredContent"].is_null();
    match (ran, answer.link()) {
        (false, None) => Ok(()),
        _ => Err(format!("not refused: {answer:?}")),
    }
}
