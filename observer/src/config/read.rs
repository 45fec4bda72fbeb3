//! The text of a file → a configuration, or all that is wrong with it.
//!
//! serde stops at the first mistake. So what it does not like is taken out, which leaves the default in its place, and
//! it is asked again, until nothing is left to dislike. What settings there are is known from the default
//! configuration, and where everything stands from [`Spans`].

use serde_path_to_error::{Path, Segment};
use serde_yaml::Value;

use super::{
    Config,
    mistake::{Mistake, did_you_mean},
    rules,
    spans::{Position, Spans},
};

pub(super) fn read(text: &str) -> Result<Config, Vec<Mistake>> {
    let marked = match Spans::read(text) {
        Ok(Some(marked)) => marked,
        Ok(None) => return Ok(Config::default()),
        Err(error) => return Err(vec![Mistake::new((*error.marker()).into(), error.info())]),
    };
    let (duplicates, text) = marked.duplicates(text);
    let mut mistakes: Vec<_> = duplicates
        .into_iter()
        .map(|duplicate| {
            let (name, first) = (duplicate.path.join("."), duplicate.first.line);
            Mistake::new(
                duplicate.place,
                format!("{name} is set a second time; the first is in line {first}"),
            )
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
        mistakes
            .push(Mistake::new(marked.place, "a configuration is sections with settings, such as `listen:`"));
        return Err(mistakes);
    }
    unknown(&mut Vec::new(), &mut value, &Config::default().to_value(), &marked, &mut mistakes);
    let config = loop {
        let error = match serde_path_to_error::deserialize::<_, Config>(&value) {
            Ok(config) => break config,
            Err(error) => error,
        };
        let path = names(error.path(), &value);
        let (at, _) = marked.at(&path);
        mistakes.push(Mistake::new(at.place, bad_value(&path.join("."), &error.inner().to_string())));
        if !remove(&mut value, &path) {
            return Err(in_order(mistakes));
        }
    };
    let broken = rules::broken(&config);
    mistakes.extend(broken.iter().map(|broken| broken.mistake(Some(&marked))));
    if mistakes.is_empty() { Ok(config) } else { Err(in_order(mistakes)) }
}

fn in_order(mut mistakes: Vec<Mistake>) -> Vec<Mistake> {
    mistakes.sort_by_key(|mistake| mistake.place);
    mistakes
}

/// Takes out what no configuration has, and sections in which nothing is set.
fn unknown(
    path: &mut Vec<String>,
    value: &mut Value,
    default: &Value,
    marked: &Spans,
    mistakes: &mut Vec<Mistake>,
) {
    let (Value::Mapping(value), Value::Mapping(default)) = (value, default) else { return };
    value.retain(|key, value| {
        let key = scalar(key);
        path.push(key.clone());
        let keep = if let Some(known) = default.get(&key) {
            unknown(path, value, known, marked, mistakes);
            !(value.is_null() && known.is_mapping())
        } else {
            let (parent, _) = marked.at(&path[..path.len() - 1]);
            let place = parent.entry(&key).map_or(parent.place, |entry| entry.place);
            let known = default.keys().filter_map(Value::as_str);
            let meant = match did_you_mean(&key, known) {
                meant if meant.is_empty() => elsewhere(&key),
                meant => meant,
            };
            mistakes.push(Mistake::new(place, format!("there is no setting {}{meant}", path.join("."))));
            false
        };
        path.pop();
        keep
    });
}

/// A setting of this name in a section: what is right but for its indentation, or forgotten its section.
fn elsewhere(key: &str) -> String {
    let sections = Config::default().to_value();
    let sections = sections.as_mapping().into_iter().flatten();
    let found =
        sections.filter(|(_, section)| section.get(key).is_some()).find_map(|(name, _)| name.as_str());
    found.map_or_else(String::new, |section| format!("; did you mean `{section}.{key}`?"))
}

/// A value as it is typed, or nearly so.
pub(super) fn scalar(key: &Value) -> String {
    match key {
        Value::String(text) => text.clone(),
        _ => serde_yaml::to_string(key).unwrap_or_default().trim_end().to_owned(),
    }
}

/// The names that lead to where serde stopped. Below a scalar there is nothing, whatever serde calls it.
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

/// Takes out a setting; in a list all of it, since the places of what is behind would change.
fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((name, rest)) = path.split_first() else { return false };
    match value.get_mut(name) {
        Some(inner) if !rest.is_empty() && !inner.is_sequence() => remove(inner, rest),
        _ => value.as_mapping_mut().is_some_and(|mapping| mapping.remove(name).is_some()),
    }
}

/// serde's words, in those of the people who write such files.
fn bad_value(name: &str, said: &str) -> String {
    if let Some((typed, known)) =
        said.strip_prefix("unknown variant `").and_then(|rest| rest.split_once("`, expected "))
    {
        let known: Vec<_> = known.split('`').skip(1).step_by(2).collect();
        let meant = did_you_mean(typed, known.iter().copied());
        return format!("{name}: `{typed}` is not one of {}{meant}", known.join(", "));
    }
    let mut said = said.trim_start_matches("invalid type: ").trim_start_matches("invalid value: ").to_owned();
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
        said = said.replace(serde, plain);
    }
    // The name of a type of ours.
    if let Some((typed, _)) = said.split_once("expected struct ") {
        said = format!("{typed}expected settings below it");
    }
    format!("{name}: {said}")
}
