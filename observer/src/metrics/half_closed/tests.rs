//! Snapshots → gauges of half-closed connections.

use super::*;
use crate::{
    event::Task,
    half_closed::gauges::{Held, SideGauges},
    metrics::{
        Metrics, OwnerBy,
        fixtures::{REASONS, counted, metrics, task, text},
    },
};

/// Lets a process own half-closed connections.
fn own(side: &mut SideGauges, pid: u32, comm: Option<&str>, connections: u64) {
    let task = comm.map(|comm| Task { pid, ..task(comm) });
    side.held.insert(task.map(|task| task.pid), Held { task, connections });
}

#[test]
fn connections_are_shown_by_owner_and_zero_stays() {
    let mut metrics = metrics();
    let mut found = Gauges::default();
    found.remote.oldest_ns = Some(90_500_000_000);
    own(&mut found.remote, 1, Some("nginx"), 2);
    own(&mut found.remote, 2, Some("nginx"), 3);
    own(&mut found.remote, 3, Some("redis"), 1);
    own(&mut found.local, 0, None, 4);
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
fn gauges_are_absent_until_there_is_a_snapshot() {
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
fn the_number_of_owners_is_bounded() {
    let mut metrics = Metrics::new(OwnerBy::Comm, 1, &REASONS).unwrap();
    let mut found = Gauges::default();
    for (pid, comm) in [(1, "a"), (2, "b"), (3, "c")] {
        own(&mut found.remote, pid, Some(comm), 1);
    }
    metrics.half_closed(Some((&found, Unseen { namespaces: 2, ..Unseen::default() })));
    assert_eq!(
        counted(&metrics, "observer_tcp_half_closed_connections"),
        [r#"{owner="a",side="remote"} 1"#, r#"{owner="other",side="remote"} 2"#]
    );
}
