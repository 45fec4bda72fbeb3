//! The process that runs at a hook.

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid,
    generated::{bpf_get_current_task, bpf_get_current_task_btf},
};
use observer_ebpf::abi::record::{PF_EXITING, Task};

use crate::{
    read::{bytes, cast, read_at},
    settings::{
        CGROUP_KN, CRED_UID, CSS_SET_DFL_CGRP, KERNFS_ID, LoadTimeConstant, TASK_BTF, TASK_CGROUPS,
        TASK_COMM, TASK_CRED, TASK_EXIT_CODE, TASK_FLAGS, TASK_GROUP_LEADER, TYPE_TASK, TYPED, get, has,
    },
};

/// The current task, for a record. Only meaningful while a system call of that task holds the socket.
///
/// The name is that of the thread group leader. Worker threads of a pool (and of io_uring) then count for their
/// program.
#[inline(always)]
pub(crate) fn current() -> Task {
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    let task = current_task_address();
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

/// Address of the current task, for [`member`]. It has a type if the kernel can give it one.
///
/// The verifier trusts the type that `bpf_get_current_task_btf` gives. At each pointer that is followed from there, it
/// searches all of the kernel's types to decide whether to trust that one too. This took a third of the observer's
/// start, so a cast is preferred.
#[inline(always)]
pub(crate) fn current_task_address() -> u64 {
    // SAFETY: the helpers take no argument, and the second one is called only if the kernel has it.
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

/// The part of the current task that `Opened` has: process id, user id, and name of the thread group leader.
#[inline(always)]
pub(crate) fn opener() -> (u32, u32, [u8; 16]) {
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    let task = current_task_address();
    let leader = if pid == tid { task } else { member(task, TASK_GROUP_LEADER) };
    let cred: u64 = member(task, TASK_CRED);
    (pid, member(cred, CRED_UID), bytes(member(leader, TASK_COMM)))
}

/// Id of the task's cgroup v2, the same as `bpf_get_current_cgroup_id` gives (`cgroup_id()`: the id of the kernfs
/// node).
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

/// A member of the task, or of a struct that the task points to.
///
/// The verifier knows the type of a pointer that was cast or came from `bpf_get_current_task_btf`. Such a pointer can
/// be followed without a helper call. A bad pointer on the way reads as zero.
#[inline(always)]
pub(crate) fn member<T: Copy>(base: u64, offset: impl LoadTimeConstant) -> T {
    member_at(base, get(offset))
}

/// Like [`member`], at an offset in bytes that is the sum of several settings.
#[inline(always)]
pub(crate) fn member_at<T: Copy>(base: u64, offset: u64) -> T {
    if get(TYPED) == 1 || get(TASK_BTF) == 1 {
        // SAFETY: the verifier accepts only loads within the struct.
        unsafe { ((base + offset) as *const T).read() }
    } else {
        read_at(base + offset)
    }
}
