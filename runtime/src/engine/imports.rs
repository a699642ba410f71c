//! Which class each import of a component belongs to.
//!
//! What a component imports says which toolchain built it, not what it wants; the one thing that this list decides is
//! whether the package is admitted at all. An import that is not named here refuses it.

use crate::capability::Kind;

/// What becomes of one import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportClass {
    /// Always linked, without an effect outside the sandbox.
    Inert,
    /// The interface of a capability: granted it works, not granted it is an empty or denying stand-in.
    Capability(Kind),
    /// Never granted: every way into it answers that interface's own denial.
    Stub,
    /// An interface of our own that every guest may have.
    Ours(Ours),
    /// Not known, or of a version that is not linked: the package is refused.
    Unknown,
}

/// Our own interfaces that are no capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ours {
    /// The types that the others share.
    Types,
    /// Notes for the operator.
    Log,
}

/// The package and the interface of an import, without its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import<'a> {
    pub(crate) package: &'a str,
    pub(crate) interface: &'a str,
}

/// The class of the import with this name, such as `wasi:http/outgoing-handler@0.2.6`.
pub fn classify(import: &str) -> ImportClass {
    parse(import).map_or(ImportClass::Unknown, |import| import.class())
}

/// The imports among these that refuse the package, in their order.
pub fn unknown<'a>(imports: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    imports
        .into_iter()
        .filter(|import| classify(import) == ImportClass::Unknown)
        .collect()
}

/// Packages that WASI has no release of, each in the one version that toolchains and other hosts have. Drafts promise nothing
/// to each other: another version is another interface.
const DRAFTS: [(&str, &str); 2] = [
    ("wasi:keyvalue", "0.2.0-draft2"),
    ("wasi:config", "0.2.0-rc.1"),
];

/// Takes a name apart; none when it names no interface in a version that we link.
pub(crate) fn parse(import: &str) -> Option<Import<'_>> {
    let (path, version) = import.split_once('@')?;
    let (package, interface) = path.split_once('/')?;
    if let Some((_, draft)) = DRAFTS.iter().find(|(name, _)| *name == package) {
        return (version == *draft).then_some(Import { package, interface });
    }
    let (major, minor) = match package.split_once(':')?.0 {
        "wasi" => (0, 2),
        "bailiwick" => (0, 1),
        _ => return None,
    };
    is_release_of(version, major, minor).then_some(Import { package, interface })
}

/// Whether `version` is `major.minor.PATCH` with nothing behind it: no pre-release and no build.
fn is_release_of(version: &str, major: u32, minor: u32) -> bool {
    let number = |part: Option<&str>| {
        part.filter(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|part| part.parse::<u32>().ok())
    };
    let mut parts = version.split('.');
    number(parts.next()) == Some(major)
        && number(parts.next()) == Some(minor)
        && number(parts.next()).is_some()
        && parts.next().is_none()
}

