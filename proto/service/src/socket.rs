//! Sockets on this machine, for its superuser or the driver's own user alone: whoever may call may make and delete
//! volumes.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::bail;
use futures::Stream;
use tokio::net::{UnixListener, UnixStream};

/// A socket that is open; the file goes with it, unless another has taken its place.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    inode: (u64, u64),
}

impl Socket {
    /// Leaves the file to whoever takes its place.
    pub fn leave(mut self) {
        self.path.clear();
    }
}

/// The path in `unix:///PATH`, or a plain absolute path.
///
/// # Errors
/// When it is neither.
pub fn path(endpoint: &str) -> anyhow::Result<PathBuf> {
    let path = endpoint.strip_prefix("unix://").unwrap_or(endpoint);
    if !path.starts_with('/') {
        bail!("endpoint {endpoint:?} is no absolute path of a socket: write unix:///csi/csi.sock");
    }
    Ok(PathBuf::from(path))
}

/// Opens the socket for this user alone.
///
/// It is made beside its place and moved there, so that nobody meets one that is not ready; one that an earlier
/// process left is replaced, and nothing but a socket is. The name beside it begins with a dot: the kubelet passes
/// such over in its folder of plugins.
///
/// # Errors
/// When it cannot be made there.
pub fn bind(path: &Path) -> io::Result<(UnixListener, Socket)> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "something is there that is no socket: remove it"));
        }
        _ => {}
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("socket");
    let making = path.with_file_name(format!(".{name}.{}", std::process::id()));
    // A process of this number may have ended while it made one.
    let _ = fs::remove_file(&making);
    let listener = UnixListener::bind(&making)?;
    fs::set_permissions(&making, Permissions::from_mode(0o600))?;
    let inode = inode(&making)?;
    fs::rename(&making, path)?;
    Ok((listener, Socket { path: path.to_owned(), inode }))
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

impl Drop for Socket {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|there| there == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Those who call, as they come.
pub fn incoming(listener: UnixListener) -> impl Stream<Item = io::Result<UnixStream>> {
    futures::stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_socket_on_this_machine() {
        for endpoint in ["unix:///csi/csi.sock", "/csi/csi.sock"] {
            assert_eq!(path(endpoint).expect("a path"), Path::new("/csi/csi.sock"));
        }
        for endpoint in ["tcp://0.0.0.0:1", "csi.sock", "unix://csi.sock", ""] {
            assert!(path(endpoint).is_err(), "{endpoint}");
        }
    }

    #[tokio::test]
    async fn a_successor_takes_the_place_and_the_first_leaves_it_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("csi.sock");
        let (_listener, first) = bind(&path).expect("it is made");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let (_listener, second) = bind(&path).expect("it is replaced");
        drop(first);
        assert!(path.exists());
        let (_listener, third) = bind(&path).expect("it is replaced");
        third.leave();
        assert!(path.exists());
        let (_listener, fourth) = bind(&path).expect("it is replaced");
        drop(second);
        assert!(path.exists());
        let second = fourth;
        drop(second);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[tokio::test]
    async fn nothing_but_a_socket_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("csi.sock");
        fs::write(&path, "precious").expect("a file");
        assert!(bind(&path).is_err());
        assert_eq!(fs::read(&path).expect("it is there"), b"precious");
    }
}
