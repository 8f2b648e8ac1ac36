//! NodeStageVolume: the LUN becomes a disk of this machine, and what is on it is brought to the staging directory.
//!
//! In this order, each step leaving what is done already alone: the record says whose the directory is to be; the LUN
//! is attached; the disk is held open and says who it is; a file system is made if the disk is empty, checked if it
//! will be written, mounted, found to be that disk's, and grown to its size.

use std::path::{Path, PathBuf};

use lunette_csi_service::busy::InFlight;
use lunette_csi_service::deadline::Deadline;
use lunette_csi_service::failure::{Failure, Kind};
use lunette_initiator::{BadWwid, Disk, Wwid};
use lunette_proto::csi;
use thiserror::Error;

use crate::call::Call;
use crate::content::Content;
use crate::filesystem::{self, FileSystem};
use crate::host::{Host, HostError};
use crate::luns::{Luns, Obstacle};
use crate::record::Record;
use crate::request::{self, Access, Published, RequestError, Use};
use crate::staging::{self, Shown, Staging};
use crate::work::{Unfinished, blocking};
use crate::{Driver, unstage};

/// Why a volume is not staged.
#[derive(Debug, Error)]
pub enum StageError {
    /// The call is wrong.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Another call is at it.
    #[error(transparent)]
    InFlight(#[from] InFlight),
    /// No outcome.
    #[error(transparent)]
    Unfinished(#[from] Unfinished),
    /// The LUN is no disk of this machine.
    #[error(transparent)]
    Lun(#[from] Obstacle),
    /// No identity.
    #[error(transparent)]
    Wwid(#[from] BadWwid),
    /// Kernel, programs, disk.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The directory is another volume's.
    #[error("{} is staged for the Lun with UID {uid}, which is another one: unstage that first", folder.display())]
    Another {
        /// The directory.
        folder: PathBuf,
        /// Whose it is.
        uid: String,
    },
    /// Something else is mounted there.
    #[error("something is mounted on {} that is not the volume (it shows {shows}): unmount it", path.display())]
    NotTheVolume {
        /// Where.
        path: PathBuf,
        /// What.
        shows: String,
    },
    /// It is staged otherwise.
    #[error("the volume is staged on this node already, {0}")]
    Otherwise(&'static str),
    /// Nothing of ours is on the disk.
    #[error(
        "{} holds {found}, so nothing is made on it: if its data are of no use any more, erase it (`wipefs -a`, and zeros over its first and last MiB) or delete the volume",
        disk.display()
    )]
    Foreign {
        /// The disk's device file.
        disk: PathBuf,
        /// What it holds.
        found: String,
    },
    /// Another file system than is asked for.
    #[error("{} holds {found}, not {wanted}: ask for {found}, or for another volume", disk.display())]
    OtherFileSystem {
        /// The disk's device file.
        disk: PathBuf,
        /// What it holds.
        found: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// Nothing to read.
    #[error("{} is empty, and it is read-only here: stage it for writing once, so that it gets a file system", disk.display())]
    EmptyAndReadOnly {
        /// The disk's device file.
        disk: PathBuf,
    },
    /// It is read-only here, and cannot be mounted as it is.
    #[error(
        "{} is read-only here, and cannot be mounted as it is ({error}). If it is a copy of a volume that was in use, its file system has to be mounted for writing once, which brings its journal to an end: make the copy with access mode ReadWriteOnce, have a pod use it, and claim a clone of it with ReadOnlyMany",
        disk.display()
    )]
    Unfit {
        /// The disk's device file.
        disk: PathBuf,
        /// What mount said.
        error: HostError,
    },
    /// The file system is broken.
    #[error("the file system on {} has faults that e2fsck does not mend by itself (status {status}): run `e2fsck {}` by hand. {said}", disk.display(), disk.display())]
    Broken {
        /// The disk's device file.
        disk: PathBuf,
        /// The checker's exit status.
        status: i32,
        /// What it said.
        said: String,
    },
    /// mkfs failed.
    #[error("no file system could be made: {0}")]
    Making(HostError),
}

impl Failure for StageError {
    fn kind(&self) -> Kind {
        match self {
            Self::Request(error) => error.kind(),
            Self::InFlight(_) => Kind::Busy,
            Self::Unfinished(error) => error.kind(),
            Self::Lun(error) => error.kind(),
            Self::Host(error) => error.kind(),
            Self::Wwid(_) | Self::Making(_) => Kind::Internal,
            Self::Otherwise(_) => Kind::Exists,
            Self::Another { .. }
            | Self::NotTheVolume { .. }
            | Self::Foreign { .. }
            | Self::OtherFileSystem { .. }
            | Self::EmptyAndReadOnly { .. }
            | Self::Unfit { .. }
            | Self::Broken { .. } => Kind::Precondition,
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    published: Published,
    folder: PathBuf,
    usage: Use,
    mkfs_options: Vec<String>,
}

impl Request {
    /// Reads the call.
    ///
    /// # Errors
    /// What is missing in it or cannot be.
    pub fn read(call: &csi::NodeStageVolumeRequest) -> Result<Self, RequestError> {
        let id = request::volume_id(&call.volume_id)?;
        let folder = request::path(&call.staging_target_path, "staging_target_path")?;
        let usage = Use::read(call.volume_capability.as_ref())?;
        let id = request::ours(id, &call.volume_id)?;
        let published = Published::read(id, &call.publish_context, &call.volume_context)?;
        Ok(Self { published, folder, usage, mkfs_options: request::mkfs_options(&call.volume_context) })
    }
}

/// Stages the volume. After a failure that will not pass by itself nothing is left of what the call did.
///
/// # Errors
/// Why it is not staged.
pub async fn stage<L: Luns, H: Host>(
    driver: &Driver<L, H>,
    request: Request,
    deadline: Deadline,
) -> Result<(), StageError> {
    let volume = request.published.volume.clone();
    let _turn = driver.busy.begin(&volume.id)?;
    let staging = Staging::new(driver.host.as_ref(), &request.folder);
    let work = Work { host: driver.host.clone(), wwid: volume.wwid()?, request, staging: staging.clone() };
    let (work, staged) = blocking(move || work.staged().map(|staged| (work, staged))).await?;
    if let Some(disk) = staged {
        return blocking(move || work.bring(&disk)).await;
    }
    let outcome = match driver.luns.attach(&volume, deadline.instant()).await {
        Ok(disk) => blocking(move || work.bring(&disk)).await,
        Err(obstacle) => Err(obstacle.into()),
    };
    if let Err(error) = &outcome
        && is_final(error)
        && let Err(left) = unstage::undone(driver, Some(&volume), &staging, deadline).await
    {
        // The first failure is what counts.
        tracing::warn!(volume = %volume.id, "after a failed NodeStageVolume: {left}");
    }
    outcome
}

/// Whether the kubelet takes it for over, and will not unstage what was done (its `isFinalError`,
/// `pkg/volume/csi/csi_client.go`).
fn is_final(error: &StageError) -> bool {
    !matches!(error.kind(), Kind::Busy | Kind::Unavailable | Kind::Deadline)
}

/// What every step needs.
struct Work<H> {
    host: std::sync::Arc<H>,
    wwid: Wwid,
    request: Request,
    staging: Staging,
}

impl<H: Host> Work<H> {
    /// The disk's device file if the volume is mounted here already. If not, the record says from now on whose the
    /// directory is.
    fn staged(&self) -> Result<Option<PathBuf>, StageError> {
        self.host.make_folder(&self.staging.folder)?;
        let before = Record::read(self.host.as_ref(), &self.staging.record())?;
        let uid = &self.request.published.volume.uid;
        if let Some(other) = before.as_ref().filter(|record| record.uid != *uid) {
            return Err(StageError::Another { folder: self.staging.folder.clone(), uid: other.uid.clone() });
        }
        if let Some(shown) = staging::shown(self.host.as_ref(), &self.staging.volume())? {
            let disk = self.is_as_asked(&shown)?;
            if before.is_none() {
                self.record(None)?;
            }
            return Ok(Some(disk.path));
        }
        let unfinished = before.and_then(|record| record.formatting);
        self.record(unfinished.filter(|epoch| *epoch == self.request.published.epoch))?;
        Ok(None)
    }

    fn record(&self, formatting: Option<u64>) -> Result<(), HostError> {
        let record = Record { uid: self.request.published.volume.uid.clone(), formatting };
        record.write(self.host.as_ref(), &self.staging.record())
    }

    /// The disk that is mounted, if it is the volume's, and mounted as it is asked for.
    fn is_as_asked(&self, shown: &Shown) -> Result<Disk, StageError> {
        let Shown { mount, disk } = shown;
        let Some(disk) = disk.as_ref().filter(|disk| disk.wwid.as_ref() == Some(&self.wwid)) else {
            return Err(StageError::NotTheVolume { path: self.staging.volume(), shows: mount.source.clone() });
        };
        match &self.request.usage.access {
            Access::Block if !mount.is_of_a_file() => Err(StageError::Otherwise("as a file system")),
            Access::Mount(..) if mount.is_of_a_file() => Err(StageError::Otherwise("as a block device")),
            Access::Mount(Some(wanted), _) if wanted.name() != mount.kind => {
                Err(StageError::Otherwise("with another file system"))
            }
            Access::Mount(..) if mount.is_read_only() && !self.read_only(disk) => {
                Err(StageError::Otherwise("read-only"))
            }
            Access::Mount(..) if !mount.is_read_only() && self.read_only(disk) => {
                Err(StageError::Otherwise("for writing"))
            }
            _ => Ok(disk.clone()),
        }
    }

    fn read_only(&self, disk: &Disk) -> bool {
        self.request.usage.read_only || disk.read_only
    }

    /// Brings what is on the disk to the staging directory.
    fn bring(&self, path: &Path) -> Result<(), StageError> {
        let (_held, disk) = self.host.hold(path, &self.wwid)?;
        if staging::shown(self.host.as_ref(), &self.staging.volume())?.is_none() {
            match &self.request.usage.access {
                Access::Block => self.bind(&disk)?,
                Access::Mount(wanted, flags) => self.mount(&disk, *wanted, flags)?,
            }
        }
        let shown = staging::shown(self.host.as_ref(), &self.staging.volume())?;
        let shown = shown.ok_or_else(|| self.vanished())?;
        self.is_as_asked(&shown)?;
        match &self.request.usage.access {
            Access::Mount(..) if !shown.mount.is_read_only() => Ok(grown(self.host.as_ref(), &shown, &disk)?),
            _ => Ok(()),
        }
    }

    fn vanished(&self) -> HostError {
        let error = std::io::Error::other("somebody has unmounted it just now");
        HostError::Io { what: "mount on", path: self.staging.volume(), error }
    }

    fn bind(&self, disk: &Disk) -> Result<(), StageError> {
        self.host.make_file(&self.staging.volume())?;
        Ok(self.host.bind(&disk.path, &self.staging.volume())?)
    }

    fn mount(&self, disk: &Disk, wanted: Option<FileSystem>, flags: &[String]) -> Result<(), StageError> {
        let (name, read_only) = (disk.path.display().to_string(), self.read_only(disk));
        let file_system = self.file_system(disk, wanted)?;
        if let Some(check) = file_system.check(&name).filter(|_| !read_only) {
            let checked = self.host.run(&check)?;
            if !filesystem::is_sound(checked.status) {
                let (disk, status, said) = (disk.path.clone(), checked.status, checked.said);
                return Err(StageError::Broken { disk, status, said });
            }
        }
        let at = self.staging.volume();
        self.host.make_folder(&at)?;
        let options = file_system.options(flags, read_only);
        match done(self.host.as_ref(), &file_system.mount(&name, &at, &options)) {
            Err(error) if disk.read_only => Err(StageError::Unfit { disk: disk.path.clone(), error }),
            outcome => Ok(outcome?),
        }
    }

    /// The file system on the disk; made, if nothing is on it, or nothing but what an earlier attempt of ours left.
    fn file_system(&self, disk: &Disk, wanted: Option<FileSystem>) -> Result<FileSystem, StageError> {
        let path = || disk.path.clone();
        let record = Record::read(self.host.as_ref(), &self.staging.record())?;
        let unfinished = record.and_then(|record| record.formatting) == Some(self.request.published.epoch);
        if unfinished {
            self.host.erase(&disk.path)?;
        }
        match (self.host.content(&disk.path)?, wanted) {
            (Content::Foreign(found), _) => Err(StageError::Foreign { disk: path(), found }),
            (Content::FileSystem(found), Some(wanted)) if found != wanted => {
                Err(StageError::OtherFileSystem { disk: path(), found: found.name(), wanted: wanted.name() })
            }
            (Content::FileSystem(found), _) => Ok(found),
            (Content::Empty, _) if self.read_only(disk) => Err(StageError::EmptyAndReadOnly { disk: path() }),
            (Content::Empty, wanted) => self.made(disk, wanted.unwrap_or_default()),
        }
    }

    fn made(&self, disk: &Disk, file_system: FileSystem) -> Result<FileSystem, StageError> {
        self.record(Some(self.request.published.epoch))?;
        let make = file_system.make(&disk.path.display().to_string(), &self.request.mkfs_options);
        done(self.host.as_ref(), &make).map_err(StageError::Making)?;
        self.record(None)?;
        Ok(file_system)
    }
}

/// Grows a mounted file system to its disk's size.
pub fn grown(host: &impl Host, shown: &Shown, disk: &Disk) -> Result<(), HostError> {
    let Some(file_system) = FileSystem::named(&shown.mount.kind) else { return Ok(()) };
    done(host, &file_system.grow(&disk.path.display().to_string(), &shown.mount.point))
}

/// Runs a program that must end well.
fn done(host: &impl Host, call: &Call) -> Result<(), HostError> {
    let ended = host.run(call)?;
    if ended.status == 0 {
        return Ok(());
    }
    Err(HostError::Failed { program: call.program, status: ended.status, said: ended.said.trim().to_owned() })
}
