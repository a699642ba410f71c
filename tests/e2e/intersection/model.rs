//! The law by sets of points, and nothing of the server's: what is reached is what rules, manifest and consents each hold.

use std::collections::BTreeSet;

use super::atom::{Atom, DELIVERY, HOSTS, Need, PSEUDONYM, Point, SECRETS, tool_name, universe};
use super::case::{About, Case, Channel, Rule, When};

/// What was agreed to.
#[derive(Debug, Clone)]
pub struct Agreed {
    pub atom: Atom,
    /// Whether it was for more than one call.
    pub lasting: bool,
}

/// Whether this capability allows that.
pub fn holds(atom: &Atom, point: &Point) -> bool {
    match (atom, point) {
        (
            Atom::Http {
                methods,
                host,
                path,
            },
            Point::Request(method, name, of),
        ) => {
            let at_host = match host.strip_prefix('*') {
                Some("") => true,
                Some(suffix) => name.ends_with(suffix),
                None => host == name,
            };
            let rest = of.strip_prefix(path.as_str());
            let below = rest.is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('/') || path.ends_with('/')
            });
            methods.contains(*method) && at_host && below
        }
        (
            Atom::Files {
                write,
                mount,
                folder,
            },
            Point::Read(of, part) | Point::Write(of, part),
        ) => {
            let writes = matches!(point, Point::Write(..));
            let below = folder.is_empty()
                || part
                    .strip_prefix(folder.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            mount == of && below && (*write || !writes)
        }
        (
            Atom::Kv {
                write,
                store,
                prefix,
            },
            Point::Value(of, key) | Point::Keep(of, key),
        ) => {
            let writes = matches!(point, Point::Keep(..));
            store == of && key.starts_with(prefix.as_str()) && (*write || !writes)
        }
        (Atom::Clock, Point::Clock)
        | (Atom::Progress, Point::Progress)
        | (Atom::Ask, Point::Question) => true,
        (Atom::Config(key), Point::Setting(is)) => key == is,
        (Atom::Secret { name, host, .. }, Point::Lent(is, at)) => name == is && host == at,
        (Atom::Call(name), Point::Call(tool)) => *name == tool_name(*tool),
        (Atom::Claim(claim), Point::Told(is)) => claim == is,
        (Atom::Data(class), Point::Given(is) | Point::Said(is)) => class == is,
        (Atom::Reveal { class, field }, Point::Opened(is, at)) => class == is && stood(at, field),
        (Atom::Deliver { host, class, field }, Point::Delivered(to, is, at)) => {
            host == to && class == is && stood(at, field)
        }
        _ => false,
    }
}

/// Whether what stood there stood in this place or below it.
fn stood(at: &str, field: &str) -> bool {
    field.is_empty() || at == field || at.starts_with(&format!("{field}/"))
}

/// All that some of these allow.
fn points<'a>(atoms: impl IntoIterator<Item = &'a Atom>) -> BTreeSet<Point> {
    let atoms: Vec<_> = atoms.into_iter().collect();
    let all = universe().iter();
    let some = all.filter(|point| atoms.iter().any(|atom| holds(atom, point)));
    some.cloned().collect()
}

/// Whether anybody is asked about it.
pub fn is_free(atom: &Atom) -> bool {
    atom.tier() == 0
}

/// Whether the operator agrees to it in somebody's stead.
pub fn is_reading(atom: &Atom) -> bool {
    atom.tier() == 1
}

fn applies(rule: &Rule, case: &Case, atom: Option<&Atom>) -> bool {
    let about = match rule.about {
        About::Everything => true,
        About::Calls => atom.is_none(),
        About::Uses => atom.is_some(),
    };
    about
        && rule.role.is_none_or(|role| case.roles.contains(&role))
        && rule.tool.is_none_or(|tool| case.tool == tool)
        && rule.when.iter().all(|one| is_so(one, case, atom))
}

fn is_so(when: &When, case: &Case, atom: Option<&Atom>) -> bool {
    match (when, atom) {
        (When::Client(kind), _) => case.client == *kind,
        (When::Tenant(tenant), _) => case.tenant == *tenant,
        (When::Scope, _) => case.extra_scope,
        (When::Level(level), _) => case.level > *level,
        (When::Tier(least), Some(atom)) => atom.tier() > *least,
        (When::Kind(kind), Some(atom)) => atom.kind() == *kind,
        (
            When::Host(is),
            Some(Atom::Http { host, .. } | Atom::Secret { host, .. } | Atom::Deliver { host, .. }),
        ) => host == is,
        (When::Method(is), Some(Atom::Http { methods, .. })) => methods.contains(*is),
        (When::Path(is), Some(Atom::Http { path, .. })) => path == is,
        (When::Mount(is), Some(Atom::Files { mount, .. })) => mount == is,
        (When::Access(is), Some(Atom::Files { write, .. } | Atom::Kv { write, .. })) => write == is,
        (When::Folder(is), Some(Atom::Files { folder, .. })) => folder == is,
        (When::Store(is), Some(Atom::Kv { store, .. })) => store == is,
        (When::Prefix(is), Some(Atom::Kv { prefix, .. })) => prefix == is,
        (When::Key(is), Some(Atom::Config(key))) => key == is,
        (When::Secret(is), Some(Atom::Secret { name, .. })) => name == is,
        (When::Callee(is), Some(Atom::Call(name))) => *name == tool_name(*is),
        (When::Claim(is), Some(Atom::Claim(claim))) => claim == is,
        (
            When::Class(is),
            Some(Atom::Data(class) | Atom::Reveal { class, .. } | Atom::Deliver { class, .. }),
        ) => class == is,
        (When::Field(is), Some(Atom::Reveal { field, .. } | Atom::Deliver { field, .. })) => {
            field == is
        }
        _ => false,
    }
}

