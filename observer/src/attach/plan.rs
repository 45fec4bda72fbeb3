//! Which hook is entered by which mechanism, and why. Pure: facts in, plan out.

use observer_ebpf::abi::program::{Entry, RAW_TRACEPOINTS};
use thiserror::Error;

use super::facts::{Answer, Facts};
use crate::{classify::verdict::words, config};

words! {
    /// A way into the kernel.
    Mechanism {
        /// BTF trampolines.
        Fentry = "fentry",
        /// Breakpoints.
        Kprobe = "kprobe",
        /// Tracepoints without their formatting.
        RawTracepoint = "raw_tracepoint",
    }
}

/// The one hook that also fires on success; a setting turns it off.
const SEND_LENGTH: &str = "sock_send_length";

/// One hook's part of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The hook and its program.
    pub entry: Entry,
    /// None when this kernel does not have the hook.
    pub mechanism: Option<Mechanism>,
    /// Why this mechanism, or why none.
    pub reason: String,
}

/// What will be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Every hook.
    pub hooks: Vec<Planned>,
}

/// Why there is no plan.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// Records could not get out.
    #[error("no BPF ring buffer: {0}")]
    NoRingBuffer(String),
    /// A hook that verdicts need.
    #[error(
        "this kernel does not have the tracepoint {hook}, without which no verdict can be told: {reason}"
    )]
    MissingHook {
        /// Hook.
        hook: &'static str,
        /// Why not.
        reason: String,
    },
}

/// Chooses a mechanism for each hook.
pub fn plan(facts: &Facts, settings: &config::Kernel) -> Result<Plan, PlanError> {
    if let Answer::No(reason) = &facts.ring_buffer {
        return Err(PlanError::NoRingBuffer(reason.clone()));
    }
    let hooks =
        RAW_TRACEPOINTS.iter().zip(&facts.tracepoints).map(|(entry, (_, tracepoint))| match tracepoint {
            _ if entry.hook == SEND_LENGTH && !settings.sock_send_length => {
                let reason = "kernel.sock_send_length is false in the configuration".to_owned();
                Ok(Planned { entry: *entry, mechanism: None, reason })
            }
            Answer::Yes => Ok(Planned {
                entry: *entry,
                mechanism: Some(Mechanism::RawTracepoint),
                reason: better_ones(facts),
            }),
            Answer::No(reason) | Answer::Unclear(reason) if entry.required => {
                Err(PlanError::MissingHook { hook: entry.hook, reason: reason.clone() })
            }
            Answer::No(reason) | Answer::Unclear(reason) => {
                Ok(Planned { entry: *entry, mechanism: None, reason: reason.clone() })
            }
        });
    Ok(Plan { hooks: hooks.collect::<Result<_, _>>()? })
}

/// Why a tracepoint and nothing better.
fn better_ones(facts: &Facts) -> String {
    let why = |name: &str, answer: &Answer| match answer {
        Answer::Yes => format!("{name}: this version has no entry for it"),
        Answer::No(reason) => format!("{name}: {reason}"),
        Answer::Unclear(reason) => format!("{name}: could not tell ({reason})"),
    };
    format!("{}; {}", why("fentry", &facts.fentry), why("kprobe", &facts.kprobe))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The facts of a hardened 6.18 without kprobes.
    fn facts() -> Facts {
        Facts {
            release: "6.18.0".to_owned(),
            fentry: Answer::No("the kernel refuses it: permission denied".to_owned()),
            kprobe: Answer::No("this kernel is built without kprobes".to_owned()),
            ring_buffer: Answer::Yes,
            tracepoints: RAW_TRACEPOINTS.iter().map(|entry| (entry.hook, Answer::Yes)).collect(),
        }
    }

    fn without(hook: &str) -> Facts {
        let mut facts = facts();
        for (name, answer) in &mut facts.tracepoints {
            if *name == hook {
                *answer = Answer::No("this kernel has no such tracepoint".to_owned());
            }
        }
        facts
    }

    #[test]
    fn every_hook_says_why_the_better_mechanisms_were_not_taken() {
        let plan = plan(&facts(), &config::Kernel::default()).unwrap();
        assert_eq!(plan.hooks.len(), RAW_TRACEPOINTS.len());
        for hook in plan.hooks {
            assert_eq!(hook.mechanism, Some(Mechanism::RawTracepoint));
            assert_eq!(
                hook.reason,
                "fentry: the kernel refuses it: permission denied; kprobe: this kernel is built without kprobes"
            );
        }
    }

    #[test]
    fn an_optional_hook_may_be_absent() {
        let plan = plan(&without(SEND_LENGTH), &config::Kernel::default()).unwrap();
        let hook = plan.hooks.iter().find(|hook| hook.entry.hook == SEND_LENGTH).unwrap();
        assert_eq!(hook.mechanism, None);
        assert_eq!(hook.reason, "this kernel has no such tracepoint");
    }

    #[test]
    fn a_setting_leaves_out_the_hook_that_fires_on_success() {
        let settings = config::Kernel { sock_send_length: false, ..config::Kernel::default() };
        let plan = plan(&facts(), &settings).unwrap();
        let left_out: Vec<_> = plan.hooks.iter().filter(|hook| hook.mechanism.is_none()).collect();
        let [hook] = left_out.as_slice() else { panic!("not one: {left_out:?}") };
        assert_eq!(hook.entry.hook, SEND_LENGTH);
        assert_eq!(hook.reason, "kernel.sock_send_length is false in the configuration");
    }

    #[test]
    fn a_required_hook_may_not() {
        let error = plan(&without("inet_sock_set_state"), &config::Kernel::default()).unwrap_err();
        assert!(matches!(error, PlanError::MissingHook { hook: "inet_sock_set_state", .. }), "{error}");
    }

    #[test]
    fn no_ring_buffer_no_plan() {
        let facts = Facts { ring_buffer: Answer::No("it came with 5.8".to_owned()), ..facts() };
        assert_eq!(
            plan(&facts, &config::Kernel::default()).unwrap_err().to_string(),
            "no BPF ring buffer: it came with 5.8"
        );
    }
}
