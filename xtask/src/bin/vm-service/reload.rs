//! `systemctl reload`, with a good file and with a bad one.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::{daemon, event_log, journal, systemd};

const FILE: &str = "/etc/observer/observer.yaml";

/// Lines of the installed file, and what becomes of them.
const CHANGES: [(&str, &str); 2] =
    [("path: null", "path: /var/log/observer/events.jsonl"), ("journal: false", "journal: true")];

/// Not a number.
const MISTAKE: (&str, &str) = ("limit: 100", "limit: many");

pub(crate) fn good() -> Result<String> {
    let pid = daemon::pid()?;
    for (old, new) in CHANGES {
        change(old, new)?;
    }
    systemd::systemctl("reload")?;
    let told = journal::message("configuration read again; changed: ")?;
    ensure!(daemon::pid()? == pid, "there is another process now");
    Ok(told.text)
}

pub(crate) fn bad() -> Result<String> {
    with_mistake(bad_reload)
}

fn bad_reload() -> Result<String> {
    let pid = daemon::pid()?;
    let refused = systemd::attempt("systemctl", &["reload", systemd::UNIT])?;
    ensure!(!refused.status.success(), "systemctl reload takes a bad file for a good one");
    let why = journal::message("owner.limit: ")?;
    // Whoever signals by hand has no check before.
    daemon::signal(pid, "-HUP")?;
    let kept = journal::message("the configuration stays as it was: ")?;
    ensure!(daemon::pid()? == pid, "there is another process now");
    let state = systemd::property("ActiveState")?;
    ensure!(state == "active", "the service is {state}");
    event_log::grows().context("what was in force is not any more")?;
    Ok(format!("refused: {}; by SIGHUP: {}", why.text, kept.text))
}

/// Of a service that is stopped, and stays so.
pub(crate) fn bad_start() -> Result<String> {
    with_mistake(|| {
        let started = systemd::attempt("systemctl", &["start", systemd::UNIT])?;
        // Else it would be tried again, every few seconds.
        systemd::systemctl("stop")?;
        systemd::systemctl("reset-failed")?;
        ensure!(!started.status.success(), "the service starts with a mistake in its configuration");
        let why = journal::message("a mistake in the configuration; ")?;
        ensure!(why.priority == Some(3), "priority {:?}: {}", why.priority, why.text);
        Ok(format!("told as an error: {}", why.text))
    })
}

/// The mistake does not outlive what is done with it, whatever comes of that.
fn with_mistake(act: impl FnOnce() -> Result<String>) -> Result<String> {
    change(MISTAKE.0, MISTAKE.1)?;
    let result = act();
    change(MISTAKE.1, MISTAKE.0)?;
    result
}

fn change(old: &str, new: &str) -> Result<()> {
    let text = fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}"))?;
    ensure!(text.contains(old), "{FILE} has no `{old}`");
    fs::write(FILE, text.replace(old, new)).with_context(|| format!("cannot write {FILE}"))
}
