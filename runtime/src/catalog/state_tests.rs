use super::super::testing;
use super::*;

/// Finds these files; each `file=package` holds a package of that name with a tool of the same, `file=package:tool`
/// one with that tool, and `file!` cannot be read.
fn find(state: &mut State, files: &[&str]) -> Vec<Job> {
    let found = files.iter().map(|file| match file.split_once('=') {
        Some((file, package)) => Found {
            file: file.to_owned(),
            stamp: None,
            bytes: Ok(Some(package.as_bytes().to_vec())),
        },
        None => Found {
            file: file.trim_end_matches('!').to_owned(),
            stamp: None,
            bytes: Err(AdmissionError::NotAFile("a link")),
        },
    });
    state.found(found.collect())
}

/// Admits what the bytes name; `bad…` is refused.
fn judge(state: &mut State, jobs: Vec<Job>) {
    for job in jobs {
        let name = String::from_utf8(job.bytes).unwrap();
        let outcome = if name.starts_with("bad") {
            Err(AdmissionError::NoHandler)
        } else {
            let names = name.split('-').next().unwrap();
            let (package, tool) = names.split_once(':').unwrap_or((names, names));
            let mut manifest = testing::manifest(package, &[]);
            manifest.tools[0].name = tool.parse().unwrap();
            manifest.version = name;
            Ok(testing::package(manifest))
        };
        state.judged(&job.file, job.digest, outcome);
    }
}

fn step(state: &mut State, files: &[&str]) -> Vec<String> {
    let jobs = find(state, files);
    judge(state, jobs);
    told(state)
}

fn told(state: &mut State) -> Vec<String> {
    let (_, changes) = state.serve(&[]);
    changes.iter().map(say).collect()
}

fn say(change: &Change) -> String {
    let kind = match &change.kind {
        ChangeKind::Admitted { .. } => "admitted",
        ChangeKind::Retired { .. } => "retired",
        ChangeKind::Refused { .. } => "refused",
    };
    format!("{} {kind}", change.file)
}

fn served(state: &mut State) -> Vec<String> {
    let (snapshot, _) = state.serve(&[]);
    let tools = snapshot.tools.values();
    tools
        .map(|tool| tool.package().manifest().version.clone())
        .collect()
}

#[test]
fn a_file_is_admitted_once_and_retired_when_it_goes() {
    let mut state = State::default();
    assert_eq!(step(&mut state, &["a=one"]), ["a admitted"]);
    assert_eq!(step(&mut state, &["a=one"]), Vec::<String>::new());
    assert_eq!(step(&mut state, &[]), ["a retired"]);
    assert!(served(&mut state).is_empty());
}

#[test]
fn a_changed_file_is_replaced_and_the_old_one_serves_until_the_new_is_judged() {
    let mut state = State::default();
    step(&mut state, &["a=one-1"]);
    let jobs = find(&mut state, &["a=one-2"]);
    assert_eq!(served(&mut state), ["one-1"]);
    judge(&mut state, jobs);
    assert_eq!(told(&mut state), ["a retired", "a admitted"]);
    assert_eq!(served(&mut state), ["one-2"]);
}

#[test]
fn a_file_that_turns_bad_retires_what_it_served() {
    let mut state = State::default();
    step(&mut state, &["a=one", "b=two"]);
    assert_eq!(
        step(&mut state, &["a=bad", "b=two"]),
        ["a retired", "a refused"]
    );
    assert_eq!(served(&mut state), ["two"]);
    assert_eq!(step(&mut state, &["a!", "b=two"]), ["a refused"]);
    assert_eq!(step(&mut state, &["a=one", "b=two"]), ["a admitted"]);
}

#[test]
fn a_refused_file_that_goes_is_forgotten_silently() {
    let mut state = State::default();
    step(&mut state, &["a!"]);
    find(&mut state, &[]);
    let (snapshot, changes) = state.publish(&[]).unwrap();
    assert!(snapshot.refused.is_empty() && changes.is_empty());
    assert!(state.publish(&[]).is_none());
}

#[test]
fn a_verdict_on_bytes_that_are_gone_counts_for_nothing() {
    let mut state = State::default();
    let old = find(&mut state, &["a=one-1"]);
    let new = find(&mut state, &["a=one-2"]);
    judge(&mut state, old);
    assert!(served(&mut state).is_empty());
    judge(&mut state, new);
    assert_eq!(served(&mut state), ["one-2"]);
    let late = find(&mut state, &["a=one-3"]);
    find(&mut state, &[]);
    judge(&mut state, late);
    assert!(served(&mut state).is_empty());
}

#[test]
fn a_collision_refuses_the_later_file_until_the_earlier_goes() {
    let mut state = State::default();
    assert_eq!(step(&mut state, &["b=p:x-1"]), ["b admitted"]);
    // Earlier by name, later in time.
    assert_eq!(step(&mut state, &["a=q:x-2", "b=p:x-1"]), ["a refused"]);
    let (snapshot, _) = state.serve(&[]);
    let [refused] = &snapshot.refused[..] else {
        panic!("{:?}", snapshot.refused);
    };
    assert!(
        refused.reason.contains("`b`") && refused.reason.contains("[tools.prefix]"),
        "{}",
        refused.reason
    );
    // A newer version of the earlier keeps its place.
    assert_eq!(
        step(&mut state, &["a=q:x-2", "b=p:x-3"]),
        ["b retired", "b admitted"]
    );
    assert_eq!(step(&mut state, &["a=q:x-2"]), ["b retired", "a admitted"]);
}

