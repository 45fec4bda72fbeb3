//! Observer.
