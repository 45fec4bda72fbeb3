//! What this kernel offers with this process's rights, found by trying.

use std::path::Path;

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{is_map_supported, is_program_supported},
};
use observer_ebpf::abi::program::{HOOKS, Hook};

use super::{
    answer::{Answer, Mechanism},
    btf::{self, BtfError, KernelBtf},
    probe,
};

/// The kernel's enum of reasons for resets (`include/net/rstreason.h`, 6.10).
pub(super) const RESET_REASON: &str = "sk_rst_reason";

/// Everything that the kernel offers.
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
    /// Whether the tracepoint `tcp_send_reset` has a reason argument (6.10). Then it fires for every reset.
    pub reset_reasons: bool,
    /// Whether the kernel has the tracepoint or function of each hook, in the order of [`HOOKS`].
    pub hooks: Vec<(&'static str, Answer)>,
    /// Attachments that the kernel refused when they were tried: hook, mechanism and answer.
    pub tried: Vec<(&'static str, Mechanism, Answer)>,
}

impl Facts {
    /// Whether the kernel has a hook's tracepoint or function.
    #[must_use]
    pub fn hook(&self, name: &str) -> Answer {
        let found = self.hooks.iter().find(|(hook, _)| *hook == name);
        found.map_or_else(|| Answer::Unclear("not probed".to_owned()), |(_, answer)| answer.clone())
    }

    /// Whether a mechanism works for a hook, as far as is known.
    #[must_use]
    pub fn mechanism(&self, hook: &str, mechanism: Mechanism) -> Answer {
        let tried = self.tried.iter().find(|(name, tried, _)| *name == hook && *tried == mechanism);
        match (tried, mechanism) {
            (Some((.., answer)), _) => answer.clone(),
            (None, Mechanism::Fentry) => self.fentry.clone(),
            (None, Mechanism::Kprobe) => self.kprobe.clone(),
            (None, Mechanism::RawTracepoint) => Answer::Yes,
        }
    }
}

/// Root directories of the kernel's file systems. Tests pass their own.
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

/// Probes the kernel. The BTF is read once and returned too.
///
/// # Errors
/// The BTF cannot be read or parsed.
pub fn gather(roots: Roots<'_>) -> Result<(Facts, KernelBtf), BtfError> {
    let btf =
        KernelBtf::read(&roots.sys.join(Path::new(btf::PATH).strip_prefix("/sys").unwrap_or(Path::new(""))))?;
    let release = std::fs::read_to_string(roots.proc.join("sys/kernel/osrelease"));
    let hook = |hook: &Hook| {
        let (found, what) = if hook.raw_tracepoint.is_empty() {
            (btf.function(hook.name).is_some(), "function")
        } else {
            (btf.has_tracepoint(hook.name), "tracepoint")
        };
        let missing = || Answer::No(format!("this kernel has no such {what}"));
        (hook.name, if found { Answer::Yes } else { missing() })
    };
    let facts = Facts {
        release: release.map_or_else(|_| "unknown".to_owned(), |release| release.trim().to_owned()),
        fentry: probe::trampoline(&btf),
        kprobe: kprobe(roots.sys),
        ring_buffer: ring_buffer(),
        reset_reasons: btf.tracepoint_enum_arg("tcp_send_reset", RESET_REASON).is_some(),
        hooks: HOOKS.iter().map(hook).collect(),
        tried: Vec::new(),
    };
    Ok((facts, btf))
}

fn program(kind: ProgramType) -> Answer {
    match is_program_supported(kind) {
        Ok(true) => Answer::Yes,
        Ok(false) => Answer::unknown_type(),
        Err(error) => answer_of(&error),
    }
}

fn kprobe(sys: &Path) -> Answer {
    // The event source exists if the kernel is built with CONFIG_KPROBE_EVENTS.
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
        Err(error) => answer_of(&error),
    }
}

/// The answer that aya's error means: EPERM is a refusal, and any other error leaves the question open.
fn answer_of(error: &(dyn std::error::Error + 'static)) -> Answer {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Answer::of(io);
        }
        cause = error.source();
    }
    Answer::Unclear(error.to_string())
}