impl Import<'_> {
    fn class(&self) -> ImportClass {
        match (self.package, self.interface) {
            ("wasi:io", "error" | "poll" | "streams")
            | (
                "wasi:cli",
                "environment" | "exit" | "stdin" | "stdout" | "stderr" | "terminal-input"
                | "terminal-output" | "terminal-stdin" | "terminal-stdout" | "terminal-stderr",
            )
            | ("wasi:random", "random" | "insecure" | "insecure-seed")
            | ("wasi:clocks", "monotonic-clock" | "wall-clock") => ImportClass::Inert,
            ("wasi:filesystem", "types" | "preopens") => ImportClass::Capability(Kind::Files),
            ("wasi:http", "types" | "outgoing-handler") => ImportClass::Capability(Kind::Http),
            (
                "wasi:sockets",
                "network" | "instance-network" | "ip-name-lookup" | "tcp" | "tcp-create-socket"
                | "udp" | "udp-create-socket",
            ) => ImportClass::Stub,
            ("bailiwick:tool", "progress") => ImportClass::Capability(Kind::Progress),
            ("bailiwick:tool", "ask") => ImportClass::Capability(Kind::Ask),
            ("wasi:keyvalue", "store" | "atomics" | "batch") => ImportClass::Capability(Kind::Kv),
            ("wasi:config", "store") => ImportClass::Capability(Kind::Config),
            ("bailiwick:tool", "secrets") => ImportClass::Capability(Kind::Secret),
            ("bailiwick:tool", "tools") => ImportClass::Capability(Kind::Call),
            ("bailiwick:tool", "caller") => ImportClass::Capability(Kind::Claims),
            ("bailiwick:tool", "protected") => ImportClass::Capability(Kind::Reveal),
            ("bailiwick:tool", "log") => ImportClass::Ours(Ours::Log),
            ("bailiwick:tool", "types") => ImportClass::Ours(Ours::Types),
            _ => ImportClass::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_toolchain_finds_its_imports() {
        for (import, class) in [
            ("wasi:io/poll@0.2.6", ImportClass::Inert),
            ("wasi:cli/environment@0.2.0", ImportClass::Inert),
            ("wasi:clocks/wall-clock@0.2.12", ImportClass::Inert),
            (
                "wasi:filesystem/preopens@0.2.9",
                ImportClass::Capability(Kind::Files),
            ),
            (
                "wasi:http/outgoing-handler@0.2.10",
                ImportClass::Capability(Kind::Http),
            ),
            ("wasi:sockets/tcp@0.2.9", ImportClass::Stub),
            ("bailiwick:tool/log@0.1.0", ImportClass::Ours(Ours::Log)),
            ("bailiwick:tool/types@0.1.0", ImportClass::Ours(Ours::Types)),
            (
                "bailiwick:tool/progress@0.1.3",
                ImportClass::Capability(Kind::Progress),
            ),
            (
                "bailiwick:tool/ask@0.1.0",
                ImportClass::Capability(Kind::Ask),
            ),
            (
                "wasi:keyvalue/store@0.2.0-draft2",
                ImportClass::Capability(Kind::Kv),
            ),
            (
                "wasi:keyvalue/atomics@0.2.0-draft2",
                ImportClass::Capability(Kind::Kv),
            ),
            (
                "wasi:keyvalue/batch@0.2.0-draft2",
                ImportClass::Capability(Kind::Kv),
            ),
            (
                "wasi:config/store@0.2.0-rc.1",
                ImportClass::Capability(Kind::Config),
            ),
            (
                "bailiwick:tool/secrets@0.1.0",
                ImportClass::Capability(Kind::Secret),
            ),
            (
                "bailiwick:tool/tools@0.1.0",
                ImportClass::Capability(Kind::Call),
            ),
            (
                "bailiwick:tool/caller@0.1.0",
                ImportClass::Capability(Kind::Claims),
            ),
            (
                "bailiwick:tool/protected@0.1.0",
                ImportClass::Capability(Kind::Reveal),
            ),
        ] {
            assert_eq!(classify(import), class, "{import}");
        }
    }

    #[test]
    fn what_is_not_named_is_unknown() {
        for import in [
            "wasi:clocks/monotonic-clock@0.3.0",
            "wasi:clocks/monotonic-clock",
            "wasi:clocks/monotonic-clock@0.2.0-rc-2023-11-10",
            "wasi:clocks/monotonic-clock@0.2",
            "wasi:clocks/monotonic-clock@0.2.0.1",
            "wasi:clocks/monotonic-clock@0.2.",
            "wasi:clocks/monotonic-clock@0.2.+1",
            "wasi:clocks/timezone@0.2.0",
            "wasi:http/incoming-handler@0.2.6",
            "wasi:keyvalue/store",
            "wasi:keyvalue/store@0.2.0",
            "wasi:keyvalue/store@0.2.0-draft",
            "wasi:keyvalue/store@0.2.0-draft3",
            "wasi:keyvalue/store@0.2.0-draft2+1",
            "wasi:keyvalue/watcher@0.2.0-draft2",
            "wasi:config/store@0.2.0",
            "wasi:config/store@0.2.0-draft2",
            "wasi:config/store@0.2.0-rc.2",
            "wasi:config/runtime@0.2.0-rc.1",
            "wasi:http/outgoing-handler@0.2.0-draft2",
            "wasi:io/poll@0.2.0-rc.1",
            "wasi:nn/graph@0.2.0",
            "wasi:tls/types@0.2.0",
            "wasi_snapshot_preview1",
            "bailiwick:tool/log@0.2.0",
            "bailiwick:tool/ask@0.2.0",
            "bailiwick:tool/secrets@0.2.0",
            "example:tool/host@0.1.0",
            "host",
            "",
            "@",
            "/@0.2.0",
        ] {
            assert_eq!(classify(import), ImportClass::Unknown, "{import}");
        }
    }

    #[test]
    fn a_refusal_names_every_unknown_import() {
        let imports = ["wasi:io/poll@0.2.6", "evil:host/a@1.0.0", "env"];
        assert_eq!(unknown(imports), ["evil:host/a@1.0.0", "env"]);
    }
}
