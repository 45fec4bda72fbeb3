//! Clocks: `CLOCK_MONOTONIC` of records, the time of day for people, and the tick of the kernel's timers.

use serde::{Deserialize, Serialize};

/// Converts the kernel's monotonic time into the time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClockOffset(
    /// `CLOCK_REALTIME` minus `CLOCK_MONOTONIC`, ns.
    pub i64,
);

impl ClockOffset {
    /// The current offset. It changes when the time of day is set.
    #[must_use]
    pub fn now() -> Self {
        let of_day = read(libc::CLOCK_REALTIME);
        Self(of_day.cast_signed().saturating_sub(monotonic_ns().cast_signed()))
    }

    /// The current offset if the time of day was set since, else the old one: then one moment is always written the
    /// same way.
    #[must_use]
    pub fn refreshed(self) -> Self {
        let now = Self::now();
        if now.0.abs_diff(self.0) < Self::SET { self } else { now }
    }

    /// Converts ns since 1970 to `CLOCK_MONOTONIC`, ns. 0 for times before the machine started.
    #[must_use]
    pub fn monotonic(self, unix_ns: i64) -> u64 {
        let Self(offset) = self;
        u64::try_from(unix_ns.saturating_sub(offset)).unwrap_or(0)
    }

    /// A change of the time of day that a reader would notice, ns. Slewing by NTP can add up to it too.
    const SET: u64 = 1_000_000;

    /// Formats a `CLOCK_MONOTONIC` time (ns) as RFC 3339 in UTC with nanoseconds. 1970 if it is out of range.
    #[must_use]
    pub fn rfc3339(self, monotonic_ns: u64) -> String {
        let Self(offset) = self;
        let ns = i128::from(monotonic_ns) + i128::from(offset);
        // Only a recording can contain a time out of range.
        let time = jiff::Timestamp::from_nanosecond(ns).unwrap_or_default();
        format!("{time:.9}")
    }
}

/// `CLOCK_MONOTONIC`, ns; the clock of every record.
#[must_use]
pub fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// The length of one jiffy, ns. The coarse clocks advance once per tick, and clock_getres(2) returns that as their
/// resolution.
#[must_use]
pub fn tick_ns() -> u64 {
    let mut resolution = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for the call. The clock exists since 2.6.32.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut resolution) };
    nanoseconds(resolution)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for the call. Both clocks always exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    nanoseconds(time)
}

fn nanoseconds(time: libc::timespec) -> u64 {
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_nanoseconds_also_when_they_are_zero() {
        assert_eq!(ClockOffset(0).rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(ClockOffset(1).rfc3339(1_000_000_000), "1970-01-01T00:00:01.000000001Z");
        assert_eq!(ClockOffset(i64::MAX).rfc3339(u64::MAX).len(), "2846-06-10T21:43:00.906845206Z".len());
    }
}
