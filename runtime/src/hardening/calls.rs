//! System calls that a server has no use for, and whoever took it over has.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::Network;

/// Refused with `EPERM`, whatever their arguments.
///
/// By subject: other processes' memory and execution, the kernel's own programs and faults, keys, mounts, namespaces, modules and
/// boot, time and names of the machine, raw hardware. `io_uring` would carry out calls that no filter sees.
const REFUSED: &[c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_perf_event_open,
    libc::SYS_bpf,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_personality,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_mknodat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Families of sockets that there may be: those of files and of the internet. `AF_NETLINK`, packets, Bluetooth, `AF_ALG` and others
/// have been ways into the kernel.
const FAMILIES: [i32; 3] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];

/// Flags of `clone` that make a namespace. A mask of one bit each: any of them refuses.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// The bit by which calls of x32 are told from those of x86-64, and those that it numbers apart.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;
#[cfg(target_arch = "x86_64")]
const X32_ALONE: std::ops::RangeInclusive<i64> = 512..=547;

/// The filters, in the order in which they are applied.
fn filters(network: Network) -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let sockets = match network {
        Network::None => Vec::new(),
        Network::Internet => {
            let others = FAMILIES
                .into_iter()
                .map(|family| argument(0, SeccompCmpOp::Ne, family.unsigned_abs()));
            vec![SeccompRule::new(others.collect::<Result<_, _>>()?)?]
        }
    };
    refused.insert(libc::SYS_socket, sockets);
    let namespace = |flag: i32| {
        let mask = u64::from(flag.unsigned_abs());
        SeccompRule::new(vec![argument(
            0,
            SeccompCmpOp::MaskedEq(mask),
            flag.unsigned_abs(),
        )?])
    };
    let namespaces = NAMESPACES.into_iter().map(namespace);
    refused.insert(libc::SYS_clone, namespaces.collect::<Result<_, _>>()?);
    // The same calls by the numbers of a second interface (x32), of which the filter sees another number of the same machine.
    #[cfg(target_arch = "x86_64")]
    {
        let second: Vec<i64> = refused.keys().map(|call| call | X32).collect();
        refused.extend(second.into_iter().map(|call| (call, Vec::new())));
        refused.insert(libc::SYS_clone3 | X32, Vec::new());
        refused.extend(X32_ALONE.map(|call| (call | X32, Vec::new())));
    }
    // Its flags lie in memory, where no filter can look. A C library that is told that there is no such call takes `clone`.
    let unknown = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    Ok([
        filter(refused, libc::EPERM)?,
        filter(unknown, libc::ENOSYS)?,
    ])
}

fn argument(
    number: u8,
    compare: SeccompCmpOp,
    value: u32,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(number, SeccompCmpArgLen::Dword, compare, u64::from(value))
}

fn filter(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    error: i32,
) -> Result<BpfProgram, seccompiler::BackendError> {
    let refuse = SeccompAction::Errno(error.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch)?.try_into()
}

/// Refuses them from now on, on this thread and on all that it starts.
pub(super) fn restrict(network: Network) -> Result<(), String> {
    let all = filters(network).map_err(|error| error.to_string())?;
    for filter in &all {
        seccompiler::apply_filter(filter).map_err(|error| error.to_string())?;
    }
    Ok(())
}
