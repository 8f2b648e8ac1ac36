//! Which room carries out which command.
//!
//! READ and WRITE are carried out in the future of [`ScsiDisk::execute`] itself, without an allocation; every other command
//! goes through a boxed future, so that it does not make that one larger.

use lunette_backend::Backend;
use lunette_iobuf::DataBuf;

use crate::disk::Answer;
use crate::parameters::{deliver, finish_without_data};
use crate::refusal::Refusal;
use crate::{Op, Outcome, ScsiDisk, Sense, SenseFormat, SenseKey, asc, attach, copy, data, opcodes, rewrite};

const CAPACITY_CHANGED: Sense = Sense::new(SenseKey::UnitAttention, asc::CAPACITY_CHANGED);

impl<B: Backend> ScsiDisk<B> {
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
            Ok(op) if self.must_hear_of_capacity(&op) => Err(CAPACITY_CHANGED.into()),
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
        let sense = self.medium.sense().or_else(|| self.take_capacity_changed().then_some(CAPACITY_CHANGED));
        let sense = sense.unwrap_or(Sense::new(SenseKey::NoSense, asc::NO_ADDITIONAL_SENSE));
        let (bytes, len) = sense.render(format);
        bytes[..len].to_vec()
    }

    fn must_hear_of_capacity(&self, op: &Op) -> bool {
        !op.bypasses_unit_attention() && self.take_capacity_changed()
    }

    #[cold]
    fn refused(&self, cdb: &[u8], refusal: &Refusal) -> Outcome {
        if let Some(error) = refusal.storage_error() {
            self.note_trouble(cdb.first().copied().unwrap_or(0), error);
        }
        refusal.outcome(self.mode.sense_format())
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
        if self.is_away() {
            let block = usize::try_from(self.geometry().block_size).unwrap_or(0);
            self.disk.read(0, DataBuf::zeroed(block)).await?;
            self.note_back();
        }
        Ok(finish_without_data(data))
    }
}
