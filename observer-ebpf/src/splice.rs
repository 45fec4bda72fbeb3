//! What `sendfile()` or `splice()` has moved when a send inside it fails.
//!
//! Both send piece by piece. Once a piece is sent the call returns the number of bytes, and the error of a later piece
//! is returned to nobody. All of this runs after a failed send only.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user};

use crate::{
    maps::{DEAD_SENDS, note},
    read::read_at,
    registers::{register, registers, system_call},
    settings::{
        FILE_POSITION, FILES_TABLE, PAGE_SIZE, PIPE_BUFFER_OFFSET, PIPE_BUFS, PIPE_HEAD, PIPE_TAIL,
        REGS_ARG1, REGS_ARG2, SENDFILE_CALL, SPLICE_CALL, TABLE_FILES, TABLE_SIZE, TASK_FILES,
        TASK_SPLICE_PIPE, get, has,
    },
    sock::{Sock, state},
    task::{member, running},
};

/// What the running call had moved before the send inside it failed.
enum Moved {
    /// Nothing, or it is a call that sends once: it returns the error.
    Nothing,
    /// It returns a number of bytes.
    Something,
    Unknown,
}

/// Whether the running call returns the error of a send that failed on this socket.
///
/// Where that is unknown, the answer is no, with one exception: the connection is over, and an earlier send of this
/// thread has failed on it since. That send ended its call, so this is a later call, and it cannot have sent anything.
#[inline(always)]
pub(crate) fn returns_error(sk: Sock) -> bool {
    let moved = moved();
    if matches!(moved, Moved::Nothing) {
        return true;
    }
    if sk.state() != state::CLOSE {
        return false;
    }
    let (thread, dead) = (bpf_get_current_pid_tgid(), sk.ended_name());
    // SAFETY: the value is read at once; only this thread writes to its key.
    let failed_before = unsafe { DEAD_SENDS.get(thread) }.copied() == Some(dead);
    note(&DEAD_SENDS, thread, dead);
    failed_before && matches!(moved, Moved::Unknown)
}

#[inline(always)]
fn moved() -> Moved {
    if has(TASK_SPLICE_PIPE) && has(PIPE_HEAD) && has(PIPE_TAIL) && has(PIPE_BUFS) && has(PIPE_BUFFER_OFFSET)
    {
        // splice_direct_to_actor(), which is all of sendfile(): its pipe is the task's own and empty outside of the
        // call, and `tail` counts from 0 the pages that the call has sent.
        let pipe: u64 = member(running(), TASK_SPLICE_PIPE);
        if pipe != 0 {
            let (head, tail): (u32, u32) = (member(pipe, PIPE_HEAD), member(pipe, PIPE_TAIL));
            if head != tail {
                return if tail == 0 { moved_of_first_page(pipe) } else { Moved::Something };
            }
        }
    }
    // The pipe of splice() is the process's: how much was in it when the call began is not to be found.
    if system_call(registers()) == get(SPLICE_CALL) { Moved::Unknown } else { Moved::Nothing }
}

/// The send of the first page has failed: whether a part of that page was sent before.
///
/// A page in the pipe begins where the file was when the call began, or at 0 if the file system copied it.
#[inline(always)]
fn moved_of_first_page(pipe: u64) -> Moved {
    let first: u64 = member(pipe, PIPE_BUFS);
    let at: u32 = member(first, PIPE_BUFFER_OFFSET);
    if at == 0 {
        return Moved::Nothing;
    }
    match sendfile_start() {
        Some(start) if start & (get(PAGE_SIZE) - 1) == u64::from(at) => Moved::Nothing,
        Some(_) => Moved::Something,
        None => Moved::Unknown,
    }
}

/// Where in its file the running `sendfile(out_fd, in_fd, offset, count)` began: `offset` tells, or the file's own
/// position. Both are changed when the call returns, not before.
#[inline(always)]
fn sendfile_start() -> Option<u64> {
    let registers = registers();
    if !(has(REGS_ARG1) && has(REGS_ARG2)) || system_call(registers) != get(SENDFILE_CALL) {
        return None;
    }
    let offset: u64 = register(registers, REGS_ARG2);
    if offset != 0 {
        // SAFETY: the helper checks the address itself.
        return unsafe { bpf_probe_read_user(offset as *const u64) }.ok();
    }
    if !(has(TASK_FILES) && has(FILES_TABLE) && has(TABLE_FILES) && has(TABLE_SIZE) && has(FILE_POSITION)) {
        return None;
    }
    let descriptor = u64::from(register(registers, REGS_ARG1) as u32);
    let files: u64 = member(running(), TASK_FILES);
    let table: u64 = member(files, FILES_TABLE);
    let size: u32 = member(table, TABLE_SIZE);
    if descriptor >= u64::from(size) {
        return None;
    }
    let all: u64 = member(table, TABLE_FILES);
    let file: u64 = read_at(all + descriptor * size_of::<u64>() as u64);
    if file == 0 { None } else { Some(read_at(file + get(FILE_POSITION))) }
}
