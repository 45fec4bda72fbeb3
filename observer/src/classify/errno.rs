//! Sets of errnos that classification asks for. Each set is written once.

use crate::words::errno::{
    EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EALREADY, ECONNABORTED, ECONNREFUSED, ECONNRESET,
    EDESTADDRREQ, EFAULT, EHOSTDOWN, EHOSTUNREACH, EINVAL, EISCONN, EMSGSIZE, ENETUNREACH, ENONET,
    ENOPROTOOPT, ENOTCONN, EOPNOTSUPP, EPIPE, EPROTO, ETIMEDOUT,
};

/// `tcp_reset()` leaves these errors in `sk_err` after the handshake: EPIPE in CLOSE_WAIT, ECONNRESET elsewhere.
pub(super) const fn is_by_reset(errno: u32) -> bool {
    matches!(errno, ECONNRESET | EPIPE)
}

/// TCP itself ends a connection with these errors: `tcp_reset()`, `tcp_abort()` (ECONNABORTED) and `tcp_write_err()`
/// (ETIMEDOUT). Every other error comes from ICMP or from the routing.
pub(super) const fn is_by_tcp(errno: u32) -> bool {
    is_by_reset(errno) || matches!(errno, ECONNABORTED | ETIMEDOUT)
}

/// ICMP messages become these errors: `icmp_err_convert`, `icmpv6_err_convert`, and EPROTO for a parameter problem.
/// EMSGSIZE and EOPNOTSUPP are there too, but a send returns them for its own reasons far more often.
pub(super) const fn is_by_icmp(errno: u32) -> bool {
    matches!(
        errno,
        ENETUNREACH | EHOSTUNREACH | EHOSTDOWN | ENONET | ENOPROTOOPT | ECONNREFUSED | EPROTO | EACCES
    )
}

/// `tcp_sendmsg_locked()` returns these errors for wrong arguments. They say nothing about the connection.
pub(super) const fn is_by_arguments(errno: u32) -> bool {
    matches!(errno, EFAULT | EINVAL | EMSGSIZE | EDESTADDRREQ | EOPNOTSUPP | EAFNOSUPPORT | EISCONN)
}

/// `sendto(MSG_FASTOPEN)` returns these errors on a socket that is connecting, or that cannot connect.
pub(super) const fn is_by_connect(errno: u32) -> bool {
    matches!(errno, ENOTCONN | EALREADY | EADDRNOTAVAIL | EADDRINUSE)
}
