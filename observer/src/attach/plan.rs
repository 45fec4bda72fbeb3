//! Which hook is entered by which mechanism, and why. Pure: facts and preferences in, plan out.

use std::fmt;

use observer_ebpf::abi::program::{HOOKS, Hook, Program, Want};
use thiserror::Error;

use super::facts::Facts;
use crate::{
    attach::answer::{Answer, Mechanism},
    words::words,
};

words! {
    /// What becomes of a hook.
    HookStatus {
        /// It is entered.
        Attached = "attached",
        /// Another tells what it would.
        NotNeeded = "not_needed",
        /// Nobody wants it.
        LeftOut = "left_out",
        /// The kernel has it, and a way into it that it refuses.
        Refused = "refused",
        /// The kernel does not have it, or has no way into it.
        Absent = "absent",
    }
}

/// What the user wants to be different from what the facts suggest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferences {
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
    /// Why this mechanism, or why none, but for what is true of a mechanism everywhere ([`Plan::closed`]).
    pub reason: String,
    /// The kernel has a better way in, and refuses it.
    pub refused: bool,
    /// A way into this hook alone was tried in vain.
    pub tried: bool,
    /// What that comes to.
    pub status: HookStatus,
}

impl Planned {
    /// The programs to attach, in order.
    #[must_use]
    pub fn programs(&self) -> &'static [Program] {
        self.mechanism.map_or(&[], |mechanism| mechanism.programs(self.hook))
    }

    /// The mechanism, or `none` for a hook that this kernel lacks or refuses; one that nobody misses says why not.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match (self.mechanism, self.status) {
            (Some(mechanism), _) => mechanism.word(),
            (None, HookStatus::NotNeeded | HookStatus::LeftOut) => self.status.word(),
            (None, HookStatus::Attached | HookStatus::Refused | HookStatus::Absent) => "none",
        }
    }

    /// The mechanism, or why there is none in a word; `-` for a hook that nobody misses.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (self.mechanism, self.status) {
            (Some(mechanism), _) => mechanism.word(),
            (None, HookStatus::Refused | HookStatus::Absent) => self.status.word(),
            (None, HookStatus::Attached | HookStatus::NotNeeded | HookStatus::LeftOut) => "-",
        }
    }
}

/// A mechanism by which no function can be entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// Why.
    pub reason: String,
    /// The kernel has it, and refuses it.
    pub refused: bool,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.mechanism.word(), self.reason)
    }
}

/// What will be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Every hook, in the order in which it is attached.
    pub hooks: Vec<Planned>,
    /// What no hook can be entered by.
    pub closed: Vec<Closed>,
}

impl Plan {
    /// Whether a hook is part of it.
    #[must_use]
    pub fn has(&self, hook: &str) -> bool {
        has(&self.hooks, hook)
    }

    /// What is not seen with this plan, since neither a hook nor its stand-in is to be had; nothing that somebody
    /// chose not to see.
    #[must_use]
    pub fn unseen(&self) -> Vec<String> {
        let missing = |name: &str| {
            let is_missing =
                |planned: &Planned| matches!(planned.status, HookStatus::Refused | HookStatus::Absent);
            self.hooks.iter().any(|planned| planned.hook.name == name && is_missing(planned))
        };
        let pairs = HOOKS.iter().filter_map(|hook| match hook.want {
            Want::InsteadOf(other) if missing(hook.name) && missing(other) => Some(format!(
                "{} cannot be seen: neither {other} nor {} is to be had",
                told_by(hook),
                hook.name
            )),
            _ => None,
        });
        let resets = HOOKS.iter().find(|hook| hook.want == Want::WithoutReasons && missing(hook.name));
        let resets = resets.map(|hook| {
            format!("resets without a connection cannot be seen: {} is not to be had", hook.name)
        });
        pairs.chain(resets).collect()
    }

    /// What the kernel refuses though it has it, for a person who might change that: one line each.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let closed = self.closed.iter().filter(|closed| closed.refused).map(ToString::to_string);
        let hooks = self.hooks.iter().filter(|planned| planned.tried);
        closed.chain(hooks.map(|planned| format!("{}: {}", planned.hook.name, planned.reason))).collect()
    }
}

