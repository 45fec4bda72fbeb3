//! The kernel's own counters of how connections end, per network namespace. The tests compare the verdicts with them.

use std::ops::Sub;

use crate::netns::Netns;

/// The counters, or their changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counters {
    /// RSTs sent, with or without a connection (OutRsts).
    pub(crate) resets_sent: i64,
    /// Connections that went from ESTABLISHED or CLOSE_WAIT straight to CLOSE. On loopback each end counts.
    pub(crate) established_reset: i64,
    /// Connections that went from SYN_SENT or SYN_RECV to CLOSE.
    pub(crate) attempts_failed: i64,
    /// Closes with unread data.
    pub(crate) abort_on_close: i64,
    /// Closes with SO_LINGER zero, and data that came after close().
    pub(crate) abort_on_data: i64,
    /// Ends by TCP_LINGER2, not by SO_LINGER.
    pub(crate) abort_on_linger: i64,
    pub(crate) abort_on_memory: i64,
    pub(crate) abort_on_timeout: i64,
    /// RSTs that the kernel could not build or send.
    pub(crate) abort_failed: i64,
}

impl Counters {
    /// Nothing moved.
    pub(crate) const NONE: Self = Self {
        resets_sent: 0,
        established_reset: 0,
        attempts_failed: 0,
        abort_on_close: 0,
        abort_on_data: 0,
        abort_on_linger: 0,
        abort_on_memory: 0,
        abort_on_timeout: 0,
        abort_failed: 0,
    };

    pub(crate) fn read(netns: &Netns) -> Self {
        let (snmp, netstat) = (netns.proc_net("snmp"), netns.proc_net("netstat"));
        let tcp = |name| value(&snmp, "Tcp:", name);
        let extended = |name| value(&netstat, "TcpExt:", name);
        Self {
            resets_sent: tcp("OutRsts"),
            established_reset: tcp("EstabResets"),
            attempts_failed: tcp("AttemptFails"),
            abort_on_close: extended("TCPAbortOnClose"),
            abort_on_data: extended("TCPAbortOnData"),
            abort_on_linger: extended("TCPAbortOnLinger"),
            abort_on_memory: extended("TCPAbortOnMemory"),
            abort_on_timeout: extended("TCPAbortOnTimeout"),
            abort_failed: extended("TCPAbortFailed"),
        }
    }
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            resets_sent: self.resets_sent - before.resets_sent,
            established_reset: self.established_reset - before.established_reset,
            attempts_failed: self.attempts_failed - before.attempts_failed,
            abort_on_close: self.abort_on_close - before.abort_on_close,
            abort_on_data: self.abort_on_data - before.abort_on_data,
            abort_on_linger: self.abort_on_linger - before.abort_on_linger,
            abort_on_memory: self.abort_on_memory - before.abort_on_memory,
            abort_on_timeout: self.abort_on_timeout - before.abort_on_timeout,
            abort_failed: self.abort_failed - before.abort_failed,
        }
    }
}

/// Another counter, by its line's prefix (`Tcp:` or `TcpExt:`) and its name.
pub(crate) fn count(netns: &Netns, prefix: &str, name: &str) -> i64 {
    value(&netns.proc_net(if prefix == "Tcp:" { "snmp" } else { "netstat" }), prefix, name)
}

/// Both files have pairs of lines with the same prefix: first names, then values.
fn value(table: &str, prefix: &str, name: &str) -> i64 {
    let mut lines =
        table.lines().filter_map(|line| line.strip_prefix(prefix)).map(str::split_ascii_whitespace);
    let (names, values) = lines.next().zip(lines.next()).expect("a line of names and one of values");
    let found =
        names.zip(values).find_map(|(its, value)| (its == name).then(|| value.parse().ok())).flatten();
    found.unwrap_or_else(|| panic!("{prefix} {name} is missing on this kernel"))
}
