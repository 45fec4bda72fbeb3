//! The evidence of how one connection ends.
//!
//! In: the events of one socket, in order. Out: [`Story`], from which `classify` makes a verdict. A story collects
//! what was seen and decides nothing about causes. No clock: time is the events' own.

#![deny(clippy::disallowed_methods, clippy::disallowed_macros, reason = "pure: no clock, no I/O")]

mod chain;
mod evidence;
pub mod step;
pub mod table;

use std::collections::BTreeMap;

use self::step::Step;
pub use self::{
    chain::{Chain, Change},
    evidence::{CloseCall, End, FinSent, Opening, PeerFin, ResetReceived, ResetSent},
};
use crate::{
    event::{Body, Endpoints, Event, SockId, Socket, State, Task},
    words::{LocalAction, Side},
};

/// Everything that was seen of one connection's end. Times are `CLOCK_MONOTONIC`, ns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// The socket.
    pub sock: SockId,
    /// Time of the first sign of an end.
    pub first_ns: u64,
    /// Both ends, as last seen complete. None while only resets have been seen.
    pub endpoints: Option<Endpoints>,
    /// The beginning; None if the connection is older than the observer.
    pub opening: Option<Opening>,
    /// Our FIN.
    pub fin_sent: Option<FinSent>,
    /// When our FIN was acknowledged while a process still held the socket.
    pub fin_acked_ns: Option<u64>,
    /// The peer's FIN.
    pub peer_fin: Option<PeerFin>,
    /// Whether our FIN had left when the peer's FIN came before the acknowledgement (CLOSING). None if that did not
    /// happen.
    pub crossed: Option<bool>,
    /// The states that were seen.
    pub chain: Chain,
    /// Records were lost while the connection was alive.
    pub records_lost: bool,
    /// Our `close()`.
    pub close_call: Option<CloseCall>,
    /// When a lingering `close()` stopped waiting, and in which state.
    pub linger_over: Option<(u64, State)>,
    /// When a signal was delivered to the thread in `close()`, which may have lingered at that time.
    pub linger_interrupted_ns: Option<u64>,
    /// Our reset.
    pub reset_sent: Option<ResetSent>,
    /// `tcp_reset()` ran, for the peer's reset or for late data (see `classify`).
    pub reset_received: Option<ResetReceived>,
    /// The change to CLOSE.
    pub end: Option<End>,
    /// Since when no process holds the socket.
    pub gone_ns: Option<u64>,
    /// Unread bytes at the destruction of a connection that no process had accepted.
    pub unread_at_destruction: Option<u32>,
    /// The process that was last seen to hold the socket. It is the owner if no process is known to have closed.
    pub holder: Option<Task>,
    /// Inode of the socket's file; 0 if no record showed one.
    pub inode: u64,
    /// Number of failed sends so far, by errno.
    pub write_errors: BTreeMap<u32, u32>,
    /// The first [`step::LIMIT`] steps, in order.
    pub steps: Vec<Step>,
}

impl Story {
    /// A story begins with the first sign of an end, at `first_ns`.
    #[must_use]
    pub fn new(sock: SockId, first_ns: u64, opening: Option<Opening>) -> Self {
        Self {
            sock,
            first_ns,
            endpoints: None,
            opening,
            fin_sent: None,
            fin_acked_ns: None,
            peer_fin: None,
            crossed: None,
            chain: Chain::default(),
            records_lost: false,
            close_call: None,
            linger_over: None,
            linger_interrupted_ns: None,
            reset_sent: None,
            reset_received: None,
            end: None,
            gone_ns: None,
            unread_at_destruction: None,
            holder: None,
            inode: 0,
            write_errors: BTreeMap::new(),
            steps: Vec::new(),
        }
    }

    /// The id of the connection: the same in its verdict and in all its write errors.
    #[must_use]
    pub fn id(&self) -> String {
        // Time and socket are unique together, because a socket has one story at a time.
        format!("{:x}-{:04x}", self.first_ns, self.sock.0 & 0xffff)
    }

