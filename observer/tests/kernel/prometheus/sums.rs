//! The sums of verdicts, and the sums that Prometheus has stored.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::server::{Prometheus, Sample};

/// Sums by label values, without zeros. The last label is the owner.
pub(crate) type Sums = BTreeMap<Vec<String>, f64>;

/// A metric's name without the common prefix, its labels, and its sums.
type Family = (&'static str, &'static [&'static str], Sums);

const COMM: &str = "/process/comm";

/// The sums of each metric, from lines of JSON.
pub(crate) fn reported(lines: &[Value]) -> [Family; 6] {
    let closes = || lines.iter().filter(|line| line["kind"] == "close");
    let stray = lines.iter().filter(|line| line["kind"] == "reset");
    let resets = |direction: &'static str| {
        closes().filter(move |line| line.pointer("/reset/direction").is_some_and(|it| it == direction))
    };
    let errors = lines.iter().filter(|line| line["kind"] == "write_error");
    let after_fin = closes().filter(|line| line["cause"] == "write_after_peer_fin");
    let lost = closes().flat_map(|line| {
        ["unread", "unacked", "unsent"].map(|queue| {
            let bytes = line.pointer(&format!("/bytes/{queue}")).and_then(Value::as_f64).expect("bytes");
            (vec![queue.to_owned(), field(line, COMM)], bytes)
        })
    });
    [
        (
            "closes_total",
            &["outcome", "cause", "first_close", "owner"],
            count(closes(), &["/outcome", "/cause", "/first_close", COMM]),
        ),
        ("resets_sent_total", &["cause", "owner"], count(resets("sent").chain(stray), &["/cause", COMM])),
        ("resets_received_total", &["cause", "owner"], count(resets("received"), &["/cause", COMM])),
        ("write_errors_total", &["errno", "cause", "owner"], count(errors, &["/errno", "/cause", COMM])),
        ("writes_after_peer_fin_total", &["owner"], count(after_fin, &[COMM])),
        ("lost_bytes_total", &["queue", "owner"], sums(lost)),
    ]
}

/// The present sums of a metric in Prometheus.
pub(crate) fn stored(prometheus: &Prometheus, metric: &str, labels: &[&str]) -> Sums {
    let expr = format!("sum by ({}) (observer_tcp_{metric}) > 0", labels.join(", "));
    let key = |(of, value): Sample| (labels.iter().map(|label| of[*label].clone()).collect(), value);
    prometheus.query(&expr).into_iter().map(key).collect()
}

fn count<'a>(lines: impl Iterator<Item = &'a Value>, pointers: &[&str]) -> Sums {
    sums(lines.map(|line| (pointers.iter().map(|pointer| field(line, pointer)).collect(), 1.0)))
}

fn sums(entries: impl Iterator<Item = (Vec<String>, f64)>) -> Sums {
    let mut sums = Sums::new();
    for (key, value) in entries.filter(|(_, value)| *value != 0.0) {
        *sums.entry(key).or_default() += value;
    }
    sums
}

/// The text of a field. Without a process the metrics use the owner `none`.
fn field(line: &Value, pointer: &str) -> String {
    line.pointer(pointer).and_then(Value::as_str).unwrap_or("none").to_owned()
}
