//! A small Debian with systemd as its first process. In: the machine's apt sources. Out: an archive that a virtual
//! machine starts from. Made once, with root's rights for that step alone; removing the archive makes it anew.
//!
//! All happens in a folder of its own below the build's, and in a mount namespace of its own: what debootstrap mounts
//! there goes with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::exec;
use crate::vm::apt::Archive;

/// Beside what every Debian has.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,iproute2,procps";

/// Packs the folder that is the first argument, without what the machine has no use for.
const PACK: &str = r#"
cd "$1"
find . -xdev \( -path './dev/*' -o -path './var/cache/*' -o -path './var/lib/apt/lists/*' -o -path './usr/share/doc/*' \
    -o -path './usr/share/man/*' -o -path './usr/share/locale/*' \) -prune -o -print0 |
    cpio --null --create --format=newc --quiet
"#;

/// The archive, from `cache` if it is there. It is of this machine's own suite, so that programs built here find their
/// libraries there.
pub(crate) fn provide(cache: &Path) -> Result<PathBuf> {
    let suite = suite(&fs::read_to_string("/etc/os-release").context("cannot tell this system")?)?;
    let done = cache.join(format!("{suite}.cpio"));
    if !done.exists() {
        make(&suite, cache, &done).with_context(|| format!("no Debian {suite} with systemd"))?;
    }
    Ok(done)
}

fn make(suite: &str, cache: &Path, done: &Path) -> Result<()> {
    eprintln!("vm: making a Debian {suite} with systemd, with root's rights: one to two minutes and 100 MB");
    let archive = Archive::of_this_machine()?;
    let cache = cache.canonicalize().with_context(|| format!("cannot find {}", cache.display()))?;
    let tree = cache.join(format!("{suite}.tree"));
    remove(&tree)?;
    let mut debootstrap = exec::as_root("unshare");
    debootstrap.args(["--mount", "debootstrap", "--variant=minbase", &format!("--include={PACKAGES}")]);
    // A fingerprint is of no use to it; it then takes Debian's keys as installed.
    if let Some(keyring) = archive.signed_by.as_ref().filter(|key| key.starts_with('/')) {
        debootstrap.arg(format!("--keyring={keyring}"));
    }
    exec::capture(debootstrap.arg(suite).arg(&tree).arg(&archive.uri))?;

    nothing_mounted(&tree)?;
    let unfinished = done.with_extension("unfinished");
    let mut pack = exec::as_root("bash");
    pack.args(["-euo", "pipefail", "-c", PACK, "bash"]).arg(&tree);
    // The archive is this user's, whoever may read what goes into it.
    pack.stdout(File::create(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?);
    exec::run(&mut pack)?;
    remove(&tree)?;
    // Only what is whole has its final name.
    fs::rename(&unfinished, done).with_context(|| format!("cannot make {}", done.display()))
}

/// What is in it belongs to root.
fn remove(tree: &Path) -> Result<()> {
    nothing_mounted(tree)?;
    exec::capture(exec::as_root("rm").args(["-rf", "--one-file-system"]).arg(tree))?;
    Ok(())
}

/// Whoever looked into an unfinished one with a mount of `/dev` would lose what is in it.
fn nothing_mounted(tree: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot list what is mounted")?;
    let found = mounted_below(&mounts, tree);
    ensure!(found.is_none(), "{} is mounted: unmount it", found.unwrap_or_default());
    Ok(())
}

fn mounted_below<'a>(mounts: &'a str, tree: &Path) -> Option<&'a str> {
    let mut points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    points.find(|point| Path::new(point).starts_with(tree))
}

fn suite(os_release: &str) -> Result<String> {
    let name = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let name = name.context("/etc/os-release names no release of Debian")?.trim_matches('"');
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suite_is_this_systems() {
        assert_eq!(suite("ID=debian\nVERSION_CODENAME=bookworm\n").unwrap(), "bookworm");
        assert!(suite("ID=arch\n").is_err());
    }

    #[test]
    fn a_mount_below_is_found() {
        let mounts = "22 1 8:1 / / rw - ext4 d rw\n23 22 0:5 / /t/a.tree/dev rw - devtmpfs d rw\n";
        assert_eq!(mounted_below(mounts, Path::new("/t/a.tree")), Some("/t/a.tree/dev"));
        assert_eq!(mounted_below(mounts, Path::new("/t/a")), None);
    }
}
