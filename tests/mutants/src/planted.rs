//! Which mutant is switched on. This file is added to the copy of the runtime in which mutants are planted.

use std::fs::File;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex};

const COUNT: usize = include!("mutants.count");

static ON: LazyLock<u32> = LazyLock::new(|| {
    let number = std::env::var("MUTANT").unwrap_or_default();
    number.parse().unwrap_or_default()
});
static REACHED: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
static TOLD: LazyLock<Option<Mutex<File>>> = LazyLock::new(|| {
    let path = std::env::var_os("MUTANTS_REACHED")?;
    let file = File::options().append(true).create(true).open(path);
    file.ok().map(Mutex::new)
});

/// Whether this mutant is switched on.
pub fn on(number: u32) -> bool {
    reach(number);
    *ON == number
}

/// A truth value, which the first of two mutants makes always true and the second always false.
pub fn truth(first: u32, value: bool) -> bool {
    // Either is noticed only where it makes a difference.
    let other = if value { first + 1 } else { first };
    reach(other);
    match *ON == other {
        true => !value,
        false => value,
    }
}

fn reach(number: u32) {
    let Some(told) = TOLD.as_ref() else {
        return;
    };
    let reached = usize::try_from(number).ok().and_then(|at| REACHED.get(at));
    if reached.is_some_and(|reached| !reached.swap(true, Ordering::Relaxed))
        && let Ok(mut file) = told.lock()
    {
        let _ = writeln!(file, "{number}");
    }
}
