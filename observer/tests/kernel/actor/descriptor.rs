//! Passing descriptors from one actor to another over a Unix socket (SCM_RIGHTS).
//!
//! The socket has an abstract name, which is local to the network namespace.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use crate::wait::{DEADLINE, eventually};

fn name() -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name("descriptor")
}

/// Sends the descriptor. Waits until another actor takes it.
pub(crate) fn pass(descriptor: &impl AsFd) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    let name = name()?;
    let connected = eventually(DEADLINE, || sender.connect_addr(&name).ok());
    connected.ok_or(Errno::ETIME)?;
    let descriptors = [descriptor.as_fd().as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let something = [IoSlice::new(b"x")];
    sendmsg::<()>(sender.as_raw_fd(), &something, &rights, MsgFlags::empty(), None)?;
    Ok(())
}

pub(crate) fn take() -> io::Result<OwnedFd> {
    let receiver = UnixDatagram::bind_addr(&name()?)?;
    let mut byte = [0];
    let mut something = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(receiver.as_raw_fd(), &mut something, Some(&mut space), flags)?;
    let passed = message.cmsgs()?.find_map(|part| match part {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel has just made this descriptor for us.
    passed.map(|passed| unsafe { OwnedFd::from_raw_fd(passed) }).ok_or_else(|| Errno::ENOMSG.into())
}
