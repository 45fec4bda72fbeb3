//! Whether `sendfile()` or `splice()` had sent something before a send inside it failed.
//!
//! Both calls send piece by piece. Once they have sent a piece, they return the number of bytes sent. No process then
//! gets the error of a later piece. All of this runs only after a failed send.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user};
use observer_ebpf::abi::tcp_state;

use crate::{
    maps::{FAILED_SENDS, insert_or_count},
    read::read_at,
    registers::{entry_registers, register, system_call_number},
    settings::{
        FILE_POSITION, FILES_TABLE, PAGE_SIZE, PIPE_BUFFER_OFFSET, PIPE_BUFS, PIPE_HEAD, PIPE_TAIL,
        REGS_ARG1, REGS_ARG2, SENDFILE_CALL, SPLICE_CALL, TABLE_FILES, TABLE_SIZE, TASK_FILES,
        TASK_SPLICE_PIPE, get, has,
    },
    sock::Sock,
    task::{current_task_address, member},
};

/// What the running call had sent before the send inside it failed.
enum SentBefore {
    /// Nothing, or the call sends only once. It returns the error.
    Nothing,
    /// At least one piece. It returns a number of bytes.
    Something,
    Unknown,
}

/// Whether the running call returns the error of a send that failed on this socket.
///
/// If that is unknown, the answer is no, with one exception. The connection has ended, and an earlier send of this
/// thread failed on it after its end. That send ended its call. So this is a later call, which cannot have sent
/// anything.
#[inline(always)]
pub(crate) fn returns_error(sk: Sock) -> bool {
    let sent_before = sent_before();
    if matches!(sent_before, SentBefore::Nothing) {
        return true;
    }
    if sk.state() != tcp_state::CLOSE {
        return false;
    }
    let (thread, connection) = (bpf_get_current_pid_tgid(), sk.ended_connection_id());
    // SAFETY: the value is read at once, and only this thread writes to its key.
    let failed_before = unsafe { FAILED_SENDS.get(thread) }.copied() == Some(connection);
    insert_or_count(&FAILED_SENDS, thread, connection);
    failed_before && matches!(sent_before, SentBefore::Unknown)
}

#[inline(always)]
fn sent_before() -> SentBefore {
    if has(TASK_SPLICE_PIPE) && has(PIPE_HEAD) && has(PIPE_TAIL) && has(PIPE_BUFS) && has(PIPE_BUFFER_OFFSET)
    {
        // sendfile() is splice_direct_to_actor(). Its pipe belongs to the task and is empty outside of the call.
        // `tail` starts at 0 and counts the pages that the call has sent.
        let pipe: u64 = member(current_task_address(), TASK_SPLICE_PIPE);
        if pipe != 0 {
            let (head, tail): (u32, u32) = (member(pipe, PIPE_HEAD), member(pipe, PIPE_TAIL));
            if head != tail {
                return if tail == 0 { sent_of_first_page(pipe) } else { SentBefore::Something };
            }
        }
    }
    // The pipe of splice() belongs to the process. Its fill level at the start of the call is not recorded anywhere.
    let is_splice = system_call_number(entry_registers()) == get(SPLICE_CALL);
    if is_splice { SentBefore::Unknown } else { SentBefore::Nothing }
}

/// The send of the first page has failed: whether a part of that page was sent before.
///
/// A page in the pipe starts at the file's position when the call began, or at 0 if the file system copied it.
#[inline(always)]
fn sent_of_first_page(pipe: u64) -> SentBefore {
    let first: u64 = member(pipe, PIPE_BUFS);
    let offset: u32 = member(first, PIPE_BUFFER_OFFSET);
    if offset == 0 {
        return SentBefore::Nothing;
    }
    match sendfile_start() {
        Some(start) if start & (get(PAGE_SIZE) - 1) == u64::from(offset) => SentBefore::Nothing,
        Some(_) => SentBefore::Something,
        None => SentBefore::Unknown,
    }
}

/// The position in the file, in bytes, at which the running `sendfile(out_fd, in_fd, offset, count)` began.
///
/// `offset` points to it, or else it is the file's own position. The kernel updates both only when the call returns.
#[inline(always)]
fn sendfile_start() -> Option<u64> {
    let registers = entry_registers();
    if !(has(REGS_ARG1) && has(REGS_ARG2)) || system_call_number(registers) != get(SENDFILE_CALL) {
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
    let files: u64 = member(current_task_address(), TASK_FILES);
    let table: u64 = member(files, FILES_TABLE);
    let size: u32 = member(table, TABLE_SIZE);
    if descriptor >= u64::from(size) {
        return None;
    }
    let all: u64 = member(table, TABLE_FILES);
    let file: u64 = read_at(all + descriptor * size_of::<u64>() as u64);
    if file == 0 { None } else { Some(read_at(file + get(FILE_POSITION))) }
}
