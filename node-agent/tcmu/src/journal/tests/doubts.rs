//! Journals that are not of this ring, or are damaged: none is believed.

use std::os::unix::fs::FileExt;

use super::*;

fn doubt(bench: &mut Bench) -> Doubt {
    bench.next().err().expect("no reason to believe it")
}

/// A ring with one command in flight and two answered, its agent dead.
fn crashed() -> Bench {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    for cell in 0..3 {
        bench.write(cell, 1, 1);
    }
    let _first = take(&mut ring);
    for _ in 0..2 {
        let command = take(&mut ring);
        ring.complete(command.ticket, &Reply::GOOD);
        assert!(ring.publish());
    }
    bench.kernel.harvest();
    bench
}

#[test]
fn an_empty_journal_is_of_no_ring() {
    let mut bench = Bench::new();
    assert_eq!(doubt(&mut bench), Doubt::Foreign);
}

#[test]
fn the_journal_of_another_boot_is_foreign() {
    let mut bench = crashed();
    let journal = Journal::open(&bench.path(), BOOT + 1).unwrap();
    let refused = bench.kernel.claim().resume(journal).err().unwrap();
    assert_eq!(refused.doubt, Doubt::Foreign);
}

#[test]
fn the_journal_of_a_device_that_was_made_anew_is_foreign() {
    let mut bench = crashed();
    bench.kernel.recreate();
    assert_eq!(doubt(&mut bench), Doubt::Foreign);
}

#[test]
fn a_ring_that_someone_reset_is_noticed_by_its_tail() {
    let mut bench = crashed();
    bench.kernel.reset_ring(1);
    assert_eq!(doubt(&mut bench), Doubt::Tail);
}

#[test]
fn a_ring_that_was_reset_while_its_tail_stood_at_0_is_noticed_by_its_entries() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    bench.write(0, 1, 1);
    drop((take(&mut ring), ring));
    bench.kernel.reset_ring(1);
    assert_eq!(doubt(&mut bench), Doubt::Entries, "nothing is queued");
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    bench.write(0, 1, 1);
    drop((take(&mut ring), ring));
    bench.kernel.reset_ring(1);
    bench.write(5, 1, 1);
    assert_eq!(doubt(&mut bench), Doubt::Entries, "another command has the same id and place");
}

#[test]
fn a_ring_that_was_found_broken_is_not_gone_on_with() {
    let mut bench = Bench::new();
    let (_device, mut ring) = bench.first();
    bench.write(0, 1, 1);
    let entry = bench.kernel.last_entry().map(|at| bench.kernel.base(at)).unwrap();
    bench.kernel.poke32(entry, 1);
    assert!(ring.next().is_err());
    drop(ring);
    assert_eq!(doubt(&mut bench), Doubt::Void);
}

#[test]
fn a_journal_that_was_refused_stays_refused() {
    let mut bench = crashed();
    let journal = Journal::open(&bench.path(), BOOT + 1).unwrap();
    assert!(bench.kernel.claim().resume(journal).is_err());
    assert_eq!(doubt(&mut bench), Doubt::Void, "the ring is reset in the next moment");
}

#[test]
fn any_word_of_the_journal_may_be_damaged_without_harm() {
    let mut bench = crashed();
    let file = std::fs::File::options().read(true).write(true).open(bench.path()).unwrap();
    let words = (0..16).chain(layout::LOG..layout::LOG + 8).chain(record(0)..record(4));
    for at in words {
        for damage in [0_u64, 1, 3, u64::MAX, 1 << 33] {
            let (place, mut before) = (8 * at as u64, [0; 8]);
            file.read_exact_at(&mut before, place).unwrap();
            let after = u64::from_ne_bytes(before) ^ damage;
            file.write_all_at(&after.to_ne_bytes(), place).unwrap();
            // Believed or not: no panic, and whatever comes out can be told apart.
            if let Ok(mut next) = bench.next() {
                drop(sort(std::mem::take(&mut next.interrupted), &next.history, |_, _| Effect::UNKNOWN));
            }
            file.write_all_at(&before, place).unwrap();
            file.write_all_at(&1_u64.to_ne_bytes(), 8 * VALID as u64).unwrap();
        }
    }
    assert!(bench.next().is_ok(), "the intact one is believed");
}

#[test]
fn a_file_of_another_size_is_made_anew() {
    let mut bench = crashed();
    std::fs::write(bench.path(), b"short").unwrap();
    assert_eq!(doubt(&mut bench), Doubt::Foreign);
}

#[test]
fn ids_beyond_the_first_records_make_room_for_themselves() {
    let config = Config { ring_bytes: 1 << 20, blocks: 16, block_size: 4096, flags: 0xf };
    let mut bench = Bench { kernel: Kernel::new(config), ..Bench::new() };
    let (_device, mut ring) = bench.first();
    let tags: Vec<Tag> = (0..600).map(|_| bench.kernel.submit(Sent::bare(&cdb(READ, 0, 0)))).collect();
    let taken: Vec<Command> = tags.iter().map(|_| take(&mut ring)).collect();
    assert!(ring.has_journal());
    drop((taken, ring));
    let (mut next, sorted) = bench.sorted();
    assert_eq!(sorted.again.len(), 600);
    for command in sorted.again {
        next.ring.complete(command.ticket, &Reply::GOOD);
    }
    assert!(next.ring.publish());
    assert!(tags.iter().all(|tag| bench.status(*tag) == Some(0)));
}
