//! What this kernel and this process's rights offer, found by trying.

use std::path::Path;

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{is_map_supported, is_program_supported},
};
use observer_ebpf::abi::program::RAW_TRACEPOINTS;

use super::btf::{self, BtfError, KernelBtf};

/// Answer to "can this kernel …?"; only the first two are conclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It can.
    Yes,
    /// It cannot, and why.
    No(String),
    /// Could not tell, and why.
    Unclear(String),
}

impl Answer {
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
            Self::No(reason) | Self::Unclear(reason) => reason,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// `uname -r`.
    pub release: String,
    /// BPF programs of type TRACING (fentry, fexit).
    pub fentry: Answer,
    /// Kprobes and BPF programs on them.
    pub kprobe: Answer,
    /// BPF ring buffers (5.8).
    pub ring_buffer: Answer,
    /// Raw tracepoint of each hook, in the order of [`RAW_TRACEPOINTS`].
    pub tracepoints: Vec<(&'static str, Answer)>,
}

/// Root directories of the kernel's file systems; tests pass their own.
#[derive(Debug, Clone, Copy)]
pub struct Roots<'a> {
    /// `/sys`.
    pub sys: &'a Path,
    /// `/proc`.
    pub proc: &'a Path,
}

impl Default for Roots<'_> {
    fn default() -> Self {
        Self { sys: Path::new("/sys"), proc: Path::new("/proc") }
    }
}

/// Looks around; the BTF is read once and handed on.
pub fn gather(roots: Roots<'_>) -> Result<(Facts, KernelBtf), BtfError> {
    let btf =
        KernelBtf::read(&roots.sys.join(Path::new(btf::PATH).strip_prefix("/sys").unwrap_or(Path::new(""))))?;
    let release = std::fs::read_to_string(roots.proc.join("sys/kernel/osrelease"));
    let tracepoint = |hook: &'static str| {
        let found = if btf.has_tracepoint(hook) {
            Answer::Yes
        } else {
            Answer::No("this kernel has no such tracepoint".to_owned())
        };
        (hook, found)
    };
    let facts = Facts {
        release: release.map_or_else(|_| "unknown".to_owned(), |release| release.trim().to_owned()),
        fentry: program(ProgramType::Tracing),
        kprobe: kprobe(roots.sys),
        ring_buffer: ring_buffer(),
        tracepoints: RAW_TRACEPOINTS.iter().map(|entry| tracepoint(entry.hook)).collect(),
    };
    Ok((facts, btf))
}

fn program(kind: ProgramType) -> Answer {
    match is_program_supported(kind) {
        Ok(true) => Answer::Yes,
        Ok(false) => Answer::No("this kernel does not know the program type".to_owned()),
        Err(error) => refused(&error),
    }
}

fn kprobe(sys: &Path) -> Answer {
    // The event source exists where CONFIG_KPROBE_EVENTS does.
    if sys.join("bus/event_source/devices/kprobe").exists() {
        program(ProgramType::KProbe)
    } else {
        Answer::No("this kernel is built without kprobes".to_owned())
    }
}

fn ring_buffer() -> Answer {
    match is_map_supported(MapType::RingBuf) {
        Ok(true) => Answer::Yes,
        Ok(false) => Answer::No("this kernel has no BPF ring buffer; it came with 5.8".to_owned()),
        Err(error) => refused(&error),
    }
}

/// EPERM is an answer; anything else leaves the question open.
fn refused(error: &(dyn std::error::Error + 'static)) -> Answer {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return match io.raw_os_error() {
                Some(libc::EPERM | libc::EACCES) => {
                    Answer::No("the kernel refuses it: permission denied".to_owned())
                }
                _ => Answer::Unclear(io.to_string()),
            };
        }
        cause = error.source();
    }
    Answer::Unclear(error.to_string())
}
