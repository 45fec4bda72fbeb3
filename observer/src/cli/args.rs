//! Arguments that several commands share.

pub(super) mod audit;
pub(super) mod connection;
pub(super) mod daemon;
pub(super) mod filter;
pub(super) mod history;
pub(super) mod kernel;
mod paths;
pub(super) mod settings;
pub(super) mod since;
