//! The floors: a top-level module imports lower floors only.

use std::collections::BTreeMap;

use super::tree::Tree;

/// The floor of `lib.rs`, whose items nothing may import: it is above all others.
const ROOT: &str = "lib.rs";

/// The violations, in the order of the files.
pub(super) fn check(floors: &[Vec<String>], tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let mut floor_of = BTreeMap::new();
    for (index, modules) in floors.iter().enumerate() {
        for module in modules {
            if floor_of.insert(module.as_str(), index + 1).is_some() {
                found.push(format!("{module} is listed twice"));
            }
        }
    }
    let existing = tree.top_level();
    for module in existing.iter().filter(|module| !floor_of.contains_key(**module)) {
        found.push(format!("{}/{module}.rs: module {module} has no floor", tree.directory));
    }
    for module in floor_of.keys().filter(|module| !existing.contains(**module)) {
        found.push(format!("{module} is listed, but there is no {}/{module}.rs", tree.directory));
    }
    floor_of.insert(ROOT, floors.len() + 1);

    for reference in &tree.references {
        let Some(from) = reference.from.first() else { continue };
        let Some(path) = tree.absolute(&reference.from, &reference.path) else { continue };
        let to = path.first().map_or(ROOT, String::as_str);
        let to = if existing.contains(to) { to } else { ROOT };
        let (Some(low), Some(high)) = (floor_of.get(from.as_str()), floor_of.get(to)) else { continue };
        if from != to && low <= high {
            let why = if low == high {
                "modules of one floor are independent"
            } else {
                "only lower floors may be imported"
            };
            found.push(format!("{}: {from} (floor {low}) imports {to} (floor {high}): {why}", reference.at));
        }
    }
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Floors are written as `"low, low2 | high"`.
    fn check(floors: &str, sources: &[(&str, &str)]) -> Vec<String> {
        let floors: Vec<Vec<_>> =
            floors.split(" | ").map(|floor| floor.split(", ").map(str::to_owned).collect()).collect();
        super::check(&floors, &Tree::parse("src", sources).unwrap())
    }

    #[test]
    fn a_higher_module_imports_lower_ones() {
        let sources = [("a.rs", ""), ("b.rs", "use crate::a::A;"), ("lib.rs", "pub mod a; pub mod b;")];
        assert_eq!(check("a | b", &sources), [""; 0]);
    }

    #[test]
    fn an_import_upward_names_both_modules_and_floors() {
        let sources = [("a.rs", "\nuse crate::b::B;"), ("b.rs", "")];
        let expected = "src/a.rs:2: a (floor 1) imports b (floor 2): only lower floors may be imported";
        assert_eq!(check("a | b", &sources), [expected]);
    }

    #[test]
    fn modules_of_one_floor_are_independent() {
        let sources = [("a.rs", "use crate::b::B;"), ("b.rs", "")];
        let expected = "src/a.rs:1: a (floor 1) imports b (floor 1): modules of one floor are independent";
        assert_eq!(check("a, b", &sources), [expected]);
    }

    #[test]
    fn super_and_tests_count_as_well() {
        let nested =
            "fn f() { super::super::b::g() }\n#[cfg(test)] mod tests { use super::super::super::b; }";
        let sources = [("a.rs", ""), ("a/x.rs", nested), ("b.rs", "")];
        let found = check("a | b", &sources);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("src/a/x.rs:1: a (floor 1) imports b (floor 2)"), "{found:?}");
        assert!(found[1].starts_with("src/a/x.rs:2: a (floor 1) imports b (floor 2)"), "{found:?}");
    }

    #[test]
    fn each_part_of_a_group_is_checked() {
        let sources = [("a.rs", ""), ("b.rs", "use crate::{a::A,\nc::{D, E}};"), ("c.rs", "")];
        assert_eq!(check("a | b | c", &sources).len(), 1, "one line per place");
        assert!(check("a | b | c", &sources)[0].starts_with("src/b.rs:2: b (floor 2) imports c (floor 3)"));
    }

    #[test]
    fn items_of_the_root_are_above_all() {
        let sources = [("lib.rs", "mod a; pub use a::A;"), ("a.rs", "use crate::A;")];
        assert!(check("a", &sources)[0].contains("a (floor 1) imports lib.rs (floor 2)"));
    }

    #[test]
    fn the_list_and_the_modules_agree() {
        let sources = [("a.rs", ""), ("new.rs", "")];
        let expected = [
            "src/new.rs: module new has no floor",
            "a is listed twice",
            "gone is listed, but there is no src/gone.rs",
        ];
        let found = check("a, a | gone", &sources);
        assert!(expected.iter().all(|line| found.iter().any(|found| found == line)), "{found:?}");
    }
}
