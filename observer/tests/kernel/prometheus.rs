//! A real Prometheus scrapes a real daemon. Its values must equal the sums of another observer's verdicts and of the
//! daemon's own event log. Every query of the dashboard and of the alerts must have an answer. `OBSERVER_TEST_SOAK`
//! prolongs the test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libtest_mimic::{Failed, Trial};
use nix::errno::Errno;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::hidden_events;
use crate::lab::{CLOSED_PORT, Family, Lab};
use crate::netns::Netns;
use crate::prometheus::sums::{Sums, reported, stored};
use crate::random::{self, driver::Done};
use crate::row;
use crate::server::{Folder, Prometheus, config};
use crate::wait::{DEADLINE, eventually, let_pass};

mod sums;

/// Process names that no other test uses. The metrics count their connections under these owners.
const CLIENT: &str = "prom-client";
const SERVER: &str = "prom-server";

/// Number of verdicts from [`traffic`], on both sides.
const CLOSES: usize = 11;

/// The server's half-closed connections. On a busy machine the daemon scans rarely, so long traffic does not wait for
/// this.
const FORGOTTEN: &str = "sum(observer_tcp_half_closed_connections{side=\"remote\",owner=\"prom-server\"})";

/// Random connections begun per second during a soak.
const RATE: u64 = 20;

/// The time between two rounds of [`traffic`] during a soak.
const PAUSE: Duration = Duration::from_secs(5);

pub(crate) fn trial() -> Trial {
    Trial::test("prometheus", || match soak() {
        None => hidden_events::retry_if_hidden(|| row::caught(|| run(None))),
        // A soak is not tried again. It leaves out connections with hidden events.
        soak => run(soak),
    })
}

fn run(soak: Option<u64>) -> Result<(), Failed> {
    if std::env::var_os("OBSERVER_TEST_KERNEL_ONLY").is_some_and(|only| only == "1") {
        return Ok(());
    }
    let lab = Lab::with_actors(Family::Ipv4, CLIENT, SERVER);
    let folder = Folder::new();
    let log = folder.0.join("events.jsonl");
    let settings = format!(
        "owner: {{limit: 10000}}\n\
         event_log: {{path: {}, max_size: 1GiB, record: {{graceful: true, stray_resets: true}}}}\n",
        log.display()
    );
    let settings = folder.write("observer.yaml", &settings);
    let daemon = Daemon::start(|command| {
        command.arg("--program-stats").arg("--config").arg(settings);
    })?;
    let interval = if soak.is_some() { "5s" } else { "1s" };
    let prometheus = Prometheus::start(&format!(
        "global: {{scrape_interval: {interval}, evaluation_interval: {interval}}}\n\
         rule_files: [\"{}\"]\n\
         scrape_configs: [{{job_name: observer, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        config().join("prometheus/alerts.yml").display(),
        daemon.address
    ));
    prometheus.await_value("up", |up| up > 0.5);

    let hidden_before = hidden_events::hidden().len();
    let (rounds, random) = match soak {
        None => {
            traffic(&lab, || prometheus.await_value(FORGOTTEN, |number| (0.5..1.5).contains(&number)));
            (1, None)
        }
        Some(seconds) => {
            let (rounds, random) = soaked(seconds, || traffic(&lab, || {}))?;
            (rounds, Some(random))
        }
    };
    let lines = match random {
        None => lab.all_lines(CLOSES * rounds),
        // A second observer would pass the lines of the whole machine through this process: too many for a soak.
        Some(_) => eventually(DEADLINE, || {
            let lines = logged_of(&log, &lab.netns);
            (lines.iter().filter(|line| line["kind"] == "close").count() >= CLOSES * rounds).then_some(lines)
        })
        .unwrap_or_default(),
    };
    await_scrape(&prometheus);
    let hidden = BTreeSet::from_iter(hidden_events::hidden().split_off(hidden_before));
    // If the kernel hid an event, the verdict comes when the socket is reused, or never.
    if hidden.is_empty() {
        let closes = reported(&lines).into_iter().next().map_or_else(Sums::new, |(.., closes)| closes);
        let number = lines.iter().filter(|line| line["kind"] == "close").count();
        assert_eq!(number, CLOSES * rounds, "verdicts: {closes:#?}");
    }
    same_as_reported(&prometheus, &lines);
    same_as_logged(&prometheus, &log);
    if let Some(random) = random {
        random.same_as_logged(&log, &hidden, &daemon)?;
    }
    assert_eq!(daemon.value("observer_event_log_lost_total{reason=\"queue_full\"}").as_deref(), Some("0"));
    for (what, expr) in [("scrapes", "count_over_time(up[1d])"), ("in time", "sum_over_time(up[1d])")] {
        eprintln!("prometheus: {what}: {:?}", prometheus.query(expr).first().map(|(_, value)| *value));
    }
    // The daemon is configured to count them.
    prometheus.await_value("sum(observer_program_runs_total)", |runs| runs > 0.0);
    dashboard(&prometheus, &daemon.scrape());
    alerts(&prometheus);
    Ok(())
}

