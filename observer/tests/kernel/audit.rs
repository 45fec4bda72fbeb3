//! The daemon compares its reports with the kernel's counters, and shows a difference if reports are missing.

use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::actor::{Action, Actor, How};
use crate::daemon::Daemon;
use crate::gauges::connect;
use crate::netns::Netns;
use crate::retry::retry_in_lab;
use crate::server::Folder;
use crate::visibility::{ReportKind, is_visible};
use crate::wait::{DEADLINE, eventually};
use crate::watch::observer;

/// The time until a difference is confirmed and shown: two audits, and a second of the daemon's.
const SOON: Duration = Duration::from_secs(4);

const NAME: &str = "audit_of_a_loss";

pub(crate) fn trial() -> Trial {
    Trial::test(NAME, || retry_in_lab(NAME, run))
}

/// The story table has room for one connection, and a half-closed connection fills it. The kernel counts the RSTs of
/// others, and the observer does not report them.
fn run() -> Result<(), Failed> {
    if std::env::var_os("OBSERVER_TEST_KERNEL_ONLY").is_some_and(|only| only == "1") {
        return Ok(());
    }
    // On a kernel that hides some RSTs, the audit does not compare their counter.
    if !is_visible(ReportKind::Reset) {
        return Ok(());
    }
    let netns = Netns::new()?;
    let half_closed = Actor::start("half-closed", &netns)?;
    let resets = Actor::start("resets", &netns)?;
    let folder = Folder::new();
    let config = folder.write("observer.yaml", "kernel: {stories: 1}\n");
    let daemon = Daemon::start(|command| {
        command.args(["--audit-interval", "200ms", "--config"]).arg(config);
    })?;
    assert_eq!(resets_not_reported(&daemon, &netns), None, "before anything happened");

    let differs = eventually(DEADLINE, || {
        // In a loop: a connection of another process may have taken the place in the table.
        connect(&half_closed);
        half_closed.call("client", Action::Shutdown(How::Write)).ok()?;
        connect(&resets);
        resets.call("client", Action::Linger(Some(0))).ok()?;
        resets.call("client", Action::Close).ok()?;
        resets.call("server", Action::Close).ok()?;
        eventually(SOON, || resets_not_reported(&daemon, &netns))
    });
    assert!(differs.is_some_and(|resets| resets > 0), "RSTs that were not reported: {differs:?}");
    let status = ask(&daemon, "text");
    let line = status.lines().find(|line| line.contains("audit: ")).ok_or("no line on the audit")?;
    assert!(line.contains("OutRsts: kernel counted"), "{line}");
    assert!(line.ends_with("records were lost, so a difference is expected"), "{line}");
    let shown = daemon.value("observer_audit_difference{counter=\"OutRsts\"}");
    assert!(shown.as_deref().is_some_and(|shown| shown != "0"), "{shown:?}");
    Ok(())
}

/// RSTs counted by the kernel minus RSTs reported. None if they agree.
fn resets_not_reported(daemon: &Daemon, netns: &Netns) -> Option<i64> {
    let status: Value = serde_json::from_str(&ask(daemon, "json")).expect("JSON");
    let differing = status["pulse"]["audit"]["differing"].as_array().expect("namespaces that differ");
    let ours = differing.iter().find(|differing| differing["netns"] == netns.inode())?;
    let differences = ours["differences"].as_array().expect("differences");
    differences.iter().find(|difference| difference[0] == "OutRsts")?[1].as_i64()
}

fn ask(daemon: &Daemon, format: &str) -> String {
    let mut command = Command::new(observer());
    command.args(["status", "--output", format, "--socket"]).arg(&daemon.socket);
    let output = command.output().expect("running the observer");
    String::from_utf8(output.stdout).expect("UTF-8")
}
