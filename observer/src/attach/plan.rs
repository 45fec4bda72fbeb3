//! Which hook uses which mechanism, and why. Pure. In: facts and preferences. Out: a plan.

use std::fmt;

use observer_ebpf::abi::program::{HOOKS, Hook, Program, Want};
use thiserror::Error;

use super::{
    answer::{Answer, Mechanism},
    facts::Facts,
};
use crate::words::words;

words! {
    /// Whether a hook is attached, or why it is not.
    HookStatus {
        /// It is attached.
        Attached = "attached",
        /// Another hook covers it.
        NotNeeded = "not_needed",
        /// The user excluded it.
        LeftOut = "left_out",
        /// The kernel has it, and refuses a mechanism for it.
        Refused = "refused",
        /// The kernel lacks it, or has no mechanism for it.
        Absent = "absent",
    }
}

/// Choices of the user that override the facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferences {
    /// Attach to functions only by this mechanism.
    pub mechanism: Option<Mechanism>,
    /// Names of hooks to leave out.
    pub without: Vec<String>,
}

/// One hook's part of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The hook.
    pub hook: &'static Hook,
    /// None if the hook is not attached.
    pub mechanism: Option<Mechanism>,
    /// Why this mechanism, or why none. Reasons that hold for a mechanism everywhere are in [`Plan::closed`].
    pub reason: String,
    /// The kernel has a better mechanism and refuses it.
    pub refused: bool,
    /// A mechanism was tried for this hook and failed.
    pub tried: bool,
    /// The result.
    pub status: HookStatus,
}

impl Planned {
    /// The programs to attach, in order.
    #[must_use]
    pub fn programs(&self) -> &'static [Program] {
        self.mechanism.map_or(&[], |mechanism| mechanism.programs(self.hook))
    }

    /// The mechanism; `none` for a hook that this kernel lacks or refuses; the status for one that is not missed.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match (self.mechanism, self.status) {
            (Some(mechanism), _) => mechanism.word(),
            (None, HookStatus::NotNeeded | HookStatus::LeftOut) => self.status.word(),
            (None, HookStatus::Attached | HookStatus::Refused | HookStatus::Absent) => "none",
        }
    }

    /// The mechanism; the status for a hook that this kernel lacks or refuses; `-` for one that is not missed.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (self.mechanism, self.status) {
            (Some(mechanism), _) => mechanism.word(),
            (None, HookStatus::Refused | HookStatus::Absent) => self.status.word(),
            (None, HookStatus::Attached | HookStatus::NotNeeded | HookStatus::LeftOut) => "-",
        }
    }
}

/// A mechanism that works for no function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// Why.
    pub reason: String,
    /// The kernel has it and refuses it.
    pub refused: bool,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.mechanism.word(), self.reason)
    }
}

/// The hooks, and how each is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Every hook, in the order of [`HOOKS`].
    pub hooks: Vec<Planned>,
    /// Mechanisms that work for no function.
    pub closed: Vec<Closed>,
}

impl Plan {
    /// Whether the hook is attached.
    #[must_use]
    pub fn has(&self, hook: &str) -> bool {
        has(&self.hooks, hook)
    }

    /// Events that this plan cannot see, because neither a hook nor its substitute is available. One line each.
    /// Events that the user chose not to see are not listed.
    #[must_use]
    pub fn unseen(&self) -> Vec<String> {
        let missing = |name: &str| {
            let is_missing =
                |planned: &Planned| matches!(planned.status, HookStatus::Refused | HookStatus::Absent);
            self.hooks.iter().any(|planned| planned.hook.name == name && is_missing(planned))
        };
        let pairs = HOOKS.iter().filter_map(|hook| match hook.want {
            Want::InsteadOf(other) if missing(hook.name) && missing(other) => Some(format!(
                "{} cannot be seen: neither {other} nor {} is available",
                shown_by(hook),
                hook.name
            )),
            _ => None,
        });
        let resets = HOOKS.iter().find(|hook| hook.want == Want::WithoutReasons && missing(hook.name));
        let resets = resets.map(|hook| {
            format!("resets for no live connection cannot be seen: {} is not available", hook.name)
        });
        pairs.chain(resets).collect()
    }

