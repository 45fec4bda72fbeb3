//! Cgroup ids → paths, systemd units and containers.

use std::{
    collections::HashMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Shortest time between two walks through the hierarchy; an unknown id starts one.
const WALK_INTERVAL: Duration = Duration::from_secs(1);

/// Cgroups to remember, including removed ones. One walk may add any number.
const REMEMBERED: usize = 16_384;

/// The names of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Path from the hierarchy's root, such as `/system.slice/nginx.service`.
    pub path: String,
    /// systemd unit, such as `nginx.service`.
    pub unit: Option<String>,
    /// Container id or name.
    pub container: Option<String>,
}

/// Cgroups (v2) by id, including those that were removed since.
pub struct Cgroups {
    root: Option<PathBuf>,
    walked: Option<Instant>,
    by_id: HashMap<u64, Arc<Cgroup>>,
}

impl Cgroups {
    /// The cgroups of this host. Every look-up gives None if no cgroup v2 hierarchy is mounted.
    #[must_use]
    pub fn new() -> Self {
        Self { root: root(), ..Self::none() }
    }

    /// No cgroups: for recordings of another host.
    #[must_use]
    pub fn none() -> Self {
        Self { root: None, walked: None, by_id: HashMap::new() }
    }

    /// The cgroup with this id, which is the inode of its directory (`cgroup_id()`, since 5.5).
    pub fn get(&mut self, id: u64) -> Option<Arc<Cgroup>> {
        if let Some(found) = self.by_id.get(&id) {
            return Some(Arc::clone(found));
        }
        let root = self.root.clone().filter(|_| id != 0)?;
        if self.walked.is_none_or(|at| at.elapsed() >= WALK_INTERVAL) {
            // Removed cgroups keep their names here: the kernel does not reuse an id (kernfs, 64 bits).
            if self.by_id.len() >= REMEMBERED {
                self.by_id.clear();
            }
            walk(&root, &root, &mut self.by_id);
            self.walked = Some(Instant::now());
        }
        self.by_id.get(&id).map(Arc::clone)
    }
}

impl Default for Cgroups {
    fn default() -> Self {
        Self::new()
    }
}

/// The mount point of the cgroup v2 hierarchy.
pub(super) fn root() -> Option<PathBuf> {
    let mounts = procfs::process::Process::myself().and_then(|me| me.mountinfo()).ok()?;
    mounts.into_iter().find(|mount| mount.fs_type == "cgroup2").map(|mount| mount.mount_point)
}

fn walk(root: &Path, dir: &Path, by_id: &mut HashMap<u64, Arc<Cgroup>>) {
    let Ok(metadata) = std::fs::metadata(dir) else { return };
    let below = dir.strip_prefix(root).unwrap_or(dir);
    by_id.insert(metadata.ino(), Arc::new(describe(&format!("/{}", below.display()))));
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(root, &entry.path(), by_id);
        }
    }
}

/// Derives names from a path, by the conventions of systemd and the container runtimes. Control characters become `?`,
/// because users choose names in the parts of the hierarchy that are theirs, and a terminal shows these names.
fn describe(path: &str) -> Cgroup {
    let path = path.replace(char::is_control, "?");
    let is_id = |text: &str| text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut unit = None;
    let mut container = None;
    for part in path.split('/') {
        // docker-<id>.scope, crio-<id>.scope, cri-containerd-<id>.scope, or only the id under cgroupfs.
        let name = part.strip_suffix(".scope").unwrap_or(part);
        let id = name.rsplit(['-', ':']).next().unwrap_or(name);
        if is_id(id) {
            container = Some(id.to_owned());
        } else if let Some(name) = part.strip_prefix("lxc.payload.") {
            container = Some(name.to_owned());
        } else if [".service", ".scope"].iter().any(|suffix| part.ends_with(suffix)) {
            unit = Some(part.to_owned());
        }
    }
    Cgroup { path, unit, container }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_the_unit_and_the_container() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let cases = [
            ("/", None, None),
            ("/system.slice/nginx.service", Some("nginx.service"), None),
            ("/user.slice/\u{1b}]0;x\n.service", Some("?]0;x?.service"), None),
            ("/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope", Some("x.scope"), None),
            (&format!("/system.slice/docker-{id}.scope"), None, Some(id)),
            (&format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"), None, Some(id)),
            (&format!("/kubepods/burstable/pod1/{id}"), None, Some(id)),
            ("/lxc.payload.web/system.slice/redis.service", Some("redis.service"), Some("web")),
        ];
        for (path, unit, container) in cases {
            let found = describe(path);
            assert_eq!((found.unit.as_deref(), found.container.as_deref()), (unit, container), "{path}");
        }
    }
}
