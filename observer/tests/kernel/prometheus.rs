//! A real Prometheus scrapes a real daemon: what it has stored is what another observer wrote as verdicts, and every
//! query of the dashboard and the alerts gets an answer.

use std::collections::BTreeMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use libtest_mimic::{Failed, Trial};
use nix::errno::Errno;
use serde_json::Value;

use crate::daemon::Daemon;
use crate::lab::{CLOSED_PORT, Family, Lab};
use crate::server::{Prometheus, Sample, config};

/// Process names that no other test has: all that they do is counted under them as owners.
const CLIENT: &str = "prom-client";
const SERVER: &str = "prom-server";
const OURS: &str = "owner=~\"prom-(client|server)\"";

/// Verdicts that [`traffic`] gives, on both sides.
const CLOSES: usize = 11;

pub(crate) fn trial() -> Trial {
    Trial::test("prometheus", run)
}

fn run() -> Result<(), Failed> {
    if std::env::var_os("OBSERVER_TEST_KERNEL_ONLY").is_some_and(|only| only == "1") {
        return Ok(());
    }
    let lab = Lab::with_actors(Family::Ipv4, CLIENT, SERVER);
    let daemon = Daemon::start(|command| {
        command.arg("--program-stats");
    })?;
    let prometheus = Prometheus::start(&format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: [\"{}\"]\n\
         scrape_configs: [{{job_name: observer, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        config().join("prometheus/alerts.yml").display(),
        daemon.address
    ));
    prometheus.await_value("up", |up| up > 0.5);

    traffic(&lab, &prometheus);
    let lines = lab.all_lines(CLOSES);
    // All verdicts are out, and a second or two later the last scrape has them.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    prometheus.await_value("timestamp(observer_build_info)", |scraped| scraped > now + 2.0);

    totals(&prometheus, &lines);
    // Since it is asked to count them.
    prometheus.await_value("sum(observer_program_runs_total)", |runs| runs > 0.0);
    dashboard(&prometheus, &daemon.scrape());
    alerts(&prometheus);
    Ok(())
}

/// Ends of several kinds. One connection is forgotten until Prometheus has seen it.
fn traffic(lab: &Lab, prometheus: &Prometheus) {
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
    let gauge = "sum(observer_tcp_half_closed_connections{side=\"remote\",owner=\"prom-server\"})";
    prometheus.await_value(gauge, |connections| (0.5..1.5).contains(&connections));
    forgotten.close();
}

/// Sums by label values, without those that are zero.
type Sums = BTreeMap<Vec<String>, f64>;

fn totals(prometheus: &Prometheus, lines: &[Value]) {
    let closes = || lines.iter().filter(|line| line["kind"] == "close");
    let resets = |direction: &'static str| {
        closes().filter(move |line| line.pointer("/reset/direction").is_some_and(|it| it == direction))
    };
    let fields = |line: &Value, pointers: &[&str]| -> Vec<String> {
        let text =
            |pointer: &&str| line.pointer(pointer).and_then(Value::as_str).unwrap_or("none").to_owned();
        pointers.iter().map(text).collect()
    };
    let sums = |entries: &mut dyn Iterator<Item = (Vec<String>, f64)>| {
        let mut sums = Sums::new();
        for (key, value) in entries.filter(|(_, value)| *value != 0.0) {
            *sums.entry(key).or_default() += value;
        }
        sums
    };
    let count = |lines: &mut dyn Iterator<Item = &Value>, pointers: &[&str]| {
        sums(&mut lines.map(|line| (fields(line, pointers), 1.0)))
    };
    assert_eq!(closes().count(), CLOSES, "verdicts");

    let mut errors = lines.iter().filter(|line| line["kind"] == "write_error");
    let mut after_fin = closes().filter(|line| line["cause"] == "write_after_peer_fin");
    let mut lost = closes().flat_map(|line| {
        ["unread", "unacked", "unsent"].map(|queue| {
            let bytes = line.pointer(&format!("/bytes/{queue}")).and_then(Value::as_f64).expect("bytes");
            (vec![queue.to_owned(), fields(line, &["/process/comm"]).remove(0)], bytes)
        })
    });
    let comm = "/process/comm";
    for (metric, labels, told) in [
        (
            "closes_total",
            &["outcome", "cause", "first_close", "owner"][..],
            count(&mut closes(), &["/outcome", "/cause", "/first_close", comm]),
        ),
        ("resets_sent_total", &["cause", "owner"], count(&mut resets("sent"), &["/cause", comm])),
        ("resets_received_total", &["cause", "owner"], count(&mut resets("received"), &["/cause", comm])),
        ("write_errors_total", &["errno", "cause", "owner"], count(&mut errors, &["/errno", "/cause", comm])),
        ("writes_after_peer_fin_total", &["owner"], count(&mut after_fin, &[comm])),
        ("lost_bytes_total", &["queue", "owner"], sums(&mut lost)),
    ] {
        let expr = format!("sum by ({}) (observer_tcp_{metric}{{{OURS}}}) > 0", labels.join(", "));
        let key = |(of, value): Sample| (labels.iter().map(|label| of[*label].clone()).collect(), value);
        let stored: Sums = prometheus.query(&expr).into_iter().map(key).collect();
        assert!(!told.is_empty(), "the traffic has nothing for {metric}");
        assert_eq!(stored, told, "{metric}: what Prometheus has (left), and the verdicts (right)");
    }
}

/// Every query has an answer with the labels that its legend names, and every metric a query.
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

/// Queries with their legends, wherever they are in the dashboard; what fills its variables as well.
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

/// Every rule is evaluated without complaint; none says that nobody watches.
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
