//! Half-closed connections for tests.

use std::net::SocketAddr;

use super::{AcceptQueue, Age, HalfClosed, Owner};
use crate::{
    event::{Comm, Endpoints, State, Task},
    owner::Holder,
    story::step::Queues,
    words::Side,
};

pub(crate) fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn holder(pid: u32, comm: &str, fd: u32) -> Holder {
    let comm = Comm::from(comm);
    let task = Task { pid, tid: pid, uid: 0, comm, cgroup: 0, exiting: false, kthread: false, signal: 0 };
    Holder { task, fd }
}

/// A connection in CLOSE_WAIT with seven bytes unread. One process holds it.
pub(crate) fn leaked() -> HalfClosed {
    HalfClosed {
        endpoints: Endpoints { local: end("10.0.0.1:443"), remote: end("10.0.0.2:50000"), netns: 7 },
        side: Side::Remote,
        state: State::CloseWait,
        inode: 42,
        owner: Owner::Holders(vec![holder(12, "nginx", 9)]),
        age: Age::AtLeast(90_000_000_000),
        queued: Queues { unread: 7, unacked: 0, unsent: 0 },
        end_read: Some(false),
        fin_sent: None,
        accept_queue: None,
    }
}

/// A connection that has waited in an accept queue for three seconds.
pub(crate) fn unaccepted() -> HalfClosed {
    HalfClosed {
        inode: 0,
        owner: Owner::Listeners(vec![holder(12, "nginx", 9)]),
        accept_queue: Some(AcceptQueue { waited_ns: Some(3_000_000_000) }),
        ..leaked()
    }
}

/// A connection in FIN_WAIT2 without a process.
pub(crate) fn orphan() -> HalfClosed {
    HalfClosed {
        side: Side::Local,
        state: State::FinWait2,
        inode: 0,
        owner: Owner::Unknown,
        age: Age::Unknown,
        queued: Queues::default(),
        end_read: None,
        fin_sent: Some(true),
        ..leaked()
    }
}
