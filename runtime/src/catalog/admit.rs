//! Decides whether a file is a package that may be served, and makes it one.
//!
//! The order is fixed: size, digest, manifest, what it imports and exports, schemas, and only then the compiler, in a
//! process of its own. The bytes are read once; the digest is of exactly those that are compiled.

use std::sync::Arc;

use rustix::io::Errno;
use wasmtime::component::Component;

use super::cache::{Cache, CacheError, Key, Native};
use super::check::{self, ManifestError};
use super::compile::{CompileError, Compiler, Part};
use super::manifest::Manifest;
use super::package::{self, Import, PackageError};
use super::schema::{SchemaError, text};
use super::schema_walk;
use super::tool::{Apart, Package, Schemas};
use crate::engine::{ImportClass, WasmEngine, classify};
use crate::ids::{Digest, NameError, ToolName};
use crate::limits::{PACKAGE_BYTES_MAX, SCHEMA_PATTERNS_MAX};

/// What a component exports to serve tools.
pub const HANDLER: &str = "bailiwick:tool/handler@0.1.0";

/// Most unknown imports that one message names.
const NAMES_MAX: usize = 8;

/// Why a file is not served. Each text ends with the next step.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// It is too large.
    #[error("it has {found} bytes; at most {PACKAGE_BYTES_MAX} are allowed")]
    Size { found: u64 },
    /// It is no plain file.
    #[error("it is {0}, not a file; copy the package itself here")]
    NotAFile(&'static str),
    /// It cannot be read.
    #[error("it cannot be read; look at its permissions")]
    Read(#[source] std::io::Error),
    /// It is no package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// Its manifest says what cannot be.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It imports what no grant can give.
    #[error(
        "it imports {}, which this server does not know; build it without, or for WASI 0.2",
        names(.0)
    )]
    Imports(Vec<String>),
    /// It serves no tools.
    #[error("it exports no `{HANDLER}`; build it with the SDK")]
    NoHandler,
    /// A schema cannot be used.
    #[error("the {which} of tool `{tool}` is refused: {source}")]
    Schema {
        tool: ToolName,
        which: &'static str,
        #[source]
        source: SchemaError,
    },
    /// Its schemas have too many patterns.
    #[error(
        "its schemas have {found} patterns (`pattern` and `patternProperties`) in all; at most {SCHEMA_PATTERNS_MAX} are allowed, so check the others in the tool itself"
    )]
    Patterns { found: usize },
    /// It was not compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Its native code could not be kept.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// What was compiled does not load.
    #[error("its native code does not load; remove the cache folder and try again")]
    Load(#[source] wasmtime::Error),
    /// The machine has no room to map it.
    #[error(
        "its native code cannot be mapped: the server has no address space or no mappings left; look at `ulimit -v` and at the sysctl \
         `vm.max_map_count`, of which each package takes three, or serve fewer packages"
    )]
    NoRoom(#[source] wasmtime::Error),
    /// It is more than a slot of the pool has room for.
    #[error(
        "no call has room for it: {0:#}; build it with fewer or smaller memories, tables and instances"
    )]
    Bounds(wasmtime::Error),
    /// A name of it is taken.
    #[error(
        "its tool `{name}` has the name of one in `{other}`; set a prefix for `{package}` under `[tools.prefix]`, or remove one of the two"
    )]
    Collision {
        name: ToolName,
        other: String,
        package: ToolName,
    },
    /// Its own name is taken.
    #[error(
        "it is called `{name}` like the package in `{other}`, and rules speak of packages by name; rename this one, or remove one of the two"
    )]
    PackageTwice { name: ToolName, other: String },
    /// The operator's prefix makes a name that is none.
    #[error(
        "the prefix `{prefix}` makes no valid name of `{name}`: {source}; change it under `[tools.prefix]`"
    )]
    Prefix {
        prefix: String,
        name: ToolName,
        #[source]
        source: NameError,
    },
    /// There are too many packages.
    #[error("{0} packages are served already, which is the most; remove one")]
    TooMany(usize),
    /// Our own fault.
    #[error("admission stopped; try again")]
    Stopped,
}

