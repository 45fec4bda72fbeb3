use std::{collections::BTreeMap, sync::Arc};

use prometheus::TextEncoder;

use super::*;
use crate::{
    audit::{Difference, counters::Counter},
    classify::{
        Cause, Evidence, Outcome, StrayCause, WriteCause, WriteVerdict,
        verdict::{
            Bytes, FinProgress, FirstClose, HalfClosedTimes, Left, Linger, LingerMode, LingerResult, Reset,
            Verdict,
        },
    },
    event::{Body, Comm, Endpoints, SockId, State, Task},
    half_closed::gauges::{Gauges, Held, SideGauges},
    report::{LingerExpired, StrayReset, WriteFailure},
    words::{LocalAction, Side, errno},
};

const REASONS: [&str; 2] = ["ring_full", "undecodable"];

fn metrics() -> Metrics {
    Metrics::new(OwnerBy::Comm, 100, &REASONS).unwrap()
}

fn text(metrics: &Metrics) -> String {
    TextEncoder::new().encode_to_string(&metrics.registry().gather()).unwrap()
}

/// The lines of a family that are not zero.
fn counted(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = text(metrics);
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)).filter(|line| !line.ends_with(" 0"));
    lines.map(str::to_owned).collect()
}

fn task(comm: &str) -> Task {
    let comm = Comm::from(comm);
    Task { pid: 7, tid: 7, uid: 0, comm, cgroup: 0, exiting: false, kthread: false, signal: 0 }
}

fn endpoints() -> Endpoints {
    let (local, remote) = ("192.0.2.1:51820".parse().unwrap(), "192.0.2.2:443".parse().unwrap());
    Endpoints { local, remote, netns: 4_026_531_840 }
}

fn verdict(comm: &str, outcome: Outcome, cause: Cause) -> Verdict {
    Verdict {
        id: "1-0001".to_owned(),
        ns: 1,
        endpoints: endpoints(),
        opened_by: None,
        process: Some(task(comm)),
        inode: 0,
        outcome,
        cause,
        first_close: FirstClose::Local,
        local_action: None,
        action_known: true,
        fin: None,
        last_action: None,
        opener: None,
        error: 0,
        linger: None,
        half_closed: HalfClosedTimes::default(),
        bytes: Bytes::default(),
        reset: None,
        write_errors: BTreeMap::new(),
        duration_ns: None,
        evidence: Evidence::Exact,
        missing: Vec::new(),
        steps: Vec::new(),
        left: Left::default(),
    }
}

fn reset(direction: Side) -> Reset {
    Reset { direction, in_state: State::Established, kernel_reason: None }
}

fn close(metrics: &mut Metrics, verdict: Verdict) {
    metrics.report(&Report::Close(Box::new(verdict)));
}

