//! The linker by grant set: what exists for a guest.
//!
//! Built for one component and one set of granted kinds, interface by interface, of what the component imports and
//! nothing else. How far a granted interface reaches is not here: that is in the store, call by call.

use std::collections::BTreeSet;

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasData, HasSelf, InstancePre, Linker, ResourceTable};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random, sockets};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi_http::p2::bindings::http;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};

use super::bindings::bailiwick::tool;
use super::bindings::keyvalue::wasi::keyvalue;
use super::denied::{
    NoAsk, NoCaller, NoKv, NoProgress, NoProtected, NoSecrets, NoSockets, NoTools, link_no_http,
    link_socket_methods, no_config,
};
use super::glue::files::GuardedFiles;
use super::glue::http::link_error_code;
use super::state::State;
use crate::capability::{CapabilitySet, Kind};
use crate::engine::parse;

/// The kinds that a call is granted, as far as linking needs to know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Kinds(u16);

impl Kinds {
    pub(super) fn of(granted: &CapabilitySet) -> Self {
        Self(
            granted
                .iter()
                .fold(0, |bits, capability| bits | bit(capability.kind())),
        )
    }

    pub(super) fn has(self, kind: Kind) -> bool {
        self.0 & bit(kind) != 0
    }
}

fn bit(kind: Kind) -> u16 {
    match kind {
        Kind::Http => 1,
        Kind::Files => 2,
        Kind::Clock => 4,
        Kind::Progress => 8,
        // No interface: it is kept on the way in and on the way out.
        Kind::Data => 0,
        Kind::Ask => 16,
        Kind::Kv => 64,
        Kind::Config => 128,
        Kind::Secret => 256,
        Kind::Call => 1024,
        Kind::Claims => 2048,
        Kind::Reveal => 4096,
        // No interface: the host puts them into requests.
        Kind::Deliver => 0,
    }
}

/// Why a component cannot be linked. Admission refuses unknown imports by name, so this is for functions that a known
/// interface does not have.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// GHSA-hgjw: two engines in one call mix their types up.
    #[error("the component was loaded by another engine than the one that serves")]
    OtherEngine,
    /// Where guests run in processes of their own, and this one cannot.
    #[error("the package has no mirror, without which it runs in no process of its own")]
    NoMirror,
    /// An import is not known.
    #[error("the component imports `{0}`, which is not provided")]
    Unknown(String),
    /// An interface lacks something that the component imports of it.
    #[error("the component does not fit what is provided")]
    Mismatch(#[source] wasmtime::Error),
}

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links what `component` imports, under these kinds.
pub(super) fn link(
    engine: &Engine,
    component: &Component,
    granted: Kinds,
) -> Result<InstancePre<State>, LinkError> {
    linker(engine, component, granted)?
        .instantiate_pre(component)
        .map_err(LinkError::Mismatch)
}

/// All that there is of what `component` imports, under these kinds. Each function comes in through [`State::entered`].
pub(super) fn linker(
    engine: &Engine,
    component: &Component,
    granted: Kinds,
) -> Result<Linker<State>, LinkError> {
    if !Engine::same(engine, component.engine()) {
        return Err(LinkError::OtherEngine);
    }
    let mut linker = Linker::<State>::new(engine);
    // Two versions of one interface are one entry: an older 0.2 is linked to the newest by the linker itself.
    let mut linked = BTreeSet::new();
    let component_type = component.component_type();
    for (name, item) in component_type.imports(engine) {
        let unknown = || LinkError::Unknown(name.to_owned());
        let ComponentItem::ComponentInstance(instance) = item.ty else {
            return Err(unknown());
        };
        let import = parse(name).ok_or_else(unknown)?;
        if !linked.insert(import) {
            continue;
        }
        let done = match (import.package, import.interface) {
            ("wasi:sockets", "tcp" | "udp") => link_socket_methods(&mut linker, name, &instance),
            ("wasi:http", "outgoing-handler") if !granted.has(Kind::Http) => {
                link_no_http(&mut linker, name)
            }
            (package, name) => {
                interface(&mut linker, package, name, granted).ok_or_else(unknown)?
            }
        };
        done.map_err(LinkError::Mismatch)?;
    }
    Ok(linker)
}

