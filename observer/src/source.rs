//! Where events come from: the live kernel, or a recording of one.

pub mod clock;
pub mod recording;
pub mod ring;