    /// Mechanisms and attachments that the kernel has but refuses, which an administrator may be able to change. One
    /// line each.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let closed = self.closed.iter().filter(|closed| closed.refused).map(ToString::to_string);
        let hooks = self.hooks.iter().filter(|planned| planned.tried);
        closed.chain(hooks.map(|planned| format!("{}: {}", planned.hook.name, planned.reason))).collect()
    }
}

/// The events that a substitute hook shows, in words.
fn shown_by(hook: &Hook) -> &'static str {
    match hook.name {
        "sock_send_length" => "failed writes",
        "signal_generate" => "whether a failed write raised SIGPIPE",
        "signal_deliver" => "signals that end a lingering close()",
        other => other,
    }
}

/// Why there is no plan for this kernel.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// Records cannot leave the kernel.
    #[error("no BPF ring buffer: {0}")]
    NoRingBuffer(String),
    /// A required hook is not available.
    #[error("the hook {hook} is not available, and every verdict needs it: {reason}")]
    MissingHook {
        /// Name of the hook.
        hook: &'static str,
        /// Why not.
        reason: String,
    },
    /// The preferred mechanism is not available.
    #[error("{mechanism} is not available: {reason}")]
    NoMechanism {
        /// The preferred mechanism.
        mechanism: &'static str,
        /// Why not.
        reason: String,
    },
    /// There is no hook of the name that should be left out.
    #[error("there is no hook {0}; `observer check` lists them")]
    NoSuchHook(String),
}

/// Chooses a mechanism for each hook.
///
/// # Errors
/// The kernel has no ring buffer or lacks a required hook, or a preference cannot be met.
pub fn plan(facts: &Facts, preferences: &Preferences) -> Result<Plan, PlanError> {
    if let Answer::No(reason) = &facts.ring_buffer {
        return Err(PlanError::NoRingBuffer(reason.clone()));
    }
    let offered = match preferences.mechanism {
        Some(Mechanism::Fentry) => &facts.fentry,
        Some(Mechanism::Kprobe) => &facts.kprobe,
        Some(Mechanism::RawTracepoint) | None => &Answer::Yes,
    };
    if let (Some(mechanism), false) = (preferences.mechanism, offered.is_yes()) {
        let (mechanism, reason) = (mechanism.word(), offered.reason().to_owned());
        return Err(PlanError::NoMechanism { mechanism, reason });
    }
    if let Some(unknown) =
        preferences.without.iter().find(|name| HOOKS.iter().all(|hook| hook.name != **name))
    {
        return Err(PlanError::NoSuchHook(unknown.clone()));
    }
    let mut hooks: Vec<Planned> = Vec::with_capacity(HOOKS.len());
    for hook in HOOKS {
        let none = |status, reason: String| Planned {
            hook,
            mechanism: None,
            reason,
            refused: false,
            tried: false,
            status,
        };
        let planned = match hook.want {
            _ if preferences.without.iter().any(|name| name == hook.name) => {
                none(HookStatus::LeftOut, "left out as requested".to_owned())
            }
            Want::InsteadOf(other) if has(&hooks, other) => {
                none(HookStatus::NotNeeded, format!("not needed: {other} covers it"))
            }
            Want::WithoutReasons if facts.reset_reasons => {
                none(HookStatus::NotNeeded, "not needed: tcp_send_reset shows every reset".to_owned())
            }
            Want::Required | Want::Optional | Want::InsteadOf(_) | Want::WithoutReasons => {
                choose(hook, facts, preferences)
            }
        };
        if planned.mechanism.is_none() && hook.want == Want::Required {
            return Err(PlanError::MissingHook { hook: hook.name, reason: planned.reason });
        }
        hooks.push(planned);
    }
    let for_functions = [(Mechanism::Fentry, &facts.fentry), (Mechanism::Kprobe, &facts.kprobe)];
    let closed = for_functions.into_iter().filter_map(|(mechanism, answer)| {
        let (reason, refused) = match answer {
            _ if is_excluded(preferences, mechanism) => ("excluded".to_owned(), false),
            Answer::Yes => return None,
            Answer::No(reason) => (reason.clone(), false),
            Answer::Refused(reason) => (reason.clone(), true),
            Answer::Unclear(reason) => (format!("probing failed: {reason}"), false),
        };
        Some(Closed { mechanism, reason, refused })
    });
    Ok(Plan { hooks, closed: closed.collect() })
}