impl AdmissionError {
    /// Why code does not load that our own compiler made just now: the machine did not map it, or it is more than a call has.
    pub(crate) fn load(error: wasmtime::Error) -> Self {
        let errno = error.downcast_ref::<Errno>();
        let io = error
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        if errno == Some(&Errno::NOMEM) || io == Some(std::io::ErrorKind::OutOfMemory) {
            return Self::NoRoom(error);
        }
        match errno.is_some() || io.is_some() {
            true => Self::Load(error),
            false => Self::Bounds(error),
        }
    }

    /// Whether the same bytes may be admitted another time: the fault lies with our machine, not with the package.
    pub fn may_pass_later(&self) -> bool {
        match self {
            Self::Read(_) | Self::Cache(_) | Self::Load(_) | Self::NoRoom(_) | Self::Stopped => {
                true
            }
            Self::Compile(error) => {
                matches!(
                    error,
                    CompileError::Start { .. } | CompileError::Files(_) | CompileError::Unready(_)
                )
            }
            Self::Size { .. }
            | Self::NotAFile(_)
            | Self::Package(_)
            | Self::Manifest(_)
            | Self::Imports(_)
            | Self::NoHandler
            | Self::Schema { .. }
            | Self::Patterns { .. }
            | Self::Bounds(_)
            | Self::Collision { .. }
            | Self::PackageTwice { .. }
            | Self::Prefix { .. }
            | Self::TooMany(_) => false,
        }
    }
}

/// A package that passed everything but the compiler.
pub struct Examined {
    /// SHA-256 of the file.
    pub digest: Digest,
    /// What the package says of itself.
    pub manifest: Manifest,
    /// Its imports and their classes.
    pub imports: Vec<(String, ImportClass)>,
    /// Its initial stack, in bytes, where it can be recognised.
    pub stack_bytes: Option<u32>,
    schemas: Vec<Schemas>,
}

/// Judges the bytes of a package. Pure: nothing is compiled, kept or run.
pub fn examine(bytes: &[u8]) -> Result<Examined, AdmissionError> {
    judge(bytes, digest(bytes)?)
}

/// SHA-256 of a package that is no larger than one may be.
fn digest(bytes: &[u8]) -> Result<Digest, AdmissionError> {
    let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if found > PACKAGE_BYTES_MAX {
        return Err(AdmissionError::Size { found });
    }
    Ok(Digest::of(bytes))
}

fn judge(bytes: &[u8], digest: Digest) -> Result<Examined, AdmissionError> {
    let contents = package::read(bytes)?;
    let manifest = contents.manifest()?;
    check::check(&manifest)?;
    let imports = classes(&contents.imports)?;
    if !contents.interfaces.iter().any(|name| name == HANDLER) {
        return Err(AdmissionError::NoHandler);
    }
    // Before any is compiled: each takes its memory.
    let found = patterns(&manifest);
    if found > SCHEMA_PATTERNS_MAX {
        return Err(AdmissionError::Patterns { found });
    }
    let schemas = manifest.tools.iter().map(|tool| {
        Schemas::compile(tool).map_err(|(which, source)| AdmissionError::Schema {
            tool: tool.name.clone(),
            which,
            source,
        })
    });
    let schemas = schemas.collect::<Result<_, _>>()?;
    Ok(Examined {
        digest,
        imports,
        stack_bytes: contents.stack_bytes,
        schemas,
        manifest,
    })
}

/// How many patterns the schemas of a package have.
fn patterns(manifest: &Manifest) -> usize {
    let tools = manifest.tools.iter();
    tools
        .flat_map(|tool| [Some(&tool.input_schema), tool.output_schema.as_ref()])
        .flatten()
        .map(|schema| schema_walk::patterns(schema).len())
        .fold(0, usize::saturating_add)
}