/// Links one interface; none when it is not known.
fn interface(
    l: &mut Linker<State>,
    package: &str,
    interface: &str,
    granted: Kinds,
) -> Option<wasmtime::Result<()>> {
    Some(match package {
        "wasi:io" => wasi_io(l, interface)?,
        "wasi:cli" => wasi_cli(l, interface)?,
        "wasi:clocks" => match interface {
            "monotonic-clock" => {
                clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)
            }
            "wall-clock" => clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, State::clocks),
            _ => return None,
        },
        "wasi:random" => wasi_random(l, interface)?,
        "wasi:filesystem" => match interface {
            "types" => filesystem::types::add_to_linker::<_, GuardedFiles>(l, State::files),
            "preopens" => filesystem::preopens::add_to_linker::<_, GuardedFiles>(l, State::folders),
            _ => return None,
        },
        "wasi:http" => match interface {
            "types" => {
                let options = http::types::LinkOptions::default();
                http::types::add_to_linker::<_, WasiHttp>(l, &options, State::http)
                    .and_then(|()| link_error_code(l))
            }
            "outgoing-handler" => {
                http::outgoing_handler::add_to_linker::<_, WasiHttp>(l, State::http)
            }
            _ => return None,
        },
        "wasi:sockets" => wasi_sockets(l, interface)?,
        "wasi:keyvalue" => wasi_keyvalue(l, interface, granted.has(Kind::Kv))?,
        "wasi:config" => match interface {
            "store" if granted.has(Kind::Config) => {
                wasmtime_wasi_config::add_to_linker(l, State::settings)
            }
            "store" => wasmtime_wasi_config::add_to_linker(l, no_config),
            _ => return None,
        },
        "bailiwick:tool" => match interface {
            "types" => tool::types::add_to_linker::<_, HasSelf<State>>(l, State::entered),
            "log" => tool::log::add_to_linker::<_, HasSelf<State>>(l, State::entered),
            "progress" if granted.has(Kind::Progress) => {
                tool::progress::add_to_linker::<_, HasSelf<State>>(l, State::entered)
            }
            "progress" => {
                tool::progress::add_to_linker::<_, NoProgress>(l, |state| state.instead(NoProgress))
            }
            "ask" if granted.has(Kind::Ask) => {
                tool::ask::add_to_linker::<_, HasSelf<State>>(l, State::entered)
            }
            "ask" => tool::ask::add_to_linker::<_, NoAsk>(l, |state| state.instead(NoAsk)),
            "secrets" if granted.has(Kind::Secret) => {
                tool::secrets::add_to_linker::<_, HasSelf<State>>(l, State::entered)
            }
            "secrets" => {
                tool::secrets::add_to_linker::<_, NoSecrets>(l, |state| state.instead(NoSecrets))
            }
            "tools" if granted.has(Kind::Call) => {
                tool::tools::add_to_linker::<_, HasSelf<State>>(l, State::entered)
            }
            "tools" => tool::tools::add_to_linker::<_, NoTools>(l, |state| state.instead(NoTools)),
            "caller" if granted.has(Kind::Claims) => {
                tool::caller::add_to_linker::<_, HasSelf<State>>(l, State::entered)
            }
            "caller" => {
                tool::caller::add_to_linker::<_, NoCaller>(l, |state| state.instead(NoCaller))
            }
            "protected" if granted.has(Kind::Reveal) => {
                tool::protected::add_to_linker::<_, HasSelf<State>>(l, State::entered)
            }
            "protected" => tool::protected::add_to_linker::<_, NoProtected>(l, |state| {
                state.instead(NoProtected)
            }),
            _ => return None,
        },
        _ => return None,
    })
}

