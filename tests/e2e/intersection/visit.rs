//! One caller: it calls, is asked, decides, calls again, and what came of it is held against the model.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bailiwick::clock::{Clock, SystemClock};
use bailiwick::consent::{Choice, PreConsent};
use serde_json::{Value, json};

use super::case::{Atom, Case, Channel, Decision, Need, Point, Rule, tool_name};
use super::model::{self, Agreed};
use super::world::{World, told};
use crate::harness::{Answer, Caller, Server, for_an_hour};

/// A caller that comes back.
#[derive(Clone)]
pub struct Visitor {
    pub number: usize,
    pub case: Case,
    pub agreed: Arc<Vec<Agreed>>,
    pub returns: bool,
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
    let needs = &world.tools[case.tool];
    let caller = caller(&world.server, *number, case);
    let mut agreed: Vec<_> = visitor.agreed.to_vec();
    if case.channel == Channel::Operator && !returns {
        agreed = pre_consented(world, *number, case).await?;
    }
    let run = world.visits.fetch_add(1, Ordering::Relaxed);
    let tool = tool_name(case.tool);
    let call = || caller.call(&tool, arguments(case, run));

    let first = call().await;
    let Some(permitted) = model::permitted(rules, needs, case) else {
        world.count(0);
        is_refused(&first)?;
        return Ok(agreed);
    };
    let may_be_asked = model::to_be_asked(&permitted);
    let Some(link) = first.link() else {
        if case.channel != Channel::Operator && !returns && !may_be_asked.is_empty() {
            return Err(format!("nobody was asked: {first:?}"));
        }
        let reach = model::reached(&permitted, needs, &agreed, case);
        compare(world, case, run, &first, reach)?;
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
        let reach = model::reached(&permitted, needs, &agreed, case);
        compare(world, case, run, &second, reach)?;
        return Ok(agreed);
    }

    let decisions: Vec<_> = (0..items.len()).map(|n| case.decision(n)).collect();
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
    let reach = model::reached(&permitted, needs, &agreed, case);
    compare(world, case, run, &second, reach)?;
    Ok(agreed)
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
    });
    server.caller(&user(number, case)).with(server, claims)
}

fn arguments(case: &Case, run: usize) -> Value {
    let (mut requests, mut read, mut write) = (Vec::new(), Vec::new(), Vec::new());
    for point in &case.tried {
        match point {
            Point::Request(method, host, path) => {
                requests.push(json!([method, format!("http://{host}{path}?run={run}")]));
            }
            Point::Read(mount, folder) => read.push(format!("/{mount}/{folder}/seed")),
            Point::Write(mount, folder) => write.push(format!("/{mount}/{folder}/run-{run}")),
            Point::Clock | Point::Progress => {}
        }
    }
    json!({"requests": requests, "read": read, "write": write, "level": case.level})
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
    if case.channel == Channel::Page {
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

/// What the guest says that it reached, against what it should.
fn compare(
    world: &World,
    case: &Case,
    run: usize,
    answer: &Answer,
    reach: Option<BTreeSet<Point>>,
) -> Result<(), String> {
    let Some(reach) = reach else {
        world.count(0);
        return is_refused(answer);
    };
    if answer.status != 200 || answer.json()["result"]["structuredContent"].is_null() {
        return Err(format!("refused, and should reach {reach:?}: {answer:?}"));
    }
    let report = answer.structured();
    let (mut requests, mut read, mut write) = (0.., 0.., 0..);
    let next = |of: &mut std::ops::RangeFrom<usize>| of.next().unwrap();
    let mut wrong = Vec::new();
    let mut some = false;
    for point in &case.tried {
        let reached = match point {
            Point::Request(..) => report["requests"][next(&mut requests)]["status"] == 200,
            Point::Read(mount, folder) => {
                let text = &report["read"][next(&mut read)];
                *text == told(case.tenant, mount, folder)
            }
            Point::Write(..) => report["write"][next(&mut write)] == true,
            Point::Clock => report["clock"] == true,
            Point::Progress => report["progress"] == true,
        };
        some |= reached;
        if reached != reach.contains(point) {
            wrong.push((
                point,
                if reached {
                    "was reached"
                } else {
                    "was not reached"
                },
            ));
        }
        if reach.contains(point) && matches!(point, Point::Request(..) | Point::Write(..)) {
            world.expected.lock().unwrap().insert((run, point.clone()));
        }
    }
    world.count(if some { 1 } else { 2 });
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "{wrong:?}; the law: {reach:?}; the guest: {report}"
        )),
    }
}
