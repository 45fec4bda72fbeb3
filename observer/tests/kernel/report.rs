//! One line of the observer, and the checks of its content.

use serde::Serialize;
use serde_json::{Value, json};

use crate::visibility::{ReportKind, is_visible};
use crate::wait::slower;

/// A line that the test expected and that came. Empty if the test runs without an observer: then every check passes.
pub(crate) struct Report(Option<Value>);

/// The observer's `bytes`: lost data, and data written after the peer's FIN.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Bytes {
    pub(crate) unread: u64,
    pub(crate) unacked: u64,
    pub(crate) unsent: u64,
    pub(crate) after_peer_fin: u64,
}

impl Bytes {
    /// Nothing was lost, and nothing written after the peer's FIN.
    pub(crate) const NONE: Self = Self { unread: 0, unacked: 0, unsent: 0, after_peer_fin: 0 };
}

impl Report {
    pub(crate) fn new(line: Option<Value>) -> Self {
        Self(line)
    }

    /// Checks that every field of `expected` has the same value in the line. Other fields may have any value. An empty
    /// object must be empty in the line, too.
    #[track_caller]
    pub(crate) fn shows(&self, expected: &Value) -> &Self {
        if let Some(line) = &self.0 {
            let wrong = differences(expected, line);
            assert!(wrong.is_empty(), "{}\nin {line}", wrong.join("\n"));
        }
        self
    }

    /// Checks that the milliseconds at `pointer` are at least `least` and less than `most`. `OBSERVER_TEST_SLOWER`
    /// multiplies the upper bound.
    #[track_caller]
    pub(crate) fn lasted(&self, pointer: &str, least: f64, most: f64) -> &Self {
        if let Some(line) = &self.0 {
            let ms = line.pointer(pointer).and_then(Value::as_f64);
            let most = most * slower();
            assert!(
                ms.is_some_and(|ms| (least..most).contains(&ms)),
                "{pointer}: expected {least}..{most}, got {ms:?}\nin {line}"
            );
        }
        self
    }

    /// The value at `pointer`, null without an observer.
    pub(crate) fn value(&self, pointer: &str) -> Value {
        self.0.as_ref().and_then(|line| line.pointer(pointer)).cloned().unwrap_or_default()
    }
}

/// Returns the fields of `expected` that differ in `line`. Fields that `expected` does not name may have any value.
pub(crate) fn differences(expected: &Value, line: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    compare("", expected, line, &mut wrong);
    wrong
}

fn compare(at: &str, expected: &Value, got: &Value, wrong: &mut Vec<String>) {
    let same = match (expected, got) {
        (Value::Object(expected), Value::Object(got)) if !expected.is_empty() => {
            for (name, value) in expected {
                let unseen = name == "write_errors" && !is_visible(ReportKind::WriteError);
                let value = if unseen { &json!({}) } else { value };
                compare(&format!("{at}/{name}"), value, got.get(name).unwrap_or(&json!("(absent)")), wrong);
            }
            return;
        }
        // A whole number of milliseconds may come as 1000 or as 1000.0.
        (Value::Number(expected), Value::Number(got)) => expected.as_f64() == got.as_f64(),
        _ => expected == got,
    };
    if !same {
        wrong.push(format!("{at}: expected {expected}, got {got}"));
    }
}

/// The `linger` of a close() with SO_LINGER off.
pub(crate) fn linger_off() -> Value {
    json!({"mode": "off", "configured_ms": null, "waited_ms": null, "result": null})
}

pub(crate) fn reset_sent_in(state: &str) -> Value {
    json!({"direction": "sent", "in_state": state})
}

pub(crate) fn reset_received_in(state: &str) -> Value {
    json!({"direction": "received", "in_state": state})
}
