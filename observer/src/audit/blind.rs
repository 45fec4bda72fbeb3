//! Which counters cannot be compared, since nothing that is attached sees what they count.

use observer_ebpf::abi::program::Want;

use super::counters::Counter;
use crate::attach::plan::{HookStatus, Plan};

/// Each with the reason. Empty where every reset is seen.
pub(super) fn blind(plan: &Plan) -> Vec<(Counter, String)> {
    // Before 6.10 the tracepoint leaves out resets that have no full socket.
    let missing = plan.hooks.iter().filter(|planned| {
        planned.hook.want == Want::WithoutReasons
            && planned.mechanism.is_none()
            && planned.status != HookStatus::NotNeeded
    });
    let names: Vec<_> = missing.map(|planned| planned.hook.name).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let why = format!("resets without a connection are not seen, {} is not attached", names.join(" or "));
    vec![(Counter::OutRsts, why)]
}

#[cfg(test)]
mod tests {
    use observer_ebpf::abi::program::HOOKS;

    use super::*;
    use crate::attach::{
        answer::{Answer, Mechanism},
        facts::Facts,
        plan::{Preferences, plan},
    };

    fn blind_to(reset_reasons: bool, mechanism: Option<Mechanism>, without: &[&str]) -> Vec<String> {
        let facts = Facts {
            release: String::new(),
            fentry: Answer::Yes,
            kprobe: Answer::Yes,
            ring_buffer: Answer::Yes,
            reset_reasons,
            hooks: HOOKS.iter().map(|hook| (hook.name, Answer::Yes)).collect(),
            tried: Vec::new(),
        };
        let without = without.iter().map(ToString::to_string).collect();
        let blind = blind(&plan(&facts, &Preferences { mechanism, without }).unwrap());
        blind.into_iter().map(|(counter, why)| format!("{}: {why}", counter.word())).collect()
    }

    #[test]
    fn resets_are_compared_where_every_one_is_seen() {
        let tracepoints = Some(Mechanism::RawTracepoint);
        assert_eq!(blind_to(true, None, &[]), [""; 0]);
        assert_eq!(blind_to(true, tracepoints, &[]), [""; 0]);
        assert_eq!(blind_to(false, None, &[]), [""; 0]);
        let why = "OutRsts: resets without a connection are not seen, ";
        let all = format!("{why}tcp_v4_send_reset or tcp_v6_send_reset is not attached");
        assert_eq!(blind_to(false, tracepoints, &[]), [all]);
        let one = format!("{why}tcp_v6_send_reset is not attached");
        assert_eq!(blind_to(false, None, &["tcp_v6_send_reset"]), [one]);
    }
}
