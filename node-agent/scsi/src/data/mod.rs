//! Commands that read, write or compare the medium (SBC-4 clause 5).

mod at_once;
mod compare;
mod compare_and_write;
mod defects;
mod flaw;
mod lba_status;
mod orwrite;
mod prefetch;
mod rw;
mod sync;
mod unmap;
mod verify;
mod write_and_verify;
mod write_atomic;
mod write_same;

pub use compare_and_write::CompareAndWrite;
pub(crate) use compare_and_write::{compare_and_write, parse_compare_and_write};
pub use defects::ReadDefectData;
pub(crate) use defects::{no_defects, parse_read_defect_data10, parse_read_defect_data12};
pub use lba_status::GetLbaStatus;
pub(crate) use lba_status::{lba_status, parse_get_lba_status};
pub(crate) use orwrite::{orwrite, parse_orwrite16};
pub(crate) use prefetch::{parse_prefetch10, parse_prefetch16, prefetch};
pub use rw::Transfer;
pub(crate) use rw::{
    parse_read6, parse_read10, parse_read12, parse_read16, parse_read32, parse_write6, parse_write10, parse_write12,
    parse_write16, parse_write32,
};
pub(crate) use sync::{parse_sync10, parse_sync16, synchronize_cache};
pub use unmap::Unmap;
pub(crate) use unmap::{parse_unmap, unmap, unmapped};
pub use verify::{ByteCheck, Verify};
pub(crate) use verify::{parse_verify10, parse_verify12, parse_verify16, parse_verify32, verify};
pub use write_and_verify::WriteAndVerify;
pub(crate) use write_and_verify::{
    parse_write_and_verify10, parse_write_and_verify12, parse_write_and_verify16, parse_write_and_verify32,
    write_and_verify,
};
pub(crate) use write_atomic::{parse_write_atomic16, write_atomic};
pub use write_same::WriteSame;
pub(crate) use write_same::{parse_write_same10, parse_write_same16, parse_write_same32, write_same};

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes at a time of commands that move more through memory of ours than fits one transfer.
pub(crate) const CHUNK: u64 = 256 << 10;

/// Lets the LUN's other commands go on: a long command whose storage never waits would hold them up.
#[derive(Default)]
pub(crate) struct Yield {
    yielded: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