fn wasi_io(l: &mut Linker<State>, interface: &str) -> Option<wasmtime::Result<()>> {
    Some(match interface {
        "error" => io::error::add_to_linker::<_, Io>(l, |state| state.ctx().table),
        "poll" => io::poll::add_to_linker::<_, Io>(l, |state| state.ctx().table),
        "streams" => io::streams::add_to_linker::<_, Io>(l, |state| state.ctx().table),
        _ => return None,
    })
}

fn wasi_cli(l: &mut Linker<State>, interface: &str) -> Option<wasmtime::Result<()>> {
    Some(match interface {
        "environment" => cli::environment::add_to_linker::<_, WasiCli>(l, State::cli),
        "exit" => cli::exit::add_to_linker::<_, WasiCli>(l, State::cli),
        "stdin" => cli::stdin::add_to_linker::<_, WasiCli>(l, State::cli),
        "stdout" => cli::stdout::add_to_linker::<_, WasiCli>(l, State::cli),
        "stderr" => cli::stderr::add_to_linker::<_, WasiCli>(l, State::cli),
        "terminal-input" => cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli),
        "terminal-output" => cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli),
        "terminal-stdin" => cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, State::cli),
        "terminal-stdout" => cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, State::cli),
        "terminal-stderr" => cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, State::cli),
        _ => return None,
    })
}

fn wasi_random(l: &mut Linker<State>, interface: &str) -> Option<wasmtime::Result<()>> {
    Some(match interface {
        "random" => random::random::add_to_linker::<_, WasiRandom>(l, State::random),
        "insecure" => random::insecure::add_to_linker::<_, WasiRandom>(l, State::random),
        "insecure-seed" => random::insecure_seed::add_to_linker::<_, WasiRandom>(l, State::random),
        _ => return None,
    })
}

fn wasi_keyvalue(
    l: &mut Linker<State>,
    interface: &str,
    granted: bool,
) -> Option<wasmtime::Result<()>> {
    type Real = HasSelf<State>;
    Some(match (interface, granted) {
        ("store", true) => keyvalue::store::add_to_linker::<_, Real>(l, State::entered),
        ("store", false) => {
            keyvalue::store::add_to_linker::<_, NoKv>(l, |state| state.instead(NoKv))
        }
        ("atomics", true) => keyvalue::atomics::add_to_linker::<_, Real>(l, State::entered),
        ("atomics", false) => {
            keyvalue::atomics::add_to_linker::<_, NoKv>(l, |state| state.instead(NoKv))
        }
        ("batch", true) => keyvalue::batch::add_to_linker::<_, Real>(l, State::entered),
        ("batch", false) => {
            keyvalue::batch::add_to_linker::<_, NoKv>(l, |state| state.instead(NoKv))
        }
        _ => return None,
    })
}

fn wasi_sockets(l: &mut Linker<State>, interface: &str) -> Option<wasmtime::Result<()>> {
    Some(match interface {
        "network" => {
            let options = sockets::network::LinkOptions::default();
            sockets::network::add_to_linker::<_, NoSockets>(l, &options, |state| {
                state.instead(NoSockets)
            })
        }
        "instance-network" => {
            sockets::instance_network::add_to_linker::<_, NoSockets>(l, |state| {
                state.instead(NoSockets)
            })
        }
        "ip-name-lookup" => sockets::ip_name_lookup::add_to_linker::<_, NoSockets>(l, |state| {
            state.instead(NoSockets)
        }),
        "tcp-create-socket" => {
            sockets::tcp_create_socket::add_to_linker::<_, NoSockets>(l, |state| {
                state.instead(NoSockets)
            })
        }
        "udp-create-socket" => {
            sockets::udp_create_socket::add_to_linker::<_, NoSockets>(l, |state| {
                state.instead(NoSockets)
            })
        }
        _ => return None,
    })
}
