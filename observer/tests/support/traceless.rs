//! The losses that leave no trace, each with its reason.

use crate::leave_out::Traceless;

/// What may be wrong in a verdict that says `exact`, after which loss, and why no other record shows it.
pub(crate) const TRACELESS: &[Traceless] = &[];
