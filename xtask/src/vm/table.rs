//! The lab's result as a table: one row per scenario, one column per kernel and mechanism. The lines below the table
//! explain the cells that are not as expected.

use std::collections::{BTreeMap, BTreeSet};

use super::console::{Outcome, Told};
use super::expected::{difference, unseen};
use super::leaves_out;

/// The result of one machine's run.
pub(crate) struct Column {
    /// Version of the kernel's series.
    pub(crate) kernel: &'static str,
    pub(crate) mechanism: &'static str,
    pub(crate) told: Told,
    /// Why the run is incomplete. None if it is complete.
    pub(crate) broken: Option<String>,
    /// Path of the console's log, for messages.
    pub(crate) console: String,
}

/// Most lines of a test's message that are shown. The console has the rest.
const LINES: usize = 4;
/// Most bytes of such a line that are shown.
const WIDTH: usize = 300;

/// The result of a scenario on one kernel by one mechanism.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    /// It has no outcome.
    None,
    /// Passes, without a word on its evidence.
    Ok,
    Exact,
    Inferred,
    /// Passes, but some of it cannot be observed there.
    Partly,
    /// Fails, as expected on this kernel.
    Known,
    /// Passes, although it is expected to fail on this kernel.
    Passes,
    Failed,
}

impl Cell {
    fn text(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::Ok => "ok",
            Self::Exact => "exact",
            Self::Inferred => "inferred",
            Self::Partly => "partly",
            Self::Known => "known",
            Self::Passes => "PASSES",
            Self::Failed => "FAILED",
        }
    }
}

/// Returns the table with its explanations, and the number of surprises among them.
pub(crate) fn render(columns: &[Column]) -> (String, usize) {
    let names = columns.iter().flat_map(|column| column.told.outcomes.keys());
    let scenarios: BTreeSet<_> = names.map(|name| scenario(name)).collect();
    let mut lines = vec![
        std::iter::once("kernel").chain(columns.iter().map(|column| column.kernel)).collect::<Vec<_>>(),
        std::iter::once("scenario").chain(columns.iter().map(|column| column.mechanism)).collect(),
    ];
    let (mut known, mut surprises) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
    for name in scenarios {
        let mut line = vec![name];
        for column in columns {
            let cell = column.cell(name);
            line.push(cell.text());
            let place = format!("{} {}", column.kernel, column.mechanism);
            let why = difference(column.kernel, column.mechanism, name).map(|known| known.why);
            match (cell, why) {
                (Cell::Known, Some(why)) => known.entry((name, why)).or_default().push(place),
                (Cell::Passes, Some(why)) => {
                    surprises.push(format!("{place}: {name} passes, although {why}"));
                }
                (Cell::Failed, _) => surprises.push(format!("{place}: {name} {}", column.explanation(name))),
                // An incomplete run is reported once, not for each scenario.
                (Cell::None, _) if column.broken.is_none() && !leaves_out(column.mechanism, name) => {
                    surprises.push(format!("{place}: {name} did not run"));
                }
                _ => {}
            }
        }
        lines.push(line);
    }
    for column in columns {
        if let Some(broken) = &column.broken {
            let Column { kernel, mechanism, console, .. } = column;
            surprises.push(format!("{kernel} {mechanism}: {broken}: see {console}"));
        }
    }

    let known = known.into_iter();
    let known = known.map(|((name, why), places)| format!("known: {name} on {}: {why}", places.join(", ")));
    let unseen = columns.iter().flat_map(|column| {
        let place = format!("{} {}", column.kernel, column.mechanism);
        unseen(column.kernel, column.mechanism)
            .iter()
            .map(move |unseen| format!("partly on {place}: {}", unseen.why))
    });
    let again = columns.iter().flat_map(|column| {
        let place = format!("{} {}", column.kernel, column.mechanism);
        column.told.again.iter().map(move |(test, said)| {
            let said: Vec<_> = said.lines().take(2).collect();
            format!("again: {test} on {place} was run twice; the first run failed: {}", said.join(" "))
        })
    });
    let known = known.chain(unseen).chain(again);
    let count = surprises.len();
    let below: Vec<_> = known.chain(surprises).map(|line| line + "\n").collect();
    (aligned(&lines) + &below.concat(), count)
}

impl Column {
    fn cell(&self, name: &str) -> Cell {
        let mut outcomes = self.outcomes(name).peekable();
        if outcomes.peek().is_none() {
            return Cell::None;
        }
        let known = difference(self.kernel, self.mechanism, name).is_some();
        match (outcomes.any(|(_, outcome)| *outcome != Outcome::Passed), known) {
            (false, false) => self.evidence(name),
            (false, true) => Cell::Passes,
            (true, false) => Cell::Failed,
            (true, true) => Cell::Known,
        }
    }

    /// The weakest evidence of the verdicts, over both address families.
    fn evidence(&self, name: &str) -> Cell {
        let of_test = self.told.evidence.iter().filter(|(test, _)| scenario(test) == name);
        let words: BTreeSet<_> = of_test.map(|(_, word)| word.as_str()).collect();
        match () {
            () if words.contains("partly") => Cell::Partly,
            () if words.contains("inferred") => Cell::Inferred,
            () if words.contains("exact") => Cell::Exact,
            () => Cell::Ok,
        }
    }

