//! The structure of `observer/src`, checked against `observer/floors.toml`: which module imports which, which names
//! are used twice, and how long the files are. All violations are listed at once, because one change often causes
//! several.

mod circles;
mod floors;
mod lines;
mod names;
mod parse;
mod rules;
mod tree;

use anyhow::{Context as _, Result, bail};

use self::{rules::Rules, tree::Tree};
use crate::exec;

/// The file with the rules, below the repository's root.
const RULES: &str = "observer/floors.toml";
/// The checked directory, below the repository's root.
const SOURCES: &str = "observer/src";

pub(super) fn run() -> Result<()> {
    let text =
        std::fs::read_to_string(exec::root().join(RULES)).with_context(|| format!("reading {RULES}"))?;
    let rules = Rules::parse(&text).context(RULES)?;
    let tree = Tree::read(&exec::root(), SOURCES)?;
    eprintln!("{}", lines::figures(&tree));
    let violations = violations(&rules, &tree);
    if violations.is_empty() {
        return Ok(());
    }
    bail!("{} violations of {RULES}:\n  {}", violations.len(), violations.join("\n  "));
}

/// Every line that a reader has to act on.
fn violations(rules: &Rules, tree: &Tree) -> Vec<String> {
    let mut found = floors::check(&rules.floors, tree);
    found.extend(circles::check(tree));
    found.extend(names::check(&rules.shared_names, tree));
    found.extend(lines::check(rules, tree));
    found
}
