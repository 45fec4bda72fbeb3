//! Which hook is entered by which mechanism, and why. Pure: facts and wishes in, plan out.

use observer_ebpf::abi::program::{HOOKS, Hook, Program, Want};
use thiserror::Error;

use super::facts::{Answer, Facts};
use crate::classify::verdict::words;

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

/// What the user wants to be different from what the facts suggest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Functions are entered by this mechanism or not at all.
    pub mechanism: Option<Mechanism>,
    /// Hooks to leave out, by name.
    pub without: Vec<String>,
}

/// One hook's part of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The hook.
    pub hook: &'static Hook,
    /// None when it is not needed, not wanted, or not to be had.
    pub mechanism: Option<Mechanism>,
    /// Why this mechanism, or why none.
    pub reason: String,
    /// The kernel has a better way in, and refuses it.
    pub refused: bool,
}

impl Planned {
    /// The programs to attach, in order.
    #[must_use]
    pub fn programs(&self) -> &'static [Program] {
        self.mechanism.map_or(&[], |mechanism| mechanism.programs(self.hook))
    }
}

/// What will be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Every hook, in the order in which it is attached.
    pub hooks: Vec<Planned>,
}

impl Plan {
    /// Whether a hook is part of it.
    #[must_use]
    pub fn has(&self, hook: &str) -> bool {
        has(&self.hooks, hook)
    }
}

/// Why there is no plan.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// Records could not get out.
    #[error("no BPF ring buffer: {0}")]
    NoRingBuffer(String),
    /// A hook that verdicts need.
    #[error("the hook {hook} is not to be had, and without it no verdict can be told: {reason}")]
    MissingHook {
        /// Hook.
        hook: &'static str,
        /// Why not.
        reason: String,
    },
    /// A wish for something that is not to be had.
    #[error("no function can be entered by {mechanism} on this kernel: {reason}")]
    NoMechanism {
        /// Wished for.
        mechanism: &'static str,
        /// Why not.
        reason: String,
    },
    /// A wish for something that does not exist.
    #[error("there is no hook {0}; `observer check` lists them")]
    NoSuchHook(String),
}

/// Chooses a mechanism for each hook.
pub fn plan(facts: &Facts, wishes: &Wishes) -> Result<Plan, PlanError> {
    if let Answer::No(reason) = &facts.ring_buffer {
        return Err(PlanError::NoRingBuffer(reason.clone()));
    }
    let offered = match wishes.mechanism {
        Some(Mechanism::Fentry) => &facts.fentry,
        Some(Mechanism::Kprobe) => &facts.kprobe,
        Some(Mechanism::RawTracepoint) | None => &Answer::Yes,
    };
    if let (Some(mechanism), false) = (wishes.mechanism, offered.is_yes()) {
        let (mechanism, reason) = (mechanism.word(), offered.reason().to_owned());
        return Err(PlanError::NoMechanism { mechanism, reason });
    }
    if let Some(unknown) = wishes.without.iter().find(|name| HOOKS.iter().all(|hook| hook.name != **name)) {
        return Err(PlanError::NoSuchHook(unknown.clone()));
    }
    let mut hooks: Vec<Planned> = Vec::with_capacity(HOOKS.len());
    for hook in HOOKS {
        let none = |reason: String| Planned { hook, mechanism: None, reason, refused: false };
        let planned = match hook.want {
            _ if wishes.without.iter().any(|name| name == hook.name) => none("left out as asked".to_owned()),
            Want::InsteadOf(other) if has(&hooks, other) => none(format!("{other} tells it")),
            Want::WithoutReasons if facts.reset_reasons => {
                none("tcp_send_reset shows every reset on this kernel".to_owned())
            }
            Want::Required | Want::Optional | Want::InsteadOf(_) | Want::WithoutReasons => {
                choose(hook, facts, wishes)
            }
        };
        if planned.mechanism.is_none() && hook.want == Want::Required {
            return Err(PlanError::MissingHook { hook: hook.name, reason: planned.reason });
        }
        hooks.push(planned);
    }
    Ok(Plan { hooks })
}

fn has(hooks: &[Planned], name: &str) -> bool {
    hooks.iter().any(|planned| planned.hook.name == name && planned.mechanism.is_some())
}

/// The best way into the hook that is to be had.
fn choose(hook: &'static Hook, facts: &Facts, wishes: &Wishes) -> Planned {
    let ways = Mechanism::ALL.iter().copied().filter(|mechanism| !mechanism.programs(hook).is_empty());
    let mut planned = Planned { hook, mechanism: None, reason: String::new(), refused: false };
    let mut against = Vec::new();
    if let Answer::No(reason) | Answer::Refused(reason) | Answer::Unclear(reason) = facts.hook(hook.name) {
        against.push(reason);
    } else {
        for way in ways {
            let unwished =
                wishes.mechanism.is_some_and(|only| only != way) && way != Mechanism::RawTracepoint;
            let answer = facts.mechanism(hook.name, way);
            if unwished {
                against.push(format!("{}: not wanted", way.word()));
            } else if answer.is_yes() {
                planned.mechanism = Some(way);
                break;
            } else {
                planned.refused |= matches!(answer, Answer::Refused(_));
                let doubt = if matches!(answer, Answer::Unclear(_)) { "could not tell: " } else { "" };
                against.push(format!("{}: {doubt}{}", way.word(), answer.reason()));
            }
        }
    }
    if planned.mechanism.is_none() && !hook.else_by.is_empty() {
        against.push(format!("{} tells it instead", hook.else_by));
    }
    planned.reason = match (against.is_empty(), hook.want) {
        (false, _) => against.join("; "),
        (true, Want::InsteadOf(other)) => format!("stands in for {other}"),
        (true, _) => "the best there is for it".to_owned(),
    };
    planned
}

#[cfg(test)]
mod tests;
