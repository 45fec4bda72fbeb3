//! Ten thousand random connections, two hundred at a time.
//!
//! The test knows what each socket did, and so which reports must come. Every socket must get exactly one verdict.
//! Every failing write must have the id of the close that caused it. The sums must equal the kernel's counters.
//! `OBSERVER_TEST_SEED` repeats a run.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::actor::Actor;
use crate::counters::Counters;
use crate::hidden_events;
use crate::netns::Netns;
use crate::random::driver::Done;
use crate::random::side::Expected;
use crate::report::differences;
use crate::watch::Watch;

mod behaviours;
pub(crate) mod driver;
mod rng;
mod side;

const CONNECTIONS: u64 = 10_000;

/// Connections begun per second. Without this limit an observer built without optimisations loses records.
const RATE: u64 = 1000;

/// The time to wait for the last verdicts after the driver has ended, long enough for a busy machine.
const LAST_VERDICTS: Duration = Duration::from_secs(20);

/// Most closes that the observer may be behind the driver: its ring must hold all records that it has not read. On few
/// CPUs the driver's many threads get more time than the observer's one.
const BEHIND: usize = 3000;

/// Connections between two checks of how far behind it is.
const LOOK_EVERY: usize = 200;

/// Most differences that are shown. The rest is only counted.
pub(crate) const SHOWN: usize = 12;

pub(crate) fn trial() -> Trial {
    Trial::test("random", || hidden_events::retry_if_hidden(run))
}

fn run() -> Result<(), Failed> {
    let seed = seed();
    let netns = Netns::new()?;
    // The audit finds a namespace by its processes, so one must stay when the driver ends.
    let _stays = Actor::start("stays", &netns)?;
    let watch = Watch::start_own(netns.inode())?;
    let before = Counters::read(&netns);
    let hidden_before = hidden_events::hidden().len();
    eprintln!("random: OBSERVER_TEST_SEED={seed}");
    let mut keeps_up = true;
    let done = drive(&netns, seed, CONNECTIONS, RATE, |done| {
        if keeps_up && done.len() % LOOK_EVERY == 0 {
            // Wait only once for closes that never come.
            keeps_up = watch.await_closes(closes(done).saturating_sub(BEHIND), LAST_VERDICTS);
        }
    })?;

    watch.await_closes(closes(&done), LAST_VERDICTS);
    let audited = watch.await_audit();
    let lines = watch.finish();
    let counted = Counters::read(&netns) - before;

    let hidden = BTreeSet::from_iter(hidden_events::hidden().split_off(hidden_before));
    let mut wrong = Vec::new();
    if hidden.is_empty() {
        wrong.extend(totals(&lines, counted));
        wrong.extend(audited.err());
        wrong.extend(watch.messages().into_iter().map(|message| format!("the observer said: {message}")));
    } else {
        eprintln!(
            "random: {} connections left out: this kernel hides them from every BPF program",
            hidden.len()
        );
    }
    let is_hidden = |local, remote| hidden.contains(&(local, remote)) || hidden.contains(&(remote, local));
    wrong.extend(compare(&done, lines, is_hidden));
    if wrong.is_empty() {
        return Ok(());
    }
    let (number, shown) = (wrong.len(), wrong.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>());
    Err(format!("OBSERVER_TEST_SEED={seed}: {number} differences\n{}", shown.join("\n")).into())
}

/// The number of expected verdicts.
fn closes(done: &[Done]) -> usize {
    done.iter().flat_map(|done| &done.expected).filter(|expected| expected.close.is_some()).count()
}

pub(crate) fn seed() -> u64 {
    let given = std::env::var("OBSERVER_TEST_SEED").ok();
    let given = given.map(|seed| seed.parse().expect("OBSERVER_TEST_SEED is a number"));
    given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        u64::from(now.expect("a clock after 1970").subsec_nanos())
    })
}

/// Lets the driver make this many connections, at `rate` per second. Returns the expected reports. The driver goes on
/// when `next` has seen those of the connections so far.
pub(crate) fn drive(
    netns: &Netns,
    seed: u64,
    connections: u64,
    rate: u64,
    mut next: impl FnMut(&[Done]),
) -> Result<Vec<Done>, Failed> {
    // A large port range, so that ports in TIME_WAIT do not run it short.
    netns.set("ipv4/ip_local_port_range", "10000 65000");
    let mut driver = Command::new(std::env::current_exe()?);
    driver.arg(driver::WORD).args([seed, connections, rate].map(|number| number.to_string()));
    driver.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut driver = netns.run(|| driver.spawn())?;
    let mut errors = driver.stderr.take().expect("a pipe was asked for");
    let errors = thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).map(|_| text)
    });
    let mut done = Vec::new();
    // The driver blocks while its lines are not read: a pipe holds some eighty of them.
    for line in BufReader::new(driver.stdout.take().expect("a pipe was asked for")).lines() {
        done.push(serde_json::from_str(&line?)?);
        next(&done);
    }
    let status = driver.wait()?;
    if !status.success() {
        let text = errors.join().expect("the thread does not panic")?;
        return Err(format!("OBSERVER_TEST_SEED={seed}: the driver ended with {status}:\n{text}").into());
    }
    Ok(done)
}