    /// The side that has sent its FIN while the other has not, and since when. None if neither or both have sent one,
    /// or if the connection is over.
    #[must_use]
    pub const fn half_closed(&self) -> Option<(Side, u64)> {
        match (self.end, self.fin_sent, self.peer_fin) {
            (None, Some(fin), None) => Some((Side::Local, fin.ns)),
            (None, None, Some(fin)) => Some((Side::Remote, fin.ns)),
            _ => None,
        }
    }

    /// The deadline of a lingering `close()`; None if it does not wait.
    ///
    /// `inet_release()`: an exiting process does not wait. A kernel thread that drops the last reference does.
    #[must_use]
    pub fn linger_deadline_ns(&self) -> Option<u64> {
        let call = self.close_call?;
        let exiting = call.task.is_some_and(|task| task.exiting);
        let wait_ms = call.linger_ms.filter(|ms| *ms > 0 && !exiting)?;
        Some(call.ns.saturating_add(wait_ms.saturating_mul(1_000_000)))
    }

    /// When an acknowledgement of our FIN ended the wait of a lingering `close()`.
    ///
    /// `sk_stream_wait_close()` waits in FIN_WAIT1, CLOSING and LAST_ACK, and the socket becomes an orphan only after
    /// it.
    #[must_use]
    pub fn linger_acked_ns(&self) -> Option<u64> {
        let call = self.close_call?;
        let waited_out = self.end.filter(|end| end.old.fin_outstanding() && !end.socket.flags.dead);
        let by_ack = |end: &End| end.socket.err == 0 && end.socket.all_acked();
        let acked = self.fin_acked_ns.or_else(|| waited_out.filter(by_ack).map(|end| end.ns));
        acked.map(|acked| acked.max(call.ns))
    }

    /// Whether a reset of ours belongs to this end and has not been seen yet. The state changes first, and on a busy
    /// host the rest of the call, or of the packet's processing, may come much later.
    #[must_use]
    pub fn awaits_reset(&self) -> bool {
        use State::{CloseWait, Closing, Established, FinWait1, FinWait2, LastAck};
        let Some(end) = self.end.filter(|_| self.reset_sent.is_none()) else { return false };
        // `__tcp_close()` and `tcp_disconnect()` send a reset in these states (`tcp_need_reset()`). After the peer's
        // reset they send none.
        let aborted = end.task.is_some() && matches!(end.old, Established | CloseWait | FinWait1 | FinWait2);
        // `tcp_rcv_state_process()` calls `tcp_reset()` for data that comes after our FIN, and then resets the peer.
        let after_our_fin = |state| matches!(state, FinWait1 | FinWait2 | Closing | LastAck);
        let by_data = self.reset_received.is_some_and(|received| after_our_fin(received.state));
        (aborted && self.reset_received.is_none()) || by_data
    }

    /// The ends of a connection that ended in the accept queue and has no known process. The verdict names the
    /// process that listens on the local address.
    #[must_use]
    pub fn awaits_listener(&self) -> Option<Endpoints> {
        let end = self.end.filter(|end| !end.socket.flags.has_socket && !end.socket.flags.dead)?;
        let by_peer = self.opening.is_none_or(|opening| opening.by == Side::Remote);
        let unseen = self.holder.is_none() && end.task.is_none() && self.close_call.is_none();
        self.endpoints.filter(|_| by_peer && unseen && self.inode == 0)
    }

    /// Whether a process holds the socket, and no record has named it.
    #[must_use]
    pub const fn awaits_holder(&self) -> bool {
        self.inode != 0 && self.holder.is_none() && self.gone_ns.is_none()
    }

