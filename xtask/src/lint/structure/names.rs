//! A type name stands for one thing.

use std::collections::BTreeMap;

use super::tree::{Tree, TypeName};

/// One line per name that several modules define, or that needs no exception any more.
pub(super) fn check(shared: &BTreeMap<String, String>, tree: &Tree) -> Vec<String> {
    // Two definitions in one module are alternatives under `cfg`.
    let mut definitions: BTreeMap<&str, BTreeMap<&[String], &TypeName>> = BTreeMap::new();
    for defined in &tree.types {
        definitions.entry(&defined.name).or_default().entry(&defined.module).or_insert(defined);
    }
    definitions.retain(|_, places| places.len() > 1);

    let mut found = Vec::new();
    for (name, places) in &definitions {
        if !shared.contains_key(*name) {
            let places: Vec<_> = places.values().map(|defined| defined.at.as_str()).collect();
            found.push(format!("{}: {name} is also defined at {}", places[0], places[1..].join(", ")));
        }
    }
    for name in shared.keys().filter(|name| !definitions.contains_key(name.as_str())) {
        found.push(format!("shared_names: {name} is not defined twice, so it needs no exception"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: [(&str, &str); 2] = [
        ("a.rs", "struct Told;\n#[cfg(x)] struct Once;\n#[cfg(not(x))] struct Once;"),
        ("b.rs", "mod c { pub type Told = u8; }"),
    ];

    fn found(shared: &[&str]) -> Vec<String> {
        let shared = shared.iter().map(|name| ((*name).to_owned(), "why".to_owned())).collect();
        check(&shared, &Tree::parse("src", &SOURCES).unwrap())
    }

    #[test]
    fn a_second_definition_is_named_with_the_first() {
        assert_eq!(found(&[]), ["src/a.rs:1: Told is also defined at src/b.rs:1"]);
    }

    #[test]
    fn an_exception_holds_as_long_as_it_is_one() {
        assert_eq!(found(&["Told"]), [""; 0]);
        assert_eq!(
            found(&["Told", "Once"]),
            ["shared_names: Once is not defined twice, so it needs no exception"]
        );
    }
}
