//! Compiles a component to native code in a process of its own.
//!
//! A component can be made to cost a compiler any time and memory. So the serving process never compiles: a child
//! limits itself before it reads the first foreign byte, and whatever it does then ends as a typed error here.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use rlimit::Resource;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::mirror::{self, MirrorError};
use super::schema::text;
use crate::engine::{EngineError, WasmEngine};
use crate::hardening::{self, Places};
use crate::limits::{
    COMPILE_CPU_SECS_MAX, COMPILE_FILES_MAX, COMPILE_MEMORY_BYTES_MAX, COMPILE_MESSAGE_BYTES_MAX,
    COMPILE_OUTPUT_BYTES_MAX, COMPILE_WALL_MAX, PACKAGE_BYTES_MAX,
};

/// The hidden subcommand that calls [`compile_component`].
pub const SUBCOMMAND: &str = "compile-component";

/// Threads of one compilation: more share no more work, and each costs address space.
const THREADS: &str = "4";

/// What the child ends with where the component is not to blame: its files failed, or it could not begin.
const FILES_FAILED: i32 = 3;
const NOT_READY: i32 = 4;

/// What is made of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The code of the component itself.
    Guest,
    /// That of its mirror, for where it runs in a process of its own.
    Mirror,
}

impl Part {
    /// Its name among the arguments of the child, and in the names of files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Mirror => "mirror",
        }
    }
}

impl FromStr for Part {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Guest, Self::Mirror]
            .into_iter()
            .find(|one| one.name() == name)
            .ok_or("there is `guest` and `mirror`")
    }
}

/// Why there is no native code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The child did not start.
    #[error("the compiler `{}` did not start", .program.display())]
    Start {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Its files could not be written or read.
    #[error(
        "the compiler's files could not be written or read: {0}; look at the space and permissions of the cache folder"
    )]
    Files(#[source] std::io::Error),
    /// It took too long by the clock.
    #[error("it took longer than {} s to compile and was stopped; make it smaller", .0.as_secs())]
    OutOfTime(Duration),
    /// It took too much processor time.
    #[error(
        "it took more than {COMPILE_CPU_SECS_MAX} s of processor time to compile; make it smaller"
    )]
    OutOfProcessor,
    /// It took too much memory.
    #[error("it took more than {} MiB of memory to compile; make it smaller", COMPILE_MEMORY_BYTES_MAX / (1024 * 1024))]
    OutOfMemory,
    /// Its native code is too large.
    #[error("its native code is larger than {} MiB; make it smaller", COMPILE_OUTPUT_BYTES_MAX / (1024 * 1024))]
    TooLarge,
    /// The compiler refused it.
    #[error("it does not compile: {0}; build it again")]
    Invalid(String),
    /// The compiler met something that it has no way with.
    #[error(
        "the compiler cannot handle it, as it cannot handle a component of several that pass text to each other; build it as one"
    )]
    Unhandled,
    /// The child could not begin, whatever it was to compile.
    #[error(
        "the compiler could not begin: {0}; look at the limits of the server's processes and at its log"
    )]
    Unready(String),
    /// The compiler crashed on it.
    #[error("the compiler crashed on it (signal {0}); make it simpler")]
    Crashed(i32),
}

/// Starts compilations.
#[derive(Debug, Clone)]
pub struct Compiler {
    program: PathBuf,
    arguments: Vec<OsString>,
    wall: Duration,
    mirrors: bool,
}

impl Compiler {
    /// Runs this program, which must be `bailiwick` of the same build.
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            arguments: vec![SUBCOMMAND.into()],
            wall: COMPILE_WALL_MAX,
            mirrors: false,
        }
    }

    /// One that compiles the mirror of each package as well.
    #[must_use]
    pub fn with_mirrors(self, mirrors: bool) -> Self {
        Self { mirrors, ..self }
    }

    /// Whether it does.
    pub(super) fn mirrors(&self) -> bool {
        self.mirrors
    }

    /// Compiles; the bytes are in a private folder below `scratch` meanwhile.
    pub async fn compile(
        &self,
        component: &[u8],
        part: Part,
        scratch: &Path,
    ) -> Result<Vec<u8>, CompileError> {
        let folder = tempfile::Builder::new()
            .prefix(".compile-")
            .permissions(PermissionsExt::from_mode(0o700))
            .tempdir_in(scratch)
            // Without its path, which is another each time: a reason that stays is told once.
            .map_err(|error| CompileError::Files(error.kind().into()))?;
        let input = folder.path().join("in.wasm");
        let output = folder.path().join("out.native");
        tokio::fs::write(&input, component)
            .await
            .map_err(CompileError::Files)?;
        let mut child = self.start(folder.path(), &input, &output, part)?;
        let complaint = child.stderr.take();
        let complaint = async {
            let mut said = Vec::new();
            if let Some(stderr) = complaint {
                let mut bounded = stderr.take(COMPILE_MESSAGE_BYTES_MAX);
                // What cannot be read is not said.
                let _ = bounded.read_to_end(&mut said).await;
            }
            String::from_utf8_lossy(&said).into_owned()
        };
        let finished = async { tokio::join!(child.wait(), complaint) };
        let Ok((status, complaint)) = tokio::time::timeout(self.wall, finished).await else {
            // Kills and reaps; a child that is gone already is as good.
            let _ = child.kill().await;
            return Err(CompileError::OutOfTime(self.wall));
        };
        judge(status.map_err(CompileError::Files)?, &complaint)?;
        read_bounded(&output, COMPILE_OUTPUT_BYTES_MAX)
            .await
            .map_err(CompileError::Files)?
            .ok_or(CompileError::TooLarge)
    }

    fn start(
        &self,
        folder: &Path,
        input: &Path,
        output: &Path,
        part: Part,
    ) -> Result<Child, CompileError> {
        Command::new(&self.program)
            .args(&self.arguments)
            .arg(input)
            .arg(output)
            .arg(part.name())
            .current_dir(folder)
            .env_clear()
            .env("RAYON_NUM_THREADS", THREADS)
            // Each arena of the allocator reserves address space, which is what is bounded.
            .env("MALLOC_ARENA_MAX", THREADS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| CompileError::Start {
                program: self.program.clone(),
                source,
            })
    }
}

