//! All modules of a crate, and which module a path leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::parse;

/// The names of a module from the crate's root down; empty for the root.
pub(super) type ModulePath = Vec<String>;

/// A path as it is written in the source, and where.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    /// The module that contains the path.
    pub(super) from: ModulePath,
    /// `src/…` file and line.
    pub(super) at: String,
    /// The segments as written: `["super", "plan", "Plan"]`.
    pub(super) path: Vec<String>,
}

/// A struct, enum, union, trait or type alias.
#[derive(Debug)]
pub(super) struct TypeName {
    pub(super) name: String,
    pub(super) module: ModulePath,
    pub(super) at: String,
}

/// What one module contributes to name lookup.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// Names that a `use` brings in, and the paths they stand for.
    pub(super) imported: BTreeMap<String, Vec<String>>,
    /// Paths of glob imports.
    pub(super) globs: Vec<Vec<String>>,
}

/// A source directory, parsed.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) modules: BTreeMap<ModulePath, Module>,
    pub(super) references: Vec<Reference>,
    pub(super) types: Vec<TypeName>,
    /// File below the source directory → number of lines.
    pub(super) lines: BTreeMap<String, usize>,
    /// The source directory, as messages show it.
    pub(super) directory: String,
}

impl Tree {
    /// Parses every Rust file below `root/directory`. Messages name files as `directory/…`.
    pub(super) fn read(root: &Path, directory: &str) -> Result<Self> {
        let mut files = Vec::new();
        let base = root.join(directory);
        list(&base, &base, &mut files).with_context(|| format!("listing {directory}"))?;
        files.sort();
        let mut sources = Vec::new();
        for file in files {
            let text =
                std::fs::read_to_string(base.join(&file)).with_context(|| format!("reading {file}"))?;
            sources.push((file, text));
        }
        Self::parse(directory, &sources)
    }

    /// Parses sources given as (file below the source directory, text).
    pub(super) fn parse<F: AsRef<str>, T: AsRef<str>>(directory: &str, sources: &[(F, T)]) -> Result<Self> {
        let mut tree = Self { directory: directory.to_owned(), ..Self::default() };
        for (file, text) in sources {
            let (file, text) = (file.as_ref(), text.as_ref());
            tree.lines.insert(file.to_owned(), text.lines().count());
            parse::file(&mut tree, file, text).with_context(|| format!("{directory}/{file}"))?;
        }
        Ok(tree)
    }

    /// Modules directly below the root.
    pub(super) fn top_level(&self) -> BTreeSet<&str> {
        self.modules.keys().filter(|path| path.len() == 1).map(|path| path[0].as_str()).collect()
    }

    /// The path from the crate's root, with `crate`, `self`, `super` and child modules resolved but no `use` followed.
    /// None for a path into another crate.
    pub(super) fn absolute(&self, from: &[String], path: &[String]) -> Option<Vec<String>> {
        let ups = path.iter().take_while(|segment| *segment == "super").count();
        let (base, rest) = match path.first()?.as_str() {
            "crate" => (&[][..], &path[1..]),
            // `self::super::x` is legal.
            "self" if path.get(1).is_some_and(|next| next == "super") => {
                return self.absolute(from, &path[1..]);
            }
            "self" => (from, &path[1..]),
            "super" => (&from[..from.len().checked_sub(ups)?], &path[ups..]),
            first => (self.scope_with_child(from, first)?, path),
        };
        Some([base, rest].concat())
    }

