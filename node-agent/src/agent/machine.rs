//! What the agent asks of the machine before it serves: that it is the only one, enough open files, a name.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use thiserror::Error;

/// Why this process cannot be the agent of this machine.
#[derive(Debug, Error)]
pub enum NotTheAgent {
    /// Another one is.
    #[error("another agent (process {0}) serves this machine: stop it first")]
    Another(String),
    /// That cannot be found out.
    #[error("cannot {what} {}: are you root?", path.display())]
    Unknown {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        error: io::Error,
    },
}

/// One agent a machine: two would serve each other's rings.
pub fn only_agent(path: &Path) -> Result<Flock<File>, NotTheAgent> {
    let unknown = |what, path: &Path| {
        let path = path.to_owned();
        move |error| NotTheAgent::Unknown { what, path, error }
    };
    if let Some(parent) = path.parent() {
        // Root's alone: the agent's socket is made in it.
        DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(unknown("make", parent))?;
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(unknown("open", path))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            write_our_number(&mut lock).map_err(unknown("write to", path))?;
            Ok(lock)
        }
        Err((mut file, Errno::EWOULDBLOCK)) => {
            let mut pid = String::new();
            // Whoever holds it may be writing its number just now.
            let _ = file.read_to_string(&mut pid);
            Err(NotTheAgent::Another(pid.trim().to_owned()))
        }
        Err((_, errno)) => Err(unknown("lock", path)(errno.into())),
    }
}

fn write_our_number(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

/// Enough for ten thousand LUNs, which take some nine descriptors each.
const OPEN_FILES: u64 = 1 << 17;

/// The default limit would do for a hundred LUNs, and the hard limit of some machines for a few hundred: with the right
/// to (`CAP_SYS_RESOURCE`) that is raised too.
pub fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, most)| {
        let enough = most.max(OPEN_FILES);
        setrlimit(Resource::RLIMIT_NOFILE, enough, enough).or_else(|_| setrlimit(Resource::RLIMIT_NOFILE, most, most))
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// This node's name: the one given, else the host's.
pub fn node_name(given: Option<&str>) -> anyhow::Result<String> {
    match given {
        Some(name) => Ok(name.to_owned()),
        None => {
            let name = nix::unistd::gethostname().context("the host has no name: give --node")?;
            name.into_string().map_err(|_| anyhow::anyhow!("the host's name is no text: give --node"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_agent_is_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/agent.lock");
        let held = only_agent(&path).unwrap();
        let pid = std::process::id().to_string();
        assert!(matches!(only_agent(&path), Err(NotTheAgent::Another(other)) if other == pid));
        let below_a_file = only_agent(&path.join("agent.lock"));
        assert!(matches!(below_a_file, Err(NotTheAgent::Unknown { what: "make", .. })), "{below_a_file:?}");
        drop(held);
        assert!(only_agent(&path).is_ok());
    }
}
