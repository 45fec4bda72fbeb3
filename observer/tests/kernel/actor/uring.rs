//! The system calls of an actor that go through io_uring.

use std::io;
use std::os::fd::{AsRawFd as _, IntoRawFd as _, OwnedFd};

use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, opcode, types};
use socket2::Socket;

/// Sends a short text. Returns the bytes sent.
pub(crate) fn send(socket: &Socket, in_worker: bool) -> io::Result<u64> {
    const BYTES: &[u8] = b"by io_uring";
    let length = u32::try_from(BYTES.len()).expect("a short text");
    submit(&opcode::Send::new(types::Fd(socket.as_raw_fd()), BYTES.as_ptr(), length).build(), in_worker)
}

pub(crate) fn close(socket: OwnedFd, in_worker: bool) -> io::Result<u64> {
    submit(&opcode::Close::new(types::Fd(socket.into_raw_fd())).build(), in_worker)
}

/// Submits an operation and waits for its result. Without a worker the submitting call executes it.
fn submit(entry: &Entry, in_worker: bool) -> io::Result<u64> {
    let mut ring = IoUring::new(2)?;
    let flags = if in_worker { Flags::ASYNC } else { Flags::empty() };
    // SAFETY: the entry's data is static, or the kernel owns it from now on.
    unsafe { ring.submission().push(&entry.clone().flags(flags)) }.expect("room for one");
    ring.submit_and_wait(1)?;
    let result = ring.completion().next().expect("one result").result();
    u64::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}
