//! Replays a recording with records left out, and compares the verdicts with those of the whole recording.
//!
//! A record is lost either with a mark ([`Body::RecordsLost`], as a live reader makes it) or without one. With the mark
//! no verdict on a connection that was alive then may say `exact`. Without it, a verdict that still says `exact` must
//! be right in every word and number.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use observer::{
    classify::verdict::{Evidence, Missing, Outcome, Verdict},
    event::{Body, Event, SockId},
    owner::Cgroups,
    pipeline::Pipeline,
    render::json,
    report::Report,
    source::clock::ClockOffset,
    story::table::TableLimits,
};
use serde_json::Value;

/// The longest time between two checks of the loss counters by the live reader, ns.
const BATCH_NS: u64 = 50_000_000;

/// Most events of a recording that is replayed as a whole.
const WHOLE: usize = 120;

/// The longest time between two records of one event, ns.
const TWICE_NS: u64 = 1_000_000;

/// Fields of a close that a loss may make wrong. Left out are the evidence and the times of the report.
const FIELDS: [&str; 15] = [
    "outcome",
    "cause",
    "first_close",
    "local_action",
    "connection",
    "process",
    "opened_by_process",
    "fin",
    "linger",
    "half_closed",
    "bytes",
    "reset",
    "error",
    "write_errors",
    "duration_ms",
];

/// A loss that no other record shows.
pub(crate) struct Traceless {
    /// The lost record, as [`name`] writes it. Others may be lost, too.
    pub(crate) lost: &'static str,
    /// The fields that may be wrong after this loss.
    pub(crate) differs: &'static [&'static str],
    /// The entry holds only for this true cause. None for every cause.
    pub(crate) truth: Option<&'static str>,
    /// Why no other record shows it.
    #[allow(dead_code, reason = "the kernel tests do not print it")]
    pub(crate) why: &'static str,
}

/// A field, its true value, and its value in the verdict.
type Difference = (String, String, String);

/// A verdict that is wrong and says `exact`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wrong {
    /// Whether the loss was marked.
    pub(crate) marked: bool,
    /// Names of the records that were left out.
    pub(crate) lost: Vec<String>,
    /// The cause in the verdict of the whole recording.
    pub(crate) truth: String,
    /// The fields that differ.
    pub(crate) differs: Vec<Difference>,
}

impl Wrong {
    /// For each field that differs, the index of the entry that explains it. None if a field has no entry.
    pub(crate) fn explained_by(&self, list: &[Traceless]) -> Option<BTreeSet<usize>> {
        if self.marked {
            return None;
        }
        let explains = |entry: &Traceless, field: &str| {
            entry.differs.contains(&field)
                && entry.truth.is_none_or(|truth| truth == self.truth)
                && self.lost.iter().any(|lost| lost == entry.lost)
        };
        let entry = |(field, ..): &Difference| list.iter().position(|entry| explains(entry, field));
        self.differs.iter().map(entry).collect()
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.marked { "with" } else { "without" };
        write!(f, "{} lost {mark} a mark ({}):", self.lost.join(" and "), self.truth)?;
        self.differs.iter().try_for_each(|(field, is, said)| write!(f, " {field} is {is}, exact {said};"))
    }
}

/// The result of one recording.
#[derive(Default)]
pub(crate) struct Outcomes {
    /// Number of replays with records left out.
    pub(crate) replays: usize,
    /// The wrong verdicts, each with its count.
    pub(crate) wrong: BTreeMap<Wrong, usize>,
}

/// Leaves out each record, then each pair of records of one connection, up to this number of replays.
///
/// A long recording is split by socket: no record of one socket is evidence about another.
pub(crate) fn leave_out(events: &[Event], replays: usize) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut by_sock: BTreeMap<SockId, Vec<Event>> = BTreeMap::new();
    for event in events.iter().filter(|_| events.len() > WHOLE) {
        by_sock.entry(event.sock).or_default().push(event.clone());
    }
    let parts: Vec<&[Event]> =
        if by_sock.is_empty() { vec![events] } else { by_sock.values().map(Vec::as_slice).collect() };
    // Single records come first, in all parts.
    for pairs in [false, true] {
        for part in &parts {
            let truth = Truth::of(part);
            for life in lives(part) {
                if outcomes.replays >= replays {
                    return outcomes;
                }
                outcomes.lose_of(part, &truth, &life, pairs);
            }
        }
    }
    outcomes
}

