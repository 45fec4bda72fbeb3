//! Errnos that a TCP send can return, as a closed set of names.
//!
//! Errnos are positive here, as `sk_err` and `errno(3)` have them.

/// The name of every other number.
pub const OTHER: &str = "other";

macro_rules! errnos {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "` of errno(3).")]
            pub const $name: u32 = libc::$name.cast_unsigned();
        )*

        /// Every name that [`name`] gives, [`OTHER`] last.
        pub const NAMES: &[&str] = &[$(stringify!($name),)* OTHER];

        /// The name of a positive errno; [`OTHER`] for a number that no TCP send returns.
        #[must_use]
        pub const fn name(errno: u32) -> &'static str {
            match errno {
                $($name => stringify!($name),)*
                _ => OTHER,
            }
        }
    };
}

// One line each: the connection is gone or has not begun; an ICMP message came; the call or its arguments are wrong; a
// signal or the machine's limits; kTLS.
errnos! {
    EPIPE ECONNRESET ECONNABORTED ETIMEDOUT ECONNREFUSED ENOTCONN EALREADY EISCONN
    EHOSTUNREACH ENETUNREACH EHOSTDOWN ENETDOWN ENONET ENOPROTOOPT EPROTO EACCES EPERM
    EFAULT EINVAL EMSGSIZE EDESTADDRREQ EOPNOTSUPP EAFNOSUPPORT EADDRNOTAVAIL EADDRINUSE
    EINTR ENOBUFS ENOMEM ENODEV EIO
    EBADMSG EKEYEXPIRED
}

/// The name of a positive errno; None for 0, which is no error.
#[must_use]
pub fn known(errno: u32) -> Option<&'static str> {
    (errno != 0).then(|| name(errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_one_name_and_the_rest_is_other() {
        let mut named: Vec<_> = (1..=4095).map(name).filter(|name| *name != OTHER).collect();
        named.push(OTHER);
        let mut all = NAMES.to_vec();
        named.sort_unstable();
        all.sort_unstable();
        assert_eq!(named, all);
        assert_eq!([name(0), name(u32::MAX), name(32)], [OTHER, OTHER, "EPIPE"]);
    }
}
