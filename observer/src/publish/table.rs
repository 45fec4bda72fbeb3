//! Rows → a table that fits a terminal: the last column is cut first, with an ellipsis. Plain where there is no width.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets::NOTHING};

/// A column's name, and on which side its cells stand.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Name.
    pub name: &'static str,
    /// Numbers stand below one another by their ends.
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

/// Header and rows, one line each, none longer than `width` characters.
#[must_use]
pub fn lines<const N: usize>(
    columns: [Column; N],
    rows: impl IntoIterator<Item = [String; N]>,
    width: Option<usize>,
) -> Vec<String> {
    let mut table = Table::new();
    // Each line whole: cutting its end cuts the last column, between letters rather than words.
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let cell = |column: &Column, text: &str| {
        let side = if column.right { CellAlignment::Right } else { CellAlignment::Left };
        Cell::new(text).set_alignment(side)
    };
    table.set_header(columns.iter().map(|column| cell(column, column.name)));
    for row in rows {
        table.add_row(columns.iter().zip(&row).map(|(column, text)| cell(column, text)));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if index + 1 == N { 0 } else { 2 }));
    }
    table.lines().map(|line| cut(line.trim_end(), width)).collect()
}

/// The line, or as much of it as fits.
#[must_use]
pub fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<usize>) -> Vec<String> {
        let rows = [("a", "1", "a long sentence that goes on"), ("bcd", "100", "short")];
        let rows = rows.map(|(name, number, text)| [name, number, text].map(ToOwned::to_owned));
        lines([words("NAME"), numbers("N"), words("TEXT")], rows, width)
    }

    #[test]
    fn without_a_width_nothing_is_cut() {
        let expected = ["NAME    N  TEXT", "a       1  a long sentence that goes on", "bcd   100  short"];
        assert_eq!(table(None), expected);
        assert_eq!(table(Some(200)), expected);
    }

    #[test]
    fn the_last_column_is_cut_first() {
        assert_eq!(table(Some(24)), ["NAME    N  TEXT", "a       1  a long sente…", "bcd   100  short"]);
        for line in table(Some(9)) {
            assert!(line.chars().count() <= 9, "{line:?}");
        }
    }
}
