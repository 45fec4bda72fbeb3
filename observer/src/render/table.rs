//! Rows → a table for a terminal. The library arranges the columns; what is too wide is cut at the end of its line.
//!
//! Widths are columns of a terminal: a wide character takes two.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets::NOTHING};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The header of a column, and the side on which its cells are aligned.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The header.
    pub name: &'static str,
    /// Aligned on the right, as numbers are.
    pub right: bool,
}

/// A column of words.
#[must_use]
pub const fn words(name: &'static str) -> Column {
    Column { name, right: false }
}

/// A column of numbers.
#[must_use]
pub const fn numbers(name: &'static str) -> Column {
    Column { name, right: true }
}

/// Header and rows, one line each, none wider than `width`.
#[must_use]
pub fn lines<R: IntoIterator<Item = String>>(
    columns: &[Column],
    rows: impl IntoIterator<Item = R>,
    width: Option<usize>,
) -> Vec<String> {
    let mut table = Table::new();
    // The library would wrap a cell; one line per row is easier to search and to copy.
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let cell = |column: &Column, text: String| {
        let side = if column.right { CellAlignment::Right } else { CellAlignment::Left };
        Cell::new(text).set_alignment(side)
    };
    table.set_header(columns.iter().map(|column| cell(column, column.name.to_owned())));
    for row in rows {
        table.add_row(columns.iter().zip(row).map(|(column, text)| cell(column, text)));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index + 1 == columns.len() { 0 } else { 2 }));
    }
    table.lines().map(|line| cut(line.trim_end(), width)).collect()
}

/// The width of a text in columns.
#[must_use]
pub fn width_of(text: &str) -> usize {
    text.width()
}

/// The text, or its beginning and an ellipsis if it is wider than `width`.
#[must_use]
pub fn cut(text: &str, width: Option<usize>) -> String {
    let Some(width) = width.filter(|width| width_of(text) > *width) else { return text.to_owned() };
    let mut used = 1;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<usize>) -> Vec<String> {
        let rows = [("a", "1", "a long sentence that goes on"), ("bcd", "100", "short")];
        let rows = rows.map(|(name, number, text)| [name, number, text].map(ToOwned::to_owned));
        lines(&[words("NAME"), numbers("N"), words("TEXT")], rows, width)
    }

    #[test]
    fn nothing_is_cut_without_a_width() {
        let expected = ["NAME    N  TEXT", "a       1  a long sentence that goes on", "bcd   100  short"];
        assert_eq!(table(None), expected);
        assert_eq!(table(Some(200)), expected);
    }

    #[test]
    fn the_last_column_is_cut_first() {
        assert_eq!(table(Some(24)), ["NAME    N  TEXT", "a       1  a long sente…", "bcd   100  short"]);
        for line in table(Some(9)) {
            assert!(width_of(&line) <= 9, "{line:?}");
        }
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let rows = [["日本", "x"], ["ab", "y"]].map(|row| row.map(ToOwned::to_owned));
        let table = lines(&[words("N"), words("M")], rows, None);
        assert_eq!(table, ["N     M", "日本  x", "ab    y"]);
        assert_eq!(cut("日本語", Some(5)), "日本…");
        assert_eq!(cut("日本語", Some(4)), "日…");
    }
}
