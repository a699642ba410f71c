//! What a case is made of: manifests, rules, callers and decisions, all drawn from small sets in which every way to lie
//! within, beside and across each other occurs; and how each is written for the server.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
/// Hosts that the operator bound, also for `*`.
pub const HOSTS: [&str; 3] = ["a.test", "b.a.test", "c.test"];
/// A host that nobody bound: no grant reaches it.
pub const NOWHERE: &str = "d.test";
/// Paths of requests, inside and outside of the prefixes that needs ask for.
const PATHS: [&str; 6] = ["/", "/v1", "/v1/x", "/v1/x/y", "/v10", "/v2/x"];
/// The operator's folders.
pub const MOUNTS: [&str; 2] = ["letters", "mail"];
/// Parts of them; the empty one is the whole.
pub const FOLDERS: [&str; 4] = ["", "drafts", "drafts/old", "inbox"];
pub const TENANTS: [&str; 2] = ["dev", "other"];
/// How many manifests there are. Each is compiled, which takes a second.
pub const TOOLS: usize = 16;
/// Requests of one call; the server allows 20.
const REQUESTS_MAX: usize = 7;

/// The name of a tool.
pub fn tool_name(number: usize) -> String {
    format!("p{number}-reach_each")
}

/// One capability, as a manifest asks for it or a question shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    Http {
        methods: BTreeSet<String>,
        host: String,
        path: String,
    },
    Files {
        write: bool,
        mount: String,
        folder: String,
    },
    Clock,
    Progress,
}

/// One thing that can be tried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    Request(&'static str, &'static str, &'static str),
    Read(&'static str, &'static str),
    Write(&'static str, &'static str),
    Clock,
    Progress,
}

/// Every point there is.
pub fn universe() -> BTreeSet<Point> {
    let mut all = BTreeSet::from([Point::Clock, Point::Progress]);
    for method in METHODS {
        for host in HOSTS.into_iter().chain([NOWHERE]) {
            all.extend(PATHS.map(|path| Point::Request(method, host, path)));
        }
    }
    for mount in MOUNTS {
        for folder in FOLDERS {
            all.extend([Point::Read(mount, folder), Point::Write(mount, folder)]);
        }
    }
    all
}

#[derive(Debug, Clone)]
pub struct Need {
    pub optional: bool,
    pub wish: Wish,
}

#[derive(Debug, Clone)]
pub enum Wish {
    /// Several hosts, none of them within another: the server keeps of one need no capability that lies within another.
    Http(Vec<&'static str>, Vec<&'static str>, &'static str),
    Files(bool, &'static str, &'static str),
    Clock,
    Progress,
}

impl Need {
    /// Its capabilities.
    pub fn atoms(&self) -> Vec<Atom> {
        match &self.wish {
            Wish::Http(methods, hosts, path) => {
                let atom = |host: &&str| Atom::Http {
                    methods: methods.iter().map(|&method| method.to_owned()).collect(),
                    host: (*host).to_owned(),
                    path: (*path).to_owned(),
                };
                hosts.iter().map(atom).collect()
            }
            Wish::Files(write, mount, folder) => vec![Atom::Files {
                write: *write,
                mount: (*mount).to_owned(),
                folder: (*folder).to_owned(),
            }],
            Wish::Clock => vec![Atom::Clock],
            Wish::Progress => vec![Atom::Progress],
        }
    }

    /// As `tool.toml` writes it.
    pub fn toml(&self, number: usize) -> toml::Table {
        let body = match &self.wish {
            Wish::Http(methods, hosts, path) => {
                format!(
                    "kind = \"http\"\nmethods = {methods:?}\nhosts = {hosts:?}\npath = \"{path}\""
                )
            }
            Wish::Files(write, mount, folder) => {
                let access = access(*write);
                let part = match *folder {
                    "" => String::new(),
                    folder => format!("path = \"{folder}\""),
                };
                format!("kind = \"files\"\nmount = \"{mount}\"\naccess = \"{access}\"\n{part}")
            }
            Wish::Clock => "kind = \"clock\"".to_owned(),
            Wish::Progress => "kind = \"progress\"".to_owned(),
        };
        let optional = self.optional;
        let head = format!("id = \"n{number}\"\noptional = {optional}\nreason = \"A try.\"\n");
        toml::from_str(&(head + &body)).unwrap()
    }
}

fn access(write: bool) -> &'static str {
    if write { "write" } else { "read" }
}

