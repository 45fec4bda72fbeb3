//! Tests of the choice of a compiler, and of reading the tools' output.

use super::*;

fn compiler(sysroot: &str, complete: bool) -> Compiler {
    Compiler { sysroot: sysroot.into(), release: (1, 97), llvm: 22, complete }
}

fn nightly(name: &str, complete: bool) -> (String, Compiler) {
    (name.to_owned(), compiler(name, complete))
}

#[test]
fn the_toolchain_that_is_there_comes_first() {
    let linked = compiler("/usr", true);
    let facts = Facts { linked: Some(linked.clone()), nightlies: vec![], system: None };
    assert_eq!(choose(&facts), [Source::Ready(linked), Source::Rustup, Source::Debian]);
}

#[test]
fn a_bare_machine_fetches_by_rustup_first() {
    let facts = Facts { linked: None, nightlies: vec![], system: None };
    assert_eq!(choose(&facts), [Source::Rustup, Source::Debian]);
}

#[test]
fn a_link_to_a_compiler_without_sources_is_not_taken() {
    let facts = Facts {
        linked: Some(compiler("/usr", false)),
        nightlies: vec![nightly("nightly-x86_64-unknown-linux-gnu", false)],
        system: Some(compiler("/usr", false)),
    };
    assert_eq!(choose(&facts), [Source::Rustup, Source::Debian]);
}

#[test]
fn tested_compilers_come_before_other_nightlies() {
    let tested = format!("{NIGHTLY}-x86_64-unknown-linux-gnu");
    let facts = Facts {
        linked: None,
        nightlies: vec![nightly("nightly-x86_64-unknown-linux-gnu", true), nightly(&tested, true)],
        system: Some(compiler("/usr", true)),
    };
    let there = |sysroot: &str| Source::There(compiler(sysroot, true));
    assert_eq!(
        choose(&facts),
        [
            there(&tested),
            there("/usr"),
            there("nightly-x86_64-unknown-linux-gnu"),
            Source::Rustup,
            Source::Debian
        ]
    );
}

#[test]
fn a_compiler_older_than_the_workspace_is_not_taken() {
    let old = Compiler { release: (1, 63), ..compiler("/usr", true) };
    let facts = Facts { linked: Some(old.clone()), nightlies: vec![], system: Some(old) };
    assert_eq!(choose(&facts), [Source::Rustup, Source::Debian]);
}

#[test]
fn a_compiler_describes_itself() {
    let description = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n\
                       release: 1.97.0-nightly\nLLVM version: 22.1.4\n";
    assert_eq!((release(description), llvm(description)), (Some((1, 97)), Some(22)));
    assert_eq!((release("rustc"), llvm("LLVM version: unknown")), (None, None));
}

#[test]
fn toolchains_are_listed_with_their_paths() {
    let list = "stable-x86_64-unknown-linux-gnu (active, default) /home/a b/.rustup/toolchains/stable\n\
                observer-ebpf\t/usr\nbroken\n";
    assert_eq!(
        toolchains(list),
        [
            ("stable-x86_64-unknown-linux-gnu", "/home/a b/.rustup/toolchains/stable"),
            ("observer-ebpf", "/usr")
        ]
    );
    assert_eq!(toolchains("no installed toolchains\n"), []);
}
