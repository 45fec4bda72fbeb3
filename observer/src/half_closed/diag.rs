//! The kernel's table of half-closed TCP sockets in the network namespace of the calling thread.

use std::{io, mem::offset_of};

use netlink_packet_sock_diag::inet::{ExtensionFlags, InetResponse, StateFlags, nlas::Nla};

use super::AcceptQueue;
use crate::{
    event::{Endpoints, State},
    source::sock_diag::{address, list},
    story::step::Queues,
};

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
    /// Time since data was last sent; where none was, since the handshake was complete.
    pub(super) last_data_sent_ms: u32,
    /// The part of the send queue that was never sent, the FIN included.
    pub(super) not_sent: u32,
}

/// Asks for both address families. `netns` is the thread's own namespace, by number.
pub(super) fn dump(netns: u32) -> io::Result<Vec<Listed>> {
    // A minisocket goes by what it stands for: FIN_WAIT2 asks for those in FIN_WAIT2, and not for TIME_WAIT.
    let states = StateFlags::FIN_WAIT1 | StateFlags::FIN_WAIT2 | StateFlags::CLOSE_WAIT;
    let mut listed = Vec::new();
    list(&states, &ExtensionFlags::INFO, |response| listed.extend(Listed::read(response, netns)))?;
    Ok(listed)
}

impl Listed {
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
                Nla::TcpInfo(bytes) => Info::read(bytes),
                _ => None,
            }),
        })
    }

    /// What of the queues is data. In CLOSE_WAIT the peer's FIN is the last in the receive queue until it is read as
    /// end of file; in FIN_WAIT1 ours is the last in the send queue.
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

    pub(super) fn end_read(&self) -> Option<bool> {
        (self.state == State::CloseWait).then_some(self.receive_queue == 0)
    }

    /// Our FIN has left this host. It is the last in the send queue, so that it waits where anything waits.
    pub(super) fn fin_sent(&self) -> Option<bool> {
        match self.state {
            State::FinWait1 => self.info.map(|info| info.not_sent == 0),
            State::FinWait2 => Some(true),
            _ => None,
        }
    }

    /// Whether no process has accepted the connection yet. One that was accepted has a file, and leaves CLOSE_WAIT
    /// when that is closed.
    pub(super) fn is_unaccepted(&self) -> bool {
        self.state == State::CloseWait && self.inode == 0
    }

    /// A socket that nobody has accepted has sent no data: `tcp_create_openreq_child()` has set the time of the last.
    pub(super) fn accept_queue(&self) -> Option<AcceptQueue> {
        let waited = self.info.map(|info| u64::from(info.last_data_sent_ms) * 1_000_000);
        self.is_unaccepted().then_some(AcceptQueue { waited_ns: waited })
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
            last_data_sent_ms: at(offset_of!(libc::tcp_info, tcpi_last_data_sent))?,
            not_sent: at(NOTSENT_BYTES)?,
        })
    }
}
