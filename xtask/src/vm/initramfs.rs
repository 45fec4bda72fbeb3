//! The initramfs of a virtual machine: init, the tests, the observer, their libraries, and the kernel's modules.
//!
//! There is one archive per kernel. It is not compressed: on an emulated machine, decompression takes longer than
//! reading.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cpio::newc;
pub(crate) use cpio::newc::ModeFileType as Kind;

use super::guest;
use super::kernel::Kernel;
use crate::exec;

/// The programs of a machine, without debug information, and their libraries. They are the same for every kernel.
pub(crate) struct Userland {
    /// Path in the machine, and file on the host.
    files: Vec<(String, PathBuf)>,
}

/// The executables, as built by cargo.
pub(crate) struct Programs {
    pub(crate) init: PathBuf,
    pub(crate) tests: PathBuf,
    pub(crate) observer: PathBuf,
}

impl Userland {
    pub(crate) fn prepare(programs: &Programs, folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut libraries = BTreeSet::new();
        let places = [
            ("/init", &programs.init),
            (guest::TESTS, &programs.tests),
            (guest::OBSERVER, &programs.observer),
        ];
        for (place, built) in places {
            let stripped = stripped(built, &folder.join(Path::new(place).file_name().unwrap_or_default()))?;
            libraries.extend(linked(&exec::capture(Command::new("ldd").arg(&stripped))?));
            files.push((place.to_owned(), stripped));
        }
        files.extend(libraries.into_iter().map(|library| (library.clone(), library.into())));
        Ok(Self { files })
    }

    /// Writes the archive for this kernel.
    pub(crate) fn pack(&self, kernel: &Kernel, to: &Path) -> Result<()> {
        let files: Vec<_> = self.files.iter().cloned().chain(modules(kernel)).collect();
        let write = || -> Result<()> {
            let mut archive = Archive::new(File::create(to)?);
            for folder in folders(files.iter().map(|(place, _)| place.as_str())) {
                archive.add(&folder, Kind::Directory, &[])?;
            }
            for (place, file) in &files {
                let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
                archive.add(place, Kind::Regular, &content)?;
            }
            archive.finish()?.flush()?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", to.display()))
    }
}

/// Copies a program without its debug information, which is most of it.
pub(crate) fn stripped(built: &Path, to: &Path) -> Result<PathBuf> {
    exec::capture(Command::new("strip").arg("--strip-debug").arg("-o").arg(to).arg(built))?;
    Ok(to.to_owned())
}

/// Path of each of the kernel's modules in the machine, and its file on the host.
pub(crate) fn modules(kernel: &Kernel) -> impl Iterator<Item = (String, PathBuf)> {
    kernel.modules.iter().enumerate().map(|(number, module)| {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        (format!("{}/{number}-{name}", guest::MODULES), module.clone())
    })
}

/// A cpio archive, which is appended to a file.
pub(crate) struct Archive {
    out: BufWriter<File>,
    entries: u32,
}

impl Archive {
    pub(crate) fn new(file: File) -> Self {
        Self { out: BufWriter::new(file), entries: 0 }
    }

    /// Adds an entry that belongs to root and has mode 0755.
    pub(crate) fn add(&mut self, place: &str, kind: Kind, content: &[u8]) -> Result<()> {
        self.entries += 1;
        let entry = newc::Builder::new(place.trim_start_matches('/'));
        let entry = entry.ino(self.entries).mode(0o755).set_mode_file_type(kind);
        let mut writer = entry.write(&mut self.out, u32::try_from(content.len())?);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<BufWriter<File>> {
        Ok(newc::trailer(self.out)?)
    }
}

/// The files that `ldd` names. The kernel's `linux-vdso` is not a file.
fn linked(ldd: &str) -> Vec<String> {
    let files = ldd.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    files.map(str::to_owned).collect()
}

/// The folders of these files, outer ones first.
fn folders<'a>(files: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let folders = files.flat_map(|file| Path::new(file).ancestors().skip(1));
    folders.map(|folder| folder.to_string_lossy().into_owned()).filter(|folder| folder != "/").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linker_and_the_libraries_are_files() {
        let ldd = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                   \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f38)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x00007f39)\n";
        assert_eq!(linked(ldd), ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert!(linked("\tstatically linked\n").is_empty());
    }

    #[test]
    fn a_folder_comes_before_what_is_in_it() {
        let folders: Vec<_> =
            folders(["/lib/x/libc.so.6", "/init", "/bin/observer"].into_iter()).into_iter().collect();
        assert_eq!(folders, ["/bin", "/lib", "/lib/x"]);
    }
}
