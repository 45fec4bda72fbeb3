//! Closes and failing writes, counted in groups by one property.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{History, Selection};
use crate::{
    classify::{Cause, Outcome, WriteCause},
    event::{Comm, Endpoints, Task},
    owner::{Cgroup, Cgroups},
    words::Side,
};

/// The property that makes the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Outcome and cause
    Cause,
    /// Outcome
    Outcome,
    /// Process name
    #[value(alias = "comm")]
    Owner,
    /// systemd unit
    Unit,
    /// Container
    Container,
    /// Address at our end
    Local,
    /// Address at the peer's end
    Remote,
    /// Port of the side that was connected to
    Port,
}

impl By {
    /// The word, as on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cause => "cause",
            Self::Outcome => "outcome",
            Self::Owner => "owner",
            Self::Unit => "unit",
            Self::Container => "container",
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Port => "port",
        }
    }
}

/// The counts of one group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The value that they have in common; `-` if it is not known.
    pub key: String,
    /// Connections that ended.
    pub closes: u64,
    /// Connections that a reset of this host ended.
    pub resets_sent: u64,
    /// Connections that a reset of the peer ended, including refused ones.
    pub resets_received: u64,
    /// Connections that ended because the peer stopped answering.
    pub timed_out: u64,
    /// Sends that failed.
    pub write_errors: u64,
    /// Bytes in queues at the end.
    pub lost_bytes: u64,
    /// Time of the last report; `CLOCK_MONOTONIC`, ns.
    #[serde(skip)]
    pub last_ns: u64,
}

/// The value that a group has in common. Its text is made last, because most groups are not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    Close(Outcome, Cause),
    Write(WriteCause),
    Outcome(Outcome),
    FailedWrites,
    Comm(Comm),
    Cgroup(u64),
    Ip(IpAddr),
    Port(u16),
    None,
}

impl Key {
    fn of(by: By, ends: &Endpoints, opened_by: Option<Side>, task: Option<&Task>) -> Self {
        match by {
            By::Owner => task.map_or(Self::None, |task| Self::Comm(task.comm)),
            By::Unit | By::Container => task.map_or(Self::None, |task| Self::Cgroup(task.cgroup)),
            By::Local => Self::Ip(ends.local.ip()),
            By::Remote => Self::Ip(ends.remote.ip()),
            By::Port => Self::Port(service(ends.local, ends.remote, opened_by)),
            By::Cause | By::Outcome => Self::None,
        }
    }

    fn text(self, by: By, cgroups: &mut Cgroups) -> String {
        let named = |name: Option<String>| name.unwrap_or_else(|| "-".to_owned());
        match self {
            // `unknown/unknown` and `refused/refused` would only repeat the word.
            Self::Close(outcome, cause) if outcome.word() == cause.word() => cause.word().to_owned(),
            Self::Close(outcome, cause) => format!("{}/{}", outcome.word(), cause.word()),
            Self::Write(cause) => format!("write_error/{}", cause.word()),
            Self::Outcome(outcome) => outcome.word().to_owned(),
            Self::FailedWrites => "write_error".to_owned(),
            Self::Comm(comm) => comm.to_string(),
            Self::Cgroup(id) => named(cgroups.get(id).and_then(|cgroup: std::sync::Arc<Cgroup>| {
                if by == By::Unit { cgroup.unit.clone() } else { cgroup.container.clone() }
            })),
            Self::Ip(ip) => ip.to_string(),
            Self::Port(port) => port.to_string(),
            Self::None => named(None),
        }
    }
}

/// The port of the listener. If the beginning was not seen, the lower port: ephemeral ports are usually above those of
/// services.
fn service(local: SocketAddr, remote: SocketAddr, opened_by: Option<Side>) -> u16 {
    match opened_by {
        Some(Side::Local) => remote.port(),
        Some(Side::Remote) => local.port(),
        None => local.port().min(remote.port()),
    }
}

