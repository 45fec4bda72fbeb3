//! Ladders of recorded stories.
