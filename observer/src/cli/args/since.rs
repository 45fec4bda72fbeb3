//! `--since`: a point in time, or a time span before now.

use std::{str::FromStr, time::Duration};

use clap::Args;
use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::TimeZone,
};

use crate::config::unit;

/// `--since`, shared by the commands that read the history.
#[derive(Debug, Args)]
pub(crate) struct SinceArgs {
    /// Only from this time on: a time span (5m, 1d), a UTC time of day (14:05), or a time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "SPAN|TIME")]
    pub(crate) since: Option<Since>,
}

/// A point in time, or a time span before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    Ago(Duration),
    At(Timestamp),
    /// The last occurrence of a time of day in UTC, as tables show it.
    Clock(Time),
}

impl Since {
    /// The point in time, ns since 1970.
    pub(crate) fn unix_ns(self, now: Timestamp) -> i64 {
        let at = match self {
            Self::Ago(span) => now.checked_sub(span).unwrap_or(Timestamp::MIN),
            Self::At(at) => at,
            Self::Clock(time) => last(time, now),
        };
        i64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH { 0 } else { i64::MAX })
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        // Without a colon, jiff would read a bare number as an hour.
        if let Some(time) = text.contains(':').then(|| text.parse().ok()).flatten() {
            return Ok(Self::Clock(time));
        }
        unit::duration::parse(text).map(Self::Ago).map_err(|_| {
            "expected a time span (5m, 2h30m, 1d), a UTC time of day (14:05, 14:05:30) or a time (2026-01-31T12:00:00Z)"
                .to_owned()
        })
    }
}

/// The last time at which the UTC time of day was this.
fn last(time: Time, now: Timestamp) -> Timestamp {
    let today = now.to_zoned(TimeZone::UTC).date();
    let at = |date: Date| date.to_datetime(time).to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    let last = [Ok(today), today.yesterday()].into_iter().flatten().filter_map(|date| at(date).ok());
    last.filter(|at| *at <= now).max().unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_or_a_time() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let ns = |text: &str| text.parse::<Since>().map(|since| since.unix_ns(now));
        let whole = |text: &str| i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap();
        assert_eq!(ns("5m"), Ok(whole("2026-01-31T11:55:00Z")));
        assert_eq!(ns("1h30m"), Ok(whole("2026-01-31T10:30:00Z")));
        assert_eq!(ns("2026-01-31T10:00:00+01:00"), Ok(whole("2026-01-31T09:00:00Z")));
        assert_eq!(ns("300000h"), Ok(whole("1991-11-11T12:00:00Z")));
        assert_eq!(ns("1d"), Ok(whole("2026-01-30T12:00:00Z")));
        assert_eq!(ns("1d12h"), Ok(whole("2026-01-30T00:00:00Z")));
        assert_eq!(ns("11:59:30.250"), Ok(whole("2026-01-31T11:59:30.25Z")));
        assert_eq!(ns("12:00"), Ok(whole("2026-01-31T12:00:00Z")));
        assert_eq!(ns("12:01"), Ok(whole("2026-01-30T12:01:00Z")));
        for wrong in ["", "5", "12", "25:00", "yesterday", "-5m", "-1d", "1d-2d"] {
            assert!(ns(wrong).is_err(), "{wrong:?}");
        }
    }
}
