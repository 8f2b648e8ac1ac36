//! A machine with one disk, played: it can be killed before any step that changes something, and then does nothing
//! until it is started again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lunette_api::csi::VolumeId;
use lunette_api::identity;
use lunette_initiator::{Address, Disk, DiskError, Wwid};
use nix::sys::stat::makedev;
use tokio::time::Instant;

use crate::call::{Call, Ended};
use crate::content::Content;
use crate::filesystem::FileSystem;
use crate::host::{Host, HostError, Usage};
use crate::luns::{Luns, Obstacle, Trouble, Volume};
use crate::mounts::{self, Mount};

pub const UID: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";
pub const DISK: &str = "/dev/sdb";
const DEVTMPFS: (u64, u64) = (0, 6);
const NUMBER: (u64, u64) = (8, 16);

/// What there is.
pub struct State {
    pub content: Content,
    pub disk: Disk,
    pub attached: bool,
    pub epoch: u64,
    /// Bytes that the file system takes up.
    pub grown_to: u64,
    pub mounts: Vec<Mount>,
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    pub folders: BTreeSet<PathBuf>,
    /// Programs that were run, and what was erased.
    pub ran: Vec<String>,
    /// What ends badly, and how.
    pub fails: Option<(&'static str, i32)>,
    /// What the agent says to every attach.
    pub obstacle: Option<Obstacle>,
    /// After so many steps more it is dead.
    pub lives_for: Option<usize>,
}

/// The machine, its agent, and its disk.
#[derive(Clone)]
pub struct World(Arc<Mutex<State>>);

impl World {
    pub fn new() -> Self {
        let at = Address { host: 2, channel: 0, target: 1, lun: 0 };
        let wwid: Option<Wwid> = identity::wwid(UID).parse().ok();
        let disk = Disk { at, path: DISK.into(), wwid, size: 1 << 30, read_only: false, multipath: None };
        Self(Arc::new(Mutex::new(State {
            content: Content::Empty,
            disk,
            attached: false,
            epoch: 1,
            grown_to: 0,
            mounts: Vec::new(),
            files: BTreeMap::new(),
            folders: ["/stage", "/pods"].map(PathBuf::from).into(),
            ran: Vec::new(),
            fails: None,
            obstacle: None,
            lives_for: None,
        })))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing of any volume is left but empty folders of others.
    pub fn is_clean(&self) -> bool {
        let state = self.state();
        !state.attached && state.mounts.is_empty() && state.files.is_empty() && state.folders.len() == 2
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.lives_for == Some(0) { Err(io::Error::other("the agent is dead")) } else { Ok(state) }
    }

    /// One step further, unless it is dead; then nothing is done.
    fn step(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.alive()?;
        if let Some(steps) = &mut state.lives_for {
            *steps -= 1;
        }
        Ok(state)
    }
}

fn failed(path: &Path, error: io::Error) -> HostError {
    HostError::Io { what: "use", path: path.to_owned(), error }
}

impl State {
    fn shows(&mut self, number: (u64, u64), root: &str, point: &str, kind: &str, options: &str) {
        self.mounts.push(Mount {
            number: makedev(number.0, number.1),
            root: root.into(),
            point: point.into(),
            options: options.split(',').map(str::to_owned).collect(),
            shared: true,
            kind: kind.to_owned(),
            source: DISK.to_owned(),
            file_system_options: vec!["rw".to_owned()],
        });
    }

    fn mounted(&mut self, arguments: &[String]) -> i32 {
        let [_, kind, _, options, _, at] = arguments else { return 1 };
        match &self.content {
            Content::FileSystem(found) if found.name() == kind && self.folders.contains(Path::new(at)) => {
                let (kind, options, at) = (kind.clone(), options.clone(), at.clone());
                self.shows(NUMBER, "/", &at, &kind, &options);
                0
            }
            _ => 32,
        }
    }
}

impl Host for World {
    type Held = ();

    fn hold(&self, disk: &Path, wwid: &Wwid) -> Result<((), Disk), HostError> {
        let state = self.alive().map_err(|error| failed(disk, error))?;
        if !state.attached {
            return Err(DiskError::Gone { path: disk.to_owned() }.into());
        }
        if state.disk.wwid.as_ref() != Some(wwid) {
            let (at, found) = (state.disk.at, state.disk.wwid.clone());
            return Err(DiskError::Other { at, path: disk.to_owned(), found, want: wwid.clone() }.into());
        }
        Ok(((), state.disk.clone()))
    }

    fn numbered(&self, number: u64) -> Result<Option<Disk>, HostError> {
        let state = self.state();
        Ok((number == makedev(NUMBER.0, NUMBER.1) && state.attached).then(|| state.disk.clone()))
    }

    fn number(&self, _: &Path) -> Result<Option<u64>, HostError> {
        Ok(Some(makedev(NUMBER.0, NUMBER.1)))
    }

    fn is_running(&self, _: &Disk) -> (bool, String) {
        let lost = self.state().fails == Some(("disk", 0));
        (!lost, if lost { "transport-offline" } else { "running" }.to_owned())
    }

    fn content(&self, disk: &Path) -> Result<Content, HostError> {
        Ok(self.alive().map_err(|error| failed(disk, error))?.content.clone())
    }