/// How long the traffic goes on, in seconds. None for one round.
fn soak() -> Option<u64> {
    let asked = std::env::var("OBSERVER_TEST_SOAK").ok();
    asked.map(|seconds| seconds.parse().expect("OBSERVER_TEST_SOAK is a number of seconds"))
}

/// Random connections, and their network namespace.
struct Random {
    netns: Netns,
    done: Vec<Done>,
}

/// Makes random connections for this long, and meanwhile repeats `round`. Returns the number of rounds.
fn soaked(seconds: u64, round: impl Fn()) -> Result<(usize, Random), Failed> {
    let (netns, seed) = (Netns::new()?, random::seed());
    eprintln!("prometheus: {seconds} s of traffic, OBSERVER_TEST_SEED={seed}");
    let (done, rounds) = thread::scope(|scope| {
        let driver = scope.spawn(|| random::drive(&netns, seed, seconds * RATE, RATE, |_| {}));
        let mut rounds = 0;
        while !driver.is_finished() {
            round();
            rounds += 1;
            let_pass(PAUSE);
        }
        (driver.join().expect("the thread does not panic"), rounds)
    });
    let done = done?;
    eprintln!("prometheus: {} random connections; {rounds} rounds of {CLOSES} closes", done.len());
    Ok((rounds, Random { netns, done }))
}

impl Random {
    /// Checks that the event log has the right reports on each connection, except those with hidden events. A machine
    /// that is too busy loses records, which the daemon counts. It is then unknown which connections they belonged to.
    fn same_as_logged(
        &self,
        log: &Path,
        hidden: &BTreeSet<(u16, u16)>,
        daemon: &Daemon,
    ) -> Result<(), Failed> {
        let lost = daemon.value("observer_records_lost_total{reason=\"ring_full\"}");
        eprintln!("prometheus: {} pairs of ports hidden by the kernel; records lost: {lost:?}", hidden.len());
        if lost.as_deref() != Some("0") {
            return Ok(());
        }
        let is_hidden =
            |local, remote| hidden.contains(&(local, remote)) || hidden.contains(&(remote, local));
        let wrong = random::compare(&self.done, logged_of(log, &self.netns), is_hidden);
        let shown = wrong.iter().take(random::SHOWN).map(String::as_str).collect::<Vec<_>>();
        let number = wrong.len();
        wrong
            .is_empty()
            .then_some(())
            .ok_or_else(|| format!("{number} differences\n{}", shown.join("\n")).into())
    }
}

/// Ends connections in several ways. One connection stays half-closed while `meanwhile` runs.
fn traffic(lab: &Lab, meanwhile: impl FnOnce()) {
    let (us, peer) = lab.pair();
    us.close();
    peer.await_peer_fin();
    peer.close();

    let (us, peer) = lab.pair();
    us.send(1000);
    peer.await_readable(1000);
    peer.close();
    us.await_gone();
    us.send_fails(Errno::ECONNRESET);
    us.send_fails(Errno::EPIPE);
    us.close();

    let (us, peer) = lab.pair();
    peer.close();
    us.await_peer_fin();
    us.send(10);
    us.await_gone();
    us.send_fails(Errno::EPIPE);
    us.close();

    let (us, peer) = lab.pair();
    us.linger(0);
    us.close();
    peer.await_gone();
    peer.close();

    lab.fails_to_connect(CLOSED_PORT, Errno::ECONNREFUSED).close();

    let (us, forgotten) = lab.pair();
    us.close();
    forgotten.await_peer_fin();
    meanwhile();
    forgotten.close();
}

/// Checks that Prometheus has the same sums for the actors as the verdicts.
fn same_as_reported(prometheus: &Prometheus, lines: &[Value]) {
    let is_ours = |key: &[String]| key.last().is_some_and(|owner| [CLIENT, SERVER].contains(&owner.as_str()));
    for (metric, labels, mut reported) in reported(lines) {
        let mut stored = stored(prometheus, metric, labels);
        for sums in [&mut stored, &mut reported] {
            sums.retain(|key, _| is_ours(key));
        }
        assert!(!reported.is_empty(), "the traffic has nothing for {metric}");
        assert_eq!(stored, reported, "{metric}: left: stored by Prometheus; right: sums of the verdicts");
    }
}

