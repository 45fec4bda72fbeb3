//! How long the files are.

use super::{rules::Rules, tree::Tree};

/// The figures, for every run to show.
pub(super) fn figures(tree: &Tree) -> String {
    let files = tree.lines.len();
    let total: usize = tree.lines.values().sum();
    let lengths = lengths(tree);
    let (p50, p90, most) = (percentile(&lengths, 50), percentile(&lengths, 90), percentile(&lengths, 100));
    let directory = &tree.directory;
    format!("{directory}: {files} files, {total} lines; lines per file: p50 {p50}, p90 {p90}, most {most}")
}

/// One line per limit that is exceeded, and per exception that is none.
pub(super) fn check(rules: &Rules, tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let lengths = lengths(tree);
    for (percent, limit) in [(50, rules.lines.p50), (90, rules.lines.p90)] {
        let lines = percentile(&lengths, percent);
        if lines > limit {
            found.push(format!("{}: p{percent} is {lines} lines per file; at most {limit}", tree.directory));
        }
    }
    for (file, lines) in tree.lines.iter().filter(|(_, lines)| **lines > rules.lines.most) {
        if !rules.long_files.contains_key(file) {
            let most = rules.lines.most;
            found.push(format!(
                "{}/{file}: {lines} lines; at most {most} without a reason in long_files",
                tree.directory
            ));
        }
    }
    for file in rules.long_files.keys() {
        if tree.lines.get(file).is_none_or(|lines| *lines <= rules.lines.most) {
            found.push(format!("long_files: {file} is not long, so it needs no exception"));
        }
    }
    found
}

/// In ascending order.
fn lengths(tree: &Tree) -> Vec<usize> {
    let mut lengths: Vec<_> = tree.lines.values().copied().collect();
    lengths.sort_unstable();
    lengths
}

/// The smallest length that so many percent of the files do not exceed: the nearest-rank method.
fn percentile(ascending: &[usize], percent: usize) -> usize {
    let rank = (ascending.len() * percent).div_ceil(100).max(1);
    ascending.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files `f0.rs`, `f1.rs`, … with these numbers of lines.
    fn tree(lengths: &[usize]) -> Tree {
        let sources: Vec<_> =
            (0..).zip(lengths).map(|(i, n)| (format!("f{i}.rs"), "\n".repeat(*n))).collect();
        Tree::parse("src", &sources).unwrap()
    }

    fn found(lengths: &[usize], long_files: &str) -> Vec<String> {
        let rules = format!(
            "floors = []\nshared_names = {{}}\nlines = {{ p50 = 10, p90 = 20, most = 30 }}\n[long_files]\n{long_files}"
        );
        check(&Rules::parse(&rules).unwrap(), &tree(lengths))
    }

    #[test]
    fn percentiles_are_lengths_of_files() {
        assert_eq!(percentile(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 50), 5);
        assert_eq!(percentile(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 90), 9);
        assert_eq!(percentile(&[1, 2, 3], 100), 3);
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn limits_hold_up_to_their_value() {
        assert_eq!(found(&[10, 10, 20, 20], ""), [""; 0]);
        assert_eq!(found(&[11, 11, 11], ""), ["src: p50 is 11 lines per file; at most 10"]);
        assert_eq!(found(&[1, 1, 21], ""), ["src: p90 is 21 lines per file; at most 20"]);
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let mut lengths = [1; 20];
        lengths[0] = 31;
        assert_eq!(found(&lengths, ""), ["src/f0.rs: 31 lines; at most 30 without a reason in long_files"]);
        assert_eq!(found(&lengths, "\"f0.rs\" = 'why'"), [""; 0]);
        let needless = ["long_files: f1.rs is not long, so it needs no exception"];
        assert_eq!(found(&[1; 20], "\"f1.rs\" = 'why'"), needless);
    }
}
