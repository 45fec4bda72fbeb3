//! Where a kernel differs so that a test cannot pass on it. A test listed here must fail: one that passes is as much
//! of a surprise as another that fails.

/// One known difference.
#[derive(Debug, PartialEq)]
pub(crate) struct Difference {
    /// Versions of the series.
    kernels: &'static [&'static str],
    /// None for all.
    mechanisms: Option<&'static [&'static str]>,
    /// A test without its address family.
    scenario: &'static str,
    pub(crate) why: &'static str,
}

const DIFFERENCES: &[Difference] = &[Difference {
    kernels: &["5.10"],
    mechanisms: None,
    scenario: "f8",
    why: "Debian built this kernel without MPTCP",
}];

/// What is known of this scenario there.
pub(crate) fn difference(kernel: &str, mechanism: &str, scenario: &str) -> Option<&'static Difference> {
    DIFFERENCES.iter().find(|known| {
        known.scenario == scenario
            && known.kernels.contains(&kernel)
            && known.mechanisms.is_none_or(|mechanisms| mechanisms.contains(&mechanism))
    })
}

/// A kind of lines that the observer cannot see.
pub(crate) struct Unseen {
    /// As `OBSERVER_TEST_UNSEEN` names it.
    pub(crate) kind: &'static str,
    pub(crate) why: &'static str,
}

const OLD_TRACEPOINTS: &[Unseen] = &[
    Unseen {
        kind: "write_error",
        why: "failing writes are not told: the tracepoint sock_send_length came with 6.3",
    },
    Unseen {
        kind: "reset",
        why: "resets without a connection are not told: before 6.10 the tracepoint tcp_send_reset is silent where there \
              is no full socket",
    },
];

/// What cannot be seen there.
pub(crate) fn unseen(kernel: &str, mechanism: &str) -> &'static [Unseen] {
    match (kernel, mechanism) {
        ("5.10" | "6.1", "raw_tracepoint") => OLD_TRACEPOINTS,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::MECHANISMS;
    use crate::vm::kernel::SERIES;

    #[test]
    fn a_difference_is_of_a_kernel_and_a_scenario() {
        assert!(difference("5.10", "raw_tracepoint", "f8").is_some());
        assert_eq!(difference("6.1", "raw_tracepoint", "f8"), None);
        assert_eq!(difference("5.10", "raw_tracepoint", "f7"), None);
    }

    #[test]
    fn kernels_and_mechanisms_are_spelt_as_everywhere() {
        for known in DIFFERENCES {
            assert!(known.kernels.iter().all(|kernel| SERIES.iter().any(|series| series.version == *kernel)));
            assert!(known.mechanisms.unwrap_or_default().iter().all(|name| MECHANISMS.contains(name)));
        }
    }
}
