//! Reports → counters of connections.

use std::sync::Arc;

use super::super::fixtures::{close, counted, endpoints, metrics, text, verdict};
use super::*;
use crate::{
    classify::{
        WriteVerdict,
        verdict::{Bytes, FinProgress, HalfClosedTimes, Linger, LingerMode, Reset},
    },
    event::State,
    report::{LingerExpired, Report},
};

fn reset(direction: Side) -> Reset {
    Reset { direction, in_state: State::Established, kernel_reason: None }
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
    let mut killed = verdict("nginx", Outcome::ResetSent, Cause::UnreadData);
    killed.head.bytes = Bytes { unread: Some(9), unacked: Some(5), unsent: Some(0), after_peer_fin: Some(3) };
    let reset = Some(reset(Side::Local));
    close(&mut metrics, Verdict { local_action: Some(LocalAction::Killed), reset, ..killed });
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
fn a_write_after_the_peers_fin_has_a_counter_of_its_own() {
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
fn linger_waits_are_counted_by_result_and_timeouts_by_kind() {
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
        close_id: closed.head.id,
        endpoints: closed.head.endpoints,
        opened_by: None,
        process: closed.head.process,
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
fn a_new_owner_has_zeros_for_losses() {
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
