//! How far back the daemon's history reaches, for commands that found nothing in it.

use super::terminal::time_of_day;
use crate::query::HistoryRange;

/// The message of a list without a match. `reports` names the kind, and `limit_setting` limits its number.
pub(super) fn no_match(
    range: Option<&HistoryRange>,
    reports: &str,
    limit_setting: &str,
    today: &str,
) -> String {
    let Some(range) = range else { return "No match in the daemon's history.".to_owned() };
    let start = start(range, today);
    let pushed_out = range.pushed_out;
    let total = pushed_out.total();
    if total == 0 {
        return format!("No match. History starts {start}.");
    }
    let settings = [
        (pushed_out.count, limit_setting),
        (pushed_out.age, "history.max_age"),
        (pushed_out.bytes, "history.max_memory"),
    ];
    let settings: Vec<_> =
        settings.into_iter().filter(|(dropped, _)| *dropped > 0).map(|(_, setting)| setting).collect();
    let dropped = match total {
        1 => format!("1 older {} was dropped", reports.trim_end_matches('s')),
        total => format!("{total} older {reports} were dropped"),
    };
    format!("No match. History starts {start}; {dropped} ({}).", settings.join(", "))
}

/// The start of the history in UTC, to the second, with the day if it is not `today` (RFC 3339).
pub(super) fn start(range: &HistoryRange, today: &str) -> String {
    let time = time_of_day(&range.start, today);
    let (seconds, _milliseconds) = time.split_once('.').unwrap_or((&time, ""));
    format!("{seconds} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::PushedOut;

    #[test]
    fn the_start_and_the_limits_that_dropped_something_are_named() {
        let today = "2026-01-31T23:00:00Z";
        let range = |start: &str, count, age, bytes| HistoryRange {
            start: start.to_owned(),
            pushed_out: PushedOut { count, age, bytes },
        };
        let message = |range: &HistoryRange| no_match(Some(range), "closes", "history.closes", today);
        assert_eq!(
            message(&range("2026-01-31T15:59:05.123456789Z", 50_540, 0, 0)),
            "No match. History starts 15:59:05 UTC; 50540 older closes were dropped (history.closes)."
        );
        assert_eq!(
            message(&range("2026-01-30T15:59:05.123456789Z", 0, 2, 1)),
            "No match. History starts 01-30 15:59:05 UTC; 3 older closes were dropped (history.max_age, \
             history.max_memory)."
        );
        assert_eq!(
            message(&range("2026-01-31T15:59:05.123456789Z", 0, 0, 0)),
            "No match. History starts 15:59:05 UTC."
        );
        let older_daemon = no_match(None, "closes", "history.closes", today);
        assert_eq!(older_daemon, "No match in the daemon's history.");
    }
}
