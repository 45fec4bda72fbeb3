//! Reports → people and machines: sentences, JSON lines, metrics.

pub mod errno;
pub mod json;

pub mod sentence;

pub mod text;