    /// The module in which the name `child` of a module is visible: `from` itself, or one whose names it takes by a
    /// glob such as `use super::*`.
    fn scope_with_child<'a>(&self, from: &'a [String], child: &str) -> Option<&'a [String]> {
        if self.has_child(from, child) {
            return Some(from);
        }
        let globs = &self.modules.get(from)?.globs;
        let takes_parent = globs.iter().any(|glob| glob.iter().all(|segment| segment == "super"));
        if !takes_parent {
            return None;
        }
        self.scope_with_child(from.split_last()?.1, child)
    }

    fn has_child(&self, module: &[String], child: &str) -> bool {
        self.modules.contains_key(&[module, &[child.to_owned()]].concat())
    }

    /// The module that defines the item of a path, with every `use` on the way followed. None for another crate's.
    pub(super) fn defining_module(&self, from: &[String], path: &[String]) -> Option<ModulePath> {
        // Legal code has no circle of imports; the limit only keeps wrong code from hanging the check.
        self.follow(from, path, 16).map(|(module, _)| module)
    }

    /// The module, and whether the path ends at the module itself rather than at an item in it.
    fn follow(&self, from: &[String], path: &[String], limit: u32) -> Option<(ModulePath, bool)> {
        let limit = limit.checked_sub(1)?;
        let mut module = ModulePath::new();
        for segment in self.absolute(from, path)? {
            if self.has_child(&module, &segment) {
                module.push(segment);
                continue;
            }
            let import = self.modules.get(&module).and_then(|module| module.imported.get(&segment));
            match import.and_then(|path| self.follow(&module, path, limit)) {
                Some((target, true)) => module = target,
                Some((target, false)) => return Some((target, false)),
                None => return Some((module, false)),
            }
        }
        Some((module, true))
    }
}

/// Collects the Rust files below `directory`, as paths below `base`.
fn list(base: &Path, directory: &Path, files: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            list(base, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path.strip_prefix(base)?.to_string_lossy().into_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(path: &str) -> Vec<String> {
        path.split("::").filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    fn tree() -> Tree {
        let sources = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "mod one; mod two; pub use self::one::One; use crate::b as other;"),
            ("a/one.rs", "pub struct One;"),
            ("a/two.rs", "mod deep; #[cfg(test)] mod tests { use super::*; }"),
            ("a/two/deep.rs", ""),
            ("b.rs", "pub struct B;"),
        ];
        Tree::parse("src", &sources).unwrap()
    }

    fn absolute(from: &str, path: &str) -> Option<String> {
        tree().absolute(&words(from), &words(path)).map(|path| path.join("::"))
    }

    fn defined(from: &str, path: &str) -> Option<String> {
        tree().defining_module(&words(from), &words(path)).map(|path| path.join("::"))
    }

    #[test]
    fn relative_paths_start_at_their_module() {
        assert_eq!(absolute("a::two", "crate::b::B").unwrap(), "b::B");
        assert_eq!(absolute("a::two", "super::one::One").unwrap(), "a::one::One");
        assert_eq!(absolute("a::two::deep", "super::super::super::b").unwrap(), "b");
        assert_eq!(absolute("a", "self::two").unwrap(), "a::two");
        assert_eq!(absolute("a::two", "self::super::one").unwrap(), "a::one");
        assert_eq!(absolute("a", "two::deep").unwrap(), "a::two::deep");
        assert_eq!(absolute("a::two::tests", "deep::X").unwrap(), "a::two::deep::X", "by the glob");
    }

    #[test]
    fn other_crates_are_no_modules() {
        assert_eq!(absolute("a", "std::fs::read"), None);
        assert_eq!(absolute("a", "super::super::x"), None, "above the root");
    }

    #[test]
    fn imports_of_a_parent_lead_to_where_the_item_is() {
        assert_eq!(defined("a::two", "super::One").unwrap(), "a::one");
        assert_eq!(defined("a::two", "super::other::B").unwrap(), "b");
        assert_eq!(defined("a::two", "super::Own").unwrap(), "a");
        assert_eq!(defined("a::two", "super::one").unwrap(), "a::one");
    }

    #[test]
    fn a_circle_of_imports_ends() {
        let sources = [("lib.rs", "use crate::y as x; use crate::x as y;"), ("a.rs", "")];
        let tree = Tree::parse("src", &sources).unwrap();
        assert_eq!(tree.defining_module(&words("a"), &words("crate::x::Z")), Some(ModulePath::new()));
    }
}
