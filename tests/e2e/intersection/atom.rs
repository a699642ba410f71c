//! What a manifest asks for and what can be tried: drawn from small sets in which every way to lie within, beside and across
//! each other occurs.

use std::collections::BTreeSet;
use std::sync::LazyLock;

pub use super::sets::*;

/// What was encrypted of a class in a field for a tool and a tenant.
pub fn sealed(tool: usize, tenant: &str, class: &str, field: &str) -> String {
    let field = field.replace(['/', ':'], "-");
    format!("{class}-of-p{tool}-{tenant}-{field}")
}

/// The name of a tool.
pub fn tool_name(number: usize) -> String {
    format!("p{number}-reach_each")
}

/// What is of a class.
pub fn sample(class: &str) -> String {
    match class {
        "email" => "someone@example.com".to_owned(),
        "iban" => "GB82WEST12345698765432".to_owned(),
        // In pieces, so that nothing that looks for tokens in sources finds one.
        _ => ["ghp_", "16C7e42F292c6912E7710c838347Ae178B4a"].concat(),
    }
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
    Kv {
        write: bool,
        store: String,
        prefix: String,
    },
    Config(String),
    Ask,
    Secret {
        name: String,
        host: String,
        form: String,
    },
    /// By the name of the tool.
    Call(String),
    Claim(String),
    Data(String),
    /// Of a class, and where it stood; an empty place is any.
    Reveal {
        class: String,
        field: String,
    },
    Deliver {
        host: String,
        class: String,
        field: String,
    },
}

