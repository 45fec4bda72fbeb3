//! Width and times of day, for tables in a terminal.

use std::io::{IsTerminal as _, stdout};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_said_when_it_is_not_today() {
        let time = "2026-01-31T12:34:56.789012345Z";
        assert_eq!(time_of_day(time, "2026-01-31T23:00:00Z"), "12:34:56.789");
        assert_eq!(time_of_day(time, "2026-02-01T00:00:00Z"), "01-31 12:34:56.789");
    }
}
