//! Runs tests: all of them once by themselves, to note what each reaches, and then those that reach a mutant with it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::plant::Mutant;
use crate::source::Built;

/// How long a test may take by itself before it is left out.
const ALONE_MAX: Duration = Duration::from_secs(120);
/// Tests that are run together first, and how many more each further time.
const FIRST: usize = 4;
const GROWS: usize = 6;
/// How often it is looked whether tests have ended.
const LOOK: Duration = Duration::from_millis(5);
/// After how many tests or mutants it is told how far it is.
const TELL_EVERY: usize = 100;

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A test fails with it.
    Caught,
    /// Tests do not end with it.
    TimedOut,
    /// All that reach it pass.
    Missed,
    /// Nothing reaches it, so that it makes a difference.
    Unreached,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Caught, Self::TimedOut, Self::Missed, Self::Unreached];

    pub fn word(self) -> &'static str {
        match self {
            Self::Caught => "caught",
            Self::TimedOut => "timed-out",
            Self::Missed => "missed",
            Self::Unreached => "unreached",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }
}

/// Which tests reach a mutant, those near it first.
pub type Reached = BTreeMap<u32, Vec<(Duration, String)>>;

pub struct Runner<'a> {
    built: &'a Built,
    project: &'a Path,
    work: &'a Path,
    jobs: usize,
    patience: Duration,
}

impl<'a> Runner<'a> {
    pub fn new(
        built: &'a Built,
        project: &'a Path,
        work: &'a Path,
        jobs: usize,
        patience: Duration,
    ) -> Self {
        Self {
            built,
            project,
            work,
            jobs,
            patience,
        }
    }

    /// Forgets what earlier runs found, unless they were of this very program.
    pub fn resume(&self) -> anyhow::Result<()> {
        let mut hasher = DefaultHasher::new();
        fs::read(&self.built.program)?.hash(&mut hasher);
        let found = hasher.finish().to_string();
        let program = self.work.join("program");
        if fs::read_to_string(&program).ok() != Some(found.clone()) {
            let _ = fs::remove_dir_all(self.work.join("reached"));
            let _ = fs::remove_file(self.work.join("outcomes"));
            fs::write(program, found)?;
        }
        Ok(())
    }

    /// Runs each test by itself, without a mutant.
    pub fn reached(&self) -> anyhow::Result<Reached> {
        let listed = self
            .command()
            .args(["--list", "--format", "terse"])
            .output()?;
        let listed = String::from_utf8(listed.stdout)?;
        let names: Vec<&str> = listed
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .collect();
        ensure!(!names.is_empty(), "there is no test");
        let folder = self.work.join("reached");
        fs::create_dir_all(&folder)?;
        let reached = Mutex::new(Reached::new());
        self.side_by_side("tests run alone", names.len(), |at| {
            let name = names[at];
            // Times and numbers; nothing of a test that fails by itself.
            let known = folder.join(at.to_string());
            if !known.exists() {
                let told = folder.join("now").with_extension(at.to_string());
                let _ = fs::remove_file(&told);
                let mut command = self.command();
                command
                    .args(["--exact", name])
                    .env("MUTANTS_REACHED", &told);
                let began = Instant::now();
                let passed = run(command, ALONE_MAX)? == Some(true);
                let numbers = match passed {
                    true => fs::read_to_string(&told).unwrap_or_default(),
                    false => String::new(),
                };
                if !passed {
                    eprintln!("left out, for it fails by itself: {name}");
                }
                let took = began.elapsed().as_micros();
                fs::write(&known, format!("{took}\n{numbers}"))?;
                let _ = fs::remove_file(&told);
            }
            let text = fs::read_to_string(&known)?;
            let mut lines = text.lines();
            let took = lines.next().and_then(|took| took.parse().ok());
            let took = Duration::from_micros(took.context("a time was not written whole")?);
            let mut reached = reached.lock().unwrap_or_else(PoisonError::into_inner);
            for number in lines {
                let number = number.parse().context("a number was not written whole")?;
                let tests: &mut Vec<_> = reached.entry(number).or_default();
                tests.push((took, name.to_owned()));
            }
            Ok(())
        })?;
        let mut reached = reached.into_inner().unwrap_or_else(PoisonError::into_inner);
        for mutant in &self.built.mutants {
            if let Some(tests) = reached.get_mut(&mutant.number) {
                in_order(&mutant.file, tests);
            }
        }
        Ok(reached)
    }

