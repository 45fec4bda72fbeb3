//! The exported families, their zeros, and the label values of all together.

use super::{
    fixtures::{REASONS, close, counted, metrics, text, verdict},
    *,
};
use crate::{
    classify::{Cause, Outcome, StrayCause, WriteCause, verdict::FirstClose},
    event::{Body, SockId},
    words::{LocalAction, Side, errno},
};

#[test]
fn every_metric_is_exported_from_the_start() {
    let metrics = metrics();
    metrics.hook("tcp_send_reset", "raw_tracepoint");
    metrics.program("tcp_send_reset", 0, 0);
    let text = text(&metrics);
    for (name, kind, labels) in [
        ("observer_tcp_closes_total", "counter", &["cause", "first_close", "outcome", "owner"][..]),
        ("observer_tcp_fins_sent_total", "counter", &["action", "owner"]),
        ("observer_tcp_resets_sent_total", "counter", &["cause", "owner"]),
        ("observer_tcp_resets_received_total", "counter", &["cause", "owner"]),
        ("observer_tcp_half_closed_connections", "gauge", &["owner", "side"]),
        ("observer_tcp_half_closed_oldest_seconds", "gauge", &["side"]),
        ("observer_tcp_half_closed_seconds", "histogram", &["side"]),
        ("observer_tcp_linger_timeouts_total", "counter", &["kind", "owner"]),
        ("observer_tcp_linger_wait_seconds", "histogram", &["result"]),
        ("observer_tcp_write_errors_total", "counter", &["cause", "errno", "owner"]),
        ("observer_tcp_writes_after_peer_fin_total", "counter", &["owner"]),
        ("observer_tcp_lost_bytes_total", "counter", &["owner", "queue"]),
        ("observer_tcp_send_buffer_full_total", "counter", &[]),
        ("observer_records_total", "counter", &["record"]),
        ("observer_records_lost_total", "counter", &["reason"]),
        ("observer_hook_info", "gauge", &["hook", "mechanism"]),
        ("observer_program_run_seconds_total", "counter", &["program"]),
        ("observer_program_runs_total", "counter", &["program"]),
        ("observer_build_info", "gauge", &["version"]),
        ("observer_tracked_connections", "gauge", &[]),
        ("observer_audit_difference", "gauge", &["counter"]),
        ("observer_owners_folded", "gauge", &[]),
        ("process_cpu_seconds_total", "counter", &[]),
        ("process_open_fds", "gauge", &[]),
        ("process_max_fds", "gauge", &[]),
        ("process_virtual_memory_bytes", "gauge", &[]),
        ("process_resident_memory_bytes", "gauge", &[]),
        ("process_start_time_seconds", "gauge", &[]),
        ("process_threads", "gauge", &[]),
    ] {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        let suffix = if kind == "histogram" { "_count" } else { "" };
        let series = text.lines().find_map(|line| {
            let rest = line.strip_prefix(name)?.strip_prefix(suffix)?;
            rest.starts_with(['{', ' ']).then_some(rest)
        });
        let series = series.unwrap_or_else(|| panic!("{name} has no series"));
        let inside = series.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        let found = inside.map_or_else(Vec::new, |(labels, _)| {
            labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect()
        });
        assert_eq!(found, labels, "{name}");
    }
}

#[test]
fn every_pair_of_outcome_and_cause_starts_at_zero() {
    let text = text(&metrics());
    let mut pairs = 0;
    for cause in Cause::ALL {
        assert!(!cause.outcomes().is_empty(), "{cause:?}");
        for outcome in cause.outcomes() {
            pairs += 1;
            for first in FirstClose::ALL {
                let line = format!(
                    "observer_tcp_closes_total{{cause=\"{}\",first_close=\"{}\",outcome=\"{}\",owner=\"none\"}} 0\n",
                    cause.word(),
                    first.word(),
                    outcome.word()
                );
                assert!(text.contains(&line), "{line}");
            }
        }
    }
    let closes = text.lines().filter(|line| line.starts_with("observer_tcp_closes_total{")).count();
    assert_eq!(closes, pairs * FirstClose::ALL.len());
}

