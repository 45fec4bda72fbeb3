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

/// No process: the hook ran for a packet or a timer.
pub(crate) const NONE: Task =
    Task { pid: 0, tid: 0, uid: 0, flags: 0, exit_code: 0, pad: 0, cgroup: 0, comm: [0; 16] };

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
