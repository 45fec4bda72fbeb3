//! The process that caused an event.

use std::fmt;

use observer_ebpf::abi::record;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

/// A process, and its thread that was running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Process id (the kernel's tgid) in the initial pid namespace.
    pub pid: u32,
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// Real user id.
    pub uid: u32,
    /// Name of the process: that of its main thread.
    pub comm: Comm,
    /// Id of its cgroup v2; 0 if it was not recorded.
    pub cgroup: u64,
    /// The thread was exiting (`PF_EXITING`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exiting: bool,
    /// A kernel thread (`PF_KTHREAD`), such as the worker that closes files after their last reference is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub kthread: bool,
    /// Signal that killed the process; 0 for none. Only valid while `exiting`.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub signal: u8,
}

impl From<&record::Task> for Task {
    fn from(task: &record::Task) -> Self {
        Self {
            pid: task.pid,
            tid: task.tid,
            uid: task.uid,
            comm: Comm(task.comm),
            cgroup: task.cgroup,
            exiting: task.flags & record::PF_EXITING != 0,
            kthread: task.flags & record::PF_KTHREAD != 0,
            // wait(2): the low seven bits of an exit code are the terminating signal, and the eighth means a core dump.
            signal: (task.exit_code & 0x7f) as u8,
        }
    }
}

impl Task {
    /// The process that called `connect()`. Its thread and its cgroup are not recorded.
    #[must_use]
    pub const fn opener(opened: &record::Opened) -> Self {
        Self {
            pid: opened.pid,
            tid: opened.pid,
            uid: opened.uid,
            comm: Comm(opened.comm),
            cgroup: 0,
            exiting: false,
            kthread: false,
            signal: 0,
        }
    }
}

/// A process name: at most 15 bytes, not necessarily UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Comm([u8; 16]);

impl Comm {
    /// The bytes before the terminating NUL.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let Self(bytes) = self;
        bytes.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

impl From<&str> for Comm {
    /// Cuts the name at 15 bytes, as the kernel does.
    fn from(name: &str) -> Self {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
            *to = from;
        }
        Self(bytes)
    }
}

impl fmt::Display for Comm {
    /// Control characters and invalid UTF-8 become `?`, because a process chooses its own name and a terminal shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.as_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                fmt::Write::write_char(f, if c.is_control() { '?' } else { c })?;
            }
            if !chunk.invalid().is_empty() {
                f.write_str("?")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Serialize for Comm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Nearly every name is written unchanged, without the formatter.
        match str::from_utf8(self.as_bytes()) {
            Ok(name) if !name.contains(char::is_control) => serializer.serialize_str(name),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Comm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Comm;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a process name of at most 15 bytes")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Comm, E> {
                if name.len() > 63 { Err(E::invalid_length(name.len(), &self)) } else { Ok(name.into()) }
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// A compact form of a process for the history: every field in order, without names.
pub mod packed {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::{Comm, Task};

    type Fields = (u32, u32, u32, Comm, u64, bool, bool, u8);

    /// For serde's `with`.
    pub fn serialize<S: Serializer>(task: &Option<Task>, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = task.map(|task| -> Fields {
            let Task { pid, tid, uid, comm, cgroup, exiting, kthread, signal } = task;
            (pid, tid, uid, comm, cgroup, exiting, kthread, signal)
        });
        fields.serialize(serializer)
    }

    /// For serde's `with`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Task>, D::Error> {
        let fields = Option::<Fields>::deserialize(deserializer)?;
        Ok(fields.map(|(pid, tid, uid, comm, cgroup, exiting, kthread, signal)| Task {
            pid,
            tid,
            uid,
            comm,
            cgroup,
            exiting,
            kthread,
            signal,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_safe_for_terminals() {
        let mut comm = Comm::from("a\x1b[31mb");
        assert_eq!(comm.to_string(), "a?[31mb");
        comm.0[0] = 0xff;
        assert_eq!(comm.to_string(), "??[31mb");
    }

    #[test]
    fn names_are_cut_as_the_kernel_cuts_them() {
        assert_eq!(Comm::from("a-very-long-process-name").to_string(), "a-very-long-pro");
    }
}
