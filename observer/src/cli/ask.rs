//! What the commands share that ask the daemon: where it is, since when, how wide the terminal is.

use std::{
    io::{IsTerminal as _, stdout},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::Args;
use jiff::{
    Timestamp,
    civil::{Date, Time},
    tz::TimeZone,
};
use serde_json::Value;

use crate::{
    config::unit,
    publish::query::{
        Ask, SOCKET,
        client::{self, ClientError, Lines},
    },
};

/// Which daemon is asked.
#[derive(Debug, Args)]
pub(crate) struct DaemonArgs {
    /// Socket of the daemon
    #[arg(long, env = "OBSERVER_SOCKET", value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
}

impl DaemonArgs {
    pub(crate) fn ask(&self, ask: &Ask) -> Result<Lines, ClientError> {
        client::ask(&self.socket, ask)
    }
}

/// A moment, or how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    Ago(Duration),
    At(Timestamp),
    /// A time of day as the tables have it, in UTC: the last there was.
    Clock(Time),
}

impl Since {
    /// As ns since 1970, given what is now.
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
        // A bare number would be an hour of the day.
        if let Some(time) = text.contains(':').then(|| text.parse().ok()).flatten() {
            return Ok(Self::Clock(time));
        }
        unit::duration::parse(text).map(Self::Ago).map_err(|_| {
            "expected a time span such as 5m, 2h30m or 1d, a time of day in UTC such as 14:05 or 14:05:30, or a time as \
             2026-01-31T12:00:00Z"
                .to_owned()
        })
    }
}

/// When it last was that time of day in UTC.
fn last(time: Time, now: Timestamp) -> Timestamp {
    let today = now.to_zoned(TimeZone::UTC).date();
    let at = |date: Date| date.to_datetime(time).to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
    let last = [Ok(today), today.yesterday()].into_iter().flatten().filter_map(|date| at(date).ok());
    last.filter(|at| *at <= now).max().unwrap_or(now)
}

/// None where lines may be of any length.
pub(crate) fn width() -> Option<usize> {
    let (columns, _) = terminal_size::terminal_size().filter(|_| stdout().is_terminal())?;
    Some(columns.0.into())
}

/// The time of day of an RFC 3339 time, and the day where it is not today's.
pub(crate) fn time_of_day(time: &str, today: &str) -> String {
    let clock = time.get(11..23).unwrap_or(time);
    match (time.get(5..10), time.get(..10) == today.get(..10)) {
        (Some(day), false) => format!("{day} {clock}"),
        _ => clock.to_owned(),
    }
}

/// A word of a line, `-` where it has none.
pub(crate) fn word<'a>(line: &'a Value, pointer: &str) -> &'a str {
    line.pointer(pointer).and_then(Value::as_str).unwrap_or("-")
}

/// A process as people write it, such as `nginx[812]`.
pub(crate) fn process(line: &Value) -> String {
    match line.pointer("/process/pid").and_then(Value::as_u64) {
        Some(pid) => format!("{}[{pid}]", word(line, "/process/comm")),
        None => "-".to_owned(),
    }
}

/// One end of a connection, such as `192.0.2.1:443`.
pub(crate) fn end(line: &Value, side: &str) -> String {
    let address = word(line, &format!("/connection/{side}/addr"));
    let port = line.pointer(&format!("/connection/{side}/port")).and_then(Value::as_u64).unwrap_or(0);
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
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

    #[test]
    fn the_day_is_said_when_it_is_not_today() {
        let time = "2026-01-31T12:34:56.789012345Z";
        assert_eq!(time_of_day(time, "2026-01-31T23:00:00Z"), "12:34:56.789");
        assert_eq!(time_of_day(time, "2026-02-01T00:00:00Z"), "01-31 12:34:56.789");
    }
}