#[test]
fn every_other_closed_set_starts_at_zero() {
    let metrics = metrics();
    let text = text(&metrics);
    let count = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
    // 12 causes of reset_sent including unknown, keepalive_timeout, and 4 without a connection.
    assert_eq!(count("observer_tcp_resets_sent_total"), 17);
    assert_eq!(count("observer_tcp_resets_received_total"), 4);
    assert_eq!(count("observer_tcp_fins_sent_total"), 5);
    assert_eq!(count("observer_tcp_linger_timeouts_total"), 2);
    assert_eq!(count("observer_tcp_linger_wait_seconds_count"), 3);
    assert_eq!(count("observer_tcp_half_closed_seconds_count"), 2);
    assert_eq!(count("observer_tcp_half_closed_connections"), 2);
    assert_eq!(count("observer_tcp_half_closed_oldest_seconds"), 2);
    assert_eq!(count("observer_tcp_lost_bytes_total"), 3);
    assert_eq!(count("observer_records_total"), Body::NAMES.len());
    assert_eq!(count("observer_records_lost_total"), REASONS.len());
}

#[test]
fn owners_beyond_the_limit_become_other() {
    let mut metrics = Metrics::new(OwnerBy::Comm, 1, &REASONS).unwrap();
    for comm in ["nginx", "curl", "wget", "nginx"] {
        close(&mut metrics, verdict(comm, Outcome::Graceful, Cause::Orderly));
    }
    assert_eq!(
        counted(&metrics, "observer_tcp_closes_total"),
        [
            r#"{cause="orderly",first_close="local",outcome="graceful",owner="nginx"} 2"#,
            r#"{cause="orderly",first_close="local",outcome="graceful",owner="other"} 2"#
        ]
    );
    assert_eq!(counted(&metrics, "observer_owners_folded"), [" 2"]);
}

#[test]
fn counters_follow_totals_from_outside() {
    let metrics = metrics();
    metrics.event(&Event {
        ns: 1,
        sock: SockId(1),
        task: None,
        body: Body::Opened { by: Side::Local, endpoints: None, inode: 0, early: false },
    });
    for total in [3, 3, 8] {
        metrics.lost("ring_full", total);
        metrics.program("set_state", total * 1_000_000_000, total);
    }
    metrics.tracked(12);
    assert_eq!(counted(&metrics, "observer_records_total"), [r#"{record="opened"} 1"#]);
    assert_eq!(counted(&metrics, "observer_records_lost_total"), [r#"{reason="ring_full"} 8"#]);
    assert_eq!(counted(&metrics, "observer_program_run_seconds_total"), [r#"{program="set_state"} 8"#]);
    assert_eq!(counted(&metrics, "observer_program_runs_total"), [r#"{program="set_state"} 8"#]);
    assert_eq!(counted(&metrics, "observer_tracked_connections"), [" 12"]);
}

/// The prometheus crate (0.14) hashes label values one after the other without a separator. Two sets of values with
/// the same joined text would therefore be one counter. This cannot happen as long as no word of a closed set is a
/// prefix of another one of its set, and the owner comes last.
#[test]
fn no_label_value_is_a_prefix_of_another() {
    fn prefix_free(words: &[&str]) {
        for (i, one) in words.iter().enumerate() {
            for (j, other) in words.iter().enumerate() {
                assert!(i == j || !other.starts_with(one), "{one} is a prefix of {other}");
            }
        }
    }
    let mut causes: Vec<_> = Cause::ALL.iter().map(|cause| cause.word()).collect();
    causes.extend(StrayCause::ALL.iter().map(|cause| cause.word()));
    // invalid_segment is in both sets.
    causes.sort_unstable();
    causes.dedup();
    prefix_free(&causes);
    prefix_free(&WriteCause::ALL.iter().map(|cause| cause.word()).collect::<Vec<_>>());
    prefix_free(&Outcome::ALL.iter().map(|outcome| outcome.word()).collect::<Vec<_>>());
    prefix_free(&FirstClose::ALL.iter().map(|first| first.word()).collect::<Vec<_>>());
    prefix_free(&LocalAction::ALL.iter().map(|action| action.word()).collect::<Vec<_>>());
    prefix_free(errno::NAMES);
}
