//! The process that runs at a hook.

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid,
    generated::{bpf_get_current_task, bpf_get_current_task_btf},
};
use observer_ebpf::abi::record::{PF_EXITING, Task};

use crate::{
    read::{bytes, cast, read_at},
    settings::{
        CGROUP_KN, CRED_UID, CSS_SET_DFL_CGRP, KERNFS_ID, Known, TASK_BTF, TASK_CGROUPS, TASK_COMM,
        TASK_CRED, TASK_EXIT_CODE, TASK_FLAGS, TASK_GROUP_LEADER, TYPE_TASK, TYPED, get, has,
    },
};

/// The running task. Only meaningful where a system call of that task holds the socket.
///
/// The name is the thread group leader's, so that a pool's worker threads (and io_uring's) count for their program.
#[inline(always)]
pub(crate) fn current() -> Task {
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    let task = running();
    let leader = if pid == tid { task } else { member(task, TASK_GROUP_LEADER) };
    let flags: u32 = member(task, TASK_FLAGS);
    let cred: u64 = member(task, TASK_CRED);
    Task {
        pid,
        tid,
        uid: member(cred, CRED_UID),
        flags,
        exit_code: if flags & PF_EXITING == 0 { 0 } else { member(task, TASK_EXIT_CODE) },
        pad: 0,
        cgroup: cgroup(task),
        comm: bytes(member(leader, TASK_COMM)),
    }
}

/// The running task's address, with its type where the kernel can give it one, for [`member`].
///
/// The type that `bpf_get_current_task_btf` gives is one that the verifier trusts. At each pointer that is followed from
/// there it searches all of the kernel's types for whether to trust that too: a third of the observer's start.
#[inline(always)]
pub(crate) fn running() -> u64 {
    // SAFETY: the helpers take no argument; the second is called only where the kernel has it.
    unsafe {
        if get(TYPED) == 1 {
            cast(bpf_get_current_task(), TYPE_TASK)
        } else if get(TASK_BTF) == 1 {
            bpf_get_current_task_btf() as u64
        } else {
            bpf_get_current_task()
        }
    }
}

/// What `Opened` says of the running task: process id, user id, and the thread group leader's name.
#[inline(always)]
pub(crate) fn opener() -> (u32, u32, [u8; 16]) {
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    let task = running();
    let leader = if pid == tid { task } else { member(task, TASK_GROUP_LEADER) };
    let cred: u64 = member(task, TASK_CRED);
    (pid, member(cred, CRED_UID), bytes(member(leader, TASK_COMM)))
}

/// Id of the task's cgroup v2, as `bpf_get_current_cgroup_id` gives it (`cgroup_id()`, the kernfs node's).
#[inline(always)]
fn cgroup(task: u64) -> u64 {
    if !(has(TASK_CGROUPS) && has(CSS_SET_DFL_CGRP) && has(CGROUP_KN) && has(KERNFS_ID)) {
        return 0;
    }
    let set: u64 = member(task, TASK_CGROUPS);
    let group: u64 = member(set, CSS_SET_DFL_CGRP);
    let node: u64 = member(group, CGROUP_KN);
    member(node, KERNFS_ID)
}

/// A member of the task, or of what it points to.
///
/// What was cast, or given by `bpf_get_current_task_btf`, may be followed without a helper call, the verifier knows its
/// type; a bad pointer on the way reads as zero.
#[inline(always)]
pub(crate) fn member<T: Copy>(base: u64, offset: impl Known) -> T {
    member_at(base, get(offset))
}

/// As [`member`], at a place that settings add up to.
#[inline(always)]
pub(crate) fn member_at<T: Copy>(base: u64, place: u64) -> T {
    if get(TYPED) == 1 || get(TASK_BTF) == 1 {
        // SAFETY: the verifier allows only what is within the struct.
        unsafe { ((base + place) as *const T).read() }
    } else {
        read_at(base + place)
    }
}
