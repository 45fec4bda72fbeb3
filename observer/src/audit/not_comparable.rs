//! Counters that cannot be compared, because no attached hook sees what they count.

use observer_ebpf::abi::program::Want;

use super::counters::Counter;
use crate::attach::plan::{HookStatus, Plan};

/// These counters, each with the reason. Empty if the hooks see every reset.
pub(super) fn not_comparable(plan: &Plan) -> Vec<(Counter, String)> {
    // Before 6.10 the tracepoint does not fire for resets without a full socket.
    let missing = plan.hooks.iter().filter(|planned| {
        planned.hook.want == Want::WithoutReasons
            && planned.mechanism.is_none()
            && planned.status != HookStatus::NotNeeded
    });
    let names: Vec<_> = missing.map(|planned| planned.hook.name).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let why =
        format!("resets without a connection are not seen, because {} is not attached", names.join(" or "));
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

    fn left_out(reset_reasons: bool, mechanism: Option<Mechanism>, without: &[&str]) -> Vec<String> {
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
        let left_out = not_comparable(&plan(&facts, &Preferences { mechanism, without }).unwrap());
        left_out.into_iter().map(|(counter, why)| format!("{}: {why}", counter.word())).collect()
    }

    #[test]
    fn resets_are_compared_if_the_hooks_see_every_one() {
        let tracepoints = Some(Mechanism::RawTracepoint);
        assert_eq!(left_out(true, None, &[]), [""; 0]);
        assert_eq!(left_out(true, tracepoints, &[]), [""; 0]);
        assert_eq!(left_out(false, None, &[]), [""; 0]);
        let why = "OutRsts: resets without a connection are not seen, because ";
        let all = format!("{why}tcp_v4_send_reset or tcp_v6_send_reset is not attached");
        assert_eq!(left_out(false, tracepoints, &[]), [all]);
        let one = format!("{why}tcp_v6_send_reset is not attached");
        assert_eq!(left_out(false, None, &["tcp_v6_send_reset"]), [one]);
    }
}