impl Atom {
    /// Reads what a question shows.
    pub fn parse(text: &str) -> Self {
        let words: Vec<_> = text.split(' ').collect();
        match words[..] {
            ["http", methods, host, path] => Self::Http {
                methods: methods.split(',').map(str::to_owned).collect(),
                host: host.to_owned(),
                path: path.to_owned(),
            },
            ["files", access, mount] => Self::files(access, mount, ""),
            ["files", access, mount, folder] => Self::files(access, mount, folder),
            ["clock"] => Self::Clock,
            ["progress"] => Self::Progress,
            _ => panic!("`{text}` is no capability"),
        }
    }

    fn files(access: &str, mount: &str, folder: &str) -> Self {
        Self::Files {
            write: access == "write",
            mount: mount.to_owned(),
            folder: folder.to_owned(),
        }
    }

    /// As the operator writes it who agrees in somebody's stead.
    pub fn text(&self) -> String {
        match self {
            Self::Http {
                methods,
                host,
                path,
            } => {
                let methods: Vec<_> = methods.iter().map(String::as_str).collect();
                format!("http {} {host} {path}", methods.join(","))
            }
            Self::Files {
                write,
                mount,
                folder,
            } => format!("files {} {mount} {folder}", access(*write))
                .trim_end()
                .to_owned(),
            Self::Clock => "clock".to_owned(),
            Self::Progress => "progress".to_owned(),
        }
    }
}

/// The needs of one tool.
pub fn needs() -> impl Strategy<Value = Vec<Need>> {
    let methods = subsequence(METHODS.to_vec(), 1..=3);
    let hosts = select(vec![
        vec!["a.test"],
        vec!["b.a.test"],
        vec!["c.test"],
        vec!["*.a.test"],
        vec!["*"],
        vec!["a.test", "c.test"],
        vec!["*.a.test", "c.test"],
        vec!["*.a.test", "a.test", "d.test"],
    ]);
    let prefix = select(vec!["/", "/v1", "/v1/", "/v1/x", "/v2"]);
    let http = (methods, hosts, prefix).prop_map(|(m, h, p)| Wish::Http(m, h, p));
    // In most manifests all folders are read, or all are written: both in one call is refused.
    let folders = select(vec![Some(false), Some(false), Some(true), Some(true), None]);
    (folders, any::<bool>()).prop_flat_map(move |(all, clock)| {
        let files = (
            any::<bool>(),
            select(MOUNTS.to_vec()),
            select(FOLDERS.to_vec()),
        );
        let files = files
            .prop_map(move |(one, mount, folder)| Wish::Files(all.unwrap_or(one), mount, folder));
        let wish = prop_oneof![4 => http.clone(), 4 => files, 1 => Just(Wish::Progress)];
        let need = (proptest::bool::weighted(0.75), wish);
        let need = need.prop_map(|(optional, wish)| Need { optional, wish });
        proptest::collection::vec(need, 1..5).prop_map(move |mut needs| {
            needs.extend(clock.then_some(Need {
                optional: true,
                wish: Wish::Clock,
            }));
            needs
        })
    })
}

/// One rule of the operator.
#[derive(Debug, Clone)]
pub struct Rule {
    pub permits: bool,
    pub role: Option<&'static str>,
    pub tool: Option<usize>,
    pub about: About,
    pub when: Vec<When>,
    /// The highest tier that a permit allows.
    pub tier_max: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    Everything,
    Calls,
    Uses,
}