/// Whether the user excluded a mechanism. Tracepoints cannot be excluded: some events have nothing else.
fn is_excluded(preferences: &Preferences, mechanism: Mechanism) -> bool {
    preferences.mechanism.is_some_and(|only| only != mechanism) && mechanism != Mechanism::RawTracepoint
}

fn has(hooks: &[Planned], name: &str) -> bool {
    hooks.iter().any(|planned| planned.hook.name == name && planned.mechanism.is_some())
}

/// Chooses the best available mechanism for the hook.
fn choose(hook: &'static Hook, facts: &Facts, preferences: &Preferences) -> Planned {
    let mechanisms = Mechanism::ALL.iter().copied().filter(|mechanism| !mechanism.programs(hook).is_empty());
    let mut planned = Planned {
        hook,
        mechanism: None,
        reason: String::new(),
        refused: false,
        tried: false,
        status: HookStatus::Absent,
    };
    // Reasons against this hook alone, and the mechanisms that are not available for any hook.
    let (mut against, mut closed, mut excluded) = (Vec::new(), Vec::new(), false);
    if let Answer::No(reason) | Answer::Refused(reason) | Answer::Unclear(reason) = facts.hook(hook.name) {
        against.push(reason);
    } else {
        for mechanism in mechanisms {
            let answer = facts.mechanism(hook.name, mechanism);
            if is_excluded(preferences, mechanism) {
                excluded = true;
                closed.push(mechanism.word());
            } else if answer.is_yes() {
                planned.mechanism = Some(mechanism);
                break;
            } else {
                planned.refused |= matches!(answer, Answer::Refused(_));
                let tried =
                    facts.tried.iter().any(|(name, tried, _)| *name == hook.name && *tried == mechanism);
                planned.tried |= tried;
                if tried {
                    against.push(format!("{}: {}", mechanism.word(), answer.reason()));
                } else {
                    closed.push(mechanism.word());
                }
            }
        }
    }
    planned.status = match (planned.mechanism, planned.refused) {
        (Some(_), _) => HookStatus::Attached,
        (None, true) => HookStatus::Refused,
        (None, false) if excluded => HookStatus::LeftOut,
        (None, false) => HookStatus::Absent,
    };
    if planned.mechanism.is_none() && !hook.else_by.is_empty() {
        against.push(format!("covered by {}", hook.else_by));
    }
    planned.reason = match (against.is_empty(), planned.mechanism, hook.want) {
        (false, ..) => against.join("; "),
        (true, None, _) => needs(&closed, excluded),
        (true, Some(_), Want::InsteadOf(other)) => format!("covers {other}, which is not available"),
        (true, Some(_), _) if closed.is_empty() => "best available".to_owned(),
        (true, Some(_), _) => format!("instead of {}", closed.join(" or ")),
    };
    planned
}

/// The reason for a hook that none of its mechanisms can attach.
fn needs(mechanisms: &[&str], excluded: bool) -> String {
    let names = mechanisms.join(" or ");
    match mechanisms.len() {
        _ if excluded => format!("needs {names}"),
        1 => format!("needs {names}, which is not available"),
        _ => format!("needs {names}; neither is available"),
    }
}

#[cfg(test)]
mod tests;
