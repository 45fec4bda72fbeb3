//! Reports → one line for people: time, verdict, addresses and the sentence.

use super::sentence;
use crate::{report::Report, source::clock::ClockOffset};

/// One report as one line, without its newline.
#[must_use]
pub fn line(report: &Report, clock: ClockOffset) -> String {
    let (ns, what) = match report {
        Report::Close(verdict) => {
            let what = format!("{}/{}", verdict.head.outcome.word(), verdict.head.cause.word());
            // `refused/refused` would only repeat the word.
            let twice = verdict.head.outcome.word() == verdict.head.cause.word();
            (verdict.head.ns, if twice { verdict.head.cause.word().to_owned() } else { what })
        }
        Report::WriteError(failure) => (failure.ns, format!("write_error/{}", failure.verdict.cause.word())),
        Report::StrayReset(reset) => (reset.ns, format!("reset/{}", reset.cause.word())),
        Report::LingerExpired(expired) => (expired.ns, "linger_expired".to_owned()),
    };
    let time = clock.rfc3339(ns);
    // The time of day, with milliseconds.
    let time = time.get(11..23).unwrap_or(&time);
    let ends = report.endpoints();
    format!("{time}  {what:<36}  {} > {}  {}", ends.local, ends.remote, sentence::of(report))
}
