//! The daemon compares what it reported with what the kernel counted, and says so when it did not report everything.

use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::actor::{Act, Actor, How};
use crate::again::once_more;
use crate::daemon::Daemon;
use crate::gauges::connect;
use crate::netns::Netns;
use crate::server::Folder;
use crate::sight::{Kind, sees};
use crate::wait::{DEADLINE, eventually};
use crate::watch::observer;

/// By when a difference is confirmed and told: two comparisons, and a second of the daemon's.
const SOON: Duration = Duration::from_secs(4);

const NAME: &str = "audit_of_a_loss";

pub(crate) fn trial() -> Trial {
    Trial::test(NAME, || once_more(NAME, run))
}

/// The story table has room for one connection, and one that is half-closed stays in it: resets of others are counted by
/// the kernel and reported by nobody.
fn run() -> Result<(), Failed> {
    if std::env::var_os("OBSERVER_TEST_KERNEL_ONLY").is_some_and(|only| only == "1") {
        return Ok(());
    }
    // Where some resets cannot be seen, their counter is not compared.
    if !sees(Kind::Reset) {
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
        // Once more, since a connection of somebody else may have had the place.
        connect(&half_closed);
        half_closed.call("client", Act::Shutdown(How::Write)).ok()?;
        connect(&resets);
        resets.call("client", Act::Linger(Some(0))).ok()?;
        resets.call("client", Act::Close).ok()?;
        resets.call("server", Act::Close).ok()?;
        eventually(SOON, || resets_not_reported(&daemon, &netns))
    });
    assert!(differs.is_some_and(|resets| resets > 0), "resets that nobody reported: {differs:?}");
    let status = ask(&daemon, "text");
    let line = status.lines().find(|line| line.starts_with("audit ")).ok_or("no line on the audit")?;
    assert!(line.contains("OutRsts: kernel counted"), "{line}");
    assert!(line.ends_with("records were lost, so a difference is expected"), "{line}");
    let shown = daemon.value("observer_audit_difference{counter=\"OutRsts\"}");
    assert!(shown.as_deref().is_some_and(|shown| shown != "0"), "{shown:?}");
    Ok(())
}

/// Kernel minus reported; None when they agree.
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