    /// Switches on each of these mutants in turn.
    pub fn each(
        &self,
        reached: &Reached,
        chosen: &[&Mutant],
    ) -> anyhow::Result<BTreeMap<u32, Outcome>> {
        let path = self.work.join("outcomes");
        let mut outcomes = BTreeMap::new();
        for line in fs::read_to_string(&path).unwrap_or_default().lines() {
            let known = line.split_once(' ');
            let known = known
                .and_then(|(number, word)| Some((number.parse::<u32>().ok()?, Outcome::of(word)?)));
            outcomes.extend(known);
        }
        let file = fs::File::options().append(true).create(true).open(&path)?;
        let known = Mutex::new((outcomes, file));
        self.side_by_side("mutants", chosen.len(), |at| {
            let number = chosen[at].number;
            let mut known_now = known.lock().unwrap_or_else(PoisonError::into_inner);
            let is_known = known_now.0.contains_key(&number);
            drop(known_now);
            if is_known {
                return Ok(());
            }
            let outcome = match reached.get(&number) {
                None => Outcome::Unreached,
                Some(tests) => self.one(number, tests)?,
            };
            known_now = known.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(known_now.1, "{number} {}", outcome.word())?;
            known_now.0.insert(number, outcome);
            Ok(())
        })?;
        let (outcomes, _) = known.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(outcomes)
    }

    fn one(&self, number: u32, tests: &[(Duration, String)]) -> anyhow::Result<Outcome> {
        let (mut from, mut count) = (0, FIRST);
        while let Some(some) = tests.get(from..).filter(|rest| !rest.is_empty()) {
            let some = &some[..count.min(some.len())];
            let expected: Duration = some.iter().map(|(took, _)| *took).sum();
            let mut command = self.command();
            command
                .arg("--exact")
                .args(some.iter().map(|(_, name)| name));
            command.env("MUTANT", number.to_string());
            match run(command, self.patience + expected * 5)? {
                Some(true) => {}
                Some(false) => return Ok(Outcome::Caught),
                None => return Ok(Outcome::TimedOut),
            }
            from += some.len();
            count *= GROWS;
        }
        Ok(Outcome::Missed)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.built.program);
        command
            .current_dir(&self.built.runtime)
            .args(["--test-threads", "1"])
            .env("CARGO_MANIFEST_DIR", &self.built.runtime)
            .env("CARGO_TARGET_DIR", target(self.project))
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Does so many things, some at once, and tells how far it is.
    fn side_by_side(
        &self,
        what: &str,
        count: usize,
        each: impl Fn(usize) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let next = AtomicUsize::new(0);
        let work = || -> anyhow::Result<()> {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return Ok(());
                }
                if at.is_multiple_of(TELL_EVERY) {
                    eprintln!("{what}: {at} of {count}");
                }
                each(at)?;
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs.max(1)).map(|_| scope.spawn(work)).collect();
            for worker in workers {
                worker.join().ok().context("a worker panicked")??;
            }
            Ok(())
        })
    }
}

fn target(project: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or(project.join("target"), PathBuf::from)
}

/// Whether the tests passed; none where they did not end in time. Once one failed, the others are not waited for.
fn run(mut command: Command, most: Duration) -> anyhow::Result<Option<bool>> {
    let mut child: Child = command.stdout(Stdio::piped()).spawn()?;
    let said = child.stdout.take().context("it has no output")?;
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // To its end, or a test that says much would wait for a reader.
            for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
                let is_failure = line.starts_with(b"test ") && line.ends_with(b"... FAILED");
                failed.fetch_or(is_failure, Ordering::Relaxed);
            }
        });
        let until = Instant::now() + most;
        let outcome = loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status.success()));
            }
            if failed.load(Ordering::Relaxed) {
                break Some(false);
            }
            if Instant::now() >= until {
                break None;
            }
            std::thread::sleep(LOOK);
        };
        child.kill()?;
        child.wait()?;
        Ok(outcome)
    })
}

/// Those first that lie nearest to this file, of these the fastest: what is wrong in it is noticed there.
fn in_order(file: &str, tests: &mut [(Duration, String)]) {
    let module = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let shared = |name: &str| {
        let both = module.split('/').zip(name.split("::"));
        both.take_while(|(one, other)| one == other).count()
    };
    tests.sort_by_cached_key(|(took, name)| (Reverse(shared(name)), *took));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_near_a_change_come_first_and_then_the_fastest() {
        let test = |ms, name: &str| (Duration::from_millis(ms), name.to_owned());
        let mut tests = [
            test(1, "web::tests::a"),
            test(9, "consent::plan::tests::b"),
            test(3, "consent::tests::c"),
            test(2, "consent::tests::d"),
        ];
        in_order("consent/plan.rs", &mut tests);
        let order = tests.map(|(_, name)| name);
        let last = ["consent::tests::d", "consent::tests::c", "web::tests::a"];
        assert_eq!(order[0], "consent::plan::tests::b");
        assert_eq!(order[1..], last);
    }

    #[test]
    fn what_fails_is_not_waited_for_and_what_does_not_end_is_ended() {
        let shell = |text: &str| {
            let mut command = Command::new("sh");
            command.arg("-c").arg(text);
            run(command, Duration::from_secs(2)).unwrap()
        };
        assert_eq!(shell("echo 'test a ... ok'"), Some(true));
        assert_eq!(shell("exit 101"), Some(false));
        let began = Instant::now();
        assert_eq!(
            shell("echo 'test a ... FAILED'; exec sleep 60"),
            Some(false)
        );
        assert_eq!(shell("exec sleep 60"), None);
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
