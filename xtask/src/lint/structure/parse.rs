//! One source file → its modules, the paths it names and the types it defines.
//!
//! Paths count wherever they stand: in `use`, expressions, types, attributes and the arguments of macros. Doc comments
//! and `pub(in …)` do not import anything.

mod tokens;

use anyhow::Result;
use proc_macro2::Span;
use syn::visit::{self, Visit};

use super::tree::{ModulePath, Reference, Tree, TypeName};

/// Adds a file to the tree.
pub(super) fn file(tree: &mut Tree, file: &str, text: &str) -> Result<()> {
    let parsed = syn::parse_file(text)?;
    let module = module_of(file);
    tree.modules.entry(module.clone()).or_default();
    let at = format!("{}/{file}", tree.directory);
    let mut visitor = Visitor { tree, file: at, module, nested: 0 };
    visitor.visit_file(&parsed);
    Ok(())
}

/// `a/b.rs` and `a/b/mod.rs` are `a::b`; `lib.rs` and `main.rs` are the root.
fn module_of(file: &str) -> ModulePath {
    let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if ["lib", "main"].contains(&stem) {
        return ModulePath::new();
    }
    stem.split('/').map(str::to_owned).collect()
}

struct Visitor<'a> {
    tree: &'a mut Tree,
    /// As messages show it.
    file: String,
    module: ModulePath,
    /// The number of blocks around the current item: a `use` in a function is no name of the module.
    nested: u32,
}