/// The highest tier that the rules allow for this question; none where they do not allow it.
fn allowed(rules: &[Rule], case: &Case, atom: Option<&Atom>) -> Option<u8> {
    let mut permits = Vec::new();
    for rule in rules.iter().filter(|rule| applies(rule, case, atom)) {
        if !rule.permits {
            return None;
        }
        permits.push(rule.tier_max.unwrap_or(3));
    }
    permits.into_iter().min()
}

/// What rules and manifest hold together, as capabilities of the manifest; none where the call is refused.
pub fn permitted(rules: &[Rule], needs: &[Need], case: &Case) -> Option<Vec<Atom>> {
    let of_call = allowed(rules, case, None)?;
    let mut all = Vec::new();
    for need in needs {
        for atom in need.atoms() {
            let highest = allowed(rules, case, Some(&atom)).map(|of_use| of_use.min(of_call));
            match highest {
                Some(highest) if atom.tier() <= highest => all.push(atom),
                _ if need.optional => {}
                _ => return None,
            }
        }
    }
    Some(all)
}

/// Whether the tool could be given all data that is among the arguments, whatever its user agrees to.
pub fn could_be_given(permitted: &[Atom], case: &Case) -> bool {
    case.given().is_subset(&points(permitted))
}

/// What a user is asked about.
pub fn to_be_asked(permitted: &[Atom]) -> BTreeSet<Point> {
    points(permitted.iter().filter(|atom| !is_free(atom)))
}

/// All that these items hold, as far as the operator permits it.
pub fn shown(items: &[Atom]) -> BTreeSet<Point> {
    points(items)
}

/// What the call is granted when all is decided; none where it is refused.
pub fn granted(
    permitted: &[Atom],
    needs: &[Need],
    agreed: &[Agreed],
    case: &Case,
) -> Option<BTreeSet<Point>> {
    let consented = points(agreed.iter().map(|one| &one.atom));
    let lasting = points(agreed.iter().filter(|one| one.lasting).map(|one| &one.atom));
    for atom in required(needs) {
        let asked = points([&atom]);
        // Whoever denied the whole of a need may have agreed to a part of it for longer: the tool goes on with that.
        let some_of_it = case.channel != Channel::Operator && !lasting.is_disjoint(&asked);
        let whole = agreed
            .iter()
            .any(|one| asked.is_subset(&points([&one.atom])));
        if !is_free(&atom) && !whole && !some_of_it {
            return None;
        }
    }
    let free = points(permitted.iter().filter(|atom| is_free(atom)));
    let mut all = points(permitted);
    all.retain(|point| free.contains(point) || consented.contains(point));
    case.given().is_subset(&all).then_some(all)
}

/// What is left of a grant for a call that is made within another, whose grant is `outside`; none where it is refused.
pub fn granted_within(
    outside: &BTreeSet<Point>,
    mut alone: BTreeSet<Point>,
    needs: &[Need],
) -> Option<BTreeSet<Point>> {
    alone.retain(|point| is_its_own(point) || outside.contains(point));
    let enough = required(needs).all(|atom| !points([&atom]).is_disjoint(&alone));
    enough.then_some(alone)
}

/// Whether a tool may do this within the call of another one that may not: nothing outside comes of it.
fn is_its_own(point: &Point) -> bool {
    matches!(
        point,
        Point::Clock
            | Point::Progress
            | Point::Question
            | Point::Setting(_)
            | Point::Told(PSEUDONYM)
    )
}

fn required(needs: &[Need]) -> impl Iterator<Item = Atom> {
    needs
        .iter()
        .filter(|need| !need.optional)
        .flat_map(Need::atoms)
}

/// What is really reached under a grant, as the operator set up the server; none where the tool cannot be run so.
pub fn reached(granted: &BTreeSet<Point>) -> Option<BTreeSet<Point>> {
    let mut reach = granted.clone();
    let writes = reach.iter().any(|point| matches!(point, Point::Write(..)));
    let only_read = reach.iter().any(|point| match *point {
        Point::Read(mount, folder) => !reach.contains(&Point::Write(mount, folder)),
        _ => false,
    });
    if writes && only_read {
        // All folders are on one file system, and no call has one of it for reading and another for writing.
        return None;
    }
    let lent = reach.iter().filter_map(|point| match *point {
        Point::Lent(name, host) => Some((name, host)),
        _ => None,
    });
    let (bound, unbound): (Vec<_>, Vec<_>) = lent.partition(|(name, host)| is_bound(name, host));
    reach.retain(|point| match point {
        // What would have to carry a secret that is not bound so is not sent without it.
        Point::Request(_, host, _) => {
            HOSTS.contains(host) && unbound.iter().all(|(_, at)| at != host)
        }
        _ => true,
    });
    let sent = reach.clone();
    reach.retain(|point| match *point {
        Point::Delivered(host, ..) => sent.contains(&Point::Request(DELIVERY.0, host, DELIVERY.1)),
        _ => true,
    });
    reach.extend(bound.into_iter().map(|(name, _)| Point::Exists(name)));
    Some(reach)
}

/// Whether the operator bound the secret for that host. Each manifest says one form for both.
fn is_bound(name: &str, host: &str) -> bool {
    let mut all = SECRETS.iter();
    all.any(|(is, hosts, ..)| *is == name && hosts.contains(&host))
}