fn judge(status: ExitStatus, complaint: &str) -> Result<(), CompileError> {
    // signal(7) on Linux: 6 ABRT, 9 KILL, 24 XCPU, 25 XFSZ. A Rust allocation that fails aborts and says so.
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (_, Some(24)) => Err(CompileError::OutOfProcessor),
        (_, Some(25)) => Err(CompileError::TooLarge),
        _ if complaint.contains("memory allocation of") => Err(CompileError::OutOfMemory),
        (_, Some(9)) => Err(CompileError::OutOfMemory),
        (_, Some(signal)) => Err(CompileError::Crashed(signal)),
        (Some(FILES_FAILED), _) => {
            let said = std::io::Error::other(text(complaint.trim()));
            Err(CompileError::Files(said))
        }
        (Some(NOT_READY), _) => Err(CompileError::Unready(text(complaint.trim()))),
        // What a Rust program that panicked ends with. Where in the compiler that was is no use to an author.
        (Some(101), _) => {
            tracing::warn!(complaint = text(complaint.trim()), "the compiler panicked");
            Err(CompileError::Unhandled)
        }
        (_, None) => Err(CompileError::Invalid(text(complaint.trim()))),
    }
}

async fn read_bounded(path: &Path, max: u64) -> Result<Option<Vec<u8>>, std::io::Error> {
    let file = tokio::fs::File::open(path).await?;
    if file.metadata().await?.len() > max {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let read = file
        .take(max.saturating_add(1))
        .read_to_end(&mut bytes)
        .await?;
    Ok((u64::try_from(read).unwrap_or(u64::MAX) <= max).then_some(bytes))
}

/// Why the child wrote no native code.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not limit itself, so it did not begin.
    #[error("the compiler could not limit itself")]
    Limits(#[source] std::io::Error),
    /// It was given nowhere to write.
    #[error("the compiler was given no folder")]
    NoFolder,
    /// Its input or output failed.
    #[error("the compiler's files failed: {0}")]
    Files(#[source] std::io::Error),
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The component is not valid.
    #[error("{0}")]
    Invalid(String),
    /// It has no mirror.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
}

impl ChildError {
    /// What the child ends with for it. A package is never blamed for a machine: it would not be tried again.
    pub fn status(&self) -> u8 {
        let status = match self {
            Self::Invalid(_) | Self::Mirror(_) => 1,
            Self::Files(_) => FILES_FAILED,
            Self::Limits(_) | Self::NoFolder | Self::Engine(_) => NOT_READY,
        };
        u8::try_from(status).unwrap_or(1)
    }
}

/// What the child does: limits its own process for good, then compiles `input` to a new file `output`.
///
/// Only for a process that does nothing else. The caller prints an error to standard error and exits with its [`ChildError::status`].
pub fn compile_component(input: &Path, output: &Path, part: Part) -> Result<(), ChildError> {
    limit_self().map_err(ChildError::Limits)?;
    let folder = output.parent().ok_or(ChildError::NoFolder)?;
    // As far as the kernel has it: the limits above hold anyway, and the server says what is missing.
    hardening::let_go(&Places::only(folder));
    let mut component = Vec::new();
    std::fs::File::open(input)
        .and_then(|file| file.take(PACKAGE_BYTES_MAX).read_to_end(&mut component))
        .map_err(ChildError::Files)?;
    if part == Part::Mirror {
        component = mirror::of(&component)?;
    }
    let engine = WasmEngine::for_compiler()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the process that compiles"
    )]
    let code = engine
        .precompile_component(&component)
        .map_err(|error| ChildError::Invalid(format!("{error:#}").replace('\n', " ")))?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(output)
        .map_err(ChildError::Files)?;
    std::io::Write::write_all(&mut file, &code).map_err(ChildError::Files)
}

fn limit_self() -> Result<(), std::io::Error> {
    for (resource, limit) in [
        (Resource::CORE, 0),
        (Resource::AS, COMPILE_MEMORY_BYTES_MAX),
        (Resource::CPU, COMPILE_CPU_SECS_MAX),
        (Resource::FSIZE, COMPILE_OUTPUT_BYTES_MAX),
        (Resource::NOFILE, COMPILE_FILES_MAX),
    ] {
        // Never above what the process may have already.
        let (_, hard) = resource.get()?;
        let limit = limit.min(hard);
        resource.set(limit, limit)?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Compiler;
    use crate::limits::COMPILE_WALL_MAX;

    /// A compiler whose child is this very test program, in the test `catalog::compile::tests::child`.
    pub(crate) fn compiler() -> Compiler {
        Compiler {
            program: std::env::current_exe().unwrap(),
            arguments: [
                "--exact",
                "catalog::compile::tests::child",
                "--nocapture",
                super::SUBCOMMAND,
            ]
            .map(Into::into)
            .to_vec(),
            wall: COMPILE_WALL_MAX,
            mirrors: false,
        }
    }
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
