//! The process that runs at a hook.

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
    generated::{bpf_get_current_cgroup_id, bpf_get_current_task},
};
use observer_ebpf::abi::record::{PF_EXITING, Task};

use crate::{
    read::read,
    settings::{TASK_COMM, TASK_EXIT_CODE, TASK_FLAGS, TASK_GROUP_LEADER},
};

/// Writes the running task, or zeros where the hook ran for a packet or a timer.
///
/// # Safety
/// `to` must be valid for a write.
#[inline(always)]
pub(crate) unsafe fn write(to: *mut Task, is_ours: bool) {
    if is_ours {
        // SAFETY: the caller's promise.
        unsafe { to.write(current()) };
    } else {
        const WORDS: usize = size_of::<Task>() / 8;
        let words = to.cast::<u64>();
        for word in 0..WORDS {
            // SAFETY: the caller's promise, and a Task is so many words. Volatile, since what zeroes it otherwise is
            // a call of a loop over bytes.
            unsafe { words.add(word).write_volatile(0) };
        }
    }
}

/// The running task. Only meaningful where a system call of that task holds the socket.
///
/// The name is the thread group leader's, so that a pool's worker threads (and io_uring's) count for their program.
#[inline(always)]
pub(crate) fn current() -> Task {
    let id = bpf_get_current_pid_tgid();
    let (pid, tid) = ((id >> 32) as u32, id as u32);
    // SAFETY: the helpers take no argument.
    let (task, cgroup) = unsafe { (bpf_get_current_task(), bpf_get_current_cgroup_id()) };
    let leader = if pid == tid { task } else { read(task, &TASK_GROUP_LEADER) };
    let flags = read(task, &TASK_FLAGS);
    Task {
        pid,
        tid,
        uid: bpf_get_current_uid_gid() as u32,
        flags,
        exit_code: if flags & PF_EXITING == 0 { 0 } else { read(task, &TASK_EXIT_CODE) },
        pad: 0,
        cgroup,
        comm: read(leader, &TASK_COMM),
    }
}