    /// Adds one event. The table handles [`Body::Opened`] and [`Body::StrayReset`].
    pub fn note(&mut self, event: &Event) {
        // The address belongs to another socket by now, which never had a connection.
        if matches!(event.body, Body::Destroyed { .. }) && self.gone_ns.is_some() {
            return;
        }
        if let Body::Destroyed { rcv_nxt: Some(rcv_nxt), .. } = event.body
            && self.end.is_some_and(|end| end.socket.rcv_nxt != rcv_nxt)
        {
            // Another socket has the address: this one was destroyed, and that record was lost.
            self.gone_ns = Some(event.ns);
            self.records_lost = true;
            return;
        }
        // An active reset in CLOSE follows an end by our side. After the peer's RST it belongs to a later connection
        // of the same socket, whose records were lost.
        if matches!(event.body, Body::ResetSent { active: true, state: State::Close, .. })
            && self.end.is_some()
            && self.reset_received.is_some()
        {
            self.records_lost = true;
            return;
        }
        // The kernel side's note of a lingering thread may be of an earlier connection with the same socket.
        if let Body::LingerInterrupted { tid, .. } = &event.body
            && self.close_call.and_then(|call| call.task).is_none_or(|task| task.tid != *tid)
        {
            return;
        }
        // The function and the tracepoint report the same reset, the function first.
        if matches!(event.body, Body::ResetSent { active: true, .. })
            && self.reset_sent.as_ref().is_some_and(|sent| sent.active)
        {
            return;
        }
        if let Body::StateChange { old, new, socket } = &event.body {
            let change = Change { ns: event.ns, old: *old, new: *new };
            self.chain.gap |= chain::link(self, change, socket) == chain::Link::AfterGap;
        }
        let room = step::LIMIT.saturating_sub(self.steps.len());
        self.steps.extend(Step::of(event).into_iter().chain(Step::error_reported(event)).take(room));
        match &event.body {
            Body::StateChange { old, new, socket } => {
                // A process that ends a connection without closing its descriptor may not be its owner (`ss -K`).
                let kills = *new == State::Close && !socket.flags.closing;
                self.see(socket, event.task.filter(|_| !kills));
                self.note_state(event, *old, *new, socket);
            }
            Body::ResetSent { reason, active, state, flags } => {
                self.chain.pass(*state, self.close_call.is_some());
                self.reset_sent = Some(ResetSent {
                    ns: event.ns,
                    reason: reason.clone(),
                    active: *active,
                    state: *state,
                    flags: *flags,
                });
            }
            Body::ResetReceived { state } => {
                self.chain.pass(*state, self.close_call.is_some());
                self.reset_received = Some(ResetReceived { ns: event.ns, state: *state });
            }
            Body::Destroyed { unread, .. } => {
                self.gone_ns = Some(event.ns);
                // The listener destroyed the socket at once. A process that destroys one later has another socket at
                // the same address, which never had a connection.
                let never_accepted = |end: End| end.task.is_some() && !end.socket.flags.has_socket;
                if event.task.is_some() && self.end.is_some_and(never_accepted) {
                    return;
                }
                if event.task.is_some() {
                    self.hold(event.task);
                    self.close_call.get_or_insert(CloseCall {
                        ns: event.ns,
                        action: close_action(event.task),
                        task: event.task,
                        // The connection was over, so close() did not linger.
                        linger_ms: None,
                        unread: *unread,
                        data_segs_in: self.end.and_then(|end| end.socket.data_segs_in),
                    });
                } else {
                    self.unread_at_destruction = Some(*unread);
                }
            }
            Body::LingerInterrupted { .. } => {
                self.linger_interrupted_ns.get_or_insert(event.ns);
            }
            Body::Owner => self.hold(event.task),
            Body::LingerOver { state } => {
                self.linger_over.get_or_insert((event.ns, *state));
            }
            Body::WriteError { errno, socket, .. } => {
                self.see(socket, event.task);
                *self.write_errors.entry(*errno).or_default() += 1;
            }
            // The change of state shows our FIN.
            Body::FinQueued { .. }
            | Body::Opened { .. }
            | Body::NoOwner { .. }
            | Body::RecordsLost { .. }
            | Body::StrayReset { .. } => {}
        }
    }

