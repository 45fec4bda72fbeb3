//! Half-closed connections → a table, JSON lines, and one sentence each.

pub mod json;
mod summary;
pub mod table;

#[cfg(test)]
mod tests;
