//! Downloading packages of any Debian suite, from the archive that the host's apt uses.
//!
//! The packages are unpacked into a folder and never installed. All files that apt writes for this are in that folder
//! too, so the host's own apt is not affected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::exec;

/// Debian's archive, as the host's apt sources name it.
#[derive(Debug, PartialEq)]
pub(crate) struct Archive {
    pub(crate) uri: String,
    /// Key file or fingerprint, if the host's source names one.
    pub(crate) signed_by: Option<String>,
}

/// Apt with one suite of the archive as its only source.
pub(crate) struct Apt {
    suite: &'static str,
    folder: PathBuf,
}

impl Apt {
    /// Downloads the index of `suite`. Apt writes all its files to `folder`.
    pub(crate) fn of(suite: &'static str, folder: PathBuf) -> Result<Self> {
        let archive = Archive::of_this_machine()?;
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(folder.join("source.sources"), archive.source(suite))
            .context("cannot write an apt source")?;
        let apt = Self { suite, folder };
        // An update also runs hooks of other programs, which may need root and fail. Later steps show whether the index
        // is there.
        if let Err(error) = exec::capture(apt.command("apt-get").args(["-q", "update"])) {
            eprintln!("vm: {error:#}");
        }
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let options = [
            ("Dir::Etc::sourcelist", self.folder.join("source.sources")),
            ("Dir::Etc::sourceparts", "-".into()),
            ("Dir::State::lists", self.folder.join("lists")),
            ("Dir::Cache", self.folder.join("cache")),
        ];
        for (name, value) in options {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        }
        command
    }

    /// Returns `package` and its dependencies, direct or not. `belongs` selects the dependencies that are wanted.
    pub(crate) fn parts(&self, package: &str, belongs: impl Fn(&str) -> bool) -> Result<Vec<String>> {
        let mut parts = vec![package.to_owned()];
        let mut asked = 0;
        while let Some(part) = parts.get(asked) {
            let record = exec::capture(self.command("apt-cache").args(["show", "--no-all-versions", part]))
                .with_context(|| format!("{} has no {part}", self.suite))?;
            let new =
                dependencies(&record).filter(|name| belongs(name) && !parts.iter().any(|part| part == name));
            let new: Vec<_> = new.map(str::to_owned).collect();
            parts.extend(new);
            asked += 1;
        }
        Ok(parts)
    }

    /// Unpacks these packages below `place`.
    pub(crate) fn unpack(&self, packages: &[String], place: &Path) -> Result<()> {
        let debs = self.folder.join("packages");
        fs::create_dir_all(&debs).with_context(|| format!("cannot make {}", debs.display()))?;
        exec::capture(self.command("apt-get").args(["-q", "download"]).args(packages).current_dir(&debs))?;
        for deb in fs::read_dir(&debs).context("cannot list the packages")? {
            exec::capture(Command::new("dpkg").arg("-x").arg(deb?.path()).arg(place))?;
        }
        Ok(())
    }
}

impl Archive {
    pub(crate) fn of_this_machine() -> Result<Self> {
        if !Path::new("/usr/bin/apt-get").exists() {
            bail!("the lab needs Debian's packages, and this system has no apt-get");
        }
        let targets = exec::capture(Command::new("apt-get").args(["indextargets", "Created-By: Packages"]))?;
        Self::find(&targets).context(
            "apt has no index of Debian's main archive: run `apt-get update`; \
             the lab works only on Debian",
        )
    }

    /// The first source of Debian's main archive in the output of `apt-get indextargets`.
    fn find(targets: &str) -> Option<Self> {
        targets.split("\n\n").find_map(|target| {
            let field = |name: &str| {
                target.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim)
            };
            let is = |name, value| field(name) == Some(value);
            let ours = is("Origin", "Debian") && is("Label", "Debian") && is("Component", "main");
            let uri = field("Repo-URI").filter(|_| ours)?;
            Some(Self { uri: uri.to_owned(), signed_by: field("Signed-By").map(str::to_owned) })
        })
    }

    fn source(&self, suite: &str) -> String {
        let signed_by = self.signed_by.as_ref().map_or_else(String::new, |key| format!("Signed-By: {key}\n"));
        format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n{signed_by}", self.uri)
    }
}

/// The names in the field `Depends` of a package's record. Of alternatives, the first one.
fn dependencies(record: &str) -> impl Iterator<Item = &str> {
    let depends = record.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    depends.split(',').filter_map(|dependency| dependency.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str = "\
MetaKey: main/binary-amd64/Packages
Label: Debian-Security
Origin: Debian
Component: main
Repo-URI: http://mirror.test/debian-security/
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

MetaKey: main/binary-amd64/Packages
Label: Debian
Origin: Debian
Component: main
Repo-URI: http://mirror.test/debian/
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

    #[test]
    fn the_source_is_the_hosts_own_with_another_suite() {
        let archive = Archive::find(TARGETS).unwrap();
        assert_eq!(
            archive.source("trixie"),
            "Types: deb\nURIs: http://mirror.test/debian/\nSuites: trixie\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        );
    }

    #[test]
    fn a_source_without_a_key_stays_without() {
        let targets = "Label: Debian\nOrigin: Debian\nComponent: main\nRepo-URI: file:/srv/debian/\n";
        let source = Archive::find(targets).unwrap().source("sid");
        assert_eq!(source, "Types: deb\nURIs: file:/srv/debian/\nSuites: sid\nComponents: main\n");
    }

    #[test]
    fn another_systems_archive_is_none() {
        assert_eq!(Archive::find("Label: Ubuntu\nOrigin: Ubuntu\nComponent: main\nRepo-URI: u\n"), None);
        assert_eq!(Archive::find(""), None);
    }

    #[test]
    fn dependencies_are_read() {
        let record = "Package: a\nPre-Depends: z\nDepends: b (= 1), c | d,\nDescription: e\n";
        assert_eq!(dependencies(record).collect::<Vec<_>>(), ["b", "c"]);
        assert_eq!(dependencies("Package: a\n").count(), 0);
    }
}
