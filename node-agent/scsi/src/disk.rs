//! The logical unit: what it is made of, and what its commands ask of it. They run at the same time on one thread, so what
//! changes lives in cells that are never borrowed across an await.

use std::cell::{Cell, RefCell};

use lunette_backend::{Backend, Discard, Disk, Durability, Geometry, IoError, IoErrorKind};

use crate::attach::Buffers;
use crate::attach::mode::Mode;
use crate::copy::{Results, Tokens};
use crate::range_lock::RangeLock;
use crate::refusal::{Refusal, TroubleLog};
use crate::rewrite::Medium;
use crate::statistics::Statistics;
use crate::support::Support;
use crate::{Access, BlockSize, ByteRange, Config, LbaRange, Outcome, Sense, SenseKey, asc};

/// A SCSI disk over a backend.
pub struct ScsiDisk<B> {
    pub(crate) disk: Disk<B>,
    pub(crate) config: Config,
    pub(crate) mode: Mode,
    pub(crate) locks: RangeLock,
    pub(crate) medium: Medium,
    pub(crate) statistics: Statistics,
    /// What copies have done.
    pub(crate) copies: Results,
    pub(crate) tokens: Tokens,
    /// For initiators that test their path.
    pub(crate) buffers: Buffers,
    /// How it can be reached, as far as that is known.
    pub(crate) access: RefCell<Option<Access>>,
    capacity_changed: Cell<bool>,
    /// Whether storage was out of reach when a command last failed.
    away: Cell<bool>,
    trouble: TroubleLog,
}

/// What a handler comes to.
pub(crate) type Answer = Result<Outcome, Refusal>;

impl<B: Backend> ScsiDisk<B> {
    /// A logical unit over an open volume.
    pub fn new(disk: Disk<B>, mut config: Config) -> Self {
        let mode = Mode::new(config.mode, disk.geometry().volatile_cache, config.keep_mode.take());
        let access = config.access.take();
        Self {
            disk,
            config,
            mode,
            locks: RangeLock::new(),
            medium: Medium::default(),
            statistics: Statistics::default(),
            copies: Results::default(),
            tokens: Tokens::default(),
            buffers: Buffers::default(),
            access: RefCell::new(access),
            capacity_changed: Cell::new(false),
            away: Cell::new(false),
            trouble: TroubleLog::default(),
        }
    }

    /// The volume.
    pub fn disk(&self) -> &Disk<B> {
        &self.disk
    }

    /// Looks up the volume's size anew, and notes a unit attention if it changed.
    ///
    /// # Errors
    /// When the storage cannot be asked; the old size stays in force.
    pub fn refresh_size(&self) -> Result<u64, IoError> {
        let before = self.disk.size();
        self.disk.refresh_size()?;
        if self.disk.size() != before {
            self.note_capacity_changed();
        }
        Ok(self.disk.size())
    }

    /// Makes the next command end with CAPACITY DATA HAS CHANGED, once.
    ///
    /// A ring does not tell which initiator sent a command, so only one initiator, whichever comes
    /// first, hears of it this way; whoever grows a volume has every initiator rescan.
    pub fn note_capacity_changed(&self) {
        self.capacity_changed.set(true);
    }

    /// Tells it how it can be reached, once its fabric has said, and whenever that changes.
    pub fn set_access(&self, access: Access) {
        self.access.replace(Some(access));
    }

    /// Whether nobody has heard of the capacity's change yet; whoever asks tells it.
    pub(crate) fn take_capacity_changed(&self) -> bool {
        self.capacity_changed.take()
    }

    /// Whether no command has to hear of something first, and the medium is whole.
    pub(crate) fn is_as_usual(&self) -> bool {
        !self.capacity_changed.get() && self.medium.is_whole()
    }

    /// Whether storage was out of reach when it was last asked for something.
    pub(crate) fn is_away(&self) -> bool {
        self.away.get()
    }

    /// Notes that storage answers again.
    pub(crate) fn note_back(&self) {
        self.away.set(false);
    }

    /// Notes that a command failed because its storage did.
    pub(crate) fn note_trouble(&self, opcode: u8, error: &IoError) {
        self.away.set(matches!(error.kind, IoErrorKind::Unreachable | IoErrorKind::Fenced));
        self.trouble.note(&self.config.identity.serial, opcode, error);
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        self.disk.geometry()
    }

    pub(crate) fn block_size(&self) -> BlockSize {
        BlockSize::new(self.geometry().block_size)
    }

    /// Logical blocks of the volume.
    pub(crate) fn capacity(&self) -> u64 {
        self.block_size().blocks_in(self.disk.size())
    }

    pub(crate) fn support(&self) -> Support {
        let discard = self.geometry().discard != Discard::Unsupported;
        let tpgs = self.access.borrow().as_ref().map_or(0, |access| access.group.tpgs());
        Support {
            discard,
            atomic: self.disk.atomic_limit() > 0,
            reservations: self.config.reservations,
            port_groups: tpgs != 0,
            explicit_port_groups: tpgs & 2 != 0,
        }
    }

    /// MAXIMUM ATOMIC TRANSFER LENGTH: no more than one transfer brings.
    pub(crate) fn atomic_blocks(&self) -> u32 {
        let limit = self.block_size().blocks_in(self.disk.atomic_limit());
        u32::try_from(limit).unwrap_or(u32::MAX).min(self.config.limits.transfer_blocks(self.block_size()))
    }

    /// The bytes of a run of blocks that lies inside the volume.
    pub(crate) fn locate(&self, range: LbaRange) -> Result<ByteRange, Sense> {
        let inside = range.is_within(self.capacity());
        let bytes = range.bytes(self.block_size()).filter(|_| inside);
        bytes.ok_or(const { Sense::illegal(asc::LBA_OUT_OF_RANGE) })
    }

    /// Refuses what must not be written now.
    pub(crate) fn check_writable(&self) -> Result<(), Sense> {
        if self.geometry().read_only {
            return Err(Sense::new(SenseKey::DataProtect, asc::WRITE_PROTECTED));
        }
        if self.mode.software_write_protect() {
            return Err(Sense::new(SenseKey::DataProtect, asc::SOFTWARE_WRITE_PROTECTED));
        }
        Ok(())
    }

    /// When a write may be acknowledged: at once only with a write cache, and without FUA.
    pub(crate) fn durability(&self, fua: bool) -> Durability {
        if self.mode.write_cache() && !fua { Durability::Volatile } else { Durability::Durable }
    }
}
