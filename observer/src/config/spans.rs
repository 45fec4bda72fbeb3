//! The text of a YAML file → where every setting stands. Comes in: text. Goes out: a tree of positions, keys and
//! values apart; no values: those are serde's business.

use saphyr_parser::{Event, Marker, Parser, ScanError, Span};

/// A place in the file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Character of the line.
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

/// A value, and what is in it.
#[derive(Debug)]
pub(super) struct Spans {
    pub(super) place: Position,
    /// Its last character is the one before; in characters of the text.
    end: usize,
    pub(super) inside: Inside,
}

#[derive(Debug)]
pub(super) enum Inside {
    /// A scalar, or an alias.
    Nothing,
    Mapping(Vec<Item>),
    Sequence(Vec<Spans>),
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Item {
    /// Empty for a key that is no scalar: no setting has such a name.
    pub(super) key: String,
    pub(super) place: Position,
    start: usize,
    pub(super) value: Spans,
}

/// A key that its mapping has already.
#[derive(Debug)]
pub(super) struct Duplicate {
    /// Names of the mappings it is in, and its own.
    pub(super) path: Vec<String>,
    pub(super) place: Position,
    pub(super) first: Position,
}

impl Spans {
    /// None for a file without a setting.
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

    /// The entry with this name, in the mapping that this is.
    pub(super) fn entry(&self, name: &str) -> Option<&Item> {
        let Inside::Mapping(entries) = &self.inside else { return None };
        entries.iter().find(|entry| entry.key == name)
    }

    /// The value at the end of the path, or at the end of as much of the path as there is; and whether that is all.
    pub(super) fn at(&self, path: &[String]) -> (&Self, bool) {
        let mut here = self;
        for name in path {
            let next = match &here.inside {
                Inside::Mapping(_) => here.entry(name).map(|entry| &entry.value),
                Inside::Sequence(values) => name.parse().ok().and_then(|at: usize| values.get(at)),
                Inside::Nothing => None,
            };
            let Some(next) = next else { return (here, false) };
            here = next;
        }
        (here, true)
    }

    /// Every key that is there a second time, and the text without these: with spaces in their place, so that all
    /// other things stay where they are.
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
        match &self.inside {
            Inside::Mapping(entries) => {
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
            Inside::Sequence(values) => {
                for (at, value) in values.iter().enumerate() {
                    path.push(at.to_string());
                    value.find_duplicates(path, found, spans);
                    path.pop();
                }
            }
            Inside::Nothing => {}
        }
    }
}

/// The value that begins with this event.
fn value<'a>(
    event: &Event<'a>,
    span: Span,
    events: &mut impl Iterator<Item = Result<(Event<'a>, Span), ScanError>>,
) -> Result<Spans, ScanError> {
    let (place, mut end) = (span.start.into(), span.end.index());
    let inside = match event {
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
                entries.push(Item { key: name, place, start, value: value(&event, value_span, events)? });
            }
            Inside::Mapping(entries)
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
            Inside::Sequence(values)
        }
        _ => Inside::Nothing,
    };
    Ok(Spans { place, end, inside })
}
