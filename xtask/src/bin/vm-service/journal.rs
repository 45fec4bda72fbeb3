//! What the journal has of the unit.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{systemd, wait};

/// An entry.
pub(crate) struct Entry {
    pub(crate) text: String,
    /// As in syslog(3): 3 is an error, 4 a warning, 6 information. None where there is none.
    pub(crate) priority: Option<u8>,
    /// Process name of who wrote it.
    by: String,
}

/// All of the unit, in their order.
fn entries() -> Result<Vec<Entry>> {
    let lines = systemd::output("journalctl", &["-q", "-o", "json", "-u", systemd::UNIT])?;
    lines.lines().map(entry).collect()
}

fn entry(line: &str) -> Result<Entry> {
    let entry: Value = serde_json::from_str(line).context("an entry that is no JSON")?;
    let text = |name: &str| entry[name].as_str().map(str::to_owned);
    Ok(Entry {
        // What is not text is shown as an array of bytes.
        text: text("MESSAGE")
            .with_context(|| format!("a message that cannot be read: {}", entry["MESSAGE"]))?,
        priority: text("PRIORITY").and_then(|priority| priority.parse().ok()),
        by: text("_COMM").unwrap_or_default(),
    })
}

/// The last of the observer's own messages that contains this; waits until there is one.
pub(crate) fn message(part: &str) -> Result<Entry> {
    wait::until(&format!("a message with `{part}`"), || {
        Ok(entries()?.into_iter().rfind(|entry| entry.by == "observer" && entry.text.contains(part)))
    })
}

/// How many of the observer's own messages contain this.
pub(crate) fn count(part: &str) -> Result<usize> {
    Ok(entries()?.iter().filter(|entry| entry.by == "observer" && entry.text.contains(part)).count())
}

/// Of what was provoked: the words, and how important they are.
const EXPECTED: [(&str, u8); 6] = [
    ("ready: ", 6),
    ("configuration read again; changed: ", 6),
    ("the configuration stays as it was: ", 3),
    ("the event log cannot be written to ", 3),
    ("the event log is written again; ", 4),
    ("queries are answered at ", 6),
];

pub(crate) fn messages() -> Result<String> {
    let all = entries()?;
    let own: Vec<_> = all.iter().filter(|entry| entry.by == "observer").collect();
    for (part, priority) in EXPECTED {
        let found = own.iter().find(|entry| entry.text.contains(part));
        let found = found.with_context(|| format!("there is no message with `{part}`"))?;
        ensure!(found.priority == Some(priority), "priority {:?}: {}", found.priority, found.text);
    }
    let odd = own.iter().find(|entry| {
        let is_marked = entry.text.starts_with('<') || entry.text.starts_with("observer: ");
        is_marked
            || entry.priority.is_none()
            || entry.text.contains("panicked")
            || entry.text.chars().any(char::is_control)
    });
    ensure!(odd.is_none(), "a message that should look otherwise: {}", odd.map_or("", |entry| &entry.text));
    let count = |priority| own.iter().filter(|entry| entry.priority == Some(priority)).count();
    Ok(format!(
        "{} of the unit, {} of them the observer's, with {} errors and {} warnings: readable text with a priority each",
        all.len(),
        own.len(),
        count(3),
        count(4)
    ))
}
