//! The law by sets of points, and nothing of the server's: what is reached is what rules, manifest and consents each hold.

use std::collections::BTreeSet;

use super::case::{About, Atom, Case, Channel, HOSTS, Need, Point, Rule, When, universe};

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
            let below = of == path
                || of.starts_with(&format!("{path}/"))
                || (path.ends_with('/') && of.starts_with(path.as_str()));
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
            let below =
                folder.is_empty() || folder == part || part.starts_with(&format!("{folder}/"));
            mount == of && below && (*write || !writes)
        }
        (Atom::Clock, Point::Clock) | (Atom::Progress, Point::Progress) => true,
        _ => false,
    }
}

/// All that some of these allow.
fn points<'a>(atoms: impl IntoIterator<Item = &'a Atom>) -> BTreeSet<Point> {
    let atoms: Vec<_> = atoms.into_iter().collect();
    let mut all = universe();
    all.retain(|point| atoms.iter().any(|atom| holds(atom, point)));
    all
}

fn tier(atom: &Atom) -> u8 {
    match atom {
        Atom::Clock | Atom::Progress => 0,
        Atom::Http { methods, .. } => 1 + u8::from(methods.iter().any(|method| method != "GET")),
        Atom::Files { write, .. } => 1 + u8::from(*write),
    }
}

/// Whether anybody is asked about it.
pub fn is_free(atom: &Atom) -> bool {
    tier(atom) == 0
}

/// Whether the operator agrees to it in somebody's stead.
pub fn is_reading(atom: &Atom) -> bool {
    tier(atom) == 1
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
        (When::Tier(least), Some(atom)) => tier(atom) > *least,
        (When::Kind(kind), Some(atom)) => {
            *kind
                == match atom {
                    Atom::Http { .. } => "http",
                    Atom::Files { .. } => "files",
                    Atom::Clock => "clock",
                    Atom::Progress => "progress",
                }
        }
        (When::Host(is), Some(Atom::Http { host, .. })) => host == is,
        (When::Method(is), Some(Atom::Http { methods, .. })) => methods.contains(*is),
        (When::Path(is), Some(Atom::Http { path, .. })) => path == is,
        (When::Mount(is), Some(Atom::Files { mount, .. })) => mount == is,
        (When::Access(is), Some(Atom::Files { write, .. })) => write == is,
        (When::Folder(is), Some(Atom::Files { folder, .. })) => folder == is,
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
                Some(highest) if tier(&atom) <= highest => all.push(atom),
                _ if need.optional => {}
                _ => return None,
            }
        }
    }
    Some(all)
}

/// What a user is asked about.
pub fn to_be_asked(permitted: &[Atom]) -> BTreeSet<Point> {
    points(permitted.iter().filter(|atom| !is_free(atom)))
}

/// All that these items hold, as far as the operator permits it.
pub fn shown(items: &[Atom]) -> BTreeSet<Point> {
    points(items)
}

/// What the call reaches when all is decided; none where the call is refused.
pub fn reached(
    permitted: &[Atom],
    needs: &[Need],
    agreed: &[Agreed],
    case: &Case,
) -> Option<BTreeSet<Point>> {
    let consented = points(agreed.iter().map(|one| &one.atom));
    let lasting = points(agreed.iter().filter(|one| one.lasting).map(|one| &one.atom));
    for atom in needs
        .iter()
        .filter(|need| !need.optional)
        .flat_map(Need::atoms)
    {
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
    let permitted_points = points(permitted);
    let free = points(permitted.iter().filter(|atom| is_free(atom)));
    let mut reach: BTreeSet<Point> = permitted_points
        .into_iter()
        .filter(|point| free.contains(point) || consented.contains(point))
        .collect();
    let writes = reach.iter().any(|point| matches!(point, Point::Write(..)));
    let only_read = reach.iter().any(|point| match *point {
        Point::Read(mount, folder) => !reach.contains(&Point::Write(mount, folder)),
        _ => false,
    });
    if writes && only_read {
        // All folders are on one file system, and no call has one of it for reading and another for writing.
        return None;
    }
    reach.retain(|point| match point {
        Point::Request(_, host, _) => HOSTS.contains(host),
        _ => true,
    });
    Some(reach)
}
