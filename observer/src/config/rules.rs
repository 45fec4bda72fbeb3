//! Rules for values that serde accepts although they make no sense, alone or together. A rule names its settings. The
//! mistake is shown at the first of them that the file sets.

use std::{fmt::Display, ops::RangeInclusive, path::Path, time::Duration};

use observer_ebpf::abi::program::HOOKS;

use super::{Config, Mistake, spans::Position, spans::Spans};

/// The ring buffer of a busy host overflows if it can be emptied at less than this rate, bytes per second.
const LOWEST_RING_RATE: u128 = 1 << 20;

/// Ten years.
const LONGEST_AGE: Duration = Duration::from_hours(24 * 3650);

/// Size of `sockaddr_un.sun_path` without its final zero, bytes (`include/uapi/linux/un.h`).
const LONGEST_SOCKET: usize = 107;

/// A broken rule.
#[derive(Debug)]
pub(super) struct Broken {
    settings: Vec<&'static str>,
    text: String,
}

impl Broken {
    /// The mistake, placed at the first of these settings that the file has.
    pub(super) fn mistake(&self, file: Option<&Spans>) -> Mistake {
        let place = file.map(|file| {
            let places = self.settings.iter().map(|setting| {
                let path: Vec<_> = setting.split('.').map(str::to_owned).collect();
                file.at(&path)
            });
            let mut given = places.filter(|(_, given)| *given);
            given.next().map_or(Position::START, |(value, _)| value.place)
        });
        Mistake { place, text: format!("{}: {}", self.settings.join(", "), self.text) }
    }
}

/// Every rule that these settings break.
pub(super) fn broken(config: &Config) -> Vec<Broken> {
    let Config { owner, kernel, history, query, web, event_log, .. } = config;
    let mut broken = Vec::new();
    let mut rule = |settings: &[&'static str], keeps: bool, text: String| {
        if !keeps {
            broken.push(Broken { settings: settings.to_vec(), text });
        }
    };
    let mut range = |setting: &'static str, value: usize, range: RangeInclusive<usize>| {
        rule(&[setting], range.contains(&value), outside(value, range.start(), range.end()));
    };
    range("owner.limit", owner.limit, 0..=10_000);
    range("kernel.stories", kernel.stories, 1..=10_000_000);
    range("kernel.openings", kernel.openings, 0..=100_000_000);
    range("history.closes", history.closes, 0..=100_000_000);
    range("history.errors", history.errors, 0..=100_000_000);
    range("event_log.keep", event_log.keep, 0..=1000);

    for name in &kernel.without {
        let known = HOOKS.iter().any(|hook| hook.name == name);
        rule(
            &["kernel.without"],
            known,
            format!("there is no hook {name}; `observer check` lists the hooks"),
        );
    }
    let (small, large) = (64 << 10, 1 << 30);
    rule(
        &["kernel.ring_size"],
        kernel.ring_size.is_power_of_two() && (small..=large).contains(&kernel.ring_size),
        format!(
            "{} bytes is not a power of two from 64KiB to 1GiB; the next is {}KiB",
            kernel.ring_size,
            kernel.ring_size.clamp(small, large).next_power_of_two() >> 10
        ),
    );
    let (short, long) = (Duration::from_millis(1), Duration::from_secs(1));
    let interval_fits = (short..=long).contains(&kernel.drain_interval);
    rule(
        &["kernel.drain_interval"],
        interval_fits,
        outside(format!("{:?}", kernel.drain_interval), "1ms", "1s"),
    );
    let needed = LOWEST_RING_RATE * kernel.drain_interval.as_millis() / 1000;
    rule(
        &["kernel.ring_size", "kernel.drain_interval"],
        !interval_fits || u128::from(kernel.ring_size) >= needed,
        format!(
            "a buffer of {} bytes that is emptied every {:?} overflows on a busy host; increase ring_size or shorten \
             drain_interval",
            kernel.ring_size, kernel.drain_interval
        ),
    );

    rule(
        &["history.max_age"],
        (Duration::from_secs(1)..=LONGEST_AGE).contains(&history.max_age),
        outside(format!("{:?}", history.max_age), "1s", "3650d"),
    );
    let mut path = |setting: &'static str, path: Option<&Path>| {
        rule(
            &[setting],
            path.is_none_or(Path::is_absolute),
            "must be an absolute path: a service has no working directory of its own".to_owned(),
        );
    };
    path("query.socket", Some(&query.socket));
    path("web.config_file", web.config_file.as_deref());
    path("event_log.path", event_log.path.as_deref());
    let socket_bytes = query.socket.as_os_str().len();
    rule(
        &["query.socket"],
        socket_bytes <= LONGEST_SOCKET,
        format!("the path has {socket_bytes} bytes; a socket's path has at most {LONGEST_SOCKET}"),
    );
    rule(
        &["query.group"],
        query.group.as_deref() != Some(""),
        "the name is empty; null means the group that the observer runs as".to_owned(),
    );
    rule(
        &["event_log.max_size"],
        event_log.max_size >= 4096,
        outside(format!("{} bytes", event_log.max_size), "4KiB", "4GiB"),
    );
    rule(
        &["event_log.max_age"],
        (Duration::from_mins(1)..=LONGEST_AGE).contains(&event_log.max_age),
        outside(format!("{:?}", event_log.max_age), "1min", "3650d"),
    );
    rule(
        &["event_log.record", "event_log.path", "event_log.journal"],
        event_log.is_off() || event_log.record.is_any(),
        "a file or the journal is set, but every kind of event is off".to_owned(),
    );
    broken
}

fn outside(value: impl Display, from: impl Display, to: impl Display) -> String {
    format!("{value} is not between {from} and {to}")
}
