//! Paths on the command line.

use std::path::{Path, PathBuf, absolute};

/// A path on the command line is relative to the working directory, whatever the daemon's is.
pub(super) fn from_root(path: &Path) -> PathBuf {
    // This fails only without a working directory. The error comes when the path is used.
    absolute(path).unwrap_or_else(|_| path.to_owned())
}
