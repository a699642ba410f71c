//! The small sets from which manifests and what is tried are drawn.

pub const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
/// Hosts that the operator bound, also for `*`.
pub const HOSTS: [&str; 3] = ["a.test", "b.a.test", "c.test"];
/// A host that nobody bound: no grant reaches it.
pub const NOWHERE: &str = "d.test";
/// Paths of requests, inside and outside of the prefixes that needs ask for.
pub const PATHS: [&str; 6] = ["/", "/v1", "/v1/x", "/v1/x/y", "/v10", "/v2/x"];
/// The operator's folders.
pub const MOUNTS: [&str; 2] = ["letters", "mail"];
/// Parts of them; the empty one is the whole.
pub const FOLDERS: [&str; 4] = ["", "drafts", "drafts/old", "inbox"];
pub const TENANTS: [&str; 2] = ["dev", "other"];
/// The operator's stores, shared by a tenant.
pub const STORES: [&str; 2] = ["box", "shelf"];
/// Keys in them, inside and outside of the prefixes that needs ask for.
pub const KEYS: [&str; 4] = ["a", "a/x", "a/b/y", "ab"];
/// What keys begin with; the empty one is every key.
pub const PREFIXES: [&str; 5] = ["", "a", "a/", "a/b", "ab"];
/// What the operator set for every package, and one thing that was not set.
pub const SETTINGS: [&str; 3] = ["region", "units", UNSET];
pub const UNSET: &str = "colour";
/// The operator's secrets: name, hosts, form and value.
pub const SECRETS: [(&str, &[&str], &str, &str); 2] = [
    (
        "key",
        &["a.test", "c.test"],
        "header x-key",
        "canary-law-key-1",
    ),
    ("pass", &["a.test"], "header x-pass", "canary-law-pass-2"),
];
/// What manifests say of secrets. The last two are not what the operator bound.
pub const LOANS: [(&str, &[&str], &str); 5] = [
    ("key", &["a.test"], "header x-key"),
    ("key", &["a.test", "c.test"], "header x-key"),
    ("pass", &["a.test"], "header x-pass"),
    ("key", &["b.a.test"], "header x-key"),
    ("pass", &["c.test"], "bearer"),
];
/// Tools that others may call, by number.
pub const CALLEES: usize = 3;
pub const PSEUDONYM: &str = "subject";
/// A claim that no token has.
pub const ABSENT: &str = "zoneinfo";
pub const CLAIMS: [&str; 4] = [PSEUDONYM, "nickname", "locale", ABSENT];
/// Classes of data; what is of the last one opens something.
pub const CLASSES: [&str; 3] = ["email", "iban", OPENS];
pub const OPENS: &str = "github-token";
/// Classes under which values are encrypted, which nothing looks for.
pub const SEALED: [&str; 2] = ["badge", "motto"];
/// Where they stood: the second place lies within the first, the third beside it.
pub const FIELDS: [&str; 3] = ["keep:/a", "keep:/a/b", "keep:/ab"];
/// Hosts that manifests want values delivered to.
pub const ADDRESSEES: [&str; 2] = ["a.test", "c.test"];
/// How a value is delivered, in the query of a request.
pub const DELIVERY: (&str, &str) = ("POST", "/v1/x");
/// How many manifests there are. Each is compiled, which takes a second.
pub const TOOLS: usize = 16;