#[test]
fn every_metric_is_there_from_the_start_with_its_type_and_labels() {
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
fn every_pair_of_outcome_and_cause_is_there_as_zero() {
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
fn other_closed_sets_are_there_as_zero() {
    let metrics = metrics();
    let text = text(&metrics);
    let count = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
    // 12 causes of reset_sent with the undecided one, keepalive, 4 without a connection.
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
fn a_graceful_close_counts_its_fin_and_its_half_closed_time() {
    let mut metrics = metrics();
    close(
        &mut metrics,
        Verdict {
            local_action: Some(LocalAction::ShutdownWrite),
            fin: Some(FinProgress { sent: Some(true), at_once: true, acked_ns: None, queued_ns: 1 }),
            half_closed: HalfClosedTimes { local_ns: Some(2_500_000_000), remote_ns: None },
            ..verdict("curl", Outcome::Graceful, Cause::Orderly)
        },
    );
    assert_eq!(
        counted(&metrics, "observer_tcp_closes_total"),
        [r#"{cause="orderly",first_close="local",outcome="graceful",owner="curl"} 1"#]
    );
    assert_eq!(
        counted(&metrics, "observer_tcp_fins_sent_total"),
        [r#"{action="shutdown_write",owner="curl"} 1"#]
    );
    assert_eq!(
        counted(&metrics, "observer_tcp_half_closed_seconds_bucket").first().unwrap(),
        r#"{side="local",le="5"} 1"#
    );
    assert_eq!(counted(&metrics, "observer_tcp_half_closed_seconds_sum"), [r#"{side="local"} 2.5"#]);
    assert!(counted(&metrics, "observer_tcp_resets").is_empty());
    assert!(counted(&metrics, "observer_tcp_lost_bytes_total").is_empty());
}

#[test]
fn a_reset_without_a_fin_counts_no_fin() {
    let mut metrics = metrics();
    close(
        &mut metrics,
        Verdict {
            local_action: Some(LocalAction::Killed),
            reset: Some(reset(Side::Local)),
            bytes: Bytes { unread: Some(9), unacked: Some(5), unsent: Some(0), after_peer_fin: Some(3) },
            ..verdict("nginx", Outcome::ResetSent, Cause::UnreadData)
        },
    );
    assert!(counted(&metrics, "observer_tcp_fins_sent_total").is_empty());
    assert_eq!(
        counted(&metrics, "observer_tcp_resets_sent_total"),
        [r#"{cause="unread_data",owner="nginx"} 1"#]
    );
    assert_eq!(
        counted(&metrics, "observer_tcp_lost_bytes_total"),
        [r#"{owner="nginx",queue="unacked"} 5"#, r#"{owner="nginx",queue="unread"} 9"#]
    );
}

#[test]
fn a_write_after_the_peers_fin_is_told_three_ways() {
    let mut metrics = metrics();
    close(
        &mut metrics,
        Verdict {
            reset: Some(reset(Side::Remote)),
            ..verdict("redis", Outcome::ResetReceived, Cause::WriteAfterPeerFin)
        },
    );
    assert_eq!(counted(&metrics, "observer_tcp_writes_after_peer_fin_total"), [r#"{owner="redis"} 1"#]);
    assert_eq!(
        counted(&metrics, "observer_tcp_resets_received_total"),
        [r#"{cause="write_after_peer_fin",owner="redis"} 1"#]
    );
    assert!(counted(&metrics, "observer_tcp_resets_sent_total").is_empty());
}

#[test]
fn lingering_is_counted_by_its_result_and_timeouts_by_their_kind() {
    let mut metrics = metrics();
    let linger = |result, waited_ns| {
        Some(Linger { mode: LingerMode::Timed, configured_ms: Some(1000), waited_ns, result })
    };
    for (result, waited_ns) in [
        (Some(LingerResult::Expired), Some(1_000_000_000)),
        (Some(LingerResult::Acked), Some(250_000_000)),
        (None, None),
    ] {
        let linger = linger(result, waited_ns);
        close(&mut metrics, Verdict { linger, ..verdict("app", Outcome::Graceful, Cause::Orderly) });
    }
    close(&mut metrics, verdict("app", Outcome::ResetSent, Cause::FinWait2Timeout));
    let closed = verdict("app", Outcome::Graceful, Cause::Orderly);
    metrics.report(&Report::LingerExpired(LingerExpired {
        ns: 1,
        close_id: closed.id,
        endpoints: closed.endpoints,
        opened_by: None,
        process: closed.process,
        configured_ms: 1000,
    }));
    assert_eq!(
        counted(&metrics, "observer_tcp_linger_wait_seconds_sum"),
        [r#"{result="acked"} 0.25"#, r#"{result="expired"} 1"#]
    );
    assert_eq!(
        counted(&metrics, "observer_tcp_linger_timeouts_total"),
        [r#"{kind="fin_wait2",owner="app"} 1"#, r#"{kind="so_linger",owner="app"} 1"#]
    );
}

#[test]
fn every_errno_of_a_send_has_a_zero() {
    let text = text(&metrics());
    let lines = text.lines().filter(|line| line.starts_with("observer_tcp_write_errors_total{"));
    // EPIPE with 10 causes, ECONNRESET with 4, three errnos with 2; every other errno, and "other", with one.
    assert_eq!(lines.clone().count(), 10 + 4 + 3 * 2 + errno::NAMES.len() - 5);
    for errno in errno::NAMES {
        let label = format!("errno=\"{errno}\"");
        assert!(lines.clone().any(|line| line.contains(&label)), "{errno} has no series");
    }
}

#[test]
fn write_errors_and_stray_resets_are_counted() {
    let mut metrics = metrics();
    for errno in [32, 4, 9999] {
        metrics.report(&Report::WriteError(WriteFailure {
            ns: 1,
            close_id: None,
            endpoints: endpoints(),
            opened_by: None,
            process: None,
            errno,
            sigpipe: errno == 32,
            verdict: WriteVerdict {
                cause: if errno == 32 { WriteCause::PeerReset } else { WriteCause::Other },
                since_peer_fin_ns: None,
                since_reset_ns: None,
            },
        }));
    }
    metrics.report(&Report::StrayReset(StrayReset {
        ns: 1,
        endpoints: endpoints(),
        cause: StrayCause::ClosedPort,
        state: None,
        kernel_reason: Some(Arc::from("NO_SOCKET")),
    }));
    assert_eq!(
        counted(&metrics, "observer_tcp_write_errors_total"),
        [
            r#"{cause="other",errno="EINTR",owner="none"} 1"#,
            r#"{cause="other",errno="other",owner="none"} 1"#,
            r#"{cause="peer_reset",errno="EPIPE",owner="none"} 1"#
        ]
    );
    assert_eq!(
        counted(&metrics, "observer_tcp_resets_sent_total"),
        [r#"{cause="closed_port",owner="none"} 1"#]
    );
}

#[test]
fn too_many_owners_become_other() {
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
fn totals_that_are_kept_elsewhere_are_followed() {
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

#[test]
fn the_audit_shows_what_can_be_compared() {
    let metrics = metrics();
    let shown = |metrics: &Metrics| {
        let text = text(metrics);
        let lines = text.lines().filter_map(|line| line.strip_prefix("observer_audit_difference"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shown(&metrics).len(), Counter::ALL.len());
    assert_eq!(counted(&metrics, "observer_audit_difference"), [""; 0]);
    let difference = |counter: &str, not_reported| Difference {
        counter: counter.to_owned(),
        not_reported,
        not_counted: 1,
    };
    let summary = Summary { counters: vec![difference("OutRsts", 3)], ..Summary::default() };
    metrics.audit(&summary);
    assert_eq!(shown(&metrics), [r#"{counter="OutRsts"} 4"#]);
    metrics.audit(&Summary { failed: Some("no /proc".to_owned()), ..summary });
    assert_eq!(shown(&metrics), [""; 0]);
}

fn held(side: &mut SideGauges, pid: u32, comm: Option<&str>, connections: u64) {
    let task = comm.map(|comm| Task { pid, ..task(comm) });
    side.held.insert(task.map(|task| task.pid), Held { task, connections });
}

#[test]
fn what_an_owner_may_lose_later_begins_at_zero() {
    let mut metrics = metrics();
    close(&mut metrics, verdict("nginx", Outcome::Graceful, Cause::Orderly));
    let text = text(&metrics);
    for series in [
        "observer_tcp_writes_after_peer_fin_total{owner=\"nginx\"} 0\n",
        "observer_tcp_linger_timeouts_total{kind=\"so_linger\",owner=\"nginx\"} 0\n",
        "observer_tcp_lost_bytes_total{owner=\"nginx\",queue=\"unacked\"} 0\n",
    ] {
        assert!(text.contains(series), "{series}");
    }
}

#[test]
fn half_closed_connections_are_shown_by_owner_and_leave_a_zero() {
    let mut metrics = metrics();
    let mut found = Gauges::default();
    found.remote.oldest_ns = Some(90_500_000_000);
    held(&mut found.remote, 1, Some("nginx"), 2);
    held(&mut found.remote, 2, Some("nginx"), 3);
    held(&mut found.remote, 3, Some("redis"), 1);
    held(&mut found.local, 0, None, 4);
    metrics.half_closed(Some((&found, Unseen { namespaces: 2, ..Unseen::default() })));
    let connections = "observer_tcp_half_closed_connections";
    assert_eq!(
        counted(&metrics, connections),
        [
            r#"{owner="nginx",side="remote"} 5"#,
            r#"{owner="none",side="local"} 4"#,
            r#"{owner="redis",side="remote"} 1"#
        ]
    );
    let oldest = "observer_tcp_half_closed_oldest_seconds";
    assert_eq!(counted(&metrics, oldest), [r#"{side="remote"} 90.5"#]);
    assert_eq!(counted(&metrics, "observer_half_closed_unseen"), [r#"{what="namespaces"} 2"#]);

    metrics.half_closed(Some((&Gauges::default(), Unseen::default())));
    assert!(counted(&metrics, connections).is_empty() && counted(&metrics, oldest).is_empty());
    let left = text(&metrics);
    assert!(left.contains(&format!("{connections}{{owner=\"nginx\",side=\"remote\"}} 0\n")), "{left}");
}

#[test]
fn what_could_not_be_told_is_not_shown_until_it_can_be() {
    let mut metrics = metrics();
    metrics.half_closed(None);
    assert!(!text(&metrics).contains("\nobserver_tcp_half_closed_connections{"));
    assert!(!text(&metrics).contains("\nobserver_tcp_half_closed_oldest_seconds{"));
    metrics.half_closed(Some((&Gauges::default(), Unseen::default())));
    for side in ["local", "remote"] {
        let text = text(&metrics);
        let zero = format!("\nobserver_tcp_half_closed_connections{{owner=\"none\",side=\"{side}\"}} 0\n");
        assert!(text.contains(&zero), "{text}");
    }
}

#[test]
fn owners_of_half_closed_connections_are_bounded_too() {
    let mut metrics = Metrics::new(OwnerBy::Comm, 1, &REASONS).unwrap();
    let mut found = Gauges::default();
    for (pid, comm) in [(1, "a"), (2, "b"), (3, "c")] {
        held(&mut found.remote, pid, Some(comm), 1);
    }
    metrics.half_closed(Some((&found, Unseen { namespaces: 2, ..Unseen::default() })));
    assert_eq!(
        counted(&metrics, "observer_tcp_half_closed_connections"),
        [r#"{owner="a",side="remote"} 1"#, r#"{owner="other",side="remote"} 2"#]
    );
}

/// The prometheus crate (0.14) hashes label values one after the other with nothing between: two sets of values that
/// read the same when joined would be one counter. They cannot, as long as no word of a closed set begins another
/// of its set and the owner comes last.
#[test]
fn no_label_value_begins_another() {
    fn prefix_free(words: &[&str]) {
        for (i, one) in words.iter().enumerate() {
            for (j, other) in words.iter().enumerate() {
                assert!(i == j || !other.starts_with(one), "{one} begins {other}");
            }
        }
    }
    let mut causes: Vec<_> = Cause::ALL.iter().map(|cause| cause.word()).collect();
    causes.extend(StrayCause::ALL.iter().map(|cause| cause.word()));
    // A segment can be invalid in either.
    causes.sort_unstable();
    causes.dedup();
    prefix_free(&causes);
    prefix_free(&WriteCause::ALL.iter().map(|cause| cause.word()).collect::<Vec<_>>());
    prefix_free(&Outcome::ALL.iter().map(|outcome| outcome.word()).collect::<Vec<_>>());
    prefix_free(&FirstClose::ALL.iter().map(|first| first.word()).collect::<Vec<_>>());
    prefix_free(&LocalAction::ALL.iter().map(|action| action.word()).collect::<Vec<_>>());
    prefix_free(errno::NAMES);
}

#[test]
fn the_observer_shows_its_own_cost() {
    let text = text(&metrics());
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 1_000_000.0);
    assert!(value("process_open_fds") >= 3.0);
    assert!(value("process_threads") >= 1.0);
    // Since 2020, and not in the future: jiffies since boot plus the time of boot.
    assert!(value("process_start_time_seconds") > 1_577_836_800.0);
}