/// What a stand-in tells, in words.
fn told_by(hook: &Hook) -> &'static str {
    match hook.name {
        "sock_send_length" => "failing writes",
        "signal_generate" => "whether a failing write came with SIGPIPE",
        "signal_deliver" => "that a signal ended a lingering close()",
        other => other,
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
                none(HookStatus::LeftOut, "left out as asked".to_owned())
            }
            Want::InsteadOf(other) if has(&hooks, other) => {
                none(HookStatus::NotNeeded, format!("not needed: {other} tells it"))
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
    let ways = [(Mechanism::Fentry, &facts.fentry), (Mechanism::Kprobe, &facts.kprobe)];
    let closed = ways.into_iter().filter_map(|(mechanism, answer)| {
        let (reason, refused) = match answer {
            _ if is_unwished(preferences, mechanism) => ("not wanted".to_owned(), false),
            Answer::Yes => return None,
            Answer::No(reason) => (reason.clone(), false),
            Answer::Refused(reason) => (reason.clone(), true),
            Answer::Unclear(reason) => (format!("could not tell: {reason}"), false),
        };
        Some(Closed { mechanism, reason, refused })
    });
    Ok(Plan { hooks, closed: closed.collect() })
}

fn is_unwished(preferences: &Preferences, way: Mechanism) -> bool {
    preferences.mechanism.is_some_and(|only| only != way) && way != Mechanism::RawTracepoint
}

fn has(hooks: &[Planned], name: &str) -> bool {
    hooks.iter().any(|planned| planned.hook.name == name && planned.mechanism.is_some())
}

/// The best way into the hook that is to be had.
fn choose(hook: &'static Hook, facts: &Facts, preferences: &Preferences) -> Planned {
    let ways = Mechanism::ALL.iter().copied().filter(|mechanism| !mechanism.programs(hook).is_empty());
    let mut planned = Planned {
        hook,
        mechanism: None,
        reason: String::new(),
        refused: false,
        tried: false,
        status: HookStatus::Absent,
    };
    // What is against a way into this hook, and the ways that are closed for all.
    let (mut against, mut closed, mut unwished) = (Vec::new(), Vec::new(), false);
    if let Answer::No(reason) | Answer::Refused(reason) | Answer::Unclear(reason) = facts.hook(hook.name) {
        against.push(reason);
    } else {
        for way in ways {
            let answer = facts.mechanism(hook.name, way);
            if is_unwished(preferences, way) {
                unwished = true;
                closed.push(way.word());
            } else if answer.is_yes() {
                planned.mechanism = Some(way);
                break;
            } else {
                planned.refused |= matches!(answer, Answer::Refused(_));
                let tried = facts.tried.iter().any(|(name, tried, _)| *name == hook.name && *tried == way);
                planned.tried |= tried;
                if tried {
                    against.push(format!("{}: {}", way.word(), answer.reason()));
                } else {
                    closed.push(way.word());
                }
            }
        }
    }
    planned.status = match (planned.mechanism, planned.refused) {
        (Some(_), _) => HookStatus::Attached,
        (None, true) => HookStatus::Refused,
        (None, false) if unwished => HookStatus::LeftOut,
        (None, false) => HookStatus::Absent,
    };
    if planned.mechanism.is_none() && !hook.else_by.is_empty() {
        against.push(format!("{} tells it instead", hook.else_by));
    }
    planned.reason = match (against.is_empty(), planned.mechanism, hook.want) {
        (false, ..) => against.join("; "),
        (true, None, _) => format!("no way in but by {}", closed.join(" or ")),
        (true, Some(_), Want::InsteadOf(other)) => format!("stands in for {other}"),
        (true, Some(_), _) if closed.is_empty() => "the best there is for it".to_owned(),
        (true, Some(_), _) => format!("instead of {}", closed.join(" or ")),
    };
    planned
}

#[cfg(test)]
mod tests;
