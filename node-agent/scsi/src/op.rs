//! A command, parsed: what a CDB asks for, in types. Pure: it depends on nothing but the CDB.
//!
//! Whether the LUN can do it (its size, its limits, its write protection) is the handlers' to say.

pub use crate::attach::mode::{ModeSelect, ModeSense, PageControl};
pub use crate::attach::{
    BufferPart, Diagnostic, Inquiry, LogSelect, LogSense, PortGroupReport, ReadBuffer, StartStop, WriteBuffer,
};
pub use crate::copy::{CopyReport, ExtendedCopy, TokenCommand};
pub use crate::data::{
    ByteCheck, CompareAndWrite, GetLbaStatus, ReadDefectData, Transfer, Unmap, Verify, WriteAndVerify, WriteSame,
};
pub use crate::opcodes::{OpcodeReport, Selection};
pub use crate::rewrite::{Format, Method, Sanitize};
use crate::{LbaRange, Sense, opcodes};

/// A parsed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the commands of SPC-5 and SBC-4, by their names")]
pub enum Op {
    TestUnitReady,
    RequestSense { descriptor: bool, allocation: u32 },
    Inquiry(Inquiry),
    ReadCapacity10,
    ReadCapacity16 { allocation: u32 },
    ModeSense(ModeSense),
    ModeSelect(ModeSelect),
    StartStopUnit(StartStop),
    LogSense(LogSense),
    LogSelect(LogSelect),
    SendDiagnostic(Diagnostic),
    ReceiveDiagnosticResults { allocation: u32 },
    ReadBuffer(ReadBuffer),
    WriteBuffer(WriteBuffer),
    ReportTargetPortGroups(PortGroupReport),
    SetTargetPortGroups { len: u32 },
    ReportSupportedOpcodes(OpcodeReport),
    ReportSupportedTmfs { extended: bool, allocation: u32 },
    Read(Transfer),
    Write(Transfer),
    Verify(Verify),
    SynchronizeCache(LbaRange),
    Unmap(Unmap),
    WriteSame(WriteSame),
    CompareAndWrite(CompareAndWrite),
    WriteAndVerify(WriteAndVerify),
    OrWrite(Transfer),
    WriteAtomic(LbaRange),
    PreFetch(LbaRange),
    GetLbaStatus(GetLbaStatus),
    ReadDefectData(ReadDefectData),
    PreventAllowMediumRemoval,
    FormatUnit(Format),
    Sanitize(Sanitize),
    ExtendedCopy(ExtendedCopy),
    ReportCopy { report: CopyReport, allocation: u32 },
    CopyOperatingParameters { allocation: u32 },
    PopulateToken(TokenCommand),
    WriteUsingToken(TokenCommand),
    ReceiveRodTokenInformation { id: u32, allocation: u32 },
}

impl Op {
    /// Parses a CDB by the opcode table.
    ///
    /// # Errors
    /// INVALID COMMAND OPERATION CODE for what is not in the table; INVALID FIELD IN CDB, with a field
    /// pointer, for an unknown service action, a reserved bit, or a value that a command does not take.
    pub fn parse(cdb: &[u8]) -> Result<Self, Sense> {
        opcodes::parse(cdb)
    }

    /// Whether the command is carried out even while a unit attention is pending (SAM-5 5.14.1).
    #[must_use]
    pub fn bypasses_unit_attention(&self) -> bool {
        matches!(self, Self::Inquiry(_) | Self::RequestSense { .. })
    }
}