impl History {
    /// The `limit` largest groups.
    pub fn top(&mut self, by: By, wanted: &Selection, limit: usize) -> Top {
        let Self { closes, errors, cgroups, .. } = self;
        let mut groups = Groups::default();
        for report in &closes.reports {
            if report.ns < wanted.since_ns {
                continue;
            }
            let Some(head) = report.head() else { continue };
            if !wanted.filter.fits_subject(&head.subject(), cgroups) {
                continue;
            }
            let key = match by {
                By::Cause => Key::Close(head.outcome, head.cause),
                By::Outcome => Key::Outcome(head.outcome),
                _ => Key::of(by, &head.endpoints, head.opened_by, head.process.as_ref()),
            };
            let row = groups.row(key);
            row.closes += 1;
            match head.outcome {
                Outcome::ResetSent => row.resets_sent += 1,
                Outcome::ResetReceived => row.resets_received += 1,
                Outcome::Refused if head.cause == Cause::Refused => row.resets_received += 1,
                Outcome::TimedOut => row.timed_out += 1,
                Outcome::Graceful | Outcome::Refused | Outcome::Aborted | Outcome::Unknown => {}
            }
            let lost = [head.bytes.unread, head.bytes.unacked, head.bytes.unsent];
            row.lost_bytes += lost.into_iter().flatten().map(u64::from).sum::<u64>();
            row.last_ns = row.last_ns.max(report.ns);
        }
        for report in &errors.reports {
            if !report.is_wanted(wanted, cgroups) {
                continue;
            }
            let Some(failure) = report.failure() else { continue };
            let key = match by {
                By::Cause => Key::Write(failure.verdict.cause),
                By::Outcome => Key::FailedWrites,
                _ => Key::of(by, &failure.endpoints, failure.opened_by, failure.process.as_ref()),
            };
            let row = groups.row(key);
            row.write_errors += 1;
            row.last_ns = row.last_ns.max(report.ns);
        }
        Top::of(groups, by, cgroups, limit)
    }
}

/// Rows by key. The map holds only their places, because a growing map moves everything it holds.
#[derive(Default)]
struct Groups {
    places: HashMap<Key, usize>,
    rows: Vec<(Key, Group)>,
}

impl Groups {
    fn row(&mut self, key: Key) -> &mut Group {
        let next = self.rows.len();
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            self.rows.push((key, Group::default()));
        }
        &mut self.rows[place].1
    }
}

/// The largest groups, and the sums of all groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// Connections that ended.
    pub closes: u64,
    /// Sends that failed.
    pub write_errors: u64,
    /// Number of groups.
    pub groups: usize,
    /// The largest groups, in order.
    pub rows: Vec<Group>,
}

impl Top {
    fn of(groups: Groups, by: By, cgroups: &mut Cgroups, limit: usize) -> Self {
        let mut groups: Vec<_> =
            if matches!(by, By::Unit | By::Container) { named(groups, by, cgroups) } else { groups.rows };
        let count = groups.len();
        let closes = groups.iter().map(|(_, row)| row.closes).sum();
        let write_errors = groups.iter().map(|(_, row)| row.write_errors).sum();
        // By remote address there may be as many groups as closes, so only those that are shown are sorted.
        let order = |(key, row): &(Key, Group)| (Reverse(row.closes + row.write_errors), *key);
        if limit < count {
            groups.select_nth_unstable_by_key(limit, order);
            groups.truncate(limit);
        }
        groups.sort_unstable_by_key(order);
        let rows = groups.into_iter().map(|(key, row)| Group { key: key.text(by, cgroups), ..row });
        Self { closes, write_errors, groups: count, rows: rows.collect() }
    }
}

/// One group per name, because a unit may have several cgroups.
fn named(groups: Groups, by: By, cgroups: &mut Cgroups) -> Vec<(Key, Group)> {
    let mut named: HashMap<String, (Key, Group)> = HashMap::new();
    for (key, group) in groups.rows {
        let (_, row) = named.entry(key.text(by, cgroups)).or_insert_with(|| (key, Group::default()));
        row.closes += group.closes;
        row.resets_sent += group.resets_sent;
        row.resets_received += group.resets_received;
        row.timed_out += group.timed_out;
        row.write_errors += group.write_errors;
        row.lost_bytes += group.lost_bytes;
        row.last_ns = row.last_ns.max(group.last_ns);
    }
    named.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{
        HistoryLimits,
        fixtures::{close, closes, failure, history},
    };

    #[test]
    fn closes_and_failing_writes_are_counted_by_each_property() {
        let mut reports = closes(3);
        reports.extend([close(4, "curl"), failure(5, None)]);
        let mut history = history(HistoryLimits::default(), &reports);
        let mut keys = |by| {
            let rows = history.top(by, &Selection::default(), 9).rows;
            let row = |row: &Group| format!("{} {} {}", row.key, row.closes, row.write_errors);
            rows.iter().map(row).collect::<Vec<_>>()
        };
        assert_eq!(keys(By::Owner), ["nginx 3 0", "curl 1 0", "writer 0 1"]);
        assert_eq!(keys(By::Cause), ["graceful/orderly 4 0", "write_error/peer_reset 0 1"]);
        assert_eq!(keys(By::Outcome), ["graceful 4 0", "write_error 0 1"]);
        assert_eq!(keys(By::Local), ["10.0.0.1 4 0", "127.0.0.1 0 1"]);
        // This host connected, so the remote port is the listener's.
        assert_eq!(keys(By::Port), ["2000 4 1"]);
        assert_eq!(keys(By::Unit), ["- 4 1"]);
        let top = history.top(By::Owner, &Selection::default(), 1);
        assert_eq!((top.closes, top.write_errors, top.groups, top.rows.len()), (4, 1, 3, 1));
        assert_eq!(top.rows[0].key, "nginx");
    }
}