impl Visitor<'_> {
    fn at(&self, span: Span) -> String {
        format!("{}:{}", self.file, span.start().line)
    }

    fn refer(&mut self, path: Vec<String>, span: Span) {
        let at = self.at(span);
        self.tree.references.push(Reference { from: self.module.clone(), at, path });
    }

    fn define(&mut self, name: &syn::Ident) {
        let at = self.at(name.span());
        self.tree.types.push(TypeName { name: name.to_string(), module: self.module.clone(), at });
    }

    fn use_tree(&mut self, prefix: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| {
            // `use a::{self}` names a itself.
            let own = (name != "self" || prefix.is_empty()).then(|| name.to_string());
            prefix.iter().cloned().chain(own).collect::<Vec<_>>()
        };
        match tree {
            syn::UseTree::Path(path) => self.use_tree(&with(&path.ident), &path.tree),
            syn::UseTree::Group(group) => {
                for item in &group.items {
                    self.use_tree(prefix, item);
                }
            }
            syn::UseTree::Name(name) => {
                let path = with(&name.ident);
                let own_name = path.last().cloned().unwrap_or_default();
                self.import(own_name, path, name.ident.span());
            }
            syn::UseTree::Rename(rename) => {
                self.import(rename.rename.to_string(), with(&rename.ident), rename.ident.span());
            }
            syn::UseTree::Glob(glob) => {
                self.refer(prefix.to_vec(), glob.star_token.span);
                self.module_entry().globs.push(prefix.to_vec());
            }
        }
    }

    fn import(&mut self, name: String, path: Vec<String>, span: Span) {
        if self.nested == 0 {
            self.module_entry().imported.insert(name, path.clone());
        }
        self.refer(path, span);
    }

    fn module_entry(&mut self) -> &mut super::tree::Module {
        self.tree.modules.entry(self.module.clone()).or_default()
    }

    fn tokens(&mut self, stream: proc_macro2::TokenStream, literals: tokens::Literals) {
        let found = tokens::scan(stream, literals);
        for (path, span) in found.paths {
            self.refer(path, span);
        }
        for name in found.types {
            self.define(&name);
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            self.use_tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        // A single word is a local name, or one that a `use` has brought in.
        if path.leading_colon.is_none() && segments.len() > 1 {
            let span = path.segments[0].ident.span();
            self.refer(segments, span);
        }
        visit::visit_path(self, path);
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if attribute.path().is_ident("doc") {
            return;
        }
        // serde names functions in strings: `with = "crate::words"`.
        self.tokens(quote::ToTokens::to_token_stream(&attribute.meta), tokens::Literals::MayBePaths);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.visit_path(&invocation.path);
        self.tokens(invocation.tokens.clone(), tokens::Literals::AreText);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        for attribute in &item.attrs {
            self.visit_attribute(attribute);
        }
        let Some((_, items)) = &item.content else { return };
        self.module.push(item.ident.to_string());
        self.module_entry();
        let nested = std::mem::take(&mut self.nested);
        for item in items {
            self.visit_item(item);
        }
        self.nested = nested;
        self.module.pop();
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        self.nested += 1;
        visit::visit_block(self, block);
        self.nested -= 1;
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.define(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.define(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast syn::ItemUnion) {
        self.define(&item.ident);
        visit::visit_item_union(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.define(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.define(&item.ident);
        visit::visit_item_type(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(file: &str, text: &str) -> Tree {
        Tree::parse("src", &[(file, text)]).unwrap()
    }

    /// Each path with its module and line.
    fn references(text: &str) -> Vec<String> {
        let tree = parsed("m.rs", text);
        let line = |reference: &Reference| {
            let at = reference.at.trim_start_matches("src/m.rs:").to_owned();
            format!("{at} {} {}", reference.from.join("::"), reference.path.join("::"))
        };
        tree.references.iter().map(line).collect()
    }

    #[test]
    fn files_are_modules() {
        for (file, module) in [("a/b.rs", "a::b"), ("a/b/mod.rs", "a::b"), ("lib.rs", ""), ("main.rs", "")] {
            assert_eq!(module_of(file).join("::"), module, "{file}");
        }
    }

    #[test]
    fn nested_groups_renames_and_globs() {
        let text = "use crate::{a::{self, B},\n  c::D as E};\nuse super::*;";
        let expected = ["1 m crate::a", "1 m crate::a::B", "2 m crate::c::D", "3 m super"];
        assert_eq!(references(text), expected);
        let tree = parsed("m.rs", text);
        let module = &tree.modules[&vec!["m".to_owned()]];
        assert_eq!(module.imported.keys().collect::<Vec<_>>(), ["B", "E", "a"]);
    }

    #[test]
    fn paths_count_outside_of_use_as_well() {
        assert_eq!(references("fn f(x: crate::a::A) {}"), ["1 m crate::a::A"]);
        assert_eq!(
            references("fn f() { super::b::g::<crate::c::C>() }"),
            ["1 m super::b::g", "1 m crate::c::C"]
        );
        assert_eq!(references("impl crate::a::T for S {}"), ["1 m crate::a::T"]);
        assert_eq!(
            references("fn f() { m!(1, crate::a::B, { self::c::D }) }"),
            ["1 m crate::a::B", "1 m self::c::D"]
        );
        assert_eq!(references("#[serde(with = \"crate::a\")]\nstruct S;"), ["1 m crate::a"]);
        assert_eq!(references("#[arg(parser = crate::a::p)]\nstruct S;"), ["1 m crate::a::p"]);
        assert_eq!(references("macro_rules! m { () => { $crate::a::B } }"), ["1 m crate::a::B"]);
    }

    #[test]
    fn visibility_docs_and_text_are_no_imports() {
        let text = "//! [`crate::a::B`]\n/// [`crate::a::B`]\npub(in crate::a) struct S;\n\
                    fn f() { p!(\"crate::a::B\"); let s = \"crate::a::B\"; }";
        assert_eq!(references(text), [""; 0]);
    }

    #[test]
    fn inline_modules_and_tests_are_modules() {
        let text = "mod x {\n  #[cfg(test)] mod y {\n    use super::super::Z;\n  }\n}";
        assert_eq!(references(text), ["3 m::x::y super::super::Z"]);
    }

    #[test]
    fn a_use_in_a_function_is_no_name_of_the_module() {
        let tree = parsed("m.rs", "fn f() { use crate::a::B; }");
        assert_eq!(tree.references.len(), 1);
        assert!(tree.modules[&vec!["m".to_owned()]].imported.is_empty());
    }

    #[test]
    fn types_are_found_in_macros_but_not_in_traits() {
        let text = "struct A; enum B {} trait C { type No; } type D = u8; union E { x: u8 }\n\
                    impl C for A { type No = u8; }\n words! { pub enum F { G } }\n macro_rules! m { () => { struct $x; } }";
        let tree = parsed("m.rs", text);
        let names: Vec<_> = tree.types.iter().map(|defined| defined.name.as_str()).collect();
        assert_eq!(names, ["A", "B", "C", "D", "E", "F"]);
    }
}
