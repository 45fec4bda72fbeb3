//! Limits, packing and questions.
use super::*;
