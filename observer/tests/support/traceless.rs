//! The losses that no other record shows, each with its reason.

use crate::leave_out::Traceless;

/// After these losses an `exact` verdict may be wrong in the named fields.
pub(crate) const TRACELESS: &[Traceless] = &[
    Traceless {
        lost: "write_error",
        differs: &["write_errors"],
        truth: None,
        why: "nothing else counts failed writes, and the error of the socket is cleared by the write",
    },
    Traceless {
        lost: "destroyed",
        differs: &["bytes.unread"],
        truth: None,
        why: "without it the process still has the descriptor, and can read what is in the queue",
    },
    Traceless {
        lost: "reset_sent CLOSE",
        differs: &["outcome", "cause"],
        truth: Some("linger2_negative"),
        why: "an orphan leaves FIN_WAIT2 for a minisocket in the same way, and a change of state does not say TCP_LINGER2",
    },
    Traceless {
        lost: "reset_sent CLOSE",
        differs: &["outcome", "cause"],
        truth: Some("data_after_close"),
        why: "a FIN out of order, without data, counts as late data: neither a sequence number nor the number of segments \
              with data moves, and tcp_reset() is not called",
    },
    Traceless {
        lost: "reset_sent FIN_WAIT2",
        differs: &["outcome", "cause"],
        truth: Some("fin_wait2_timeout"),
        why: "the change of an orphan to FIN_WAIT2 has no record, so that nothing says how long it was in it",
    },
];
