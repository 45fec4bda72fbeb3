//! The kernels of the lab: Debian's kernels for virtual machines in a cloud.
//!
//! The image and the modules that the tests need are downloaded once and unpacked in the target directory. To download
//! them again, remove that folder.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::apt::Apt;

/// A kernel series of the lab.
#[derive(Debug, PartialEq)]
pub(crate) struct Series {
    /// Version of the suite's kernel when this list was last updated.
    pub(crate) version: &'static str,
    /// Debian suite that has this kernel.
    pub(crate) suite: &'static str,
}

pub(crate) const SERIES: [Series; 4] = [
    Series { version: "5.10", suite: "bullseye" },
    Series { version: "6.1", suite: "bookworm" },
    Series { version: "6.12", suite: "trixie" },
    Series { version: "7.2", suite: "sid" },
];

/// Modules that tests and observer need and that are not built into these kernels, in the order to load them.
const MODULES: [&str; 5] = ["inet_diag", "tcp_diag", "sch_netem", "tun", "veth"];

/// The package that depends on the suite's newest kernel.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel that can be booted.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) series: &'static Series,
    /// Output of `uname -r` on this kernel.
    pub(crate) release: String,
    pub(crate) image: PathBuf,
    /// In the order to load them.
    pub(crate) modules: Vec<PathBuf>,
}

/// The kernel of this series. It is downloaded into `cache` if it is not there yet.
pub(crate) fn provide(series: &'static Series, cache: &Path) -> Result<Kernel> {
    let place = cache.join(series.suite);
    if !place.exists() {
        fetch(series, cache, &place)
            .with_context(|| format!("cannot get the kernel of Debian's {}", series.suite))?;
    }
    let kernel = Kernel::find(series, &place).with_context(|| {
        format!("{} does not contain a complete kernel: remove it to download it again", place.display())
    })?;
    if !kernel.release.starts_with(&format!("{}.", series.version)) {
        eprintln!(
            "vm: Debian's {} no longer has kernel {}: using {}",
            series.suite, series.version, kernel.release
        );
    }
    Ok(kernel)
}

fn fetch(series: &'static Series, cache: &Path, place: &Path) -> Result<()> {
    eprintln!("vm: downloading kernel {} of Debian's {}: half a minute, 60 MB", series.version, series.suite);
    let unfinished = cache.join(format!("{}.unfinished", series.suite));
    remove(&unfinished)?;
    let apt = Apt::of(series.suite, unfinished.join("apt"))?;
    // Newer suites split a kernel into several packages.
    let packages = apt.parts(PACKAGE, |name| name.starts_with("linux-") && name.ends_with("-cloud-amd64"))?;
    apt.unpack(&packages, &unfinished.join("root"))?;
    remove(&unfinished.join("apt"))?;
    // The folder gets its final name only when it is complete.
    fs::rename(&unfinished, place).with_context(|| format!("cannot make {}", place.display()))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

impl Kernel {
    fn find(series: &'static Series, place: &Path) -> Result<Self> {
        let files = files(place)?;
        let named = |what: &str, fits: &dyn Fn(&str) -> bool| {
            let file =
                files.iter().find(|file| fits(&file.file_name().unwrap_or_default().to_string_lossy()));
            file.cloned().with_context(|| format!("there is no {what}"))
        };
        let image = named("vmlinuz", &|name| name.starts_with("vmlinuz"))?;
        let modules = MODULES.map(|module| {
            // The file may be compressed (`.ko.xz`).
            named(module, &|name| name.strip_prefix(module).is_some_and(|rest| rest.starts_with(".ko")))
        });
        let modules = modules.into_iter().collect::<Result<Vec<_>>>()?;
        let release = release(&modules[0])?;
        ensure!(!release.is_empty(), "the path {} names no kernel", modules[0].display());
        Ok(Self { series, release, image, modules })
    }
}

/// The kernel's release: the name of the folder below `modules`.
fn release(module: &Path) -> Result<String> {
    let mut parts = module.iter().skip_while(|part| *part != "modules").skip(1);
    let release =
        parts.next().with_context(|| format!("{} is not below a folder `modules`", module.display()))?;
    Ok(release.to_string_lossy().into_owned())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(self::files(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_that_of_the_modules() {
        let module =
            Path::new("/t/vm/sid/root/usr/lib/modules/7.2.13+deb14-cloud-amd64/kernel/net/veth.ko.xz");
        assert_eq!(release(module).unwrap(), "7.2.13+deb14-cloud-amd64");
        assert!(release(Path::new("/t/veth.ko")).is_err());
    }
}
