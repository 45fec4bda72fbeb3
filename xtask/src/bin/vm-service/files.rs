//! What was written on the disks since the service was installed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};

use crate::sandbox;

/// The service's own, as docs/operations.md and the unit have them, and where systemd really puts those of a dynamic user.
const ITS: [&str; 5] = [
    "/run/observer",
    "/var/lib/observer",
    "/var/log/observer",
    "/var/lib/private/observer",
    "/var/log/private/observer",
];

/// Written by others: what the commands of docs/operations.md install, what the checks change (users are in many
/// files), and systemd's own books.
const OTHERS: [&str; 22] = [
    "/usr/local/bin/observer",
    "/etc/observer/observer.yaml",
    "/etc/systemd/system/observer.service",
    "/etc/systemd/system/observer.service.d",
    "/etc/systemd/system/multi-user.target.wants/observer.service",
    "/etc/passwd",
    "/etc/passwd-",
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/group",
    "/etc/group-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/subuid",
    "/etc/subuid-",
    "/etc/subgid",
    "/etc/subgid-",
    "/etc/.pwd.lock",
    "/var/lib/systemd",
    "/var/log/journal",
    "/run",
    "/sys",
];

static BEGIN: OnceLock<SystemTime> = OnceLock::new();

/// What is written from now on counts.
pub(crate) fn begin() -> Result<()> {
    BEGIN.set(SystemTime::now()).ok().context("it has begun before")
}

pub(crate) fn nowhere_else() -> Result<String> {
    let begin = *BEGIN.get().context("the service was not installed")?;
    let uid = sandbox::uid()?;
    let mut found = Vec::new();
    let mut seen = 0;
    for place in ["/", "/run", "/dev/shm"] {
        walk(Path::new(place), fs::metadata(place)?.dev(), &mut |path, file| {
            seen += 1;
            let is_below = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
            let is_new =
                !file.is_dir() && file.modified().is_ok_and(|time| time >= begin) && !is_below(&OTHERS);
            if (is_new || file.uid() == uid) && !is_below(&ITS) {
                found.push(path.display().to_string());
            }
        })?;
    }
    ensure!(
        found.is_empty(),
        "{} files elsewhere: {}",
        found.len(),
        found.iter().take(5).cloned().collect::<Vec<_>>().join(", ")
    );
    Ok(format!(
        "of {seen} files none is new, or belongs to user {uid}, outside of /run, /var/lib and /var/log's observer"
    ))
}

/// All of one file system.
fn walk(folder: &Path, device: u64, look: &mut impl FnMut(&Path, &fs::Metadata)) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        // What has gone meanwhile is nobody's.
        let Ok(file) = fs::symlink_metadata(&path) else { continue };
        if file.dev() != device {
            continue;
        }
        look(&path, &file);
        if file.is_dir() {
            walk(&path, device, look)?;
        }
    }
    Ok(())
}
