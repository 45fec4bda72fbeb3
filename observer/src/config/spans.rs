//! The text of a YAML file → the place of every key and value, as a tree. serde reads the values themselves.
//!
//! A second YAML parser is needed for this. serde_yaml gives a place only for the error at which it stops, and names
//! the key or the first of two duplicates instead of the faulty value. It cannot place the mistakes after the first,
//! nor a value that only a rule rejects, because neither its `Value` nor serde's visitors have places.

use saphyr_parser::{Event, Marker, Parser, ScanError, Span};

/// A place in the file. Both numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Position {
    /// The first character.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

impl From<Marker> for Position {
    fn from(mark: Marker) -> Self {
        Self { line: mark.line(), column: mark.col() + 1 }
    }
}

/// The place of a value, and the places inside it.
#[derive(Debug)]
pub(super) struct Spans {
    pub(super) place: Position,
    /// First character after the value, counted in characters of the text.
    end: usize,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A scalar or an alias.
    Leaf,
    Mapping(Vec<KeyValue>),
    Sequence(Vec<Spans>),
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct KeyValue {
    /// Empty for a key that is not a scalar: no setting has such a name.
    key: String,
    pub(super) place: Position,
    start: usize,
    value: Spans,
}

/// A key that its mapping already has.
#[derive(Debug)]
pub(super) struct Duplicate {
    /// Names of the surrounding mappings, and its own.
    pub(super) path: Vec<String>,
    pub(super) place: Position,
    pub(super) first: Position,
}

impl Spans {
    /// Parses the text; None if it holds no value.
    pub(super) fn read(text: &str) -> Result<Option<Self>, ScanError> {
        let mut events = Parser::new_from_str(text);
        while let Some(event) = events.next() {
            let (event, span) = event?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd | Event::DocumentEnd => return Ok(None),
                _ => return Ok(Some(value(&event, span, &mut events)?)),
            }
        }
        Ok(None)
    }

    /// The first entry with this name; None if this is not a mapping or has no such entry.
    pub(super) fn entry(&self, name: &str) -> Option<&KeyValue> {
        let Content::Mapping(entries) = &self.content else { return None };
        entries.iter().find(|entry| entry.key == name)
    }

    /// The value at the end of the path, and true. If the path leads nowhere, the last value on it, and false.
    pub(super) fn at(&self, path: &[String]) -> (&Self, bool) {
        let mut here = self;
        for name in path {
            let next = match &here.content {
                Content::Mapping(_) => here.entry(name).map(|entry| &entry.value),
                Content::Sequence(values) => name.parse().ok().and_then(|at: usize| values.get(at)),
                Content::Leaf => None,
            };
            let Some(next) = next else { return (here, false) };
            here = next;
        }
        (here, true)
    }

    /// Every duplicate, and the text with spaces in place of the duplicates, so that everything else keeps its place.
    pub(super) fn duplicates(&self, text: &str) -> (Vec<Duplicate>, String) {
        let (mut found, mut spans) = (Vec::new(), Vec::new());
        self.find_duplicates(&mut Vec::new(), &mut found, &mut spans);
        let is_out = |at| spans.iter().any(|(start, end)| (*start..*end).contains(&at));
        let blank = |(at, char)| if char != '\n' && is_out(at) { ' ' } else { char };
        let text =
            if spans.is_empty() { text.to_owned() } else { text.chars().enumerate().map(blank).collect() };
        (found, text)
    }

    fn find_duplicates(
        &self,
        path: &mut Vec<String>,
        found: &mut Vec<Duplicate>,
        spans: &mut Vec<(usize, usize)>,
    ) {
        match &self.content {
            Content::Mapping(entries) => {
                for entry in entries {
                    path.push(entry.key.clone());
                    match self.entry(&entry.key) {
                        Some(first) if first.start != entry.start => {
                            spans.push((entry.start, entry.value.end));
                            found.push(Duplicate {
                                path: path.clone(),
                                place: entry.place,
                                first: first.place,
                            });
                        }
                        _ => entry.value.find_duplicates(path, found, spans),
                    }
                    path.pop();
                }
            }
            Content::Sequence(values) => {
                for (at, value) in values.iter().enumerate() {
                    path.push(at.to_string());
                    value.find_duplicates(path, found, spans);
                    path.pop();
                }
            }
            Content::Leaf => {}
        }
    }
}

/// Reads on to the end of the value that begins with this event.
fn value<'a>(
    event: &Event<'a>,
    span: Span,
    events: &mut impl Iterator<Item = Result<(Event<'a>, Span), ScanError>>,
) -> Result<Spans, ScanError> {
    let (place, mut end) = (span.start.into(), span.end.index());
    let content = match event {
        Event::MappingStart(..) => {
            let mut entries = Vec::new();
            while let Some(next) = events.next() {
                let (event, span) = next?;
                if event == Event::MappingEnd {
                    end = span.end.index();
                    break;
                }
                let name =
                    if let Event::Scalar(name, ..) = &event { name.to_string() } else { String::new() };
                value(&event, span, events)?;
                let Some(next) = events.next() else { break };
                let (event, value_span) = next?;
                let (place, start) = (span.start.into(), span.start.index());
                entries.push(KeyValue { key: name, place, start, value: value(&event, value_span, events)? });
            }
            Content::Mapping(entries)
        }
        Event::SequenceStart(..) => {
            let mut values = Vec::new();
            while let Some(next) = events.next() {
                let (event, span) = next?;
                if event == Event::SequenceEnd {
                    end = span.end.index();
                    break;
                }
                values.push(value(&event, span, events)?);
            }
            Content::Sequence(values)
        }
        _ => Content::Leaf,
    };
    Ok(Spans { place, end, content })
}
