//! Circles between sibling modules inside a top-level module.
//!
//! A child may import its parent's items and a parent its children's: this is usual Rust. If the parent only passes on
//! a sibling's item (`pub use`), the import counts as one from the sibling.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::tree::{ModulePath, Tree};

/// For one parent: importing child → imported child → where first.
type Edges<'a> = BTreeMap<String, BTreeMap<String, &'a str>>;

/// One line per circle.
pub(super) fn check(tree: &Tree) -> Vec<String> {
    let mut parents: BTreeMap<ModulePath, Edges<'_>> = BTreeMap::new();
    for reference in &tree.references {
        let Some(to) = tree.defining_module(&reference.from, &reference.path) else { continue };
        let from = &reference.from;
        let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
        // The floors order the top level.
        if common == 0 || common == from.len() || common == to.len() {
            continue;
        }
        let edges = parents.entry(from[..common].to_vec()).or_default();
        let places = edges.entry(from[common].clone()).or_default();
        places.entry(to[common].clone()).or_insert(&reference.at);
    }
    parents.iter().flat_map(|(parent, edges)| circles(&parent.join("::"), edges)).collect()
}

fn circles(parent: &str, edges: &Edges<'_>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for start in edges.keys() {
        let Some(circle) = shortest(edges, start) else { continue };
        if !seen.insert(circle.iter().copied().collect::<BTreeSet<_>>()) {
            continue;
        }
        let steps = circle.iter().zip(circle.iter().cycle().skip(1)).map(|(from, to)| {
            let at = edges[*from][*to];
            format!("\n    {at}: {parent}::{from} imports {parent}::{to}")
        });
        found.push(format!("{parent}: a circle of siblings{}", steps.collect::<String>()));
    }
    found
}

/// The modules of a shortest circle through `start`, which comes first.
fn shortest<'e>(edges: &'e Edges<'_>, start: &'e str) -> Option<Vec<&'e str>> {
    let mut waiting = VecDeque::from([vec![start]]);
    let mut visited = BTreeSet::new();
    while let Some(way) = waiting.pop_front() {
        for next in edges.get(*way.last()?).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                return Some(way);
            }
            if visited.insert(next) {
                waiting.push_back([way.as_slice(), &[next]].concat());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sources: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::parse("src", sources).unwrap())
    }

    #[test]
    fn siblings_that_import_each_other_are_a_circle() {
        let sources = [
            ("attach.rs", ""),
            ("attach/facts.rs", "use super::plan::Plan;"),
            ("attach/plan.rs", "\nuse crate::attach::{facts::Facts};"),
        ];
        let expected = "attach: a circle of siblings\
            \n    src/attach/facts.rs:1: attach::facts imports attach::plan\
            \n    src/attach/plan.rs:2: attach::plan imports attach::facts";
        assert_eq!(found(&sources), [expected]);
    }

    #[test]
    fn a_longer_circle_is_found_once() {
        let sources = [
            ("a.rs", ""),
            ("a/x.rs", "use super::y::Y;"),
            ("a/y.rs", "fn f() -> super::z::Z {}"),
            ("a/z.rs", "use super::x::X; use super::w::W;"),
            ("a/w.rs", ""),
        ];
        let found = found(&sources);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].lines().count(), 4);
    }

    #[test]
    fn parent_and_child_are_no_circle() {
        let sources = [
            ("a.rs", "mod x; pub use x::X; pub struct A; fn f() { x::g() }"),
            ("a/x.rs", "use super::A; mod tests { use super::*; fn f() { super::super::h() } }"),
        ];
        assert_eq!(found(&sources), [""; 0]);
    }

    #[test]
    fn a_parent_that_passes_an_item_on_hides_no_circle() {
        let sources = [
            ("a.rs", "mod x; mod y; use self::x::X; pub struct A;"),
            ("a/x.rs", "use super::y::Y; use super::A;"),
            ("a/y.rs", "use super::X;"),
        ];
        assert!(found(&sources)[0].contains("a::y imports a::x"));
    }

    #[test]
    fn circles_are_found_at_every_depth() {
        let sources = [("a.rs", ""), ("a/b.rs", "mod x { use super::y::Y; } mod y { use super::x::X; }")];
        assert!(found(&sources)[0].starts_with("a::b: a circle"));
    }

    #[test]
    fn the_top_level_is_left_to_the_floors() {
        assert_eq!(found(&[("a.rs", "use crate::b;"), ("b.rs", "use crate::a;")]), [""; 0]);
    }
}
