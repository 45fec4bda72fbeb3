//! The kernel's table of half-closed TCP sockets in the network namespace of the calling thread, by sock_diag(7).

use std::{
    io,
    mem::offset_of,
    net::{IpAddr, SocketAddr as Address},
};

use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

use super::Queued;
use crate::event::{Endpoints, State};

/// More than the kernel ever puts into one answer (32 KiB, `netlink_dump()`).
const BUFFER_BYTES: usize = 64 << 10;

/// Offset of `tcpi_notsent_bytes` in `struct tcp_info` (include/uapi/linux/tcp.h, 4.6 and later), which ends before
/// it in libc.
const NOTSENT_BYTES: usize = 144;

/// One line of the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) endpoints: Endpoints,
    pub(super) state: State,
    /// 0 without a file.
    pub(super) inode: u64,
    /// `rcv_nxt - copied_seq`: the peer's FIN takes one.
    pub(super) receive_queue: u32,
    /// `write_seq - snd_una`: our FIN takes one.
    pub(super) send_queue: u32,
    /// None for what is left of a closed socket (a timewait minisocket).
    pub(super) info: Option<Info>,
}

/// The members of `struct tcp_info` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Info {
    /// Time since the last acceptable ACK.
    pub(super) last_ack_ms: u32,
    /// The part of the send queue that was never sent, the FIN included.
    pub(super) not_sent: u32,
}

/// Asks for both address families. `netns` is the thread's own namespace, by number.
pub(super) fn dump(netns: u32) -> io::Result<Vec<Listed>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut listed = Vec::new();
    for (family, id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        ask(&socket, family, id)?;
        match receive(&socket, netns, &mut listed) {
            // A kernel without IPv6 has no such sockets.
            Err(error) if family == AF_INET6 && error.raw_os_error() == Some(libc::ENOENT) => {}
            other => other?,
        }
    }
    Ok(listed)
}

fn ask(socket: &Socket, family: u8, socket_id: SocketId) -> io::Result<()> {
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        // A minisocket goes by what it stands for: FIN_WAIT2 asks for those in FIN_WAIT2, and not for TIME_WAIT.
        states: StateFlags::FIN_WAIT1 | StateFlags::FIN_WAIT2 | StateFlags::CLOSE_WAIT,
        socket_id,
    };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}

fn receive(socket: &Socket, netns: u32, listed: &mut Vec<Listed>) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        buffer.clear();
        socket.recv(&mut buffer, 0)?;
        if read(&buffer, netns, listed)? {
            return Ok(());
        }
    }
}

/// Takes one answer apart. True when it was the last.
pub(super) fn read(mut bytes: &[u8], netns: u32, listed: &mut Vec<Listed>) -> io::Result<bool> {
    while !bytes.is_empty() {
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(bytes).map_err(nonsense)?;
        match message.payload {
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                listed.extend(Listed::read(&response, netns));
            }
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

impl Listed {
    fn read(response: &InetResponse, netns: u32) -> Option<Self> {
        let header = &response.header;
        let id = &header.socket_id;
        // An IPv6 socket may carry IPv4.
        let address = |ip: IpAddr, port| Address::new(ip.to_canonical(), port);
        Some(Self {
            endpoints: Endpoints {
                local: address(id.source_address, id.source_port),
                remote: address(id.destination_address, id.destination_port),
                netns,
            },
            state: State::from_kernel(header.state.into())?,
            inode: header.inode.into(),
            receive_queue: header.recv_queue,
            send_queue: header.send_queue,
            info: response.nlas.iter().find_map(|attribute| match attribute {
                Nla::TcpInfo(bytes) => Info::read(bytes),
                _ => None,
            }),
        })
    }

    /// What of the queues is data. In CLOSE_WAIT the peer's FIN is the last in the receive queue until it is read as
    /// end of file; in FIN_WAIT1 ours is the last in the send queue.
    pub(super) fn queued(&self) -> Queued {
        let unsent = self.info.map_or(0, |info| info.not_sent).min(self.send_queue);
        let unacked = self.send_queue - unsent;
        let (unacked, unsent) = match (self.state, unsent) {
            (State::FinWait1, 0) => (unacked.saturating_sub(1), 0),
            (State::FinWait1, _) => (unacked, unsent - 1),
            _ => (unacked, unsent),
        };
        let fin = u32::from(self.state == State::CloseWait);
        Queued { unread: self.receive_queue.saturating_sub(fin), unacked, unsent }
    }

    pub(super) fn end_read(&self) -> Option<bool> {
        (self.state == State::CloseWait).then_some(self.receive_queue == 0)
    }
}

impl Info {
    /// None for a kernel that tells less.
    fn read(bytes: &[u8]) -> Option<Self> {
        let at = |offset: usize| {
            let member = bytes.get(offset..)?.first_chunk()?;
            Some(u32::from_ne_bytes(*member))
        };
        Some(Self {
            last_ack_ms: at(offset_of!(libc::tcp_info, tcpi_last_ack_recv))?,
            not_sent: at(NOTSENT_BYTES)?,
        })
    }
}
