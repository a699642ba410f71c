//! The needs of a `tool.toml`: what each kind is written with, and what it asks for.

use std::fmt;
use std::num::NonZeroU64;

use serde::Deserialize;
use toml::Spanned;

use super::Reader;
use crate::capability::{
    Authority, Capability, CapabilitySet, Deliver, Files, HttpBudget, Kind, Kv, Methods, Reveal,
    SealedField, Secret, SecretForm,
};
use crate::catalog::manifest::Need;
use crate::ids::SecretName;
use crate::protect::Class;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNeed {
    id: String,
    kind: Spanned<String>,
    reason: String,
    #[serde(default)]
    optional: bool,
    hosts: Option<Vec<Spanned<String>>>,
    methods: Option<Spanned<Vec<String>>>,
    mount: Option<Spanned<String>>,
    access: Option<Spanned<String>>,
    path: Option<Spanned<String>>,
    classes: Option<Vec<Spanned<String>>>,
    store: Option<Spanned<String>>,
    prefix: Option<Spanned<String>>,
    keys: Option<Vec<Spanned<String>>>,
    requests: Option<Spanned<NonZeroU64>>,
    send_bytes: Option<Spanned<NonZeroU64>>,
    receive_bytes: Option<Spanned<NonZeroU64>>,
    request_ms: Option<Spanned<NonZeroU64>>,
    parallel: Option<Spanned<NonZeroU64>>,
    secret: Option<Spanned<String>>,
    form: Option<Spanned<String>>,
    tools: Option<Vec<Spanned<String>>>,
    claims: Option<Vec<Spanned<String>>>,
    fields: Option<Vec<Spanned<String>>>,
}

