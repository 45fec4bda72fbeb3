//! Verdicts that stay: in the file, and in the journal.

use std::fs;

use anyhow::{Context as _, Result};

use crate::{systemd, verdict, wait};

const FILE: &str = "/var/log/observer/events.jsonl";

/// A verdict more is in the file.
pub(crate) fn grows() -> Result<String> {
    let port = verdict::reset()?;
    wait::until("a line in the event log", || {
        let text = fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}"))?;
        let port = format!(r#""port":{port}}}"#);
        let found = text.lines().find(|line| line.contains(&port) && line.contains("unread_data"));
        Ok(found.map(str::to_owned))
    })
}

pub(crate) fn kept() -> Result<String> {
    let line = grows()?;
    let entry = wait::until("an entry in the journal", || {
        let found = systemd::output("journalctl", &["-o", "cat", "-n", "1", "OBSERVER_CAUSE=unread_data"])?;
        Ok(Some(found).filter(|entry| !entry.is_empty()))
    })?;
    let folder = fs::canonicalize(FILE).context("cannot find the file")?;
    Ok(format!(
        "{} bytes in {}; journalctl OBSERVER_CAUSE=unread_data: {entry}",
        line.len(),
        folder.display()
    ))
}
