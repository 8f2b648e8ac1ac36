//! The logical unit: takes a command, answers it. Commands run at the same time on one thread.
//!
//! What changes lives in cells that are never borrowed across an await. READ and WRITE are carried out
//! in the future of [`ScsiDisk::execute`] itself, without an allocation; every other command goes
//! through a boxed future, so that it does not make that one larger.

use std::cell::{Cell, RefCell};

use lunette_backend::{Backend, Discard, Disk, Durability, Geometry, IoError, IoErrorKind};
use lunette_iobuf::DataBuf;

use crate::attach::mode::Mode;
use crate::copy::{self, Results, Tokens};
use crate::opcodes::{self, Support};
use crate::parameters::{deliver, finish_without_data};
use crate::range_lock::RangeLock;
use crate::refusal::{Refusal, TroubleLog};
use crate::rewrite::{self, Medium};
use crate::statistics::Statistics;
use crate::{
    Access, BlockSize, ByteRange, Config, LbaRange, Op, Outcome, Sense, SenseFormat, SenseKey, asc, attach, data,
};

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
    pub(crate) buffers: attach::Buffers,
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
            buffers: attach::Buffers::default(),
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

    /// Whether a command that came now would be answered from what the unit knows, whatever storage does: it only tells
    /// something, or it is refused.
    pub fn needs_no_storage(&self, cdb: &[u8]) -> bool {
        Op::parse(cdb).map_or(true, |op| self.medium.bars(&op) || rewrite::tells_only(&op))
    }

    /// Carries a command out.
    ///
    /// `data` has the length that the initiator expects to transfer, which may differ from what the CDB
    /// says. For a command with Data-In it is filled, and zeroed behind what was filled.
    pub async fn execute(&self, cdb: &[u8], data: DataBuf) -> Outcome {
        let answer = match Op::parse(cdb) {
            Ok(op) if self.medium.bars(&op) => Err(self.barred()),
            Ok(op) if self.must_hear_of_capacity(&op) => Err(capacity_changed().into()),
            Ok(Op::Read(transfer)) => {
                let answer = self.read(&transfer, data).await;
                self.statistics.note_read(transfer.range.blocks, answer.is_ok());
                answer
            }
            Ok(Op::Write(transfer)) => {
                let answer = self.write(&transfer, data).await;
                self.statistics.note_write(transfer.range.blocks, answer.is_ok());
                answer
            }
            Ok(op) => Box::pin(self.execute_other(op, data)).await,
            Err(sense) if self.medium.bars_unread(cdb, &sense) => Err(self.barred()),
            Err(sense) => Err(sense.into()),
        };
        answer.unwrap_or_else(|refusal| self.refused(cdb, &refusal))
    }

    async fn execute_other(&self, op: Op, data: DataBuf) -> Answer {
        match op {
            Op::Read(transfer) => self.read(&transfer, data).await,
            Op::Write(transfer) => self.write(&transfer, data).await,
            Op::Verify(verify) => data::verify(self, &verify, data).await,
            Op::SynchronizeCache(range) => data::synchronize_cache(self, range, data).await,
            Op::Unmap(unmap) => data::unmap(self, &unmap, data).await,
            Op::WriteSame(same) => data::write_same(self, &same, data).await,
            Op::CompareAndWrite(swap) => data::compare_and_write(self, &swap, data).await,
            Op::WriteAndVerify(request) => data::write_and_verify(self, &request, data).await,
            Op::OrWrite(transfer) => data::orwrite(self, &transfer, data).await,
            Op::WriteAtomic(blocks) => data::write_atomic(self, blocks, data).await,
            Op::PreFetch(blocks) => data::prefetch(self, blocks, data).await,
            Op::GetLbaStatus(request) => {
                let reply = data::lba_status(self, &request).await?;
                Ok(deliver(data, &reply, request.allocation))
            }
            Op::FormatUnit(format) => rewrite::format_unit(self, format, data).await,
            Op::Sanitize(request) => rewrite::sanitize(self, &request, data).await,
            Op::PreventAllowMediumRemoval => Ok(finish_without_data(data)),
            Op::ExtendedCopy(copy) => copy::extended_copy(self, copy, data).await,
            Op::PopulateToken(command) => copy::token::populate_token(self, command, data).await,
            Op::WriteUsingToken(command) => copy::token::write_using_token(self, command, data).await,
            Op::StartStopUnit(request) => attach::start_stop(self, request, data).await,
            Op::SendDiagnostic(diagnostic) => attach::send_diagnostic(self, diagnostic, data).await,
            Op::SetTargetPortGroups { len } => attach::set_port_groups(self, len, &data),
            Op::WriteBuffer(write) => attach::write_buffer(self, write, &data),
            Op::LogSelect(select) => attach::log_select(self, select, data),
            Op::ModeSelect(select) => attach::mode::select(self, &select, data).await,
            Op::TestUnitReady => self.test_unit_ready(data).await,
            op => self.report(op, data),
        }
    }

    /// Commands that only tell something.
    fn report(&self, op: Op, data: DataBuf) -> Answer {
        let (reply, allocation) = match op {
            Op::Inquiry(inquiry) => (attach::inquiry(self, inquiry)?, inquiry.allocation),
            Op::ReadCapacity10 => (attach::read_capacity10(self), u32::MAX),
            Op::ReadCapacity16 { allocation } => (attach::read_capacity16(self), allocation),
            Op::ModeSense(sense) => (attach::mode::sense(self, &sense)?, sense.allocation),
            Op::LogSense(sense) => (attach::log_sense(self, sense)?, sense.allocation),
            Op::ReportCopy { report, allocation } => (copy::report_copy(self, report)?, allocation),
            Op::CopyOperatingParameters { allocation } => (copy::operating_parameters(self), allocation),
            Op::ReceiveRodTokenInformation { id, allocation } => (copy::token::receive_token(self, id)?, allocation),
            Op::ReceiveDiagnosticResults { allocation } => (attach::diagnostic_results(), allocation),
            Op::ReadBuffer(read) => (attach::read_buffer(self, read.what)?, read.allocation),
            Op::ReportTargetPortGroups(report) => (attach::report_port_groups(self, report)?, report.allocation),
            Op::RequestSense { descriptor, allocation } => (self.request_sense(descriptor), allocation),
            Op::ReadDefectData(request) => (data::no_defects(&request), request.allocation),
            Op::ReportSupportedOpcodes(report) => {
                (opcodes::report_opcodes(&report, self.support())?, report.allocation)
            }
            Op::ReportSupportedTmfs { extended, allocation } => (opcodes::report_tmfs(extended), allocation),
            _ => return Err(Sense::illegal(asc::INVALID_OPERATION_CODE).into()),
        };
        Ok(deliver(data, &reply, allocation))
    }

    /// What the medium is while it is not whole, else the pending unit attention, which that clears, as
    /// parameter data; or nothing to report (SPC-5 6.39).
    fn request_sense(&self, descriptor: bool) -> Vec<u8> {
        let format = if descriptor { SenseFormat::Descriptor } else { SenseFormat::Fixed };
        let sense = match self.medium.sense() {
            Some(sense) => sense,
            None if self.capacity_changed.take() => capacity_changed(),
            None => Sense::new(SenseKey::NoSense, asc::NO_ADDITIONAL_SENSE),
        };
        let (bytes, len) = sense.render(format);
        bytes[..len].to_vec()
    }

    /// Whether no command has to hear of something first, and the medium is whole.
    pub(crate) fn is_as_usual(&self) -> bool {
        !self.capacity_changed.get() && self.medium.is_whole()
    }

    fn must_hear_of_capacity(&self, op: &Op) -> bool {
        self.capacity_changed.get() && !op.bypasses_unit_attention() && self.capacity_changed.take()
    }

    #[cold]
    fn refused(&self, cdb: &[u8], refusal: &Refusal) -> Outcome {
        if let Some(error) = refusal.storage_error() {
            self.note_trouble(cdb.first().copied().unwrap_or(0), error);
        }
        refusal.outcome(self.mode.sense_format())
    }

    /// Notes that a command failed because its storage did.
    pub(crate) fn note_trouble(&self, opcode: u8, error: &IoError) {
        self.away.set(matches!(error.kind, IoErrorKind::Unreachable | IoErrorKind::Fenced));
        self.trouble.note(&self.config.identity.serial, opcode, error);
    }

    /// Why a command has to wait for the medium.
    #[cold]
    fn barred(&self) -> Refusal {
        let sense = self.medium.sense();
        sense.unwrap_or(Sense::new(SenseKey::NotReady, asc::BECOMING_READY)).into()
    }

    /// TEST UNIT READY. Path checkers send nothing else, so a unit whose storage was away when it was
    /// last asked for something asks it again.
    async fn test_unit_ready(&self, data: DataBuf) -> Answer {
        if self.away.get() {
            let block = usize::try_from(self.geometry().block_size).unwrap_or(0);
            self.disk.read(0, DataBuf::zeroed(block)).await?;
            self.away.set(false);
        }
        Ok(finish_without_data(data))
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

fn capacity_changed() -> Sense {
    Sense::new(SenseKey::UnitAttention, asc::CAPACITY_CHANGED)
}
