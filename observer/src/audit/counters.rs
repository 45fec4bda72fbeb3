//! The kernel's counters that reports are compared with, parsed from /proc.

use std::ops::{Add, AddAssign, Sub};

use crate::words::words;

words! {
    /// A counter of one network namespace, named as in /proc/net/snmp and /proc/net/netstat.
    Counter {
        /// Resets sent, with and without a connection.
        OutRsts = "OutRsts",
        /// Connections that went directly from ESTABLISHED or CLOSE_WAIT to CLOSE.
        EstabResets = "EstabResets",
        /// Connections that `tcp_done()` ended in SYN_SENT or SYN_RECV. Connection requests are not sockets and get no
        /// verdict. They are subtracted here, because the kernel also counts them in EmbryonicRsts.
        AttemptFails = "AttemptFails",
        /// `close()` with unread data.
        AbortOnClose = "TCPAbortOnClose",
        /// `close()` with SO_LINGER zero, or data for a socket that this host has closed.
        AbortOnData = "TCPAbortOnData",
        /// TCP_LINGER2 below zero. SO_LINGER does not count here.
        AbortOnLinger = "TCPAbortOnLinger",
        /// Too many orphans, or too little memory.
        AbortOnMemory = "TCPAbortOnMemory",
        /// The peer stopped answering.
        AbortOnTimeout = "TCPAbortOnTimeout",
    }
}

/// How many counters there are.
const NUMBER: usize = Counter::ALL.len();

/// A value per [`Counter`]: its count, or by how much it moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters([i64; NUMBER]);

impl Counters {
    /// Parses the text of /proc/net/snmp and /proc/net/netstat. None if a counter is missing.
    #[must_use]
    pub fn parse(snmp: &str, netstat: &str) -> Option<Self> {
        let mut counters = Self::default();
        for counter in Counter::ALL {
            *counters.at_mut(*counter) = match counter {
                Counter::AttemptFails => {
                    let requests = value(netstat, "TcpExt:", "EmbryonicRsts")?;
                    value(snmp, "Tcp:", counter.word())? - requests
                }
                Counter::OutRsts | Counter::EstabResets => value(snmp, "Tcp:", counter.word())?,
                Counter::AbortOnClose
                | Counter::AbortOnData
                | Counter::AbortOnLinger
                | Counter::AbortOnMemory
                | Counter::AbortOnTimeout => value(netstat, "TcpExt:", counter.word())?,
            };
        }
        Some(counters)
    }

    /// Counters that moved by one each; all others are zero.
    #[must_use]
    pub fn moved(by_one: &[Counter]) -> Self {
        let mut counters = Self::default();
        for counter in by_one {
            *counters.at_mut(*counter) += 1;
        }
        counters
    }

    /// The value of a counter.
    #[must_use]
    pub fn at(&self, counter: Counter) -> i64 {
        let Self(values) = self;
        values.get(counter as usize).copied().unwrap_or_default()
    }

    /// The same with zero for this counter.
    #[must_use]
    pub fn without(mut self, counter: Counter) -> Self {
        *self.at_mut(counter) = 0;
        self
    }

    /// Whether all values are zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Every counter with its value.
    pub fn iter(&self) -> impl Iterator<Item = (Counter, i64)> {
        Counter::ALL.iter().map(|counter| (*counter, self.at(*counter)))
    }

    /// Combines two sets, counter by counter.
    #[must_use]
    pub fn zip(self, other: Self, combine: impl Fn(i64, i64) -> i64) -> Self {
        let (Self(left), Self(right)) = (self, other);
        let mut values = left.into_iter().zip(right);
        Self(std::array::from_fn(|_| values.next().map_or(0, |(left, right)| combine(left, right))))
    }

    fn at_mut(&mut self, counter: Counter) -> &mut i64 {
        let Self(values) = self;
        // In range: the array has an element per variant.
        &mut values[counter as usize]
    }
}

impl Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip(other, |left, right| left + right)
    }
}

impl AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.zip(other, |left, right| left - right)
    }
}

/// Finds a value in either file. A table is two lines with the same prefix: names, then values.
fn value(table: &str, prefix: &str, name: &str) -> Option<i64> {
    let mut lines =
        table.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::split_ascii_whitespace);
    let (names, values) = lines.next().zip(lines.next())?;
    names.zip(values).find(|(its, _)| *its == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "Ip: Forwarding OutRsts\nIp: 1 99\n\
        Tcp: RtoMin MaxConn AttemptFails EstabResets OutRsts\nTcp: 200 -1 7 5 3\n";
    const NETSTAT: &str = "TcpExt: EmbryonicRsts TCPAbortOnData TCPAbortOnClose TCPAbortOnMemory \
        TCPAbortOnTimeout TCPAbortOnLinger\nTcpExt: 2 11 12 13 14 15\nIpExt: TCPAbortOnData\nIpExt: 99\n";

    #[test]
    fn each_counter_is_found_in_its_file() {
        let counters = Counters::parse(SNMP, NETSTAT).unwrap();
        let found: Vec<_> = counters.iter().map(|(counter, value)| (counter.word(), value)).collect();
        assert_eq!(
            found,
            [
                ("OutRsts", 3),
                ("EstabResets", 5),
                // Seven, two of which were connection requests.
                ("AttemptFails", 5),
                ("TCPAbortOnClose", 12),
                ("TCPAbortOnData", 11),
                ("TCPAbortOnLinger", 15),
                ("TCPAbortOnMemory", 13),
                ("TCPAbortOnTimeout", 14),
            ]
        );
    }

    #[test]
    fn a_missing_counter_is_an_error_and_not_zero() {
        assert_eq!(Counters::parse(SNMP, &NETSTAT.replace("TCPAbortOnMemory", "Other")), None);
        assert_eq!(Counters::parse("", NETSTAT), None);
    }
}
