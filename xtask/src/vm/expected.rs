//! Tests that cannot pass on some kernels. A test listed here must fail there: if it passes, that is a surprise, just as
//! when another test fails.

/// A scenario that cannot pass on some kernels.
#[derive(Debug, PartialEq)]
pub(crate) struct Difference {
    /// Versions of the kernel series, such as 5.10.
    kernels: &'static [&'static str],
    /// None for all.
    mechanisms: Option<&'static [&'static str]>,
    /// A test's name without its address family.
    scenario: &'static str,
    pub(crate) why: &'static str,
}

const DIFFERENCES: &[Difference] = &[Difference {
    kernels: &["5.10"],
    mechanisms: None,
    scenario: "mptcp_linger_zero",
    why: "Debian built this kernel without MPTCP",
}];

/// Why this scenario cannot pass on this kernel by this mechanism. None if it must pass.
pub(crate) fn difference(kernel: &str, mechanism: &str, scenario: &str) -> Option<&'static Difference> {
    DIFFERENCES.iter().find(|known| {
        known.scenario == scenario
            && known.kernels.contains(&kernel)
            && known.mechanisms.is_none_or(|mechanisms| mechanisms.contains(&mechanism))
    })
}

/// A kind of report that the observer cannot make.
pub(crate) struct Unseen {
    /// Its name in `OBSERVER_TEST_UNSEEN`.
    pub(crate) kind: &'static str,
    pub(crate) why: &'static str,
}

const OLD_TRACEPOINTS: &[Unseen] = &[
    Unseen {
        kind: "write_error",
        why: "failing writes are not reported: the tracepoint sock_send_length came with 6.3",
    },
    Unseen {
        kind: "reset",
        why: "resets without a connection are not reported: before 6.10 the tracepoint tcp_send_reset is silent where there \
              is no full socket",
    },
];

/// The kinds of report that the observer cannot make on this kernel by this mechanism.
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
    fn a_difference_belongs_to_a_kernel_and_a_scenario() {
        assert!(difference("5.10", "raw_tracepoint", "mptcp_linger_zero").is_some());
        assert_eq!(difference("6.1", "raw_tracepoint", "mptcp_linger_zero"), None);
        assert_eq!(difference("5.10", "raw_tracepoint", "linger_zero"), None);
    }

    #[test]
    fn kernels_and_mechanisms_exist() {
        for known in DIFFERENCES {
            assert!(known.kernels.iter().all(|kernel| SERIES.iter().any(|series| series.version == *kernel)));
            assert!(known.mechanisms.unwrap_or_default().iter().all(|name| MECHANISMS.contains(name)));
        }
    }
}