/// Compares the kernel's counters with the sums of the reports. Returns the differences.
pub(crate) fn totals(lines: &[Value], counted: Counters) -> Vec<String> {
    let number = |fits: &dyn Fn(&Value) -> bool| {
        i64::try_from(lines.iter().filter(|line| fits(line)).count()).expect("a number of lines")
    };
    let cause = |cause: &str| number(&|line| line["kind"] == "close" && line["cause"] == cause);
    let reported = Counters {
        resets_sent: number(&|line| line["kind"] == "reset" || line["reset"]["direction"] == "sent"),
        attempts_failed: cause("refused"),
        abort_on_close: cause("unread_data"),
        abort_on_data: cause("linger_zero") + cause("data_after_close"),
        abort_on_linger: cause("linger2_negative"),
        abort_on_timeout: cause("retransmit_timeout"),
        established_reset: number(&was_reset_while_established),
        ..Counters::NONE
    };
    let differ = reported != counted;
    differ
        .then(|| format!("the kernel counted {counted:?}\nand the reports sum up to {reported:?}"))
        .into_iter()
        .collect()
}

/// Whether the connection went from ESTABLISHED or CLOSE_WAIT straight to CLOSE.
fn was_reset_while_established(line: &Value) -> bool {
    let state = &line["reset"]["in_state"];
    line["kind"] == "close"
        && (state == "ESTABLISHED" || state == "CLOSE_WAIT" || line["outcome"] == "timed_out")
}

/// The reports on one pair of ports, in order of time: the kernel may reuse the ports.
#[derive(Default)]
struct Reported {
    closes: Vec<Value>,
    errors: Vec<Value>,
    resets: Vec<Value>,
}

/// Compares the reports socket by socket. Skips sockets between ports for which an event was hidden.
pub(crate) fn compare(done: &[Done], lines: Vec<Value>, is_hidden: impl Fn(u16, u16) -> bool) -> Vec<String> {
    let mut reported: HashMap<(u16, u16), Reported> = HashMap::new();
    for line in lines {
        let port = |side: &str| line["connection"][side]["port"].as_u64();
        let port = |side| port(side).and_then(|port| port.try_into().ok()).unwrap_or_default();
        let at = reported.entry((port("local"), port("remote"))).or_default();
        match line["kind"].as_str() {
            Some("close") => at.closes.push(line),
            Some("write_error") => at.errors.push(line),
            _ => at.resets.push(line),
        }
    }
    let mut uses: HashMap<(u16, u16), usize> = HashMap::new();
    for expected in done.iter().flat_map(|done| &done.expected) {
        *uses.entry((expected.local, expected.remote)).or_default() += 1;
    }
    for (ports, at) in &mut reported {
        // A reused pair of ports may meet the remains of its earlier connection. Their answer to the SYN is reset, and
        // the handshake goes on (RFC 9293, 3.5.1).
        if uses.get(ports).is_some_and(|times| *times > 1) {
            at.resets.retain(|line| line["cause"] != "invalid_segment");
        }
        for lines in [&mut at.closes, &mut at.errors, &mut at.resets] {
            // RFC 3339 in UTC with the same number of digits: text order is time order. `pop` takes the last entry
            // first.
            lines.sort_by_key(|line| std::cmp::Reverse(line["time"].as_str().map(str::to_owned)));
        }
    }

    let mut wrong = Vec::new();
    for Done { connection, behaviour, expected } in done {
        for expected in expected.iter().filter(|expected| !is_hidden(expected.local, expected.remote)) {
            let at = reported.entry((expected.local, expected.remote)).or_default();
            let found = of_one(expected, at);
            let what = format!("#{connection} {behaviour} {} -> {}", expected.local, expected.remote);
            wrong.extend(found.into_iter().map(|found| format!("{what}: {found}")));
        }
    }
    reported.retain(|(local, remote), _| !is_hidden(*local, *remote));
    let rest = reported.into_values().flat_map(|at| at.closes.into_iter().chain(at.errors).chain(at.resets));
    wrong.extend(rest.map(|line| format!("not expected: {line}")));
    wrong
}

/// Compares the expected reports on one socket with the next reports on its ports, and takes them.
fn of_one(expected: &Expected, reported: &mut Reported) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut one = |kind: &str, shows: &Value, line: Option<Value>| {
        let found = line.as_ref().map(|line| (differences(shows, line), line));
        match found {
            Some((found, _)) if found.is_empty() => {}
            Some((found, line)) => wrong.push(format!("{}\nin {line}", found.join("\n"))),
            None => wrong.push(format!("no {kind}; expected {shows}")),
        }
        line
    };
    let close = expected.close.as_ref().and_then(|shows| {
        let (mut shows, line) = (shows.clone(), reported.closes.pop());
        let orderly = line.as_ref().is_some_and(|line| line["cause"] == "orderly");
        if expected.may_be_orderly && orderly {
            shows["cause"] = "orderly".into();
        }
        one("close", &shows, line)
    });
    let id = close.map(|line| line["id"].clone());
    for shows in &expected.errors {
        let mut shows = shows.clone();
        shows["close_id"] = id.clone().unwrap_or_default();
        one("write_error", &shows, reported.errors.pop());
    }
    for shows in &expected.resets {
        one("reset", shows, reported.resets.pop());
    }
    wrong
}