impl Outcomes {
    /// Leaves out each record of a connection, or each pair of them.
    fn lose_of(&mut self, events: &[Event], truth: &Truth, life: &[usize], pairs: bool) {
        for (place, &first) in life.iter().enumerate() {
            if !pairs {
                self.lose(events, truth, &[first]);
                continue;
            }
            for &second in &life[place + 1..] {
                self.lose(events, truth, &[first, second]);
            }
        }
    }

    fn lose(&mut self, events: &[Event], truth: &Truth, lost: &[usize]) {
        let names: Vec<_> = lost.iter().map(|&at| name(&events[at])).collect();
        let left = events.iter().enumerate().filter(|(at, _)| !lost.contains(at)).map(|(_, event)| event);
        self.replays += 1;
        for verdict in &verdicts(left) {
            self.note(false, &names, truth.cause(verdict), truth.contradicted_by(verdict));
        }
        // The reader may check the loss counters at once, or as late as possible.
        for apart_ns in [1, BATCH_NS] {
            self.replays += 1;
            for verdict in &verdicts(with_marks(events, lost, apart_ns).iter()) {
                let mut differs = truth.contradicted_by(verdict);
                let alive = lost.iter().any(|&at| truth.was_alive(verdict, events[at].ns));
                if alive && !is_doubted(verdict) {
                    differs.push((
                        "missing".to_owned(),
                        "records".to_owned(),
                        format!("{:?}", verdict.missing),
                    ));
                }
                self.note(true, &names, truth.cause(verdict), differs);
            }
        }
    }

    fn note(&mut self, marked: bool, lost: &[String], truth: &str, differs: Vec<Difference>) {
        if !differs.is_empty() {
            let wrong = Wrong { marked, lost: lost.to_vec(), truth: truth.to_owned(), differs };
            *self.wrong.entry(wrong).or_default() += 1;
        }
    }
}

/// The verdicts of the whole recording.
struct Truth {
    /// The closes by socket (from the verdict's id) and time of the end.
    closes: BTreeMap<(String, u64), (Verdict, Value)>,
}

impl Truth {
    fn of(events: &[Event]) -> Self {
        let closes = verdicts(events.iter()).into_iter().map(|verdict| {
            let value = value(&verdict);
            (key(&verdict), (verdict, value))
        });
        Self { closes: closes.collect() }
    }

    /// The true verdict on the same end. Two records of one end may differ slightly in time.
    fn same(&self, verdict: &Verdict) -> Option<&(Verdict, Value)> {
        let (sock, ns) = key(verdict);
        let near = (sock.clone(), ns.saturating_sub(TWICE_NS))..=(sock, ns.saturating_add(TWICE_NS));
        self.closes.range(near).map(|(_, truth)| truth).min_by_key(|(truth, _)| truth.head.ns.abs_diff(ns))
    }

    fn cause(&self, verdict: &Verdict) -> &'static str {
        self.same(verdict).map_or("none", |(truth, _)| truth.head.cause.word())
    }

    /// The wrong fields of a verdict that says `exact`.
    fn contradicted_by(&self, verdict: &Verdict) -> Vec<Difference> {
        if verdict.evidence != Evidence::Exact {
            return Vec::new();
        }
        let Some((truth, expected)) = self.same(verdict) else {
            return vec![("connection".to_owned(), "none".to_owned(), verdict.head.cause.word().to_owned())];
        };
        if truth == verdict {
            return Vec::new();
        }
        if truth.evidence != Evidence::Exact || truth.head.outcome == Outcome::Unknown {
            let (was, is) = (truth.evidence.word().to_owned(), verdict.evidence.word().to_owned());
            return vec![("evidence".to_owned(), was, is)];
        }
        let found = value(verdict);
        let mut differs = Vec::new();
        for field in FIELDS {
            compare(field, &expected[field], &found[field], &mut differs);
        }
        differs
    }

    /// Whether the connection of this verdict was alive at this time, by the whole recording.
    fn was_alive(&self, verdict: &Verdict, ns: u64) -> bool {
        let Some((truth, _)) = self.same(verdict) else { return false };
        truth.opened_ns().is_none_or(|opened_ns| opened_ns <= ns) && ns <= truth.head.ns
    }
}

