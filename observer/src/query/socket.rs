//! The file of the query socket: open to its owner and group only from the first moment, and removed at the end.

use std::{
    fs::{self, File, Permissions},
    io,
    os::{
        fd::AsFd as _,
        unix::{
            fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
};

use nix::unistd::Group;
use thiserror::Error;
use tokio::net::{UnixListener, UnixSocket};

/// Owner and group may connect.
const MODE: u32 = 0o660;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 32;

/// Why the socket cannot be made.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another daemon listens there.
    #[error(
        "another observer answers at {}: stop it, or choose another socket with --socket", path.display()
    )]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The file is not a socket, so it may be somebody's data.
    #[error("{} exists and is not a socket: remove it, or choose another path with --socket", path.display())]
    NoSocket {
        /// The file.
        path: PathBuf,
    },
    /// This host has no such group.
    #[error("there is no group {group:?}: create it, or choose another with --socket-group")]
    NoGroup {
        /// Its name.
        group: String,
    },
    /// The host's groups cannot be read.
    #[error("looking up the group {group:?}")]
    Group {
        /// Its name.
        group: String,
        /// The error of the look-up.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot listen at {}; choose another path with --socket", path.display())]
    Other {
        /// The socket.
        path: PathBuf,
        /// The kernel's error.
        source: io::Error,
    },
}

/// A listening socket. Dropping it removes its file.
#[derive(Debug)]
pub struct QuerySocket {
    pub(super) listener: std::os::unix::net::UnixListener,
    /// The group that may ask, besides root and the daemon's own user.
    pub(super) gid: u32,
    file: SocketFile,
}

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode. By the time this daemon ends, another daemon's socket may be at the path.
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.id)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::debug!("removing {}: {error}", self.path.display());
        }
    }
}

/// The number of the group with this name.
///
/// # Errors
/// There is no such group, or the host's groups cannot be read.
pub fn group_id(name: &str) -> Result<u32, SocketError> {
    let group = name.to_owned();
    match Group::from_name(name) {
        Ok(found) => found.map(|found| found.gid.as_raw()).ok_or(SocketError::NoGroup { group }),
        Err(errno) => Err(SocketError::Group { group, source: errno.into() }),
    }
}

impl QuerySocket {
    /// Creates the socket, and replaces one that a dead daemon left behind. The members of `group` may ask; None
    /// means the daemon's own group. Needs the context of a tokio runtime, but does not stay bound to it.
    ///
    /// # Errors
    /// Another daemon listens at `path`, another kind of file is there, the group is unknown, or the kernel refuses.
    pub fn bind(path: &Path, group: Option<&str>) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Other { path: path.to_owned(), source };
        let gid = match group {
            Some(name) => group_id(name)?,
            None => nix::unistd::getegid().as_raw(),
        };
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        clear(path)?;
        let socket = UnixSocket::new_stream().map_err(failed)?;
        // The file takes its mode from the socket (`unix_bind_bsd`), so its mode is never wider than this.
        let handle = socket.as_fd().try_clone_to_owned().map_err(failed)?;
        File::from(handle).set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        socket.bind(path).map_err(failed)?;
        let found = fs::symlink_metadata(path).map_err(failed)?;
        let file = SocketFile { path: path.to_owned(), id: (found.dev(), found.ino()) };
        let listener = socket.listen(BACKLOG).and_then(UnixListener::into_std).map_err(failed)?;
        if group.is_some() {
            chown(path, None, Some(gid)).map_err(failed)?;
        }
        fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed)?;
        Ok(Self { listener, gid, file })
    }

    /// The path of its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

/// Removes a socket at which no daemon listens any more.
fn clear(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Other { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NoSocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            log::debug!("removing the socket {} of a daemon that has ended", path.display());
            fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => Err(SocketError::Taken { path: path.to_owned() }),
    }
}
