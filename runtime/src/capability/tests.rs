use super::{Capability, Tier};

fn capability(text: &str) -> Capability {
    text.parse().unwrap()
}

#[test]
fn a_user_reads_what_each_capability_allows() {
    for (text, sentence) in [
        ("http GET,HEAD a.example /", "Read from a.example"),
        ("http HEAD * /", "Read from any public web site"),
        (
            "http GET *.example.com /v1/ requests=5",
            "Read from any web site under example.com, below /v1/; at most 5 requests in one call",
        ),
        (
            "http GET,POST a.example:8443 /v1",
            "Send data to and read from a.example on port 8443, below /v1",
        ),
        ("files read notes", "Read files in your folder “notes”"),
        (
            "files read notes a/b c",
            "Read files in “a/b c” of your folder “notes”",
        ),
        (
            "files write notes",
            "Read, create, change and delete files in your folder “notes”",
        ),
        (
            "files write notes a",
            "Read, create, change and delete files in “a” of your folder “notes”",
        ),
        ("clock", "See the current time"),
        ("progress", "Report its progress while it works"),
        (
            "data email",
            "Be given e-mail addresses in what it is asked, and answer with them",
        ),
        ("ask", "Ask you questions before it acts"),
        ("kv read memory", "Read what is kept in the store “memory”"),
        (
            "kv read memory a/",
            "Read what is kept in the store “memory” under keys that begin with “a/”",
        ),
        (
            "kv write memory",
            "Read, add, change and delete what is kept in the store “memory”",
        ),
        (
            "config region",
            "See what the operator of this server set for it as “region”",
        ),
        (
            "secret tracker api.example.com:8443 bearer",
            "Use the key “tracker” of this server with api.example.com:8443; the tool never sees it",
        ),
        (
            "secret bucket s3.example aws-sigv4",
            "Have its requests to s3.example signed in the name of the operator of this server, with the key “bucket”; the tool never sees the key",
        ),
        ("call fetch", "Use the tool “fetch” for you"),
        ("claims email", "See your e-mail address"),
        (
            "claims subject",
            "Tell you apart from others by a pseudonym that no other tool knows",
        ),
        (
            "reveal email",
            "Read e-mail addresses that were given to it encrypted, and answer with them",
        ),
        (
            "reveal email a:/to",
            "Read e-mail addresses that were given to it encrypted in “a:/to”, and answer with them",
        ),
        (
            "deliver a.example email",
            "Have this server send e-mail addresses that were given to it encrypted to a.example; the tool never sees them",
        ),
        (
            "deliver a.example:8443 email a:/to",
            "Have this server send e-mail addresses that were given to it encrypted in “a:/to” to a.example:8443; the tool never sees them",
        ),
    ] {
        assert_eq!(capability(text).sentence(), sentence, "{text}");
    }
}

#[test]
fn the_tier_of_a_capability_is_what_it_can_do() {
    for (text, tier) in [
        ("http GET,HEAD * /", Tier::T1),
        ("http GET,POST a.example /", Tier::T2),
        ("files read notes", Tier::T1),
        ("files write notes", Tier::T2),
        ("clock", Tier::T0),
        ("progress", Tier::T0),
        ("data email", Tier::T1),
        ("data private-key", Tier::T2),
        ("ask", Tier::T0),
        ("kv read memory", Tier::T1),
        ("kv write memory", Tier::T2),
        ("config region", Tier::T0),
        ("secret tracker a.example bearer", Tier::T2),
        ("call fetch", Tier::T1),
        ("claims subject", Tier::T0),
        ("claims email", Tier::T1),
        ("reveal email", Tier::T3),
        ("deliver a.example email", Tier::T3),
    ] {
        assert_eq!(capability(text).tier(), tier, "{text}");
    }
}
