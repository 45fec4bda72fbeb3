//! Mistakes in a configuration, as messages for the person who wrote it.

use std::fmt;

use super::spans::Position;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Place in the file; None for a setting that does not come from a file.
    pub place: Option<Position>,
    /// What is wrong and how to correct it, in one line.
    pub text: String,
}

impl Mistake {
    pub(super) fn new(place: Position, text: impl Into<String>) -> Self {
        Self { place: Some(place), text: text.into() }
    }
}

/// All mistakes of one file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes {
    file: String,
    list: Vec<Mistake>,
}

impl std::error::Error for Mistakes {}

impl Mistakes {
    pub(super) const fn new(file: String, list: Vec<Mistake>) -> Self {
        Self { file, list }
    }

    /// One line per mistake: file, line, column and text.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|Mistake { place, text }| match place {
            Some(Position { line, column }) => format!("{}:{line}:{column}: {text}", self.file),
            None => format!("{}: {text}", self.file),
        })
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list.len() {
            1 => f.write_str("a mistake in the configuration")?,
            many => write!(f, "{many} mistakes in the configuration")?,
        }
        self.lines().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// `; did you mean …?` with the most similar known word, or an empty text if none is similar.
pub(super) fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let likeness = |word: &'a str| (strsim::jaro_winkler(typed, word), word);
    let alike = known.into_iter().map(likeness).filter(|(likeness, _)| *likeness > 0.7);
    let best = alike.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map_or_else(String::new, |(_, word)| format!("; did you mean `{word}`?"))
}
