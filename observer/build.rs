//! Builds the BPF object and leaves it in `OUT_DIR`, where `attach::load` embeds it.

use anyhow::{Context as _, bail};
use aya_build::{Package, Toolchain};
use observer_ebpf as _;

/// The rustup toolchain that compiles the BPF side; `cargo xtask setup` makes it.
///
/// `core` is built for the BPF target, which needs the library sources of the same compiler. `OBSERVER_EBPF_TOOLCHAIN`
/// chooses another toolchain.
const TOOLCHAIN: &str = "observer-ebpf";
const TOOLCHAIN_ENV: &str = "OBSERVER_EBPF_TOOLCHAIN";

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-env-changed={TOOLCHAIN_ENV}");
    // Else a build after a skipped one would keep the empty object.
    println!("cargo:rerun-if-env-changed=AYA_BUILD_SKIP");
    let toolchain = std::env::var(TOOLCHAIN_ENV).unwrap_or_else(|_| TOOLCHAIN.to_owned());

    // aya-build leaves without writing anything when told to skip; the embedding needs a file.
    if std::env::var_os("AYA_BUILD_SKIP").is_some_and(|skip| skip == "1" || skip == "true") {
        let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").context("OUT_DIR is not set")?);
        std::fs::write(out.join("observer-ebpf"), []).context("writing an empty BPF object")?;
        return Ok(());
    }

    // SAFETY: a build script is single-threaded here. Building core needs -Z, which Debian's stable compiler
    // only accepts this way.
    unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "1") };
    let package = Package {
        name: "observer-ebpf",
        root_dir: concat!(env!("CARGO_MANIFEST_DIR"), "/../observer-ebpf"),
        ..Package::default()
    };
    if let Err(error) = aya_build::build_ebpf([package], Toolchain::Custom(&toolchain)) {
        bail!(
            "the BPF object was not built with toolchain {toolchain:?}: {error:#}\n\
             `cargo xtask setup` provides the toolchain and bpf-linker"
        );
    }
    Ok(())
}