    /// Takes the ends, the inode and the holder from a record with the socket.
    fn see(&mut self, socket: &Socket, task: Option<Task>) {
        // tcp_disconnect() clears the remote port, which the verdict still needs.
        if socket.endpoints.remote.port() != 0 || self.endpoints.is_none() {
            self.endpoints = Some(socket.endpoints);
        }
        if socket.inode != 0 {
            self.inode = socket.inode;
        }
        self.hold(task);
    }

    fn hold(&mut self, task: Option<Task>) {
        // A kernel thread that closes files after their last reference is gone is no owner.
        if let Some(task) = task.filter(|task| !task.kthread) {
            self.holder = Some(task);
        }
    }

    fn note_state(&mut self, event: &Event, old: State, new: State, socket: &Socket) {
        use State::{Close, CloseWait, Closing, Established, FinWait1, FinWait2, LastAck, SynRecv};
        self.chain.extend(Change { ns: event.ns, old, new });
        let closing = socket.flags.closing && event.task.is_some();
        if closing {
            self.close_call.get_or_insert(CloseCall {
                ns: event.ns,
                action: close_action(event.task),
                task: event.task,
                linger_ms: socket.linger_ms,
                unread: socket.unread(),
                data_segs_in: socket.data_segs_in,
            });
        }
        match (old, new) {
            (Established | SynRecv, FinWait1) | (CloseWait, LastAck) => {
                self.fin_sent.get_or_insert(FinSent {
                    ns: event.ns,
                    action: fin_action(event.task, socket, old),
                    task: event.task,
                    write_seq: socket.write_seq,
                    left_at_once: socket.flags.fin_leaves.unwrap_or(socket.unsent() == 0),
                    data_segs_in: socket.data_segs_in,
                });
            }
            (Established | SynRecv, CloseWait) => self.note_peer_fin(event.ns, socket),
            (FinWait1, Closing) => {
                self.crossed = Some(socket.all_sent());
                self.note_peer_fin(event.ns, socket);
            }
            (FinWait1, FinWait2) => self.fin_acked_ns = Some(event.ns),
            (_, Close) => {
                // In FIN_WAIT2 the peer's FIN ends the connection without a change of state before.
                if old == FinWait2 && socket.flags.done {
                    self.note_peer_fin(event.ns, socket);
                }
                self.end = Some(End { ns: event.ns, old, socket: *socket, task: event.task });
                if socket.flags.dead || closing {
                    self.gone_ns = Some(event.ns);
                }
            }
            _ => {}
        }
    }

    fn note_peer_fin(&mut self, ns: u64, socket: &Socket) {
        let write_seq = self.fin_sent.map_or(socket.write_seq, |fin| fin.write_seq);
        self.peer_fin.get_or_insert(PeerFin {
            ns,
            write_seq,
            rcv_nxt: socket.rcv_nxt,
            data_segs_in: socket.data_segs_in,
        });
    }
}

/// How a process dropped the last reference. `do_exit()` closes files after it has set PF_EXITING and the exit code.
fn close_action(task: Option<Task>) -> LocalAction {
    match task {
        Some(Task { exiting: true, signal: 1.., .. }) => LocalAction::Killed,
        Some(Task { exiting: true, .. }) => LocalAction::ProcessExit,
        _ => LocalAction::Close,
    }
}

/// Which call queued our FIN.
///
/// `close()` runs after the file's last reference is gone (`__fput()`), and `shutdown()` while one is held. In
/// CLOSE_WAIT the receiving side is already shut down, so SHUT_WR and SHUT_RDWR do the same.
fn fin_action(task: Option<Task>, socket: &Socket, old: State) -> LocalAction {
    if socket.flags.closing || !socket.flags.has_socket {
        close_action(task)
    } else if socket.rcv_shutdown && old != State::CloseWait {
        LocalAction::ShutdownBoth
    } else {
        LocalAction::ShutdownWrite
    }
}

#[cfg(test)]
pub(crate) mod tests;