impl Reader<'_> {
    /// The value, or none and a problem that says what the kind needs.
    fn there<'a, T>(
        &mut self,
        need: &Spanned<RawNeed>,
        field: &str,
        of: Option<&'a T>,
    ) -> Option<&'a T> {
        if of.is_none() {
            let kind = need.get_ref().kind.get_ref();
            let message = format!("a need of kind `{kind}` has no `{field}`");
            self.problem(Some(need.span()), message, Some(&format!("add `{field}`")));
        }
        of
    }

    /// A problem for each key that belongs to another kind.
    fn absent(&mut self, spanned: &Spanned<RawNeed>, has: &[&str]) {
        let need = spanned.get_ref();
        let fields = [
            ("hosts", need.hosts.as_ref().map(|_| spanned.span())),
            ("methods", need.methods.as_ref().map(Spanned::span)),
            ("mount", need.mount.as_ref().map(Spanned::span)),
            ("access", need.access.as_ref().map(Spanned::span)),
            ("path", need.path.as_ref().map(Spanned::span)),
            ("classes", need.classes.as_ref().map(|_| spanned.span())),
            ("requests", need.requests.as_ref().map(Spanned::span)),
            ("send_bytes", need.send_bytes.as_ref().map(Spanned::span)),
            (
                "receive_bytes",
                need.receive_bytes.as_ref().map(Spanned::span),
            ),
            ("request_ms", need.request_ms.as_ref().map(Spanned::span)),
            ("parallel", need.parallel.as_ref().map(Spanned::span)),
            ("store", need.store.as_ref().map(Spanned::span)),
            ("prefix", need.prefix.as_ref().map(Spanned::span)),
            ("keys", need.keys.as_ref().map(|_| spanned.span())),
            ("secret", need.secret.as_ref().map(Spanned::span)),
            ("form", need.form.as_ref().map(Spanned::span)),
            ("tools", need.tools.as_ref().map(|_| spanned.span())),
            ("claims", need.claims.as_ref().map(|_| spanned.span())),
            ("fields", need.fields.as_ref().map(|_| spanned.span())),
        ];
        for (field, at) in fields {
            if at.is_some() && !has.contains(&field) {
                let message = format!(
                    "`{field}` has no meaning in a need of kind `{}`",
                    need.kind.get_ref()
                );
                self.problem(at, message, Some("remove it"));
            }
        }
    }

    pub(super) fn need(&mut self, spanned: &Spanned<RawNeed>) -> Option<Need> {
        let raw = spanned.get_ref();
        let kind: Kind = self.parsed(&raw.kind)?;
        let has: &[&str] = match kind {
            Kind::Http => &[
                "hosts",
                "methods",
                "path",
                "requests",
                "send_bytes",
                "receive_bytes",
                "request_ms",
                "parallel",
            ],
            Kind::Files => &["mount", "access", "path"],
            Kind::Clock | Kind::Progress | Kind::Ask => &[],
            Kind::Data => &["classes"],
            Kind::Kv => &["store", "access", "prefix"],
            Kind::Config => &["keys"],
            Kind::Secret => &["secret", "hosts", "form"],
            Kind::Call => &["tools"],
            Kind::Claims => &["claims"],
            Kind::Reveal => &["classes", "fields"],
            Kind::Deliver => &["classes", "fields", "hosts"],
        };
        self.absent(spanned, has);
        let all: Option<Vec<Capability>> = match kind {
            Kind::Http => self.http(spanned),
            Kind::Files => self.files(spanned).map(|one| vec![one]),
            // Their text is their name.
            Kind::Clock | Kind::Progress | Kind::Ask => self.parsed(&raw.kind).map(|one| vec![one]),
            Kind::Data => self.data(spanned),
            Kind::Kv => self.kv(spanned).map(|one| vec![one]),
            Kind::Config => self.config(spanned),
            Kind::Secret => self.secret(spanned),
            Kind::Call => self.each(spanned, "tools", raw.tools.as_ref(), Capability::Call),
            Kind::Claims => self.each(spanned, "claims", raw.claims.as_ref(), Capability::Claims),
            Kind::Reveal => self
                .reveal(spanned)
                .map(|all| all.into_iter().map(Capability::Reveal).collect()),
            Kind::Deliver => self.deliver(spanned),
        };
        Some(Need {
            id: raw.id.clone(),
            kind,
            capabilities: CapabilitySet::from_iter(all?),
            reason: raw.reason.clone(),
            optional: raw.optional,
        })
    }

    /// Each class in each field; without fields, wherever it stood.
    fn reveal(&mut self, spanned: &Spanned<RawNeed>) -> Option<Vec<Reveal>> {
        let raw = spanned.get_ref();
        let classes = self.there(spanned, "classes", raw.classes.as_ref())?;
        let classes: Vec<Class> = classes.iter().filter_map(|one| self.parsed(one)).collect();
        let fields = raw.fields.iter().flatten();
        let fields: Vec<SealedField> = fields.filter_map(|one| self.parsed(one)).collect();
        let fields: Vec<_> = match raw.fields {
            None => vec![None],
            Some(_) => fields.into_iter().map(Some).collect(),
        };
        let each = |class: &Class| {
            let class = class.clone();
            let fields = fields.iter().cloned();
            fields.map(move |field| Reveal {
                class: class.clone(),
                field,
            })
        };
        Some(classes.iter().flat_map(each).collect())
    }

    /// Each of these to each host.
    fn deliver(&mut self, spanned: &Spanned<RawNeed>) -> Option<Vec<Capability>> {
        let all = self.reveal(spanned);
        let hosts = self.there(spanned, "hosts", spanned.get_ref().hosts.as_ref());
        let (all, hosts) = (all?, hosts?);
        // Every wrong host is told.
        let hosts: Vec<Option<Authority>> = hosts.iter().map(|host| self.parsed(host)).collect();
        let hosts: Vec<Authority> = hosts.into_iter().collect::<Option<_>>()?;
        let each = |at: &Authority| {
            let at = at.clone();
            let all = all.iter().cloned();
            all.map(move |what| {
                let at = at.clone();
                Capability::Deliver(Deliver { what, at })
            })
        };
        Some(hosts.iter().flat_map(each).collect())
    }

    fn http(&mut self, spanned: &Spanned<RawNeed>) -> Option<Vec<Capability>> {
        let raw = spanned.get_ref();
        let hosts = self.there(spanned, "hosts", raw.hosts.as_ref())?;
        let spelled = self.there(spanned, "methods", raw.methods.as_ref())?;
        let methods = match Methods::of(spelled.get_ref().iter().map(String::as_str)) {
            Ok(methods) => methods,
            Err(error) => {
                self.problem(Some(spelled.span()), error.to_string(), None);
                return None;
            }
        };
        let path = raw.path.as_ref().map_or("/", |path| path.get_ref());
        let budget = self.budget(raw)?;
        let budget = match budget.is_whole() {
            true => String::new(),
            false => format!(" {budget}"),
        };
        let mut all = Vec::new();
        for host in hosts {
            // One word, so that it cannot bring other parts along.
            let capability = match host.get_ref().contains(char::is_whitespace) {
                true => Err(crate::capability::CapabilityError::Host(
                    host.get_ref().clone(),
                )),
                false => format!("http {methods} {} {path}{budget}", host.get_ref()).parse(),
            };
            match capability {
                Ok(capability) => all.push(capability),
                Err(error @ crate::capability::CapabilityError::Path(_)) => {
                    let at = raw.path.as_ref().map(Spanned::span);
                    self.problem(at, error.to_string(), None);
                    return None;
                }
                Err(error) => self.problem(Some(host.span()), error.to_string(), None),
            }
        }
        Some(all)
    }

    /// How much of each host one call may use.
    fn budget(&mut self, raw: &RawNeed) -> Option<HttpBudget> {
        let parts = [
            ("requests", &raw.requests),
            ("send", &raw.send_bytes),
            ("receive", &raw.receive_bytes),
            ("ms", &raw.request_ms),
            ("parallel", &raw.parallel),
        ];
        let mut budget = HttpBudget::WHOLE;
        for (word, part) in parts {
            let Some(number) = part else { continue };
            match budget.narrowed(word, *number.get_ref()) {
                Ok(narrower) => budget = narrower,
                Err(_) => {
                    let message = format!("{} is more than every call has", number.get_ref());
                    let most = HttpBudget::WHOLE.part(word).unwrap_or_default();
                    let help = format!("write at most {most}, or leave it out");
                    self.problem(Some(number.span()), message, Some(&help));
                    return None;
                }
            }
        }
        Some(budget)
    }

    fn files(&mut self, spanned: &Spanned<RawNeed>) -> Option<Capability> {
        let raw = spanned.get_ref();
        let mount = self.there(spanned, "mount", raw.mount.as_ref());
        let access = self.there(spanned, "access", raw.access.as_ref());
        let (mount, access) = (self.parsed(mount?)?, self.parsed(access?)?);
        let path = match &raw.path {
            Some(path) => self.parsed(path)?,
            None => crate::capability::SubPath::default(),
        };
        Some(Capability::Files(Files {
            mount,
            access,
            path,
        }))
    }

    fn data(&mut self, spanned: &Spanned<RawNeed>) -> Option<Vec<Capability>> {
        let classes = self.there(spanned, "classes", spanned.get_ref().classes.as_ref())?;
        let all = classes.iter();
        let all = all.filter_map(|class| self.parsed(class).map(Capability::Data));
        Some(all.collect())
    }

    fn kv(&mut self, spanned: &Spanned<RawNeed>) -> Option<Capability> {
        let raw = spanned.get_ref();
        let store = self.there(spanned, "store", raw.store.as_ref());
        let access = self.there(spanned, "access", raw.access.as_ref());
        let (store, access) = (self.parsed(store?)?, self.parsed(access?)?);
        let prefix = match &raw.prefix {
            Some(prefix) => self.parsed(prefix)?,
            None => crate::capability::KeyPrefix::default(),
        };
        Some(Capability::Kv(Kv {
            store,
            access,
            prefix,
        }))
    }

    fn config(&mut self, spanned: &Spanned<RawNeed>) -> Option<Vec<Capability>> {
        let keys = self.there(spanned, "keys", spanned.get_ref().keys.as_ref())?;
        let all = keys.iter().map(|key| self.parsed(key));
        // Every wrong one is told.
        let all: Vec<_> = all.collect();
        all.into_iter()
            .map(|key| key.map(Capability::Config))
            .collect()
    }

    fn secret(&mut self, spanned: &Spanned<RawNeed>) -> Option<Vec<Capability>> {
        let raw = spanned.get_ref();
        let name = self.there(spanned, "secret", raw.secret.as_ref());
        let hosts = self.there(spanned, "hosts", raw.hosts.as_ref());
        let form = self.there(spanned, "form", raw.form.as_ref());
        let (name, hosts, form) = (self.parsed(name?), hosts?, self.parsed(form?));
        // Every wrong host is told.
        let at: Vec<Option<Authority>> = hosts.iter().map(|host| self.parsed(host)).collect();
        let (name, form): (SecretName, SecretForm) = (name?, form?);
        let one = |at| Secret {
            name: name.clone(),
            at,
            form: form.clone(),
        };
        let all = at.into_iter();
        all.map(|at| at.map(one).map(Capability::Secret)).collect()
    }

    /// One capability for each name in a list.
    fn each<T: std::str::FromStr<Err: fmt::Display>>(
        &mut self,
        need: &Spanned<RawNeed>,
        field: &str,
        names: Option<&Vec<Spanned<String>>>,
        of: fn(T) -> Capability,
    ) -> Option<Vec<Capability>> {
        let names = self.there(need, field, names)?;
        // Every wrong one is told.
        let all: Vec<_> = names.iter().map(|name| self.parsed(name)).collect();
        all.into_iter().map(|name| name.map(of)).collect()
    }
}
