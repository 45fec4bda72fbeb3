//! The text of a file → a configuration, or every mistake in it.
//!
//! serde stops at the first mistake. Therefore [`read`] removes each rejected value, which then has its default, and
//! deserializes again until serde accepts the rest. The default configuration has every setting that exists, and
//! [`Spans`] has the place of each in the text.

use serde_path_to_error::{Path, Segment};
use serde_yaml::Value;

use super::{
    Config,
    mistake::{Mistake, did_you_mean},
    rules,
    spans::{Position, Spans},
    unit::scalar,
};

pub(super) fn read(text: &str) -> Result<Config, Vec<Mistake>> {
    let spans = match Spans::read(text) {
        Ok(Some(spans)) => spans,
        Ok(None) => return Ok(Config::default()),
        Err(error) => return Err(vec![Mistake::new((*error.marker()).into(), error.info())]),
    };
    let (duplicates, text) = spans.duplicates(text);
    let mut mistakes: Vec<_> = duplicates
        .into_iter()
        .map(|duplicate| {
            let (name, first) = (duplicate.path.join("."), duplicate.first.line);
            Mistake::new(duplicate.place, format!("{name} is set twice; the first is in line {first}"))
        })
        .collect();
    let mut value: Value = match serde_yaml::from_str(&text) {
        Ok(value) => value,
        Err(error) => {
            let place = error
                .location()
                .map_or(Position::START, |at| Position { line: at.line(), column: at.column() });
            mistakes.push(Mistake::new(place, error.to_string()));
            return Err(mistakes);
        }
    };
    if !value.is_mapping() && !value.is_null() {
        mistakes.push(Mistake::new(spans.place, "a configuration consists of sections, such as `listen:`"));
        return Err(mistakes);
    }
    remove_unknown(&mut Vec::new(), &mut value, &Config::default().to_value(), &spans, &mut mistakes);
    let config = loop {
        let error = match serde_path_to_error::deserialize::<_, Config>(&value) {
            Ok(config) => break config,
            Err(error) => error,
        };
        let path = names(error.path(), &value);
        let (at, _) = spans.at(&path);
        mistakes.push(Mistake::new(at.place, bad_value(&path.join("."), &error.inner().to_string())));
        if !remove(&mut value, &path) {
            return Err(in_order(mistakes));
        }
    };
    let broken = rules::broken(&config);
    mistakes.extend(broken.iter().map(|broken| broken.mistake(Some(&spans))));
    if mistakes.is_empty() { Ok(config) } else { Err(in_order(mistakes)) }
}

fn in_order(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    mistakes.sort_by_key(|mistake| mistake.place);
    mistakes
}

/// Removes unknown settings, each of which is a mistake, and sections without a setting.
fn remove_unknown(
    path: &mut Vec<String>,
    value: &mut Value,
    default: &Value,
    spans: &Spans,
    mistakes: &mut Vec<Mistake>,
) {
    let (Value::Mapping(value), Value::Mapping(default)) = (value, default) else { return };
    value.retain(|key, value| {
        let key = scalar(key);
        path.push(key.clone());
        let keep = if let Some(known) = default.get(&key) {
            remove_unknown(path, value, known, spans, mistakes);
            !(value.is_null() && known.is_mapping())
        } else {
            let (parent, _) = spans.at(&path[..path.len() - 1]);
            let place = parent.entry(&key).map_or(parent.place, |entry| entry.place);
            let known = default.keys().filter_map(Value::as_str);
            let meant = match did_you_mean(&key, known) {
                meant if meant.is_empty() => in_a_section(&key),
                meant => meant,
            };
            mistakes.push(Mistake::new(place, format!("there is no setting {}{meant}", path.join("."))));
            false
        };
        path.pop();
        keep
    });
}

/// Suggests the setting of this name in a section, for a user who forgot the section or the indentation.
fn in_a_section(key: &str) -> String {
    let sections = Config::default().to_value();
    let sections = sections.as_mapping().into_iter().flatten();
    let found =
        sections.filter(|(_, section)| section.get(key).is_some()).find_map(|(name, _)| name.as_str());
    found.map_or_else(String::new, |section| format!("; did you mean `{section}.{key}`?"))
}

/// The names that lead to the value that serde rejected. The path ends at a scalar, even if serde's path goes on.
fn names(path: &Path, value: &Value) -> Vec<String> {
    let (mut names, mut here) = (Vec::new(), value);
    for segment in path {
        let (name, next) = match segment {
            Segment::Seq { index } => (index.to_string(), here.get(*index)),
            Segment::Map { key } => (key.clone(), here.get(key)),
            Segment::Enum { .. } | Segment::Unknown => break,
        };
        let Some(next) = next else { break };
        names.push(name);
        here = next;
    }
    names
}

/// Removes a setting; false if there is none. A list is removed as a whole, because removing one element would shift
/// the places of the others.
fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((name, rest)) = path.split_first() else { return false };
    match value.get_mut(name) {
        Some(inner) if !rest.is_empty() && !inner.is_sequence() => remove(inner, rest),
        _ => value.as_mapping_mut().is_some_and(|mapping| mapping.remove(name).is_some()),
    }
}

/// serde's message, in plain English.
fn bad_value(name: &str, message: &str) -> String {
    if let Some((typed, known)) =
        message.strip_prefix("unknown variant `").and_then(|rest| rest.split_once("`, expected "))
    {
        let known: Vec<_> = known.split('`').skip(1).step_by(2).collect();
        let meant = did_you_mean(typed, known.iter().copied());
        return format!("{name}: `{typed}` is not one of {}{meant}", known.join(", "));
    }
    let found = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let mut message = found.map_or_else(|| message.to_owned(), |found| format!("found {found}"));
    for (serde, plain) in [
        ("unit value", "nothing"),
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected a sequence", "expected a list, such as [a, b]"),
        ("expected socket address", "expected an address with a port, such as 127.0.0.1:9817 or [::1]:9817"),
        ("expected a boolean", "expected true or false"),
        ("expected a Value::Tagged enum", "expected a word"),
        ("invalid socket address syntax", "not an address with a port, such as 127.0.0.1:9817 or [::1]:9817"),
    ] {
        message = message.replace(serde, plain);
    }
    // The name of the struct means nothing to a user.
    if let Some((typed, _)) = message.split_once("expected struct ") {
        message = format!("{typed}expected settings below it");
    }
    format!("{name}: {message}")
}
