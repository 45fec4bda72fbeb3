//! The kernel's table of TCP sockets in the network namespace of the calling thread, read by sock_diag(7).

use std::{
    io,
    net::{IpAddr, SocketAddr as Address},
};

use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

/// More than the kernel puts into one answer (32 KiB, `netlink_dump()`).
const BUFFER_BYTES: usize = 64 << 10;

/// Calls `each` with every IPv4 and IPv6 socket that is in one of these states.
///
/// # Errors
/// Netlink fails, the kernel lacks the modules (ENOENT for IPv4), or its answer cannot be parsed.
pub(crate) fn list(
    states: &StateFlags,
    extensions: &ExtensionFlags,
    mut each: impl FnMut(&InetResponse),
) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let (states, extensions) = (states.clone(), extensions.clone());
        ask(&socket, InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id })?;
        match receive(&socket, &mut each) {
            // A kernel without IPv6 has no IPv6 sockets.
            Err(error) if family == AF_INET6 && error.raw_os_error() == Some(libc::ENOENT) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Address and port. An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) becomes IPv4.
pub(crate) fn address(ip: IpAddr, port: u16) -> Address {
    Address::new(ip.to_canonical(), port)
}

fn ask(socket: &Socket, request: InetRequest) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}

fn receive(socket: &Socket, each: &mut impl FnMut(&InetResponse)) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        if read(&buffer, each)? {
            return Ok(());
        }
    }
}

/// Parses one answer. Returns true if it was the last.
///
/// # Errors
/// The answer is an error of the kernel, or cannot be parsed.
pub(crate) fn read(mut bytes: &[u8], each: &mut impl FnMut(&InetResponse)) -> io::Result<bool> {
    while !bytes.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(bytes).map_err(nonsense)?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => each(&response),
            NetlinkPayload::Done(done) if done.code < 0 => {
                return Err(io::Error::from_raw_os_error(-done.code));
            }
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            _ => {}
        }
        // Messages begin at multiples of four (NLMSG_ALIGN).
        let length =
            usize::try_from(message.header.length).map_or(usize::MAX, |length| length.next_multiple_of(4));
        bytes = bytes.get(length..).unwrap_or_default();
    }
    Ok(false)
}

fn nonsense(error: DecodeError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_may_be_an_end_or_an_error() {
        let plain = |kind: u16, code: i32| {
            let mut bytes = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            bytes
        };
        let answer = |kind, code| read(&plain(kind, code), &mut |_: &InetResponse| ());
        assert!(answer(3, 0).unwrap());
        assert_eq!(answer(3, -libc::ENOENT).unwrap_err().raw_os_error(), Some(libc::ENOENT));
        assert_eq!(answer(2, -libc::EPERM).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert!(read(&[1, 2, 3], &mut |_: &InetResponse| ()).is_err());
    }
}
