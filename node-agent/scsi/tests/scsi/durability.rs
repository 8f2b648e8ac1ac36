//! What survives a power cut: exactly what was promised.

use futures::executor::block_on;
use futures::future::join;
use lunette_iobuf::DataBuf;

use crate::lun::{Lun, cdb10, cdb16, swap};

const WCE_OFF: [u8; 24] = [0, 0, 0, 0, 0x08, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn turn_cache_off(lun: &Lun) {
    lun.good(&[0x15, 0x10, 0, 0, 24, 0], &WCE_OFF);
}

#[test]
fn a_plain_write_is_volatile_until_it_is_flushed() {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 0, 1), &lun.blocks(1, 1));
    lun.ram.cut_power();
    assert_eq!(lun.medium(0, 1), lun.blocks(1, 0));
    for sync in [cdb10(0x35, 0, 0, 0), cdb10(0x35, 2, 7, 9), cdb16(0x91, 0, 0, 0), cdb16(0x91, 2, 63, 1)] {
        lun.good(&cdb10(0x2a, 0, 0, 1), &lun.blocks(1, sync[0]));
        lun.good(&sync, &[]);
        lun.ram.cut_power();
        assert_eq!(lun.medium(0, 1), lun.blocks(1, sync[0]), "{sync:02x?}");
    }
}

#[test]
fn a_flush_beyond_the_end_is_refused() {
    let lun = Lun::new();
    assert_eq!(lun.check(&cdb10(0x35, 0, 60, 5), &[]), (5, 0x21, 0));
    assert_eq!(lun.check(&cdb16(0x91, 0, 65, 0), &[]), (5, 0x21, 0));
}

#[test]
fn a_write_with_fua_is_durable_when_it_is_acknowledged() {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 8, 0, 1), &lun.blocks(1, 1));
    let mut compare = swap(1, 1);
    compare[1] = 8;
    lun.good(&compare, &[lun.blocks(1, 0), lun.blocks(1, 2)].concat());
    lun.ram.cut_power();
    assert_eq!(lun.medium(0, 2), [lun.blocks(1, 1), lun.blocks(1, 2)].concat());
    assert_eq!(lun.ram.count("flush"), 0, "one durable write, not a flush of everything");
}

#[test]
fn a_read_with_fua_returns_only_what_is_durable() {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 0, 1), &lun.blocks(1, 1));
    let read = lun.data_in(&cdb10(0x28, 8, 0, 1), 512);
    lun.ram.cut_power();
    assert_eq!(lun.medium(0, 1), read);
}

#[test]
fn turning_the_cache_off_makes_earlier_and_later_writes_durable() {
    let lun = Lun::new();
    lun.good(&cdb10(0x2a, 0, 0, 1), &lun.blocks(1, 1));
    turn_cache_off(&lun);
    lun.good(&cdb10(0x2a, 0, 1, 1), &lun.blocks(1, 2));
    lun.good(&swap(2, 1), &[lun.blocks(1, 0), lun.blocks(1, 3)].concat());
    lun.good(&cdb10(0x41, 0, 3, 2), &lun.blocks(1, 4));
    lun.good(&cdb10(0x2a, 0, 5, 1), &lun.blocks(1, 5));
    lun.good(&cdb16(0x93, 9, 5, 1), &[]);
    let before = lun.ram.bytes();
    lun.ram.cut_power();
    assert_eq!(lun.ram.bytes(), before);
    assert_eq!(lun.kept.borrow().iter().filter(|state| !state.write_cache).count(), 1);
}

/// A write that is still running as a volatile one when the cache goes off must not outlive that.
#[test]
fn a_write_that_was_running_is_durable_once_the_cache_is_off() {
    for delay in 1..5 {
        let lun = Lun::new();
        lun.ram.delay.set(delay);
        let (write, select) = (cdb10(0x2a, 0, 0, 1), [0x15, 0x10, 0, 0, 24, 0]);
        let written = lun.scsi.execute(&write, DataBuf::from_slice(&lun.blocks(1, 7)));
        let changed = lun.scsi.execute(&select, DataBuf::from_slice(&WCE_OFF));
        let (written, changed) = block_on(join(written, changed));
        assert!(written.is_good() && changed.is_good());
        lun.ram.cut_power();
        assert_eq!(lun.medium(0, 1), lun.blocks(1, 7));
    }
}

#[test]
fn unmapped_blocks_do_not_come_back_without_a_cache() {
    let lun = Lun::new();
    turn_cache_off(&lun);
    lun.good(&cdb10(0x2a, 0, 0, 8), &lun.blocks(8, 1));
    lun.good(&cdb10(0x42, 0, 0, 24), &crate::unmap::list(&[(0, 8)]));
    lun.ram.cut_power();
    assert_eq!(lun.medium(0, 8), lun.blocks(8, 0));
}

#[test]
fn a_volume_without_a_cache_writes_durably() {
    let lun = Lun::with(|g| g.volatile_cache = false, |_| ());
    lun.good(&cdb10(0x2a, 0, 0, 1), &lun.blocks(1, 1));
    lun.ram.cut_power();
    assert_eq!(lun.medium(0, 1), lun.blocks(1, 1));
}

#[test]
fn a_cache_that_cannot_be_flushed_stays_on() {
    let lun = Lun::new();
    lun.ram.fail.set(Some(lunette_backend::IoErrorKind::MediumWrite));
    assert_eq!(lun.check(&[0x15, 0x10, 0, 0, 24, 0], &WCE_OFF), (3, 0x0c, 0));
    assert_eq!(lun.data_in(&[0x1a, 8, 8, 0, 255, 0], 255)[6], 0x04);
}
