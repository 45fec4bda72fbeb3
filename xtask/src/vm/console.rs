//! Reading a machine's console. The tests write libtest's JSON lines to it, mixed with messages of the kernel.

use std::collections::BTreeMap;

use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Passed,
    /// With the test's message.
    Failed(String),
    /// The test started, but no outcome was written.
    Lost,
}

/// The contents of a console.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) outcomes: BTreeMap<String, Outcome>,
    /// Evidence of the verdicts of each test that passed: `exact`, `inferred`, or `partly` (not all can be observed).
    pub(crate) evidence: BTreeMap<String, String>,
    /// Tests that were run twice, with the message of the first run.
    pub(crate) again: BTreeMap<String, String>,
    /// Number of tests that ran, from the last line. None if that line is missing.
    pub(crate) ran: Option<u64>,
    /// Their duration, in seconds.
    pub(crate) seconds: f64,
}

impl Told {
    pub(crate) fn read(console: &str) -> Self {
        let mut told = Self::default();
        for line in console.lines() {
            // A kernel message may precede the JSON on the same line.
            let event = line.find('{').and_then(|at| serde_json::from_str(&line[at..]).ok());
            let Some(event): Option<Value> = event else { continue };
            match (event["type"].as_str(), event["event"].as_str(), event["name"].as_str()) {
                (Some("test"), Some(outcome), Some(name)) => told.note(name, outcome, &event["stdout"]),
                (Some("evidence"), None, Some(name)) => {
                    let evidence = event["evidence"].as_str().unwrap_or_default();
                    told.evidence.insert(name.to_owned(), evidence.to_owned());
                }
                (Some("again"), None, Some(name)) => {
                    let said = event["said"].as_str().unwrap_or_default();
                    told.again.insert(name.to_owned(), said.to_owned());
                }
                (Some("suite"), Some("ok" | "failed"), _) => {
                    told.ran = Some(
                        event["passed"].as_u64().unwrap_or_default()
                            + event["failed"].as_u64().unwrap_or_default(),
                    );
                    told.seconds = event["exec_time"].as_f64().unwrap_or_default();
                }
                _ => {}
            }
        }
        told
    }

    fn note(&mut self, name: &str, outcome: &str, said: &Value) {
        let outcome = match outcome {
            "started" => Outcome::Lost,
            "ok" => Outcome::Passed,
            "failed" => {
                let said = said.as_str().unwrap_or_default().trim();
                let said = said.strip_prefix("Error: \"").unwrap_or(said).trim_end_matches('"');
                Outcome::Failed(said.to_owned())
            }
            // An ignored test has no outcome.
            _ => {
                self.outcomes.remove(name);
                return;
            }
        };
        // Each name appears twice: its start always comes before its outcome.
        self.outcomes.insert(name.to_owned(), outcome);
    }

    /// Why the console is incomplete. None if it is complete.
    pub(crate) fn incomplete(&self) -> Option<String> {
        let told = self.outcomes.values().filter(|outcome| **outcome != Outcome::Lost).count();
        match self.ran {
            None => Some("the tests did not finish".to_owned()),
            Some(ran) if ran != told as u64 => {
                Some(format!("{ran} tests ran, but {told} outcomes were written"))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = concat!(
        "[    0.3] a kernel's warning\r\n",
        r#"{ "type": "suite", "event": "started", "test_count": 4 }"#,
        "\r\n",
        r#"{ "type": "test", "event": "started", "name": "a1::ipv4" }"#,
        "\r\n",
        r#"{ "type": "test", "event": "started", "name": "a2" }"#,
        "\r\n",
        r#"{ "type": "test", "event": "started", "name": "random" }"#,
        "\r\n",
        r#"[    1.0] perf: {{ "type": "test", "name": "a1::ipv4", "event": "ok" }"#,
        "\r\n",
        r#"{"type":"evidence","name":"a1::ipv4","evidence":"exact"}"#,
        "\r\n",
        r#"[    1.0] perf: { "type": "test", "name": "a1::ipv4", "event": "ok" }"#,
        "\r\n",
        r#"{ "type": "test", "name": "a3", "event": "failed", "stdout": "Error: \"no close\n2nd line\"\n" }"#,
        "\r\n",
        r#"{ "type": "test", "name": "random", "event": "ignored" }"#,
        "\r\n",
    );

    #[test]
    fn outcomes_are_found_between_other_lines() {
        let told = Told::read(CONSOLE);
        let outcomes: Vec<_> = told.outcomes.into_iter().collect();
        assert_eq!(
            outcomes,
            [
                ("a1::ipv4".to_owned(), Outcome::Passed),
                ("a2".to_owned(), Outcome::Lost),
                ("a3".to_owned(), Outcome::Failed("no close\n2nd line".to_owned())),
            ]
        );
        assert_eq!(told.ran, None);
        assert_eq!(told.evidence, [("a1::ipv4".to_owned(), "exact".to_owned())].into());
    }

    #[test]
    fn a_missing_end_and_a_missing_outcome_are_reported() {
        let end = r#"{ "type": "suite", "event": "failed", "passed": 1, "failed": 2, "exec_time": 1.5 }"#;
        assert!(Told::read(CONSOLE).incomplete().unwrap().contains("did not finish"));
        let told = Told::read(&format!("{CONSOLE}{end}"));
        assert_eq!((told.ran, told.seconds), (Some(3), 1.5));
        assert_eq!(told.incomplete().unwrap(), "3 tests ran, but 2 outcomes were written");
        let whole = r#"{ "type": "test", "name": "a2", "event": "ok" }"#;
        assert_eq!(Told::read(&format!("{CONSOLE}{whole}\n{end}")).incomplete(), None);
    }
}
