//! The ways into the kernel, and whether this kernel allows them.

use observer_ebpf::abi::program::{Hook, Program};

use crate::words::words;

words! {
    /// A way into the kernel, the best first.
    Mechanism {
        /// BTF trampolines.
        Fentry = "fentry",
        /// Breakpoints, or ftrace where the kernel has it.
        Kprobe = "kprobe",
        /// Tracepoints without their formatting.
        RawTracepoint = "raw_tracepoint",
    }
}

impl Mechanism {
    /// The programs that enter a hook this way; none where there is no such way.
    #[must_use]
    pub const fn programs(self, hook: &Hook) -> &'static [Program] {
        match self {
            Self::Fentry => hook.fentry,
            Self::Kprobe => hook.kprobe,
            Self::RawTracepoint => hook.raw_tracepoint,
        }
    }
}

/// Answer to "can this kernel …?"; the last is not conclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It can.
    Yes,
    /// It cannot, and why.
    No(String),
    /// It could, and does not let us: why.
    Refused(String),
    /// Could not tell, and why.
    Unclear(String),
}

impl Answer {
    /// What an error says of the question.
    pub(super) fn of(error: &std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                Self::Refused("the kernel refuses it: permission denied".to_owned())
            }
            _ => Self::Unclear(error.to_string()),
        }
    }

    /// What is older than the program type.
    pub(super) fn unknown_type() -> Self {
        Self::No("this kernel does not know the program type".to_owned())
    }

    /// Whether it certainly can.
    #[must_use]
    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }

    /// Why not; empty when it can.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Yes => "",
            Self::No(reason) | Self::Refused(reason) | Self::Unclear(reason) => reason,
        }
    }
}
