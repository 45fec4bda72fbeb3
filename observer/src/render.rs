//! Values → text or JSON. No I/O: every function returns strings, and its caller writes them.

pub mod audit;
pub mod half_closed;
pub mod json;
pub mod ladder;
pub mod sentence;
pub mod table;
pub mod text;