    /// The outcomes of this scenario, one per address family.
    fn outcomes(&self, name: &str) -> impl Iterator<Item = (&String, &Outcome)> {
        self.told.outcomes.iter().filter(move |(test, _)| scenario(test) == name)
    }

    fn explanation(&self, name: &str) -> String {
        let mut lines = vec!["failed".to_owned()];
        for (test, outcome) in self.outcomes(name) {
            match outcome {
                Outcome::Passed => lines.push(format!("  {test}: ok")),
                Outcome::Lost => lines.push(format!("  {test}: no outcome")),
                Outcome::Failed(said) => {
                    lines.push(format!("  {test}:"));
                    let said = said.lines().take(LINES).map(|line| line.get(..WIDTH).unwrap_or(line));
                    lines.extend(said.map(|line| format!("    {line}")));
                }
            }
        }
        lines.push(format!("  full log: {}", self.console));
        lines.join("\n")
    }
}

/// A test's name without its address family.
fn scenario(test: &str) -> &str {
    test.split("::").next().unwrap_or(test)
}

fn aligned(lines: &[Vec<&str>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|word| word.len()).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for line in lines {
        let words = line.iter().zip(&widths).map(|(word, width)| format!("{word:width$}"));
        text.push_str(words.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kernel: &'static str, outcomes: &[(&str, Outcome)]) -> Column {
        let outcomes = outcomes.iter().map(|(name, outcome)| ((*name).to_owned(), outcome.clone())).collect();
        let evidence = [("linger_zero".to_owned(), "exact".to_owned())].into();
        let told = Told { outcomes, evidence, again: BTreeMap::new(), ran: Some(0), seconds: 0.0 };
        Column { kernel, mechanism: "raw_tracepoint", told, broken: None, console: "c.log".to_owned() }
    }

    fn failed() -> Outcome {
        Outcome::Failed("no close\nmore".to_owned())
    }

    #[test]
    fn a_scenario_passes_if_both_families_pass() {
        let old = column(
            "5.10",
            &[
                ("linger_acked::ipv4", Outcome::Passed),
                ("linger_acked::ipv6", failed()),
                ("linger_zero", Outcome::Passed),
                ("mptcp_linger_zero::ipv4", failed()),
            ],
        );
        let new = column(
            "6.1",
            &[
                ("linger_acked::ipv4", Outcome::Passed),
                ("linger_zero", Outcome::Passed),
                ("mptcp_linger_zero::ipv4", Outcome::Passed),
            ],
        );
        let (text, surprises) = render(&[old, new]);
        assert_eq!(
            text,
            "\
kernel             5.10            6.1
scenario           raw_tracepoint  raw_tracepoint
linger_acked       FAILED          ok
linger_zero        exact           exact
mptcp_linger_zero  known           ok
known: mptcp_linger_zero on 5.10 raw_tracepoint: Debian built this kernel without MPTCP
partly on 5.10 raw_tracepoint: failing writes are not reported: the tracepoint sock_send_length came with 6.3
partly on 5.10 raw_tracepoint: resets without a connection are not reported: before 6.10 the tracepoint tcp_send_reset is silent where there is no full socket
partly on 6.1 raw_tracepoint: failing writes are not reported: the tracepoint sock_send_length came with 6.3
partly on 6.1 raw_tracepoint: resets without a connection are not reported: before 6.10 the tracepoint tcp_send_reset is silent where there is no full socket
5.10 raw_tracepoint: linger_acked failed
  linger_acked::ipv4: ok
  linger_acked::ipv6:
    no close
    more
  full log: c.log
"
        );
        assert_eq!(surprises, 1);
    }

    #[test]
    fn passing_against_expectation_is_a_surprise() {
        let (text, surprises) = render(&[column("5.10", &[("mptcp_linger_zero::ipv4", Outcome::Passed)])]);
        assert!(text.contains("mptcp_linger_zero passes, although"), "{text}");
        assert_eq!(surprises, 1);
    }

    #[test]
    fn missing_scenarios_and_incomplete_runs_are_surprises() {
        let whole = column("6.1", &[("linger_acked", Outcome::Passed)]);
        let (text, surprises) = render(&[column("5.10", &[]), whole]);
        assert!(text.contains("5.10 raw_tracepoint: linger_acked did not run"), "{text}");
        assert_eq!(surprises, 1);

        let broken = Column { broken: Some("it did not end".to_owned()), ..column("5.10", &[]) };
        let whole = column("6.1", &[("linger_acked", Outcome::Passed), ("linger_zero", Outcome::Lost)]);
        let (text, surprises) = render(&[broken, whole]);
        assert!(text.contains("5.10 raw_tracepoint: it did not end: see c.log"), "{text}");
        assert!(text.contains("  linger_zero: no outcome"), "{text}");
        assert_eq!(surprises, 2);
    }
}
