//! Paths on the command line.

use std::path::{Path, PathBuf, absolute};

/// The absolute path: a path on the command line is relative to the working directory.
pub(super) fn from_root(path: &Path) -> PathBuf {
    // This fails only without a working directory. Using the path then gives the error.
    absolute(path).unwrap_or_else(|_| path.to_owned())
}
