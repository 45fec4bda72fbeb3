//! Texts of configurations → settings, or mistakes with their places.

use std::time::Duration;

use super::*;
use crate::owner::OwnerBy;

/// `line:column: text` of every mistake.
fn mistakes(text: &str) -> Vec<String> {
    let list = Config::parse(text).expect_err("a mistake");
    Mistakes::new("f".to_owned(), list).lines().map(|line| line[2..].to_owned()).collect()
}

#[test]
fn the_shipped_file_holds_every_setting_with_its_default() {
    assert_eq!(Config::parse(DEFAULTS), Ok(Config::default()));
    let shipped: Value = serde_yaml::from_str(DEFAULTS).unwrap();
    assert_eq!(names("", &shipped), names("", &Config::default().to_value()));
}

#[test]
fn every_shipped_setting_is_explained() {
    let lines: Vec<_> = DEFAULTS.lines().collect();
    for pair in lines.windows(2) {
        let is_setting = pair[1].starts_with("  ") && !pair[1].trim_start().starts_with('#');
        assert!(!is_setting || pair[0].trim_start().starts_with('#'), "no comment above {}", pair[1]);
    }
}

/// The dotted names of all leaves.
fn names(above: &str, value: &Value) -> Vec<String> {
    let Value::Mapping(mapping) = value else { return vec![above.to_owned()] };
    mapping
        .iter()
        .flat_map(|(key, value)| names(&format!("{above}.{}", key.as_str().unwrap()), value))
        .collect()
}

#[test]
fn settings_left_out_have_their_defaults() {
    for text in ["", "# nothing\n", "---\n", "owner:\n", "owner: {}\n", "owner:\n  # by: unit\nlisten:\n"] {
        assert_eq!(Config::parse(text), Ok(Config::default()), "{text:?}");
    }
    let config = Config::parse("owner:\n  by: unit\n").unwrap();
    assert_eq!(config.owner, OwnerSettings { by: OwnerBy::Unit, ..OwnerSettings::default() });
}

#[test]
fn every_kind_of_value_is_understood() {
    let config = Config::parse(
        "listen: {address: '[::1]:80'}\nlog: {level: off}\nkernel:\n  ring_size: 65536\n  drain_interval: 0s 50ms\n  \
         mechanism: raw_tracepoint\n  without: [sock_send_length]\n  program_stats: true\nhistory: {max_memory: 1 MiB}\n",
    );
    let Config { listen, log, kernel, history, .. } = config.unwrap();
    assert_eq!((listen.address, log.level), ("[::1]:80".parse().unwrap(), LogLevel::Off));
    assert_eq!((kernel.ring_size, kernel.drain_interval), (65536, Duration::from_millis(50)));
    assert_eq!(kernel.mechanism, MechanismChoice::RawTracepoint);
    assert_eq!((kernel.without, kernel.program_stats), (vec!["sock_send_length".to_owned()], true));
    assert_eq!(history.max_memory, 1 << 20);
}

#[test]
fn all_mistakes_are_reported_in_the_order_of_the_file() {
    let text = "\
lisen:
  address: nowhere
listen:
  address: nowhere
owner:
  by: comn
  limt: 5
  limit: -1
kernel:
  ring_size: lots
  drain_interval: soon
  without: sock_send_length
  stories: 0
  stories: 7
drain_interval: 1s
";
    assert_eq!(
        mistakes(text),
        [
            "1:1: there is no setting lisen; did you mean `listen`?",
            "4:12: listen.address: not an address with a port, such as 127.0.0.1:9817 or [::1]:9817",
            "6:7: owner.by: `comn` is not one of comm, unit, container, none; did you mean `comm`?",
            "7:3: there is no setting owner.limt; did you mean `limit`?",
            "8:10: owner.limit: found integer `-1`, expected a whole number, 0 or more",
            "10:14: kernel.ring_size: `lots` is not a valid size: give bytes, or a number with a unit, such as 64KiB or 8MiB",
            "11:19: kernel.drain_interval: `soon` is not a valid duration: give a number with a unit, such as 50ms, 12h or 7d",
            "12:12: kernel.without: found string \"sock_send_length\", expected a list, such as [a, b]",
            "13:12: kernel.stories: 0 is not between 1 and 10000000",
            "14:3: kernel.stories is set twice; the first is in line 13",
            "15:1: there is no setting drain_interval; did you mean `kernel.drain_interval`?",
        ]
    );
}