#[test]
fn a_refused_owner_keeps_its_names_until_its_file_is_gone() {
    for bad in ["a!", "a=bad"] {
        let mut state = State::default();
        step(&mut state, &["a=p:x"]);
        assert_eq!(step(&mut state, &[bad]), ["a retired", "a refused"]);
        assert_eq!(step(&mut state, &[bad, "b=q:x"]), ["b refused"]);
        assert!(served(&mut state).is_empty(), "{bad}");
        // The owner comes back as if nothing had been.
        assert_eq!(step(&mut state, &["a=p:x-2", "b=q:x"]), ["a admitted"]);
        step(&mut state, &[bad, "b=q:x"]);
        assert_eq!(step(&mut state, &["b=q:x"]), ["b admitted"], "{bad}");
    }
}

#[test]
fn a_refusal_that_may_pass_gives_no_name_away() {
    let mut state = State::default();
    step(&mut state, &["a=p:x-1"]);
    let jobs = find(&mut state, &["a=p:x-2"]);
    let error = AdmissionError::Read(std::io::Error::other("no space"));
    state.judged("a", jobs[0].digest, Err(error));
    let jobs = find(&mut state, &["a=p:x-2", "b=q:x"]);
    let (owner, squatter) = jobs.into_iter().partition(|job| job.file == "a");
    judge(&mut state, squatter);
    assert_eq!(told(&mut state), ["a retired", "a refused", "b refused"]);
    judge(&mut state, owner);
    assert_eq!(told(&mut state), ["a admitted"]);
}

#[test]
fn an_older_package_takes_no_name_of_a_younger_and_may_leave_its_own() {
    let mut state = State::default();
    step(&mut state, &["a=p:x", "b=q:y"]);
    assert_eq!(
        step(&mut state, &["a=p:y", "b=q:y"]),
        ["a retired", "a refused"]
    );
    assert_eq!(
        step(&mut state, &["a=p:y", "b=q:y", "c=r:x"]),
        ["c refused"]
    );
    assert_eq!(
        step(&mut state, &["a=p:z", "b=q:y", "c=r:x"]),
        ["a admitted", "c admitted"]
    );
}

#[test]
fn a_prefix_settles_a_collision_and_must_make_names() {
    let mut state = State::default();
    let package = |name: &str, tool: &str| {
        let mut manifest = testing::manifest(name, &[]);
        manifest.tools[0].name = tool.parse().unwrap();
        testing::package(manifest)
    };
    for job in find(&mut state, &["a=1", "b=2"]) {
        let package = package(if job.file == "a" { "first" } else { "second" }, "search");
        state.judged(&job.file, job.digest, Ok(package));
    }
    let names = |state: &mut State, prefix: &str| {
        let (snapshot, _) = state.serve(&[("second".to_owned(), prefix.to_owned())]);
        (
            snapshot
                .tools
                .keys()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            snapshot.refused.len(),
        )
    };
    assert_eq!(names(&mut state, ""), (vec!["search".to_owned()], 1));
    assert_eq!(
        names(&mut state, "b."),
        (vec!["b.search".to_owned(), "search".to_owned()], 0)
    );
    assert_eq!(names(&mut state, "b/"), (vec!["search".to_owned()], 1));
}

#[test]
fn a_refusal_that_may_pass_is_tried_again_and_told_once() {
    let mut state = State::default();
    let full = || AdmissionError::Read(std::io::Error::other("no space"));
    let jobs = find(&mut state, &["a=one"]);
    state.judged("a", jobs[0].digest, Err(full()));
    assert_eq!(told(&mut state), ["a refused"]);
    let jobs = find(&mut state, &["a=one"]);
    assert_eq!(jobs.len(), 1);
    state.judged("a", jobs[0].digest, Err(full()));
    assert_eq!(told(&mut state), Vec::<String>::new());
    assert_eq!(step(&mut state, &["a=one"]), ["a admitted"]);
}

#[test]
fn a_package_name_belongs_to_the_file_that_first_served_it() {
    let mut state = State::default();
    step(&mut state, &["b=p:x"]);
    assert_eq!(step(&mut state, &["a=p:y", "b=p:x"]), ["a refused"]);
    let (snapshot, _) = state.serve(&[("p".to_owned(), "other.".to_owned())]);
    let reason = &snapshot.refused[0].reason;
    assert!(
        reason.contains("`p`") && reason.contains("`b`") && reason.contains("rename"),
        "{reason}"
    );
    told(&mut state);
    assert_eq!(
        step(&mut state, &["a=p:y", "b!"]),
        ["b retired", "b refused"]
    );
    assert_eq!(step(&mut state, &["a=p:y"]), ["a admitted"]);
}
