//! The disk of the event log is full.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};

use crate::{daemon, journal, metrics, restart, systemd, verdict, wait};

/// Where `LogsDirectory=` of a dynamic user really is.
const FOLDER: &str = "/var/log/private/observer";

/// A few dozen lines.
const SIZE: &str = "size=32k,mode=0755";

/// More than that.
const RESETS: u32 = 100;

pub(crate) fn full() -> Result<String> {
    // The service is stopped, so that its own mount namespace will have it too.
    mount(Some("tmpfs"), FOLDER, Some("tmpfs"), MsFlags::empty(), Some(SIZE))
        .context("cannot mount a small disk")?;
    systemd::add(restart::WATCHDOG)?;
    systemd::systemctl("start")?;
    let pid = daemon::pid()?;
    for _ in 0..RESETS {
        verdict::reset()?;
    }
    let counts = || -> Result<[f64; 3]> {
        Ok([
            metrics::sum("observer_event_log_lines_total", &[])?,
            metrics::sum("observer_event_log_lost_total", &[r#"reason="write_failed""#])?,
            metrics::sum("observer_event_log_lost_total", &[r#"reason="queue_full""#])?,
        ])
    };
    // Both ends of each connection are told.
    let expected = f64::from(2 * RESETS);
    let [written, lost, queue] = wait::until("every line is written or counted as lost", || {
        let counts = counts()?;
        Ok((counts.iter().sum::<f64>() >= expected).then_some(counts))
    })?;
    ensure!(written > 0.0 && lost > 0.0 && queue == 0.0, "{written} written, {lost} lost, {queue} too many");
    let told = journal::message("the event log cannot be written to ")?;
    let times = journal::count("the event log cannot be written to ")?;
    ensure!(times == 1, "it was told {times} times");
    ensure!(daemon::pid()? == pid, "there is another process now");

    // Room again; a reload opens the file anew.
    fs::remove_file(format!("{FOLDER}/events.jsonl")).context("cannot make room")?;
    systemd::systemctl("reload")?;
    verdict::reset()?;
    let again = journal::message("the event log is written again; ")?;
    Ok(format!(
        "{written} lines written, {lost} lost and counted, same process; {}; {}",
        told.text, again.text
    ))
}