/// One thing that can be tried.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    Request(&'static str, &'static str, &'static str),
    Read(&'static str, &'static str),
    Write(&'static str, &'static str),
    Clock,
    Progress,
    /// Reads the value under a key of a store.
    Value(&'static str, &'static str),
    /// Keeps a value under a key that begins so.
    Keep(&'static str, &'static str),
    Setting(&'static str),
    /// Asks the user something.
    Question,
    /// Requests to a host carry the secret of this name.
    Lent(&'static str, &'static str),
    /// The guest is told that there is a secret of this name.
    Exists(&'static str),
    /// Calls the tool of this number.
    Call(usize),
    Told(&'static str),
    /// Has data of a class among the arguments.
    Given(&'static str),
    /// Answers with data of a class that it was not given.
    Said(&'static str),
    /// Opens what was encrypted of a class in a field.
    Opened(&'static str, &'static str),
    /// Sends to a host what was encrypted of a class in a field.
    Delivered(&'static str, &'static str, &'static str),
}

impl Point {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Request(..) => "http",
            Self::Read(..) | Self::Write(..) => "files",
            Self::Clock => "clock",
            Self::Progress => "progress",
            Self::Value(..) | Self::Keep(..) => "kv",
            Self::Setting(_) => "config",
            Self::Question => "ask",
            Self::Lent(..) | Self::Exists(_) => "secret",
            Self::Call(_) => "call",
            Self::Told(_) => "claims",
            Self::Given(_) | Self::Said(_) => "data",
            Self::Opened(..) => "reveal",
            Self::Delivered(..) => "deliver",
        }
    }
}

/// Every point there is, but for [`Point::Exists`], which follows from others.
pub fn universe() -> &'static BTreeSet<Point> {
    static ALL: LazyLock<BTreeSet<Point>> = LazyLock::new(every_point);
    &ALL
}

fn every_point() -> BTreeSet<Point> {
    let mut all = BTreeSet::from([Point::Clock, Point::Progress, Point::Question]);
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
    for store in STORES {
        for key in KEYS {
            all.extend([Point::Value(store, key), Point::Keep(store, key)]);
        }
    }
    all.extend(SETTINGS.map(Point::Setting));
    for (name, ..) in SECRETS {
        all.extend(HOSTS.map(|host| Point::Lent(name, host)));
    }
    all.extend((0..CALLEES).map(Point::Call));
    all.extend(CLAIMS.map(Point::Told));
    all.extend(CLASSES.map(Point::Given));
    all.extend(CLASSES.map(Point::Said));
    for class in SEALED {
        all.extend(FIELDS.map(|field| Point::Opened(class, field)));
        for host in ADDRESSEES {
            all.extend(FIELDS.map(|field| Point::Delivered(host, class, field)));
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
    Kv(bool, &'static str, &'static str),
    Config(Vec<&'static str>),
    Ask,
    Secret(&'static str, &'static [&'static str], &'static str),
    Call(Vec<usize>),
    Claims(Vec<&'static str>),
    Data(Vec<&'static str>),
    /// Of classes in fields; without fields, wherever it stood.
    Reveal(Vec<&'static str>, Vec<&'static str>),
    /// The same to hosts.
    Deliver(Vec<&'static str>, Vec<&'static str>, Vec<&'static str>),
}

/// Each class in each field.
fn each_sealed(classes: &[&str], fields: &[&str]) -> Vec<(String, String)> {
    let fields = if fields.is_empty() { &[""] } else { fields };
    let all = classes.iter();
    let all = all.flat_map(|class| {
        fields
            .iter()
            .map(|field| ((*class).to_owned(), (*field).to_owned()))
    });
    all.collect()
}

impl Need {
    /// Its capabilities.
    pub fn atoms(&self) -> Vec<Atom> {
        fn each(names: &[&str], atom: impl Fn(String) -> Atom) -> Vec<Atom> {
            names.iter().map(|&name| atom(name.to_owned())).collect()
        }
        match &self.wish {
            Wish::Http(methods, hosts, path) => each(hosts, |host| Atom::Http {
                methods: methods.iter().map(|&method| method.to_owned()).collect(),
                host,
                path: (*path).to_owned(),
            }),
            Wish::Files(write, mount, folder) => vec![Atom::Files {
                write: *write,
                mount: (*mount).to_owned(),
                folder: (*folder).to_owned(),
            }],
            Wish::Clock => vec![Atom::Clock],
            Wish::Progress => vec![Atom::Progress],
            Wish::Kv(write, store, prefix) => vec![Atom::Kv {
                write: *write,
                store: (*store).to_owned(),
                prefix: (*prefix).to_owned(),
            }],
            Wish::Config(keys) => each(keys, Atom::Config),
            Wish::Ask => vec![Atom::Ask],
            Wish::Secret(name, hosts, form) => each(hosts, |host| Atom::Secret {
                name: (*name).to_owned(),
                host,
                form: (*form).to_owned(),
            }),
            Wish::Call(tools) => tools
                .iter()
                .map(|tool| Atom::Call(tool_name(*tool)))
                .collect(),
            Wish::Claims(claims) => each(claims, Atom::Claim),
            Wish::Data(classes) => each(classes, Atom::Data),
            Wish::Reveal(classes, fields) => {
                let all = each_sealed(classes, fields).into_iter();
                all.map(|(class, field)| Atom::Reveal { class, field })
                    .collect()
            }
            Wish::Deliver(hosts, classes, fields) => {
                let to = |host: &str| {
                    let host = host.to_owned();
                    let all = each_sealed(classes, fields).into_iter();
                    all.map(move |(class, field)| {
                        let host = host.clone();
                        Atom::Deliver { host, class, field }
                    })
                };
                hosts.iter().flat_map(|host| to(host)).collect()
            }
        }
    }

    /// As `tool.toml` writes it.
    pub fn toml(&self, number: usize) -> toml::Table {
        let part = |key: &str, part: &str| match part {
            "" => String::new(),
            part => format!("{key} = \"{part}\""),
        };
        let body = match &self.wish {
            Wish::Http(methods, hosts, path) => {
                format!(
                    "kind = \"http\"\nmethods = {methods:?}\nhosts = {hosts:?}\npath = \"{path}\""
                )
            }
            Wish::Files(write, mount, folder) => {
                let (access, part) = (access(*write), part("path", folder));
                format!("kind = \"files\"\nmount = \"{mount}\"\naccess = \"{access}\"\n{part}")
            }
            Wish::Clock => "kind = \"clock\"".to_owned(),
            Wish::Progress => "kind = \"progress\"".to_owned(),
            Wish::Kv(write, store, prefix) => {
                let (access, part) = (access(*write), part("prefix", prefix));
                format!("kind = \"kv\"\nstore = \"{store}\"\naccess = \"{access}\"\n{part}")
            }
            Wish::Config(keys) => format!("kind = \"config\"\nkeys = {keys:?}"),
            Wish::Ask => "kind = \"ask\"".to_owned(),
            Wish::Secret(name, hosts, form) => {
                format!(
                    "kind = \"secret\"\nsecret = \"{name}\"\nhosts = {hosts:?}\nform = \"{form}\""
                )
            }
            Wish::Call(tools) => {
                let tools: Vec<_> = tools.iter().map(|tool| tool_name(*tool)).collect();
                format!("kind = \"call\"\ntools = {tools:?}")
            }
            Wish::Claims(claims) => format!("kind = \"claims\"\nclaims = {claims:?}"),
            Wish::Data(classes) => format!("kind = \"data\"\nclasses = {classes:?}"),
            Wish::Reveal(classes, fields) => {
                format!(
                    "kind = \"reveal\"\nclasses = {classes:?}\n{}",
                    places(fields)
                )
            }
            Wish::Deliver(hosts, classes, fields) => format!(
                "kind = \"deliver\"\nhosts = {hosts:?}\nclasses = {classes:?}\n{}",
                places(fields)
            ),
        };
        let optional = self.optional;
        let head = format!("id = \"n{number}\"\noptional = {optional}\nreason = \"A try.\"\n");
        toml::from_str(&(head + &body)).unwrap()
    }
}

fn places(fields: &[&str]) -> String {
    match fields {
        [] => String::new(),
        some => format!("fields = {some:?}"),
    }
}

pub fn access(write: bool) -> &'static str {
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
            ["kv", access, store] => Self::kv(access, store, ""),
            ["kv", access, store, prefix] => Self::kv(access, store, prefix),
            ["config", key] => Self::Config(key.to_owned()),
            ["ask"] => Self::Ask,
            ["secret", name, host, ref form @ ..] => Self::Secret {
                name: name.to_owned(),
                host: host.to_owned(),
                form: form.join(" "),
            },
            ["call", tool] => Self::Call(tool.to_owned()),
            ["claims", claim] => Self::Claim(claim.to_owned()),
            ["data", class] => Self::Data(class.to_owned()),
            ["reveal", class, ref field @ ..] => Self::Reveal {
                class: class.to_owned(),
                field: field.concat(),
            },
            ["deliver", host, class, ref field @ ..] => Self::Deliver {
                host: host.to_owned(),
                class: class.to_owned(),
                field: field.concat(),
            },
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

    fn kv(access: &str, store: &str, prefix: &str) -> Self {
        Self::Kv {
            write: access == "write",
            store: store.to_owned(),
            prefix: prefix.to_owned(),
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
            Self::Kv {
                write,
                store,
                prefix,
            } => format!("kv {} {store} {prefix}", access(*write))
                .trim_end()
                .to_owned(),
            Self::Config(key) => format!("config {key}"),
            Self::Ask => "ask".to_owned(),
            Self::Secret { name, host, form } => format!("secret {name} {host} {form}"),
            Self::Call(tool) => format!("call {tool}"),
            Self::Claim(claim) => format!("claims {claim}"),
            Self::Data(class) => format!("data {class}"),
            Self::Reveal { class, field } => {
                format!("reveal {class} {field}").trim_end().to_owned()
            }
            Self::Deliver { host, class, field } => format!("deliver {host} {class} {field}")
                .trim_end()
                .to_owned(),
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Files { .. } => "files",
            Self::Clock => "clock",
            Self::Progress => "progress",
            Self::Kv { .. } => "kv",
            Self::Config(_) => "config",
            Self::Ask => "ask",
            Self::Secret { .. } => "secret",
            Self::Call(_) => "call",
            Self::Claim(_) => "claims",
            Self::Data(_) => "data",
            Self::Reveal { .. } => "reveal",
            Self::Deliver { .. } => "deliver",
        }
    }

    pub fn tier(&self) -> u8 {
        match self {
            Self::Clock | Self::Progress | Self::Config(_) | Self::Ask => 0,
            Self::Http { methods, .. } => {
                1 + u8::from(methods.iter().any(|method| method != "GET"))
            }
            Self::Files { write, .. } | Self::Kv { write, .. } => 1 + u8::from(*write),
            Self::Secret { .. } => 2,
            Self::Call(_) => 1,
            Self::Claim(claim) => u8::from(claim != PSEUDONYM),
            Self::Data(class) => 1 + u8::from(class == OPENS),
            Self::Reveal { .. } | Self::Deliver { .. } => 3,
        }
    }
}
