//! What the SCSI room costs per command over storage that is not there: for a profiler that counts instructions.
//!
//! Only `agent_execute` is measured; what it includes is parsing, every check, the range lock, the outcome. Run as
//! `cost-ring` is.

#[allow(dead_code, reason = "an open volume of these is enough here")]
#[path = "../../null/src/nothing.rs"]
mod nothing;

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use lunette_backend::{Disk, OpenOptions};
use lunette_iobuf::DataBuf;
use lunette_scsi::{Config, Identity, ScsiDisk};
use nothing::Nothing;

const ROUNDS: u32 = 1000;
const BYTES: usize = 4096;

fn main() {
    let options = OpenOptions { block_size: 512, read_only: false, write_cache: true };
    let unit = ScsiDisk::new(Disk::new(Nothing::of(1 << 30, &options)), Config::new(Identity::new([0x60; 16], "cost")));
    // Parts of one buffer: letting go of one frees no memory, as with the ring's.
    let mut rest = DataBuf::zeroed(BYTES * ROUNDS as usize);
    for round in 0..ROUNDS {
        let [a, b, c, d] = (round * 8).to_be_bytes();
        let code = if round % 2 == 0 { 0x28 } else { 0x2a };
        let (data, left) = rest.split_at(BYTES);
        agent_execute(&unit, &[code, 0, a, b, c, d, 0, 0, 8, 0], data);
        rest = left;
    }
    println!("{ROUNDS} commands of 4 KiB, READ (10) and WRITE (10) by turns");
}

/// One command, to its end.
#[inline(never)]
fn agent_execute(unit: &ScsiDisk<Nothing>, cdb: &[u8], mut data: DataBuf) {
    if let Some(outcome) = unit.execute_at_once(cdb, &mut data) {
        assert!(black_box(outcome).is_good());
        return;
    }
    let outcome = pin!(unit.execute(cdb, data)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(outcome) = outcome else { panic!("nothing is there to be waited for") };
    assert!(black_box(outcome).is_good());
}
