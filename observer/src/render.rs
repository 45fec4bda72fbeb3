//! Values → text or JSON. No I/O: functions return strings, and callers write them.

pub mod audit;
pub mod half_closed;
pub mod json;
pub mod ladder;
pub mod sentence;
pub mod table;
pub mod text;
