//! The kernel's table of half-closed TCP sockets in the network namespace of the calling thread.

use std::{io, mem::offset_of};

use netlink_packet_sock_diag::inet::{ExtensionFlags, InetResponse, StateFlags, nlas::Nla};

use super::AcceptQueue;
use crate::{
    event::{Endpoints, State},
    source::sock_diag::{address, list},
    story::step::Queues,
};

/// Offset of `tcpi_notsent_bytes` in `struct tcp_info` (include/uapi/linux/tcp.h, since 4.6). libc's struct ends before
/// this member.
const NOTSENT_BYTES: usize = 144;

/// One socket of the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DiagSocket {
    pub(super) endpoints: Endpoints,
    pub(super) state: State,
    /// Inode of the socket's file; 0 without a file.
    pub(super) inode: u64,
    /// `rcv_nxt - copied_seq`; the peer's FIN counts as one byte.
    pub(super) receive_queue: u32,
    /// `write_seq - snd_una`; our FIN counts as one byte.
    pub(super) send_queue: u32,
    /// None for a timewait minisocket, which remains of a closed socket.
    pub(super) info: Option<TcpInfo>,
}

/// The members of `struct tcp_info` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TcpInfo {
    /// Time since the last acceptable ACK.
    pub(super) last_ack_ms: u32,
    /// Time since data was last sent; without such data, since the handshake was complete.
    pub(super) last_data_sent_ms: u32,
    /// Bytes of the send queue that were never sent, including the FIN.
    pub(super) not_sent: u32,
}

/// Lists the half-closed sockets of both address families. `netns` is the number of the calling thread's namespace.
pub(super) fn dump(netns: u32) -> io::Result<Vec<DiagSocket>> {
    // The kernel filters minisockets by their substate: FIN_WAIT2 includes those in FIN_WAIT2, but not those in
    // TIME_WAIT.
    let states = StateFlags::FIN_WAIT1 | StateFlags::FIN_WAIT2 | StateFlags::CLOSE_WAIT;
    let mut sockets = Vec::new();
    list(&states, &ExtensionFlags::INFO, |response| sockets.extend(DiagSocket::read(response, netns)))?;
    Ok(sockets)
}

impl DiagSocket {
    pub(super) fn read(response: &InetResponse, netns: u32) -> Option<Self> {
        let header = &response.header;
        let id = &header.socket_id;
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
                Nla::TcpInfo(bytes) => TcpInfo::read(bytes),
                _ => None,
            }),
        })
    }

    /// The data in the queues, without FINs. In CLOSE_WAIT the peer's FIN is the last byte of the receive queue until
    /// the process reads it as end of file. In FIN_WAIT1 our FIN is the last byte of the send queue.
    pub(super) fn queued(&self) -> Queues {
        let unsent = self.info.map_or(0, |info| info.not_sent).min(self.send_queue);
        let unacked = self.send_queue - unsent;
        let (unacked, unsent) = match (self.state, unsent) {
            (State::FinWait1, 0) => (unacked.saturating_sub(1), 0),
            (State::FinWait1, _) => (unacked, unsent - 1),
            _ => (unacked, unsent),
        };
        let fin = u32::from(self.state == State::CloseWait);
        Queues { unread: self.receive_queue.saturating_sub(fin), unacked, unsent }
    }

    /// See [`super::HalfClosed::end_read`].
    pub(super) fn end_read(&self) -> Option<bool> {
        (self.state == State::CloseWait).then_some(self.receive_queue == 0)
    }

    /// Whether our FIN has left this host. It is the last byte of the send queue, so it waits if any byte waits.
    pub(super) fn fin_sent(&self) -> Option<bool> {
        match self.state {
            State::FinWait1 => self.info.map(|info| info.not_sent == 0),
            State::FinWait2 => Some(true),
            _ => None,
        }
    }

    /// Whether no process has accepted the connection yet. An accepted connection has a file, and leaves CLOSE_WAIT
    /// when the file is closed.
    pub(super) fn is_unaccepted(&self) -> bool {
        self.state == State::CloseWait && self.inode == 0
    }

    /// See [`super::HalfClosed::accept_queue`]. An unaccepted socket has sent no data, so its time of the last data is
    /// that of the handshake: `tcp_create_openreq_child()` sets it.
    pub(super) fn accept_queue(&self) -> Option<AcceptQueue> {
        let waited = self.info.map(|info| u64::from(info.last_data_sent_ms) * 1_000_000);
        self.is_unaccepted().then_some(AcceptQueue { waited_ns: waited })
    }
}

impl TcpInfo {
    /// None if the kernel's struct is shorter.
    fn read(bytes: &[u8]) -> Option<Self> {
        let at = |offset: usize| {
            let member = bytes.get(offset..)?.first_chunk()?;
            Some(u32::from_ne_bytes(*member))
        };
        Some(Self {
            last_ack_ms: at(offset_of!(libc::tcp_info, tcpi_last_ack_recv))?,
            last_data_sent_ms: at(offset_of!(libc::tcp_info, tcpi_last_data_sent))?,
            not_sent: at(NOTSENT_BYTES)?,
        })
    }
}

#[cfg(test)]
impl DiagSocket {
    /// A socket with an inode and these queues.
    pub(super) fn with_queues(state: State, receive_queue: u32, send_queue: u32, not_sent: u32) -> Self {
        let info = TcpInfo { last_ack_ms: 5000, last_data_sent_ms: 7000, not_sent };
        let (local, remote) = (([10, 0, 0, 1], 443).into(), ([10, 0, 0, 2], 50_000).into());
        let endpoints = Endpoints { local, remote, netns: 7 };
        Self { endpoints, state, inode: 42, receive_queue, send_queue, info: Some(info) }
    }
}

#[cfg(test)]
mod tests;
