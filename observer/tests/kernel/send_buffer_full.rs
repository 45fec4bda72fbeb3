//! Sends that find the buffer full. The daemon counts them only if it is configured to.

use libtest_mimic::{Failed, Trial};
use nix::errno::Errno;
use nix::libc;

use crate::actor::{Action, Actor};
use crate::daemon::Daemon;
use crate::gauges::connect;
use crate::netns::Netns;
use crate::retry::retry_in_lab;
use crate::service::is_skipped;
use crate::visibility::{ReportKind, is_visible};
use crate::wait::{DEADLINE, eventually};

const SERIES: &str = "observer_tcp_send_buffer_full_total ";

const SENDS: u64 = 1000;

pub(crate) fn trial() -> Trial {
    Trial::test("send_buffer_full", || retry_in_lab("send_buffer_full", run))
}

fn run() -> Result<(), Failed> {
    if is_skipped() || !is_visible(ReportKind::WriteError) {
        return Ok(());
    }
    let counting = Daemon::start(|command| {
        command.arg("--count-send-buffer-full");
    })?;
    let ordinary = Daemon::start(|_| ())?;
    let number = |daemon: &Daemon| -> u64 {
        let value = daemon.value(SERIES).expect("the series exists from the start");
        value.parse().expect("a whole number")
    };
    let (before, netns) = (number(&counting), Netns::new()?);
    let actor = Actor::start("full-writer", &netns)?;
    connect(&actor);
    actor.call("client", Action::Fill)?;
    let mut full = 0;
    while full < SENDS {
        match actor.call("client", Action::Send { bytes: 10, flags: libc::MSG_DONTWAIT }) {
            Err(Errno::EAGAIN) => full += 1,
            // A late acknowledgement made room.
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
    }

    // Other tests may add to the count.
    let counted = eventually(DEADLINE, || (number(&counting) >= before + SENDS).then_some(()));
    assert!(counted.is_some(), "{} of {SENDS} were counted", number(&counting) - before);
    assert_eq!(number(&ordinary), 0);
    for daemon in [&counting, &ordinary] {
        assert_eq!(daemon.value("observer_records_lost_total{reason=\"ring_full\"}").as_deref(), Some("0"));
    }
    Ok(())
}
