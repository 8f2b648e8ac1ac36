//! SEND DIAGNOSTIC and RECEIVE DIAGNOSTIC RESULTS (SPC-5 6.42, 6.29).
//!
//! A self-test asks the storage: it reads the first and the last block and makes the cache durable. There
//! is one diagnostic page, 00h, which lists itself.

use lunette_backend::{Backend, IoError, IoErrorKind};
use lunette_iobuf::DataBuf;

use crate::cdb::Cdb;
use crate::disk::Answer;
use crate::parameters::{finish_without_data, parameter_list};
use crate::refusal::Refusal;
use crate::{Op, Outcome, ScsiDisk, Sense, SenseKey, asc};

/// SEND DIAGNOSTIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnostic {
    /// The default self-test or the foreground short one, which are the same here.
    SelfTest,
    /// A diagnostic page of this PARAMETER LIST LENGTH; zero for none.
    Page {
        /// PARAMETER LIST LENGTH.
        len: u32,
    },
}

pub(crate) fn parse_send_diagnostic(cdb: Cdb<'_>) -> Result<Op, Sense> {
    const FOREGROUND_SHORT: u8 = 5;
    let (default, code, len) = (cdb.bit(1, 2), cdb.u8(1) >> 5, u32::from(cdb.be16(3)));
    let diagnostic = match (default, code) {
        (true, 0) | (false, FOREGROUND_SHORT) if len == 0 => Diagnostic::SelfTest,
        (true, 0) | (false, FOREGROUND_SHORT) => return Err(Cdb::invalid(3, 7)),
        (false, 0) => Diagnostic::Page { len },
        // Nothing is tested in the background, nor the whole medium.
        _ => return Err(Cdb::invalid(1, 7)),
    };
    if len > 0 && !cdb.bit(1, 4) {
        // PF zero: a vendor's own format.
        return Err(Cdb::invalid(1, 4));
    }
    Ok(Op::SendDiagnostic(diagnostic))
}

pub(crate) fn parse_receive_diagnostic(cdb: Cdb<'_>) -> Result<Op, Sense> {
    let (page_code_valid, page) = (cdb.bit(1, 0), cdb.u8(2));
    if page_code_valid && page != 0 {
        return Err(Cdb::invalid(2, 7));
    }
    Ok(Op::ReceiveDiagnosticResults { allocation: u32::from(cdb.be16(3)) })
}

/// Page 00h: supported diagnostic pages (SPC-5 7.2.8).
pub(crate) fn diagnostic_results() -> Vec<u8> {
    vec![0, 0, 0, 1, 0]
}

pub(crate) async fn send_diagnostic<B: Backend>(disk: &ScsiDisk<B>, diagnostic: Diagnostic, data: DataBuf) -> Answer {
    match diagnostic {
        Diagnostic::SelfTest => {
            self_test(disk).await?;
            Ok(finish_without_data(data))
        }
        Diagnostic::Page { len: 0 } => Ok(finish_without_data(data)),
        Diagnostic::Page { len } => take_page(&parameter_list(&data, len)?),
    }
}

/// Page 00h asks for the list of pages, which is all that there is to receive anyway.
fn take_page(list: &[u8]) -> Answer {
    match list {
        [0, _, 0, 0, ..] => Ok(Outcome::good()),
        [0, _, _, _, ..] => Err(Sense::parameter(2).into()),
        [_, _, _, _, ..] => Err(Sense::parameter(0).into()),
        _ => Err(Sense::illegal(asc::PARAMETER_LIST_LENGTH_ERROR).into()),
    }
}

async fn self_test<B: Backend>(disk: &ScsiDisk<B>) -> Result<(), Refusal> {
    let block = disk.block_size().bytes();
    let last = disk.disk.size().saturating_sub(u64::from(block));
    for at in [0, last] {
        let buf = DataBuf::zeroed(usize::try_from(block).unwrap_or(0));
        disk.disk.read(at, buf).await.map_err(failed)?;
    }
    disk.disk.flush().await.map_err(failed)
}

/// Storage that is out of reach has not failed a test: that is said as ever.
fn failed(error: IoError) -> Refusal {
    match error.kind {
        IoErrorKind::MediumRead | IoErrorKind::MediumWrite | IoErrorKind::Internal => {
            Refusal::StorageAs(error, Sense::new(SenseKey::HardwareError, asc::FAILED_SELF_TEST))
        }
        _ => error.into(),
    }
}
