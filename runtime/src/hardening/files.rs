//! Landlock: the files that are there for this process, and the ports on which it listens.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use std::path::Path;

use super::{Layer, Network, Places, Report};

/// What a folder of data is good for: everything but programs, devices and sockets.
const DATA: BitFlags<AccessFs> = landlock::make_bitflags!(AccessFs::{
    ReadFile | WriteFile | ReadDir | RemoveDir | RemoveFile | MakeDir | MakeReg | MakeSym | Refer | Truncate
});
const READ: BitFlags<AccessFs> = landlock::make_bitflags!(AccessFs::{ReadFile | ReadDir});
const RUN: BitFlags<AccessFs> = landlock::make_bitflags!(AccessFs::{ReadFile | Execute});
const DEVICE: BitFlags<AccessFs> = landlock::make_bitflags!(AccessFs::{ReadFile | WriteFile});

/// First kernel interface with each layer: before the third a file can be cut off that cannot be written.
const FILES_SINCE: ABI = ABI::V3;
const PORTS_SINCE: ABI = ABI::V4;
const SCOPE_SINCE: ABI = ABI::V6;

/// Restricts this thread and all that it starts.
pub(super) fn restrict(places: &Places, report: &mut Report) {
    let layers = [
        (Layer::Files, FILES_SINCE),
        (Layer::Ports, PORTS_SINCE),
        (Layer::Scope, SCOPE_SINCE),
    ];
    let all = places.read.iter().chain(&places.write);
    let is_void =
        { all }.any(|path| std::fs::canonicalize(path).is_ok_and(|real| real == Path::new("/")));
    match enforce(places) {
        Ok(kernel) => {
            for (layer, since) in layers {
                let why = || match kernel {
                    None => "this kernel has no Landlock, or it is not enabled".to_owned(),
                    Some(kernel) => format!(
                        "the Landlock of this kernel is of interface {kernel}, and {} is needed",
                        since as i32
                    ),
                };
                if layer == Layer::Files && is_void {
                    let why = "the configuration has `/` among its folders";
                    report.note(layer, Err(why.to_owned()));
                    continue;
                }
                let is_there = kernel.is_some_and(|kernel| kernel >= since as i32);
                report.note(layer, is_there.then_some(()).ok_or_else(why));
            }
        }
        Err(error) => {
            for (layer, _) in layers {
                report.note(layer, Err(error.to_string()));
            }
        }
    }
}

/// The kernel's interface by which it is in force.
fn enforce(places: &Places) -> Result<Option<i32>, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(SCOPE_SINCE))?
        .handle_access(match places.network {
            Network::None => AccessNet::BindTcp | AccessNet::ConnectTcp,
            // Tools reach any port of a host that was granted to them.
            Network::Internet => AccessNet::BindTcp.into(),
        })?
        .scope(Scope::from_all(SCOPE_SINCE))?
        .create()?;
    for (paths, access) in [
        (&places.write, DATA),
        (&places.read, READ),
        (&places.run, RUN),
        (&places.devices, DEVICE),
    ] {
        for path in paths {
            // What is not there is not made reachable; whoever needs it says that it is not there.
            let Ok(opened) = PathFd::new(path) else {
                continue;
            };
            let access = match path.is_dir() {
                true => access,
                false => access & AccessFs::from_file(SCOPE_SINCE),
            };
            rules = rules.add_rule(PathBeneath::new(opened, access))?;
        }
    }
    for port in &places.ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    Ok(match rules.restrict_self()?.landlock {
        LandlockStatus::Available { effective_abi, .. } => Some(effective_abi as i32),
        _ => None,
    })
}
