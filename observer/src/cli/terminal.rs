//! Width and time of day for tables in a terminal.

use std::io::{IsTerminal as _, stdout};

/// Columns of the terminal. None if stdout is not a terminal, so that lines may have any length.
pub(crate) fn width() -> Option<usize> {
    let (columns, _) = terminal_size::terminal_size().filter(|_| stdout().is_terminal())?;
    Some(columns.0.into())
}

/// The time of day of an RFC 3339 time, with the day unless it is `today` (RFC 3339 too).
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
    fn the_day_is_shown_unless_it_is_today() {
        let time = "2026-01-31T12:34:56.789012345Z";
        assert_eq!(time_of_day(time, "2026-01-31T23:00:00Z"), "12:34:56.789");
        assert_eq!(time_of_day(time, "2026-02-01T00:00:00Z"), "01-31 12:34:56.789");
    }
}
