//! What an author runs: build, pack and inspect.
//!
//! Nothing here serves a call. A component that is packed runs once, without any capability, to say what it is.

pub mod build;
pub mod inspect;
pub mod pack;
pub mod tool_toml;

use std::io::Write;
use std::path::{Path, PathBuf};

pub use build::BuildError;
pub use inspect::Report;
pub use pack::{PackError, Packed, Packer};
pub use tool_toml::{TomlError, ToolToml};

/// Name of the file in which an author says what a package is.
pub const TOOL_TOML: &str = "tool.toml";

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum AuthorError {
    /// `tool.toml` is wrong.
    #[error(transparent)]
    Toml(#[from] TomlError),
    /// It was not built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// It was not packed.
    #[error("`{}` is not packed: {source}", .component.display())]
    Pack {
        component: PathBuf,
        #[source]
        source: PackError,
    },
    /// A file could not be read or written.
    #[error("`{}` could not be read or written", .path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// A package that was written.
#[derive(Debug)]
pub struct Written {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it, and what its author should look at.
    pub packed: Packed,
}

/// Builds the packages of these folders and writes them to `out`, each as `NAME.wasm`. Lines that the tools print go
/// to `progress`.
pub async fn build(
    packer: &Packer,
    dirs: &[PathBuf],
    out: &Path,
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Vec<Written>, AuthorError> {
    let mut sources = Vec::new();
    for dir in dirs {
        sources.push((dir.clone(), ToolToml::read(&dir.join(TOOL_TOML))?));
    }
    let sources = std::sync::Arc::new(sources);
    let building = std::sync::Arc::clone(&sources);
    let components = tokio::task::spawn_blocking(move || build::build_many(&building, &progress))
        .await
        .map_err(|_| BuildError::Stopped)??;
    let mut written = Vec::new();
    for ((_, toml), component) in sources.iter().zip(components) {
        written.push(
            pack(
                packer,
                &component,
                toml,
                &out.join(format!("{}.wasm", toml.name)),
            )
            .await?,
        );
    }
    Ok(written)
}

/// Packs one component with what `toml` says of it, and writes the package to the file `out`.
pub async fn pack(
    packer: &Packer,
    component: &Path,
    toml: &ToolToml,
    out: &Path,
) -> Result<Written, AuthorError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| AuthorError::Io { path, source }
    };
    let bytes = std::fs::read(component).map_err(io(component))?;
    let packed = packer
        .pack(&bytes, toml)
        .await
        .map_err(|source| AuthorError::Pack {
            component: component.to_owned(),
            source,
        })?;
    write(out, &packed.bytes).map_err(io(out))?;
    Ok(Written {
        path: out.to_owned(),
        packed,
    })
}

/// Written aside and renamed: a server that watches the folder sees a whole package or none.
pub(crate) fn write(out: &Path, bytes: &[u8]) -> Result<(), std::io::Error> {
    let dir = match out.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) | None => Path::new("."),
    };
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::Builder::new()
        .prefix(".package-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.persist(out).map_err(|error| error.error)?;
    Ok(())
}
