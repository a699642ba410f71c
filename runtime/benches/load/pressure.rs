//! Memory pressure on this process alone: the kernel is asked again and again to take all of its pages away.
//!
//! Pages of files are dropped and read again, and where there is swap, anonymous ones are written to it. Contents stay the same,
//! whatever happens, and no other process notices more than the reading.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use rustix::mm::{Advice, madvise};

/// Pause between two times.
const PAUSE: Duration = Duration::from_millis(100);

/// What it came to.
pub struct Pressed {
    /// How often all pages were asked for.
    pub times: u64,
    /// Mappings of which the kernel took the question.
    pub heard: u64,
    /// Page faults of the process meanwhile.
    pub faults: u64,
    /// Those that waited for a disk.
    pub read: u64,
    /// Whether anonymous pages could go anywhere.
    pub swap: String,
}

/// Presses until it is told to stop.
pub fn press(stop: Arc<AtomicBool>) -> anyhow::Result<JoinHandle<anyhow::Result<Pressed>>> {
    let (minor, major) = faults()?;
    let pressing = move || {
        let (mut times, mut heard) = (0, 0);
        while !stop.load(Ordering::Relaxed) {
            heard += once()?;
            times += 1;
            std::thread::sleep(PAUSE);
        }
        let (minor_now, major_now) = faults()?;
        let read = major_now - major;
        Ok(Pressed {
            times,
            heard,
            faults: minor_now - minor + read,
            read,
            swap: swap()?,
        })
    };
    Ok(std::thread::Builder::new()
        .name("pressure".to_owned())
        .spawn(pressing)?)
}

/// Asks for every page of every mapping that can be read, and says of how many mappings the kernel took the question.
fn once() -> anyhow::Result<u64> {
    let mut heard = 0;
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        let mut parts = line.split_whitespace();
        let (Some(range), Some(rights)) = (parts.next(), parts.next()) else {
            continue;
        };
        if !rights.starts_with('r') {
            continue;
        }
        let (from, to) = range.split_once('-').context("a mapping has two ends")?;
        let (from, to) = (
            usize::from_str_radix(from, 16)?,
            usize::from_str_radix(to, 16)?,
        );
        // SAFETY: MADV_PAGEOUT changes no contents and no rights; a page that is taken away comes back with what was in it. A range
        // that was unmapped meanwhile is refused.
        #[expect(unsafe_code, reason = "pages are asked for by their addresses")]
        let asked = unsafe { madvise(from as *mut c_void, to - from, Advice::LinuxPageOut) };
        // What the kernel keeps it keeps.
        heard += u64::from(asked.is_ok());
    }
    Ok(heard)
}

/// Minor and major page faults of this process.
fn faults() -> anyhow::Result<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, after) = stat.rsplit_once(')').context("a process has a name")?;
    let mut numbers = after.split_whitespace();
    let minor = numbers.nth(7).context("there are minor faults")?.parse()?;
    let major = numbers.nth(1).context("there are major faults")?.parse()?;
    Ok((minor, major))
}

fn swap() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("SwapTotal:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().next())
        .context("no SwapTotal")?
        .parse()?;
    Ok(match kib {
        0 => "there is no swap, so anonymous pages stayed".to_owned(),
        _ => format!("swap of {} MiB", kib / 1024),
    })
}
