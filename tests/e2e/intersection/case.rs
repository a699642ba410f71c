//! What a case is made of: manifests, rules, callers and decisions, and how rules are written for the server.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::atom::{
    ADDRESSEES, CALLEES, CLAIMS, CLASSES, FIELDS, FOLDERS, LOANS, METHODS, MOUNTS, Need, PREFIXES,
    Point, SEALED, SECRETS, SETTINGS, STORES, TENANTS, TOOLS, Wish, access, tool_name, universe,
};

/// Requests of one call; the server allows 20 to it and to those within it.
const REQUESTS_MAX: usize = 7;
/// The kinds of capabilities.
pub const KINDS: [&str; 13] = [
    "http", "files", "clock", "progress", "kv", "config", "ask", "secret", "call", "claims",
    "data", "reveal", "deliver",
];

/// The needs of one tool: of one that others call, more than they mostly have.
pub fn needs(is_called: bool) -> impl Strategy<Value = Vec<Need>> {
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
    let calls = proptest::bool::weighted(0.7);
    (folders, any::<bool>(), calls, sealed()).prop_flat_map(move |(all, clock, calls, sealed)| {
        // What is asked about at every call is not asked about within another one, so tools that are called have none of it.
        let sealed = if is_called { Vec::new() } else { sealed };
        let files = (
            any::<bool>(),
            select(MOUNTS.to_vec()),
            select(FOLDERS.to_vec()),
        );
        let files = files
            .prop_map(move |(one, mount, folder)| Wish::Files(all.unwrap_or(one), mount, folder));
        let kv = (any::<bool>(), select(STORES.to_vec()), select(PREFIXES.to_vec()));
        let wish = prop_oneof![
            5 => http.clone(),
            4 => files,
            1 => Just(Wish::Progress),
            4 => kv.prop_map(|(write, store, prefix)| Wish::Kv(write, store, prefix)),
            1 => subsequence(SETTINGS.to_vec(), 1..=2).prop_map(Wish::Config),
            1 => Just(Wish::Ask),
            3 => select(LOANS.to_vec()).prop_map(|(name, hosts, form)| Wish::Secret(name, hosts, form)),
            1 => subsequence((0..CALLEES).collect::<Vec<_>>(), 1..=2).prop_map(Wish::Call),
            2 => subsequence(CLAIMS.to_vec(), 1..=3).prop_map(Wish::Claims),
            2 => subsequence(CLASSES.to_vec(), 1..=2).prop_map(Wish::Data),
        ];
        let need = (proptest::bool::weighted(0.88), wish);
        let need = need.prop_map(|(optional, wish)| Need { optional, wish });
        proptest::collection::vec(need, 2..7).prop_map(move |mut needs| {
            let wishes = [
                clock.then_some(Wish::Clock),
                calls.then(|| Wish::Call((0..CALLEES).collect())),
            ];
            let wishes = wishes.into_iter().flatten().chain(sealed.clone()).chain(match is_called {
                true => much(),
                false => Vec::new(),
            });
            let optional = |wish| Need {
                optional: true,
                wish,
            };
            needs.extend(wishes.map(optional));
            needs
        })
    })
}

/// What some tools want of what was encrypted: it opened, it delivered, or both.
fn sealed() -> impl Strategy<Value = Vec<Wish>> {
    let fields = || {
        select(vec![
            Vec::new(),
            FIELDS[..1].to_vec(),
            FIELDS[1..2].to_vec(),
            FIELDS[1..].to_vec(),
        ])
    };
    let classes = || subsequence(SEALED.to_vec(), 1..=2);
    let reveal = (classes(), fields()).prop_map(|(classes, fields)| Wish::Reveal(classes, fields));
    let hosts = subsequence(ADDRESSEES.to_vec(), 1..=2);
    let deliver = (hosts, classes(), fields())
        .prop_map(|(hosts, classes, fields)| Wish::Deliver(hosts, classes, fields));
    // In most manifests the web to deliver to.
    let web = Just(Wish::Http(METHODS.to_vec(), ADDRESSEES.to_vec(), "/v1"));
    (
        proptest::option::weighted(0.4, reveal),
        proptest::option::weighted(0.4, (deliver, proptest::option::weighted(0.8, web))),
    )
        .prop_map(|(reveal, deliver)| {
            let (deliver, web) = deliver.unzip();
            let all = [reveal, deliver, web.flatten()];
            all.into_iter().flatten().collect()
        })
}

