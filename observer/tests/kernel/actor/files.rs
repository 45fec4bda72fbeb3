//! System calls that send from a file or a pipe.

use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{Whence, ftruncate, lseek, pipe};
use socket2::Socket;

/// Sends zeroes from a file by one sendfile(2). Returns the bytes sent.
pub(crate) fn sendfile(socket: &Socket, from: u64, bytes: usize, by_position: bool) -> io::Result<u64> {
    let file = memfd_create(c"zeroes", MFdFlags::empty())?;
    let mut at = i64::try_from(from).expect("an offset that fits");
    ftruncate(&file, at + i64::try_from(bytes).expect("a size that fits"))?;
    let offset = if by_position {
        lseek(&file, at, Whence::SeekSet)?;
        std::ptr::null_mut()
    } else {
        &raw mut at
    };
    // SAFETY: the offset is null or outlives the call.
    answer(unsafe { libc::sendfile(socket.as_raw_fd(), file.as_raw_fd(), offset, bytes) })
}

/// Sends zeroes from a pipe by one splice(2). Returns the bytes sent.
pub(crate) fn splice(socket: &Socket, bytes: usize) -> io::Result<u64> {
    let (output, input) = pipe()?;
    let size = fcntl(&input, FcntlArg::F_SETPIPE_SZ(i32::try_from(bytes).expect("a size that fits")))?;
    assert!(usize::try_from(size).is_ok_and(|size| size >= bytes), "the pipe holds {size} bytes");
    std::fs::File::from(input).write_all(&vec![0; bytes])?;
    let none = std::ptr::null_mut;
    // SAFETY: neither end has an offset of its own.
    answer(unsafe { libc::splice(output.as_raw_fd(), none(), socket.as_raw_fd(), none(), bytes, 0) })
}

/// One send(2) from an unmapped address.
pub(crate) fn send_from_nowhere(socket: &Socket) -> io::Result<u64> {
    const NOWHERE: usize = 8;
    // SAFETY: the kernel checks the address and refuses it.
    answer(unsafe { libc::send(socket.as_raw_fd(), std::ptr::without_provenance(NOWHERE), 100, 0) })
}

fn answer(sent: isize) -> io::Result<u64> {
    Errno::result(sent).map(isize::unsigned_abs).map_err(io::Error::from).map(|sent| sent as u64)
}
