//! Errnos that a TCP send gives, as a closed set of names.

/// Every name that [`name`] gives.
pub const NAMES: [&str; 14] = [
    "EPIPE",
    "ECONNRESET",
    "ETIMEDOUT",
    "ECONNREFUSED",
    "ECONNABORTED",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "EINTR",
    "ENOBUFS",
    "ENOMEM",
    "EFAULT",
    "EINVAL",
    "EMSGSIZE",
    "other",
];

/// The name of an errno; None for 0.
#[must_use]
pub fn known(errno: u32) -> Option<&'static str> {
    (errno != 0).then(|| name(errno))
}

/// The name of a positive errno (`include/uapi/asm-generic/errno.h`); `other` for what no TCP send gives.
#[must_use]
pub fn name(errno: u32) -> &'static str {
    match i32::try_from(errno) {
        Ok(libc::EPIPE) => "EPIPE",
        Ok(libc::ECONNRESET) => "ECONNRESET",
        Ok(libc::ETIMEDOUT) => "ETIMEDOUT",
        Ok(libc::ECONNREFUSED) => "ECONNREFUSED",
        Ok(libc::ECONNABORTED) => "ECONNABORTED",
        Ok(libc::EHOSTUNREACH) => "EHOSTUNREACH",
        Ok(libc::ENETUNREACH) => "ENETUNREACH",
        // -ERESTARTSYS (512) is what the kernel calls EINTR before the system call returns.
        Ok(libc::EINTR | 512) => "EINTR",
        Ok(libc::ENOBUFS) => "ENOBUFS",
        Ok(libc::ENOMEM) => "ENOMEM",
        Ok(libc::EFAULT) => "EFAULT",
        Ok(libc::EINVAL) => "EINVAL",
        Ok(libc::EMSGSIZE) => "EMSGSIZE",
        _ => "other",
    }
}
