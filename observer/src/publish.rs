//! Reports → people and machines: sentences, JSON lines, metrics.

pub mod errno;
pub mod event_log;
pub mod json;
pub mod metrics;
pub mod sentence;
pub mod server;
pub mod text;
