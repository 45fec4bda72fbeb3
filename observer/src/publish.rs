//! Reports → people and machines: sentences, tables, ladders, JSON lines, metrics, answers to queries.

pub mod audit;
pub mod errno;
pub mod event_log;
pub mod json;
pub mod ladder;
pub mod metrics;
pub mod query;
pub mod sentence;
pub mod server;
pub mod table;
pub mod text;