#[derive(Debug, Clone)]
pub enum When {
    Client(&'static str),
    Tenant(&'static str),
    Scope,
    /// The argument `level` is greater.
    Level(i64),
    /// The tier of the capability is greater.
    Tier(u8),
    Kind(&'static str),
    Host(&'static str),
    Method(&'static str),
    Path(&'static str),
    Mount(&'static str),
    Access(bool),
    Folder(&'static str),
}

impl Rule {
    /// As Cedar writes it.
    pub fn cedar(&self, id: &str) -> String {
        let mut text = format!("@id(\"{id}\")\n");
        if let Some(tier) = self.tier_max.filter(|_| self.permits) {
            let _ = writeln!(text, "@max_tier(\"T{tier}\")");
        }
        let effect = if self.permits { "permit" } else { "forbid" };
        let who = match self.role {
            Some(role) => format!("principal in Role::\"{role}\""),
            None => "principal is User".to_owned(),
        };
        let reads_arguments = self.when.iter().any(|one| matches!(one, When::Level(_)));
        let what = match self.about {
            About::Everything => "action".to_owned(),
            About::Calls if reads_arguments => {
                // Tools by name, since only theirs are known to have the argument.
                let named = (0..TOOLS).map(|tool| format!("Action::\"call:{}\"", tool_name(tool)));
                format!("action in [{}]", named.collect::<Vec<_>>().join(", "))
            }
            About::Calls => "action in [Action::\"list\", Action::\"call\"]".to_owned(),
            About::Uses => "action == Action::\"use\"".to_owned(),
        };
        let which = match self.tool {
            Some(tool) => format!("resource in Package::\"p{tool}\""),
            None => "resource".to_owned(),
        };
        let _ = write!(text, "{effect} ({who}, {what}, {which})");
        let when: Vec<_> = self.when.iter().map(When::cedar).collect();
        if !when.is_empty() {
            let _ = write!(text, " when {{ {} }}", when.join(" && "));
        }
        text + ";\n"
    }
}

impl When {
    fn cedar(&self) -> String {
        match self {
            Self::Client(kind) => format!("context.client like \"{kind}-*\""),
            Self::Tenant(tenant) => format!("principal.tenant == \"{tenant}\""),
            Self::Scope => "principal.scopes.contains(\"extra\")".to_owned(),
            Self::Level(level) => format!("context.args.level > {level}"),
            Self::Tier(tier) => format!("resource.tier > {tier}"),
            Self::Kind(kind) => format!("resource.kind == \"{kind}\""),
            Self::Host(host) => has("host", host),
            Self::Method(method) => {
                format!("resource has methods && resource.methods.contains(\"{method}\")")
            }
            Self::Path(path) => has("path", path),
            Self::Mount(mount) => has("mount", mount),
            Self::Access(write) => has("access", access(*write)),
            Self::Folder(folder) => has("folder", folder),
        }
    }
}

fn has(attribute: &str, value: &str) -> String {
    format!("resource has {attribute} && resource.{attribute} == \"{value}\"")
}

/// The rules of an operator: some that allow a good deal, and others across.
pub fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let broad = select(vec![None, None, Some("staff")]).prop_map(|role| Rule {
        permits: true,
        role,
        tool: None,
        about: About::Everything,
        when: Vec::new(),
        tier_max: None,
    });
    let first = proptest::collection::vec(broad, 0..=2);
    let others = proptest::collection::vec(rule(), 1..=7);
    (first, others).prop_map(|(mut first, others)| {
        first.extend(others);
        first
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let anywhere = || {
        prop_oneof![
            select(vec!["desk", "phone"]).prop_map(When::Client),
            select(TENANTS.to_vec()).prop_map(When::Tenant),
            Just(When::Scope),
        ]
    };
    let of_call = prop_oneof![1 => anywhere(), 2 => (0..4_i64).prop_map(When::Level)];
    let of_use = prop_oneof![
        3 => anywhere(),
        1 => (0..3_u8).prop_map(When::Tier),
        2 => select(vec!["http", "files", "clock", "progress"]).prop_map(When::Kind),
        2 => select(vec!["*", "*.a.test", "a.test", "c.test"]).prop_map(When::Host),
        2 => select(METHODS.to_vec()).prop_map(When::Method),
        1 => select(vec!["/", "/v1", "/v1/"]).prop_map(When::Path),
        1 => select(MOUNTS.to_vec()).prop_map(When::Mount),
        1 => any::<bool>().prop_map(When::Access),
        1 => select(FOLDERS.to_vec()).prop_map(When::Folder),
    ];
    let scope = prop_oneof![
        1 => proptest::collection::vec(anywhere(), 0..=2).prop_map(|when| (About::Everything, when)),
        2 => proptest::collection::vec(of_call, 0..=1).prop_map(|when| (About::Calls, when)),
        5 => proptest::collection::vec(of_use, 1..=2).prop_map(|when| (About::Uses, when)),
    ];
    let tool = prop_oneof![3 => Just(None), 2 => (0..TOOLS).prop_map(Some)];
    let role = select(vec![None, None, Some("staff"), Some("guest")]);
    let tier = select(vec![None, None, None, None, Some(1), Some(2), Some(0)]);
    (any::<bool>(), role, tool, scope, tier).prop_map(
        |(permits, role, tool, (about, when), tier_max)| {
            // A `forbid` of everything would leave a whole round of cases without a reply.
            let permits = permits || (about != About::Uses && when.is_empty() && tool.is_none());
            Rule {
                permits,
                role,
                tool,
                about,
                when,
                tier_max,
            }
        },
    )
}

/// How the decision gets to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// By the function that the page calls.
    Direct,
    /// In a browser on the page, after a sign-in.
    Page,
    /// The operator agrees beforehand for a caller without a user.
    Operator,
    /// The user never answers.
    Nobody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Deny,
    Once,
    Lasting,
}

/// One caller, who calls one tool.
#[derive(Debug, Clone)]
pub struct Case {
    pub tool: usize,
    pub roles: Vec<&'static str>,
    pub tenant: &'static str,
    pub extra_scope: bool,
    pub client: &'static str,
    pub level: i64,
    pub channel: Channel,
    /// For what is asked, in the order of its text, and again from the beginning.
    decisions: Vec<Decision>,
    pub tried: BTreeSet<Point>,
}

impl Case {
    pub fn decision(&self, number: usize) -> Decision {
        self.decisions[number % self.decisions.len()]
    }
}

pub fn case() -> impl Strategy<Value = Case> {
    let requests: Vec<_> = universe()
        .into_iter()
        .filter(|point| matches!(point, Point::Request(..)))
        .collect();
    let others = universe()
        .into_iter()
        .filter(|point| !matches!(point, Point::Request(..)));
    let others: Vec<_> = others.collect();
    let tried = (
        subsequence(requests, 1..=REQUESTS_MAX),
        subsequence(others.clone(), 4..=others.len()),
    );
    let channel = prop_oneof![
        78 => Just(Channel::Direct),
        8 => Just(Channel::Page),
        8 => Just(Channel::Operator),
        6 => Just(Channel::Nobody),
    ];
    let decision = prop_oneof![
        2 => Just(Decision::Deny),
        1 => Just(Decision::Once),
        3 => Just(Decision::Lasting),
    ];
    (
        0..TOOLS,
        subsequence(vec!["staff", "guest"], 0..=2),
        select(TENANTS.to_vec()),
        any::<bool>(),
        select(vec!["desk", "phone", "other"]),
        0..5_i64,
        channel,
        proptest::collection::vec(decision, 1..5),
        tried,
    )
        .prop_map(
            |(tool, roles, tenant, extra_scope, client, level, channel, decisions, tried)| Case {
                tool,
                roles,
                // The embedded identity provider signs its users in to one tenant.
                tenant: match channel {
                    Channel::Page => TENANTS[0],
                    _ => tenant,
                },
                extra_scope,
                client,
                level,
                channel,
                decisions,
                tried: tried.0.into_iter().chain(tried.1).collect(),
            },
        )
}