/// Checks that Prometheus has the same sums as the event log, for every process of this machine. Connections of others
/// end all the time. So each stored sum must lie between the log's sums before and after the scrape.
fn same_as_logged(prometheus: &Prometheus, log: &Path) {
    let before = reported(&logged(log, |_| true));
    await_scrape(prometheus);
    let stored = before.each_ref().map(|(metric, labels, _)| stored(prometheus, metric, labels));
    let mut wrong = Vec::new();
    eventually(DEADLINE, || {
        wrong.clear();
        for ((stored, (metric, _, before)), (.., after)) in
            stored.iter().zip(&before).zip(reported(&logged(log, |_| true)))
        {
            for key in after.keys().chain(stored.keys()) {
                let [stored, before, after] =
                    [stored, before, &after].map(|sums| sums.get(key).copied().unwrap_or_default());
                if !(before..=after).contains(&stored) {
                    wrong.push(format!("{metric} {key:?}: {stored} stored, {before} to {after} written"));
                }
            }
        }
        wrong.is_empty().then_some(())
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all: f64 = stored[0].values().sum();
    eprintln!("prometheus: {all} closes are stored, of {} kinds and owners", stored[0].len());
}

/// The lines of the event log for which `wanted` holds. The last line may be incomplete, and is then left out.
fn logged(log: &Path, wanted: impl Fn(&str) -> bool) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter(|line| wanted(line));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The event log's lines on one network namespace. To parse the whole log of a busy machine would take too long.
fn logged_of(log: &Path, netns: &Netns) -> Vec<Value> {
    let here = format!("\"netns\":{},", netns.inode());
    logged(log, |line| line.contains(&here))
}

/// Waits until Prometheus has stored the present metrics, which takes a scrape or two.
fn await_scrape(prometheus: &Prometheus) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs_f64();
    prometheus.await_value("timestamp(observer_build_info)", |scraped| scraped > now + 2.0);
}

/// Checks that every query has an answer with the labels of its legend, and that every metric has a query.
fn dashboard(prometheus: &Prometheus, scrape: &str) {
    let text = fs::read_to_string(config().join("grafana/observer.json")).expect("reading the dashboard");
    let board: Value = serde_json::from_str(&text).expect("JSON");
    let mut queries = Vec::new();
    find_queries(&board, &mut queries);
    assert!(queries.len() > 30, "only {} queries were found", queries.len());
    for (expr, legend) in &queries {
        let mut expr = expr.clone();
        // The longest first: $__rate_interval begins like $__range.
        for (variable, value) in
            [("$__rate_interval", "30s"), ("$__range", "5m"), ("$instance", ".*"), ("$owner", ".*")]
        {
            expr = expr.replace(variable, value);
        }
        assert!(!expr.contains('$'), "a variable is left in {expr}");
        let found = prometheus.query(&expr);
        assert!(!found.is_empty(), "no data for {expr}");
        let labels = legend.split("{{").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.trim()));
        for label in labels {
            assert!(found.iter().all(|(of, _)| of.contains_key(label)), "{label} is no label of {expr}");
        }
    }
    for name in scrape.lines().filter_map(|line| line.strip_prefix("# TYPE observer_")?.split(' ').next()) {
        let name = format!("observer_{name}");
        assert!(queries.iter().any(|(expr, _)| expr.contains(&name)), "{name} is not on the dashboard");
    }
}

/// Collects all queries of the dashboard with their legends, also those of its variables.
fn find_queries(value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| find_queries(value, found)),
        Value::Object(object) => {
            let text = |name: &str| object.get(name).and_then(Value::as_str);
            if let Some(expr) = text("expr") {
                let legend = text("legendFormat").or(text("titleFormat")).unwrap_or_default();
                found.push((expr.to_owned(), legend.to_owned()));
            }
            let of_variable = text("definition").and_then(|it| it.strip_prefix("label_values("));
            if let Some((series, label)) =
                of_variable.and_then(|rest| rest.strip_suffix(')')).and_then(|rest| rest.rsplit_once(", "))
            {
                found.push((series.to_owned(), format!("{{{{{label}}}}}")));
            }
            object.values().for_each(|value| find_queries(value, found));
        }
        _ => {}
    }
}

/// Checks that every rule is evaluated without an error, and that none fires that reports a missing observer.
fn alerts(prometheus: &Prometheus) {
    let answer = prometheus.api("/api/v1/rules");
    let groups = answer.pointer("/data/groups").and_then(Value::as_array).expect("groups of rules");
    let rules: Vec<_> = groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
    assert!(rules.len() > 10, "only {} rules", rules.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    let firing = prometheus.query("ALERTS{alertname=~\"ObserverDown|ObserverAbsent|ObserverCannotLook\"}");
    assert!(firing.is_empty(), "{firing:?}");
}