fn is_doubted(verdict: &Verdict) -> bool {
    verdict.evidence == Evidence::Inferred && verdict.missing.contains(&Missing::Records)
}

/// Adds the fields whose found value differs from the expected one. `null` and `unknown` claim nothing, so they never
/// differ.
fn compare(field: &str, expected: &Value, found: &Value, differs: &mut Vec<Difference>) {
    match (expected, found) {
        // Not `write_errors`: there an absent count claims 0.
        (Value::Object(expected), Value::Object(found)) if field != "write_errors" => {
            for (key, value) in found {
                compare(&format!("{field}.{key}"), &expected[key], value, differs);
            }
        }
        (_, Value::Null) => {}
        (_, Value::String(word)) if word == "unknown" => {}
        _ if expected == found => {}
        _ => differs.push((field.to_owned(), expected.to_string(), found.to_string())),
    }
}

fn key(verdict: &Verdict) -> (String, u64) {
    let sock = verdict.head.id.rsplit('-').next().unwrap_or_default();
    (sock.to_owned(), verdict.head.ns)
}

fn value(verdict: &Verdict) -> Value {
    let report = Report::Close(Box::new(verdict.clone()));
    let line = json::line(&report, ClockOffset(0), &mut Cgroups::none());
    serde_json::from_str(&line).expect("JSON")
}

fn verdicts<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut keep = |report: &Report| {
        if let Report::Close(verdict) = report {
            verdicts.push((**verdict).clone());
        }
    };
    let mut pipeline = Pipeline::new(TableLimits::default());
    for event in events {
        pipeline.apply(event, &mut keep);
    }
    pipeline.finish(&mut keep);
    verdicts
}

/// The recording that a live reader would have made, if it checked the loss counters this long before and after each
/// loss.
fn with_marks(events: &[Event], lost: &[usize], apart_ns: u64) -> Vec<Event> {
    let marks = lost.iter().map(|&at| {
        let (ns, since_ns) = (events[at].ns + apart_ns, events[at].ns.saturating_sub(apart_ns));
        let body = Body::RecordsLost { since_ns, until_ns: ns, count: 1 };
        // Records after the previous check are read after the mark.
        let place = events.iter().position(|event| event.ns > since_ns).unwrap_or(at).min(at);
        (place, Event { ns, sock: SockId(0), task: None, body })
    });
    let marks: Vec<_> = marks.collect();
    let mut left = Vec::with_capacity(events.len() + marks.len());
    for (at, event) in events.iter().enumerate() {
        left.extend(marks.iter().filter(|(place, _)| *place == at).map(|(_, mark)| mark.clone()));
        left.extend((!lost.contains(&at)).then(|| event.clone()));
    }
    left
}

/// The indices of the kernel's records of each connection: the records of one socket from one opening to the next.
pub(crate) fn lives(events: &[Event]) -> Vec<Vec<usize>> {
    let mut begun: BTreeMap<SockId, usize> = BTreeMap::new();
    let mut lives: BTreeMap<(SockId, usize), Vec<usize>> = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        if !is_of_a_connection(&event.body) {
            continue;
        }
        let life = begun.entry(event.sock).or_default();
        *life += usize::from(matches!(event.body, Body::Opened { .. }));
        lives.entry((event.sock, *life)).or_default().push(at);
    }
    lives.into_values().collect()
}

const fn is_of_a_connection(body: &Body) -> bool {
    !matches!(body, Body::Owner | Body::NoOwner { .. } | Body::RecordsLost { .. } | Body::StrayReset { .. })
}

/// A record's short name, such as `state_change ESTABLISHED>CLOSE_WAIT`.
pub(crate) fn name(event: &Event) -> String {
    let kind = event.body.name();
    match &event.body {
        Body::StateChange { old, new, .. } => format!("{kind} {old}>{new}"),
        Body::ResetReceived { state } | Body::ResetSent { state, .. } => format!("{kind} {state}"),
        _ => kind.to_owned(),
    }
}