#[test]
fn a_text_of_another_form_is_reported_with_its_place() {
    for (text, mistake) in [
        ("- listen\n", "1:1: a configuration consists of sections, such as `listen:`"),
        ("just words\n", "1:1: a configuration consists of sections, such as `listen:`"),
        ("owner: 5\n", "1:8: owner: found integer `5`, expected settings below it"),
        ("owner:\n  by: [comm]\n", "2:7: owner.by: found sequence, expected a word"),
        ("owner:\n  by:\n", "2:5: owner.by: found nothing, expected a word"),
        (
            "listen:\n  address: 9817\n",
            "2:12: listen.address: found integer `9817`, expected an address with a port, such as 127.0.0.1:9817 or [::1]:9817",
        ),
        ("owner:\n\tby: comm\n", "2:2: tabs disallowed within this context (block indentation)"),
        ("owner: {by: comm\n", "2:1: while parsing a flow mapping, did not find expected ',' or '}'"),
        ("owner: *x\n", "1:8: while parsing node, found unknown anchor"),
        ("5: x\n", "1:1: there is no setting 5"),
        ("? [a]\n: x\n", "1:1: there is no setting - a"),
    ] {
        assert_eq!(mistakes(text), [mistake], "{text:?}");
    }
    let two = mistakes("owner: {by: comm}\n---\nowner: {}\n");
    assert!(two[0].contains("more than one document"), "{two:?}");
}

#[test]
fn a_duplicate_section_is_a_mistake_and_the_first_is_still_checked() {
    assert_eq!(
        mistakes("owner:\n  limit: x\nowner:\n  by: none\nlog: {level: no}\n"),
        [
            "2:10: owner.limit: found string \"x\", expected a whole number, 0 or more",
            "3:1: owner is set twice; the first is in line 1",
            "5:14: log.level: `no` is not one of off, error, warn, info, debug",
        ]
    );
    assert_eq!(
        mistakes("owner: {limit: 1, limit: 2}\n"),
        ["1:19: owner.limit is set twice; the first is in line 1"]
    );
}

#[test]
fn values_out_of_range_are_reported_with_the_range() {
    let next = "is not a power of two from 64KiB to 1GiB; the next is";
    for (value, mistake) in [
        ("ring_size: 8MB", format!("ring_size: 8000000 bytes {next} 8192KiB")),
        ("ring_size: 0", format!("ring_size: 0 bytes {next} 64KiB")),
        ("ring_size: 8GiB", "ring_size: `8GiB` is too large: give less than 4GiB".to_owned()),
        ("drain_interval: 2min", "drain_interval: 120s is not between 1ms and 1s".to_owned()),
    ] {
        let text = format!("kernel: {{{value}}}");
        assert_eq!(mistakes(&text)[0].split_once("kernel.").unwrap().1, mistake);
    }
    assert_eq!(
        mistakes("history:\n  closes: 100000001\n  max_age: 500ms\n  max_memory: 4GiB\n"),
        [
            "2:11: history.closes: 100000001 is not between 0 and 100000000",
            "3:12: history.max_age: 500ms is not between 1s and 3650d",
            "4:15: history.max_memory: `4GiB` is too large: give less than 4GiB",
        ]
    );
}

#[test]
fn paths_must_be_absolute_and_short_enough_for_a_socket() {
    let absolute = "must be an absolute path: a service has no working directory of its own";
    let long = "x".repeat(107);
    assert_eq!(
        mistakes(&format!("query:\n  socket: /{long}\n  group: ''\nweb:\n  config_file: web.yml\n")),
        [
            "2:11: query.socket: the path has 108 bytes; a socket's path has at most 107".to_owned(),
            "3:10: query.group: the name is empty; null means the group that the observer runs as".to_owned(),
            format!("5:16: web.config_file: {absolute}"),
        ]
    );
    assert_eq!(mistakes("query: {socket: query.sock}"), [format!("1:17: query.socket: {absolute}")]);
}

#[test]
fn values_that_contradict_one_another_are_reported_at_the_first() {
    let text = "kernel:\n  drain_interval: 1s\n  ring_size: 128KiB\n";
    let expected = "3:14: kernel.ring_size, kernel.drain_interval: a buffer of 131072 bytes that is emptied every 1s \
                    overflows on a busy host; increase ring_size or shorten drain_interval";
    assert_eq!(mistakes(text), [expected]);
}

#[test]
fn settings_that_need_a_restart_keep_their_values() {
    let old = Config::default();
    let new = Config::parse(
        "owner: {limit: 5}\nkernel: {ring_size: 1MiB, stories: 9, program_stats: true, count_send_buffer_full: true}\nlisten: {address: '[::]:1'}\n\
         history: {closes: 1, errors: 2, max_memory: 3MiB, max_age: 4h}\nquery: {socket: /a, group: b}\n\
         web: {config_file: /c}",
    );
    let new = new.unwrap();
    let live = old.changed_live(&new);
    assert_eq!(
        old.differences(&live),
        [
            "owner.limit",
            "kernel.stories",
            "history.closes",
            "history.errors",
            "history.max_memory",
            "history.max_age"
        ]
    );
    assert_eq!(
        live.differences(&new),
        [
            "listen.address",
            "kernel.ring_size",
            "kernel.program_stats",
            "kernel.count_send_buffer_full",
            "query.socket",
            "query.group",
            "web.config_file"
        ]
    );
}