/// Something of every kind that may be only in both of two calls.
fn much() -> Vec<Wish> {
    let (key, hosts, form) = LOANS[0];
    vec![
        Wish::Http(METHODS.to_vec(), hosts.to_vec(), "/"),
        Wish::Secret(key, hosts, form),
        Wish::Kv(true, STORES[0], ""),
        Wish::Claims(vec![CLAIMS[1]]),
        Wish::Data(CLASSES[..2].to_vec()),
        Wish::Config(SETTINGS[..1].to_vec()),
    ]
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
    Store(&'static str),
    Prefix(&'static str),
    Key(&'static str),
    Secret(&'static str),
    Callee(usize),
    Claim(&'static str),
    Class(&'static str),
    Field(&'static str),
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
            Self::Store(store) => has("store", store),
            Self::Prefix(prefix) => has("prefix", prefix),
            Self::Key(key) => has("key", key),
            Self::Secret(secret) => has("secret", secret),
            Self::Callee(tool) => has("callee", &tool_name(*tool)),
            Self::Claim(claim) => has("claim", claim),
            Self::Class(class) => has("class", class),
            Self::Field(field) => has("field", field),
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
        4 => select(KINDS.to_vec()).prop_map(When::Kind),
        2 => select(vec!["*", "*.a.test", "a.test", "c.test"]).prop_map(When::Host),
        2 => select(METHODS.to_vec()).prop_map(When::Method),
        1 => select(vec!["/", "/v1", "/v1/"]).prop_map(When::Path),
        1 => select(MOUNTS.to_vec()).prop_map(When::Mount),
        1 => any::<bool>().prop_map(When::Access),
        1 => select(FOLDERS.to_vec()).prop_map(When::Folder),
        1 => select(STORES.to_vec()).prop_map(When::Store),
        1 => select(PREFIXES.to_vec()).prop_map(When::Prefix),
        1 => select(SETTINGS.to_vec()).prop_map(When::Key),
        1 => select(SECRETS.map(|(name, ..)| name).to_vec()).prop_map(When::Secret),
        1 => (0..CALLEES).prop_map(When::Callee),
        1 => select(CLAIMS.to_vec()).prop_map(When::Claim),
        1 => select([&CLASSES[..], &SEALED].concat()).prop_map(When::Class),
        1 => select(FIELDS.to_vec()).prop_map(When::Field),
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
    /// Whether its client shows forms.
    pub forms: bool,
    /// For what is asked, in the order of its text, and again from the beginning.
    decisions: Vec<Decision>,
    pub tried: BTreeSet<Point>,
    /// Data of which class it hands to the tool that it calls.
    pub hands: Option<&'static str>,
}

impl Case {
    pub fn decision(&self, number: usize) -> Decision {
        self.decisions[number % self.decisions.len()]
    }

    /// Whether a question of a tool gets to somebody who can answer it.
    pub fn is_answered(&self) -> bool {
        // Behind a caller for whom the operator agrees there is nobody.
        self.forms && self.channel != Channel::Operator
    }

    /// What is among the arguments and must be granted.
    pub fn given(&self) -> BTreeSet<Point> {
        let given = self
            .tried
            .iter()
            .filter(|point| matches!(point, Point::Given(_)));
        given.cloned().collect()
    }

    /// The same caller, calling the tool that this one calls, with the same attempts; none where it calls no other.
    pub fn callee(&self) -> Option<Self> {
        let mut calls = self.tried.iter().filter_map(|point| match point {
            Point::Call(tool) => Some(*tool),
            _ => None,
        });
        let tool = calls.next()?;
        let tried = self.tried.iter().cloned();
        // What was agreed to for one call would be used up before.
        let decisions = self.decisions.iter().map(|decision| match decision {
            Decision::Once => Decision::Lasting,
            other => *other,
        });
        Some(Self {
            tool,
            decisions: decisions.collect(),
            tried: tried
                .filter(|point| !matches!(point, Point::Call(_) | Point::Given(_)))
                .collect(),
            ..self.clone()
        })
    }
}

/// What is tried: much of what costs little, and some of what ends a run or makes another call.
fn tried() -> impl Strategy<Value = BTreeSet<Point>> {
    let (requests, others): (Vec<_>, Vec<_>) = universe()
        .iter()
        .cloned()
        .partition(|point| matches!(point, Point::Request(..)));
    // Each is one commit.
    let (keeps, others): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|point| matches!(point, Point::Keep(..)));
    // Each is one request more.
    let (deliveries, others): (Vec<_>, Vec<_>) = others
        .into_iter()
        .partition(|point| matches!(point, Point::Delivered(..)));
    let plain = others.into_iter().filter(|point| match point {
        Point::Lent(..) | Point::Question | Point::Call(_) | Point::Given(_) => false,
        Point::Request(..) | Point::Keep(..) | Point::Delivered(..) => false,
        Point::Read(..) | Point::Write(..) | Point::Clock | Point::Progress => true,
        Point::Value(..) | Point::Setting(_) | Point::Told(_) | Point::Said(_) => true,
        Point::Exists(_) | Point::Opened(..) => true,
    });
    let exists = SECRETS.map(|(name, ..)| Point::Exists(name));
    let plain: Vec<_> = plain.chain(exists).collect();
    let sometimes =
        |chance: f64, points: Vec<Point>| proptest::option::weighted(chance, select(points));
    (
        subsequence(requests, 1..=REQUESTS_MAX),
        subsequence(plain.clone(), 8..=plain.len()),
        subsequence(keeps, 0..=3),
        subsequence(deliveries, 0..=2),
        sometimes(0.2, vec![Point::Question]),
        sometimes(0.2, (0..CALLEES).map(Point::Call).collect()),
        sometimes(0.15, CLASSES.map(Point::Given).to_vec()),
    )
        .prop_map(
            |(requests, plain, keeps, deliveries, question, call, given)| {
                let some = [question, call, given].into_iter().flatten();
                requests
                    .into_iter()
                    .chain(plain)
                    .chain(keeps)
                    .chain(deliveries)
                    .chain(some)
                    .collect()
            },
        )
}

pub fn case() -> impl Strategy<Value = Case> {
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
        (channel, proptest::bool::weighted(0.7)),
        proptest::collection::vec(decision, 1..5),
        tried(),
        proptest::option::weighted(0.3, select(CLASSES.to_vec())),
    )
        .prop_map(
            |(
                tool,
                roles,
                tenant,
                extra_scope,
                client,
                level,
                how,
                decisions,
                mut tried,
                hands,
            )| {
                let (channel, forms) = how;
                // A tool that calls itself is refused whatever it was granted.
                tried.remove(&Point::Call(tool));
                Case {
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
                    forms,
                    decisions,
                    tried,
                    hands,
                }
            },
        )
}