/// The class of each import; an unknown one refuses them all.
pub fn classes(imports: &[Import]) -> Result<Vec<(String, ImportClass)>, AdmissionError> {
    let classed = imports.iter().map(|import| {
        let class = if import.interface {
            classify(&import.name)
        } else {
            ImportClass::Unknown
        };
        (import.name.clone(), class)
    });
    let classed: Vec<_> = classed.collect();
    let unknown: Vec<String> = classed
        .iter()
        .filter(|(_, class)| *class == ImportClass::Unknown)
        .map(|(name, _)| name.clone())
        .collect();
    if unknown.is_empty() {
        Ok(classed)
    } else {
        Err(AdmissionError::Imports(unknown))
    }
}

fn names(all: &[String]) -> String {
    let mut shown: Vec<String> = all
        .iter()
        .take(NAMES_MAX)
        .map(|name| format!("`{}`", text(name)))
        .collect();
    if let Some(more) = all.len().checked_sub(NAMES_MAX).filter(|more| *more > 0) {
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

/// Makes packages of files.
pub struct Admitter {
    engine: Arc<WasmEngine>,
    compiler: Compiler,
    cache: Cache,
}

impl Admitter {
    /// Compiles with `compiler` for `engine` and keeps native code in `cache`.
    pub fn new(engine: Arc<WasmEngine>, compiler: Compiler, cache: Cache) -> Self {
        Self {
            engine,
            compiler,
            cache,
        }
    }

    /// Judges, compiles and loads a package.
    pub async fn admit(&self, bytes: Vec<u8>) -> Result<Arc<Package>, AdmissionError> {
        let bytes = Arc::new(bytes);
        let foreign = Arc::clone(&bytes);
        let digest = tokio::task::spawn_blocking(move || digest(&foreign))
            .await
            .map_err(|_| AdmissionError::Stopped)??;
        let foreign = Arc::clone(&bytes);
        let judging = tokio::task::spawn_blocking(move || judge(&foreign, digest));
        // Beside that, what an earlier admission of the same bytes left. It goes with a package that is refused by now.
        let part = |part| {
            let key = Key {
                component: digest,
                configuration: self.engine.configuration_digest(),
                part,
            };
            (key, self.cached(key))
        };
        let guest = part(Part::Guest);
        let mirror = self.compiler.mirrors().then(|| part(Part::Mirror));
        let examined = judging.await.map_err(|_| AdmissionError::Stopped)??;
        let (native, component) = self.native(guest, &bytes).await?;
        let apart = match mirror {
            Some(mirror) => {
                let (_, mirror) = self.native(mirror, &bytes).await?;
                Some(Apart {
                    mirror,
                    code: native,
                })
            }
            None => None,
        };
        Ok(Arc::new(Package::new(
            examined.manifest,
            digest,
            examined.schemas,
            component,
            apart,
        )))
    }

    /// Code of a package, compiled where the cache has none.
    async fn native(
        &self,
        (key, cached): (Key, Option<(Native, Component)>),
        bytes: &[u8],
    ) -> Result<(Native, Component), AdmissionError> {
        if let Some(cached) = cached {
            return Ok(cached);
        }
        let (part, dir) = (key.part, self.cache.dir());
        let code = self.compiler.compile(bytes, part, dir).await?;
        let native = self.cache.keep(key, &code)?;
        let component = native.load(self.engine.engine());
        Ok((native, component.map_err(AdmissionError::load)?))
    }

    /// What the cache has for this key, if it is whole. Anything else is built again, and the log says why.
    fn cached(&self, key: Key) -> Option<(Native, Component)> {
        let native = match self.cache.find(key) {
            Ok(native) => native?,
            Err(error) => {
                tracing::warn!(component = %key.component, %error, "cached native code is refused and built again");
                return None;
            }
        };
        let loaded = native.load(self.engine.engine()).inspect_err(|error| {
            tracing::warn!(component = %key.component, %error, "cached native code does not load and is built again");
        });
        Some((native, loaded.ok()?))
    }
}

#[cfg(test)]
#[path = "admit_tests.rs"]
mod tests;
