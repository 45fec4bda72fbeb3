//! Comparisons of the reports with the kernel's counters → lines, for `observer trace --audit`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::json::SCHEMA;
use crate::{
    audit::{Compared, counters::Counter},
    source::clock::ClockOffset,
};

#[derive(Serialize)]
struct AuditLine {
    schema: u32,
    kind: &'static str,
    time: String,
    since: String,
    netns: u32,
    /// Kernel minus reported, by counter. Null if the counter cannot be compared on this kernel.
    differences: BTreeMap<&'static str, Option<i64>>,
}

/// One comparison as one JSON object, without its newline.
#[must_use]
pub fn json(compared: &Compared, not_comparable: &[Counter], clock: ClockOffset) -> String {
    let differences = compared.difference.iter().map(|(counter, difference)| {
        (counter.word(), (!not_comparable.contains(&counter)).then_some(difference))
    });
    let line = AuditLine {
        schema: SCHEMA,
        kind: "audit",
        time: clock.rfc3339(compared.ns),
        since: clock.rfc3339(compared.since_ns),
        netns: compared.netns,
        differences: differences.collect(),
    };
    serde_json::to_string(&line).unwrap_or_default()
}

/// One comparison as one line for people, without its newline. None if nothing has changed.
#[must_use]
pub fn text(compared: &Compared, clock: ClockOffset) -> Option<String> {
    if !compared.is_new || compared.ns == compared.since_ns {
        return None;
    }
    let time = clock.rfc3339(compared.ns);
    let time = time.get(11..23).unwrap_or(&time);
    let differences = compared.difference.iter().filter(|(_, difference)| *difference != 0);
    let differences: Vec<_> = differences
        .map(|(counter, difference)| {
            let (by, sign) = (difference.abs(), if difference > 0 { "more" } else { "less" });
            format!("{}: kernel counted {by} {sign} than reported", counter.word())
        })
        .collect();
    let what = if differences.is_empty() {
        "kernel counters agree again".to_owned()
    } else {
        differences.join("; ")
    };
    Some(format!("{time}  {:<36}  network namespace {}: {what}", "audit", compared.netns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::counters::Counters;

    fn compared() -> Compared {
        let difference = Counters::moved(&[Counter::OutRsts, Counter::EstabResets]) - Counters::default();
        Compared { netns: 7, ns: 2_000_000_000, since_ns: 1_000_000_000, difference, is_new: true }
    }

    #[test]
    fn a_line_has_all_counters_and_null_for_incomparable_ones() {
        let line = json(&compared(), &[Counter::OutRsts], ClockOffset(0));
        let expected = concat!(
            r#"{"schema":1,"kind":"audit","time":"1970-01-01T00:00:02.000000000Z","#,
            r#""since":"1970-01-01T00:00:01.000000000Z","netns":7,"differences":{"AttemptFails":0,"EstabResets":1,"#,
            r#""OutRsts":null,"TCPAbortOnClose":0,"TCPAbortOnData":0,"TCPAbortOnLinger":0,"TCPAbortOnMemory":0,"#,
            r#""TCPAbortOnTimeout":0}}"#
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn only_changes_are_lines_for_people() {
        let line = text(&compared(), ClockOffset(0)).unwrap();
        assert!(
            line.starts_with("00:00:02.000  audit  ")
                && line.ends_with(
                    "network namespace 7: OutRsts: kernel counted 1 more than reported; EstabResets: kernel counted 1 more than reported"
                ),
            "{line}"
        );
        let agrees = Compared { difference: Counters::default(), ..compared() };
        assert!(text(&agrees, ClockOffset(0)).unwrap().ends_with("agree again"));
        assert_eq!(text(&Compared { is_new: false, ..compared() }, ClockOffset(0)), None);
    }
}