    fn erase(&self, disk: &Path) -> Result<(), HostError> {
        let mut state = self.step().map_err(|error| failed(disk, error))?;
        state.ran.push("erase".to_owned());
        state.content = Content::Empty;
        Ok(())
    }

    fn run(&self, call: &Call) -> Result<Ended, HostError> {
        let dead = |error| failed(Path::new(call.program), error);
        let mut state = self.step().map_err(dead)?;
        state.ran.push(format!("{} {}", call.program, call.arguments.join(" ")));
        let status = state.fails.filter(|(program, _)| *program == call.program).map_or(0, |(_, status)| status);
        let making = match call.program {
            "mkfs.ext4" => Some(FileSystem::Ext4),
            "mkfs.xfs" => Some(FileSystem::Xfs),
            _ => None,
        };
        if let Some(file_system) = making {
            state.content = Content::Foreign("half a file system".to_owned());
            drop(state);
            state = self.step().map_err(dead)?;
            if status == 0 {
                state.content = Content::FileSystem(file_system);
                state.grown_to = state.disk.size;
            }
        }
        let status = match call.program {
            "mount" if status == 0 => state.mounted(&call.arguments),
            "resize2fs" | "xfs_growfs" if status == 0 => {
                state.grown_to = state.disk.size;
                0
            }
            _ => status,
        };
        Ok(Ended { status, said: String::new() })
    }

    fn mounts(&self) -> Result<Vec<Mount>, HostError> {
        Ok(self.alive().map_err(|error| failed(Path::new("mounts"), error))?.mounts.clone())
    }

    fn bind(&self, from: &Path, to: &Path) -> Result<(), HostError> {
        let mut state = self.step().map_err(|error| failed(to, error))?;
        let to = to.display().to_string();
        match mounts::at(&state.mounts, from).cloned() {
            Some(mount) => state.mounts.push(Mount { point: to.into(), ..mount }),
            None => state.shows(DEVTMPFS, "/sdb", &to, "devtmpfs", "rw"),
        }
        Ok(())
    }

    fn set_read_only(&self, mount: &Mount) -> Result<(), HostError> {
        let mut state = self.step().map_err(|error| failed(&mount.point, error))?;
        for there in state.mounts.iter_mut().filter(|there| there.point == mount.point) {
            there.options = vec!["ro".to_owned()];
        }
        Ok(())
    }

    fn unmount(&self, path: &Path) -> Result<(), HostError> {
        let mut state = self.step().map_err(|error| failed(path, error))?;
        let top = state.mounts.iter().rposition(|mount| mount.point == path);
        let top = top.ok_or_else(|| failed(path, io::ErrorKind::InvalidInput.into()))?;
        state.mounts.remove(top);
        Ok(())
    }

    fn usage(&self, _: &Path) -> Result<Usage, HostError> {
        Ok(Usage { bytes: [100, 60, 40], inodes: Some([10, 9, 1]) })
    }

    fn resolved(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }

    fn make_folder(&self, path: &Path) -> Result<(), HostError> {
        self.step().map_err(|error| failed(path, error))?.folders.insert(path.to_owned());
        Ok(())
    }

    fn make_file(&self, path: &Path) -> Result<(), HostError> {
        self.step().map_err(|error| failed(path, error))?.files.entry(path.to_owned()).or_default();
        Ok(())
    }

    fn remove_empty(&self, path: &Path) -> Result<(), HostError> {
        let mut state = self.step().map_err(|error| failed(path, error))?;
        state.folders.remove(path);
        state.files.remove(path);
        Ok(())
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.alive().map_err(|error| failed(path, error))?.files.get(path).cloned())
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), HostError> {
        self.step().map_err(|error| failed(path, error))?.files.insert(path.to_owned(), content.to_vec());
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<(), HostError> {
        self.step().map_err(|error| failed(path, error))?.files.remove(path);
        Ok(())
    }
}

impl Luns for World {
    async fn attach(&self, _: &Volume, _: Instant) -> Result<PathBuf, Obstacle> {
        let mut state = self.step().map_err(|error| Obstacle::NotYet(error.to_string()))?;
        if let Some(obstacle) = state.obstacle.clone() {
            return Err(obstacle);
        }
        state.attached = true;
        Ok(state.disk.path.clone())
    }

    async fn detach(&self, _: &Volume, _: Instant) -> Result<(), Obstacle> {
        let mut state = self.step().map_err(|error| Obstacle::NotYet(error.to_string()))?;
        if !state.mounts.is_empty() {
            return Err(Obstacle::Refused("it is in use".to_owned()));
        }
        state.attached = false;
        Ok(())
    }

    async fn look_up(&self, id: &VolumeId, _: Instant) -> Result<Option<(Volume, u64)>, Obstacle> {
        let state = self.alive().map_err(|error| Obstacle::NotYet(error.to_string()))?;
        Ok((id.name == "db").then(|| (Volume { id: id.clone(), uid: UID.to_owned() }, state.epoch)))
    }

    fn is_ready(&self) -> bool {
        true
    }

    async fn troubles(&self) -> Vec<Trouble> {
        Vec::new()
    }
}
