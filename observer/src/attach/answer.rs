//! The mechanisms for attaching programs, and whether this kernel has them.

use observer_ebpf::abi::program::{Hook, Program};

use crate::words::words;

words! {
    /// How a program is attached to a hook, the best first.
    Mechanism {
        /// BTF trampolines at the entry or the return of a function.
        Fentry = "fentry",
        /// Breakpoints or ftrace, at the entry of a function.
        Kprobe = "kprobe",
        /// Tracepoints, with raw arguments.
        RawTracepoint = "raw_tracepoint",
    }
}

impl Mechanism {
    /// The programs for a hook; empty if the mechanism does not fit the hook.
    #[must_use]
    pub const fn programs(self, hook: &Hook) -> &'static [Program] {
        match self {
            Self::Fentry => hook.fentry,
            Self::Kprobe => hook.kprobe,
            Self::RawTracepoint => hook.raw_tracepoint,
        }
    }
}

/// Answer to "can this kernel …?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The kernel can.
    Yes,
    /// The kernel cannot, for this reason.
    No(String),
    /// The kernel can but does not permit it, for this reason.
    Refused(String),
    /// The probe failed, for this reason.
    Unclear(String),
}

impl Answer {
    /// The answer that the error of a probe means.
    pub(super) fn of(error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Refused("not permitted by the kernel".to_owned()),
            _ => Self::Unclear(error.to_string()),
        }
    }

    /// The answer of a kernel that is older than the program type.
    pub(super) fn unknown_type() -> Self {
        Self::No("this kernel does not know the program type".to_owned())
    }

    /// Whether the kernel certainly can.
    #[must_use]
    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }

    /// Why not; empty if the kernel can.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Yes => "",
            Self::No(reason) | Self::Refused(reason) | Self::Unclear(reason) => reason,
        }
    }
}
