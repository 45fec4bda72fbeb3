//! The result of the lab: one row a scenario, one column a kernel and mechanism, and below it what explains each cell
//! that is not `ok`.

use std::collections::{BTreeMap, BTreeSet};

use super::console::{Outcome, Told};
use super::expected::{difference, unseen};
use super::leaves_out;

/// What a machine's run came to.
pub(crate) struct Column {
    /// Version of the kernel's series.
    pub(crate) kernel: &'static str,
    pub(crate) mechanism: &'static str,
    pub(crate) told: Told,
    /// Why the run as a whole is worth nothing, or not all of it.
    pub(crate) broken: Option<String>,
    /// What lies where, for who wants to know more.
    pub(crate) console: String,
}

/// Lines of a test's message that are shown. The console has the rest.
const LINES: usize = 4;
/// Bytes of such a line.
const WIDTH: usize = 300;

/// What a scenario came to on one kernel by one mechanism.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cell {
    /// There is no outcome.
    None,
    /// Passes, and says nothing of how sure it is.
    Ok,
    Exact,
    Inferred,
    /// Passes as far as can be seen there.
    Partly,
    /// Fails, as is known of this kernel.
    Known,
    /// Passes, although this kernel is known not to.
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

/// The table with its explanations, and the number of surprises among them.
pub(crate) fn render(columns: &[Column]) -> (String, usize) {
    let names = columns.iter().flat_map(|column| column.told.outcomes.keys());
    let scenarios: BTreeSet<_> = names.map(|name| Numbered::of(scenario(name))).collect();
    let mut lines = vec![
        std::iter::once("kernel").chain(columns.iter().map(|column| column.kernel)).collect::<Vec<_>>(),
        std::iter::once("scenario").chain(columns.iter().map(|column| column.mechanism)).collect(),
    ];
    let (mut known, mut surprises) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
    for Numbered { name, .. } in scenarios {
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
                // A run that broke says so once and not for every scenario.
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
            format!(
                "again: {test} on {place} passes or fails by its second try; the first: {}",
                said.join(" ")
            )
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

    /// How sure the verdicts were, the least sure of both address families.
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

    /// Those of this scenario, on each address family it ran on.
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
        lines.push(format!("  all of it: {}", self.console));
        lines.join("\n")
    }
}

/// A test's name without its address family.
fn scenario(test: &str) -> &str {
    test.split("::").next().unwrap_or(test)
}

/// A name in the order a reader expects: c2 before c10.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Numbered<'a> {
    letters: &'a str,
    number: Option<u32>,
    name: &'a str,
}

impl<'a> Numbered<'a> {
    fn of(name: &'a str) -> Self {
        let letters = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let (letters, rest) = name.split_at(name.len() - letters.len());
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        Self { letters, number: rest[..digits].parse().ok(), name }
    }
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
        let evidence = [("c2".to_owned(), "exact".to_owned())].into();
        let told = Told { outcomes, evidence, again: BTreeMap::new(), ran: Some(0), seconds: 0.0 };
        Column { kernel, mechanism: "raw_tracepoint", told, broken: None, console: "c.log".to_owned() }
    }

    fn failed() -> Outcome {
        Outcome::Failed("no close\nmore".to_owned())
    }

    #[test]
    fn a_scenario_is_ok_when_both_families_are() {
        let old = column(
            "5.10",
            &[
                ("c10::ipv4", Outcome::Passed),
                ("c10::ipv6", failed()),
                ("c2", Outcome::Passed),
                ("f8::ipv4", failed()),
            ],
        );
        let new = column(
            "6.1",
            &[("c10::ipv4", Outcome::Passed), ("c2", Outcome::Passed), ("f8::ipv4", Outcome::Passed)],
        );
        let (text, surprises) = render(&[old, new]);
        assert_eq!(
            text,
            "\
kernel    5.10            6.1
scenario  raw_tracepoint  raw_tracepoint
c2        exact           exact
c10       FAILED          ok
f8        known           ok
known: f8 on 5.10 raw_tracepoint: Debian built this kernel without MPTCP
partly on 5.10 raw_tracepoint: failing writes are not told: the tracepoint sock_send_length came with 6.3
partly on 5.10 raw_tracepoint: resets without a connection are not told: before 6.10 the tracepoint tcp_send_reset is silent where there is no full socket
partly on 6.1 raw_tracepoint: failing writes are not told: the tracepoint sock_send_length came with 6.3
partly on 6.1 raw_tracepoint: resets without a connection are not told: before 6.10 the tracepoint tcp_send_reset is silent where there is no full socket
5.10 raw_tracepoint: c10 failed
  c10::ipv4: ok
  c10::ipv6:
    no close
    more
  all of it: c.log
"
        );
        assert_eq!(surprises, 1);
    }

    #[test]
    fn to_pass_against_expectation_is_a_surprise() {
        let (text, surprises) = render(&[column("5.10", &[("f8::ipv4", Outcome::Passed)])]);
        assert!(text.contains("f8 passes, although"), "{text}");
        assert_eq!(surprises, 1);
    }

    #[test]
    fn what_did_not_run_and_what_broke_are_surprises() {
        let whole = column("6.1", &[("a1", Outcome::Passed)]);
        let (text, surprises) = render(&[column("5.10", &[]), whole]);
        assert!(text.contains("5.10 raw_tracepoint: a1 did not run"), "{text}");
        assert_eq!(surprises, 1);

        let broken = Column { broken: Some("it did not end".to_owned()), ..column("5.10", &[]) };
        let whole = column("6.1", &[("a1", Outcome::Passed), ("a2", Outcome::Lost)]);
        let (text, surprises) = render(&[broken, whole]);
        assert!(text.contains("5.10 raw_tracepoint: it did not end: see c.log"), "{text}");
        assert!(text.contains("  a2: no outcome"), "{text}");
        assert_eq!(surprises, 2);
    }
}
