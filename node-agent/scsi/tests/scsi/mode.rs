//! MODE SENSE and MODE SELECT, 6 and 10.

use futures::executor::block_on;
use futures::future::join;
use lunette_iobuf::DataBuf;
use lunette_scsi::{ModeState, Outcome};

use crate::lun::{INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_LIST, LIST_LENGTH_ERROR, Lun, STALE, WRONG_EXPECTED_LENGTH};

/// Pages as they are shown: PS, since this unit keeps them.
const CACHING: [u8; 20] = [0x88, 0x12, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const CONTROL: [u8; 12] = [0x8a, 0x0a, 0x02, 0x10, 0, 0x40, 0, 0, 0, 0, 0, 0];

/// The lengths of all pages, in their order, without and with their subpages.
const PAGE_LENGTHS: [usize; 5] = [12, 20, 12, 40, 12];
const ALL_LENGTHS: [usize; 9] = [12, 20, 12, 32, 16, 16, 40, 12, 16];

/// MODE SENSE (6), DBD, with this PC and page.
fn sense6(lun: &Lun, control: u8, page: u8) -> Vec<u8> {
    lun.data_in(&[0x1a, 0x08, control << 6 | page, 0, 255, 0], 255)
}

/// MODE SELECT (6) of pages behind an empty header.
fn select6(lun: &Lun, pages: &[u8]) -> Outcome {
    let list = [&[0; 4], pages].concat();
    lun.run(&[0x15, 0x10, 0, 0, u8::try_from(list.len()).unwrap(), 0], &list).outcome
}

fn with(page: &[u8], byte: usize, value: u8) -> Vec<u8> {
    let mut page = page.to_vec();
    page[byte] = value;
    page
}

#[test]
fn mode_sense_6_has_a_header_a_descriptor_and_the_page() {
    let data = Lun::new().data_in(&[0x1a, 0, 0x08, 0, 255, 0], 255);
    assert_eq!(data[..12], [31, 0, 0x10, 8, 0, 0, 0, 64, 0, 0, 2, 0]);
    assert_eq!(data[12..], CACHING);
}

#[test]
fn mode_sense_10_has_the_long_header_and_on_request_the_long_descriptor() {
    let lun = Lun::new();
    let short = lun.data_in(&[0x5a, 0, 0x0a, 0, 0, 0, 0, 0, 255, 0], 255);
    assert_eq!(short[..16], [0, 26, 0, 0x10, 0, 0, 0, 8, 0, 0, 0, 64, 0, 0, 2, 0]);
    assert_eq!(short[16..], CONTROL);
    let long = lun.data_in(&[0x5a, 0x10, 0x0a, 0, 0, 0, 0, 0, 255, 0], 255);
    let descriptor = [0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 2, 0];
    assert_eq!((&long[..8], &long[8..24]), (&[0, 34, 0, 0x10, 1, 0, 0, 16][..], &descriptor[..]));
}

#[test]
fn all_pages_come_in_order_and_the_length_counts_what_is_cut_off() {
    let lun = Lun::new();
    let all = sense6(&lun, 0, 0x3f);
    assert_eq!(all[..4], [99, 0, 0x10, 0]);
    assert_eq!(codes(&all[4..]), [(0x01, 0), (0x08, 0), (0x0a, 0), (0x1a, 0), (0x1c, 0)]);
    assert_eq!((&all[16..36], &all[36..48]), (&CACHING[..], &CONTROL[..]));
    assert_eq!(all.len(), 4 + PAGE_LENGTHS.iter().sum::<usize>());
    assert_eq!(lun.data_in(&[0x1a, 0x08, 0x3f, 0, 3, 0], 255), [99, 0, 0x10]);
    assert_eq!(lun.data_in(&[0x1a, 0x08, 0x3f, 0, 0, 0], 255), []);
}

/// Code and subpage of each page of a list.
fn codes(mut pages: &[u8]) -> Vec<(u8, u8)> {
    let mut codes = Vec::new();
    while !pages.is_empty() {
        let (code, subpage, len) = match pages[0] & 0x40 {
            0 => (pages[0] & 0x3f, 0, 2 + usize::from(pages[1])),
            _ => (pages[0] & 0x3f, pages[1], 4 + usize::from(u16::from_be_bytes([pages[2], pages[3]]))),
        };
        codes.push((code, subpage));
        pages = &pages[len..];
    }
    codes
}

#[test]
fn subpages_come_where_they_are_asked_for() {
    let lun = Lun::new();
    let of = |page, subpage| lun.data_in(&[0x1a, 0x08, page, subpage, 255, 0], 255)[4..].to_vec();
    let all = [(1, 0), (8, 0), (10, 0), (10, 1), (10, 2), (10, 5), (0x1a, 0), (0x1c, 0), (0x1c, 2)];
    assert_eq!(codes(&of(0x3f, 0xff)), all);
    assert_eq!(of(0x3f, 0xff).len(), ALL_LENGTHS.iter().sum::<usize>());
    assert_eq!(codes(&of(0x0a, 0xff)), [(10, 0), (10, 1), (10, 2), (10, 5)]);
    assert_eq!(codes(&of(0x08, 0xff)), [(8, 0)]);
    assert_eq!(of(0x0a, 0), CONTROL);
    let extension = [0x4a, 1, 0, 28, 0, 0, 96];
    assert_eq!((&of(0x0a, 1)[..7], of(0x0a, 1).len()), (&extension[..], 32));
    assert_eq!(of(0x0a, 2), [0x4a, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(of(0x0a, 5), [0x4a, 5, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(of(0x1c, 2), [0x5c, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "no threshold");
}

#[test]
fn pages_that_never_change_say_what_this_unit_is() {
    let lun = Lun::new();
    assert_eq!(sense6(&lun, 0, 0x01)[4..], [0x01, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "no retries of our own");
    assert_eq!(sense6(&lun, 0, 0x1c)[4..], [0x1c, 10, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0], "DEXCPT");
    let power = sense6(&lun, 0, 0x1a);
    assert_eq!((&power[4..6], &power[6..]), (&[0x1a, 38][..], &[0; 38][..]));
    for page in [0x01, 0x1a, 0x1c] {
        let (current, default) = (sense6(&lun, 0, page), sense6(&lun, 2, page));
        assert_eq!(current, default);
        assert!(sense6(&lun, 1, page)[6..].iter().all(|byte| *byte == 0), "nothing can be changed");
        assert!(select6(&lun, &current[4..]).is_good(), "what is may be said again");
        assert_eq!(select6(&lun, &with(&current[4..], 3, 0x55)).sense.map(|sense| sense.asc.0), Some(0x26));
    }
    let extension = lun.data_in(&[0x1a, 0x08, 0x0a, 1, 255, 0], 255)[4..].to_vec();
    assert!(select6(&lun, &extension).is_good());
    assert!(!select6(&lun, &with(&extension, 3, 27)).is_good(), "another length");
}

#[test]
fn changeable_values_are_the_masks_of_what_can_change() {
    let all = sense6(&Lun::new(), 1, 0x3f);
    assert_eq!(all[16..36], CACHING);
    assert_eq!(all[36..48], [0x8a, 0x0a, 0x04, 0, 0x08, 0, 0, 0, 0, 0, 0, 0]);
    let durable = Lun::with(|g| g.volatile_cache = false, |_| ());
    assert_eq!(sense6(&durable, 1, 0x08)[6], 0, "there is no cache to turn on");
    let forgetful = Lun::with(|_| (), |config| config.keep_mode = None);
    assert_eq!(sense6(&forgetful, 1, 0x08)[4..], with(&with(&CACHING, 2, 0), 0, 0x08));
    assert_eq!(sense6(&forgetful, 1, 0x0a)[4..], [0x0a, 0x0a, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn default_values_stay_when_current_ones_change() {
    let lun = Lun::new();
    assert!(select6(&lun, &with(&CACHING, 2, 0)).is_good());
    assert_eq!(sense6(&lun, 0, 0x08)[4..], with(&CACHING, 2, 0));
    assert_eq!(sense6(&lun, 2, 0x08)[4..], CACHING);
}

#[test]
fn saved_values_are_the_current_ones_where_they_are_kept() {
    let lun = Lun::new();
    assert!(select6(&lun, &with(&CACHING, 2, 0)).is_good());
    assert_eq!(sense6(&lun, 3, 0x08)[4..], with(&CACHING, 2, 0));
    let list = [&[0; 4], &CACHING[..]].concat();
    lun.good(&[0x15, 0x11, 0, 0, 24, 0], &list);
    assert_eq!(sense6(&lun, 3, 0x08)[4..], CACHING);
    assert_eq!(lun.kept.borrow().len(), 2, "with SP and without");
}

#[test]
fn nothing_is_saved_where_nothing_is_kept() {
    let lun = Lun::with(|_| (), |config| config.keep_mode = None);
    assert_eq!(lun.check(&[0x1a, 0x08, 0xc8, 0, 255, 0], &[STALE; 255]), (5, 0x39, 0));
    assert_eq!(lun.check(&[0x15, 0x11, 0, 0, 4, 0], &[0; 4]), INVALID_FIELD_IN_CDB);
    assert_eq!(sense6(&lun, 0, 0x08)[4], 0x08, "no PS");
}

#[test]
fn unknown_pages_and_subpages_are_refused() {
    let lun = Lun::new();
    assert_eq!(lun.check(&[0x1a, 0x08, 0x3e, 0, 255, 0], &[STALE; 255]), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&[0x1a, 0x08, 0x0a, 3, 255, 0], &[STALE; 255]), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&[0x1a, 0x08, 0x08, 1, 255, 0], &[STALE; 255]), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&[0x1a, 0x08, 0x3f, 1, 255, 0], &[STALE; 255]), INVALID_FIELD_IN_CDB);
    assert_eq!(lun.check(&[0x1a, 0x08, 0xfe, 0, 255, 0], &[STALE; 255]), INVALID_FIELD_IN_CDB, "also if saved");
}

#[test]
fn write_protection_shows_in_the_header() {
    let read_only = Lun::with(|g| g.read_only = true, |_| ());
    assert_eq!(sense6(&read_only, 0, 0x08)[2], 0x90);
}

#[test]
fn d_sense_changes_the_format_of_sense_data() {
    let lun = Lun::new();
    let nonsense = [0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0];
    assert_eq!(lun.run(&nonsense, &[]).sense()[0], 0x70);
    assert!(select6(&lun, &with(&CONTROL, 2, 0x06)).is_good());
    assert_eq!(lun.run(&nonsense, &[]).sense(), [0x72, 5, 0x24, 0, 0, 0, 0, 8, 2, 6, 0, 0, 0xcd, 0, 1, 0]);
    let kept = ModeState { descriptor_sense: true, ..ModeState::default() };
    assert_eq!(*lun.kept.borrow(), [kept]);
}

#[test]
fn software_write_protection_refuses_writes_and_shows() {
    let lun = Lun::new();
    assert!(select6(&lun, &with(&CONTROL, 4, 0x08)).is_good());
    assert_eq!(lun.check(&[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], &lun.blocks(1, 7)), (7, 0x27, 2));
    assert_eq!(sense6(&lun, 0, 0x0a)[2], 0x90);
    assert!(select6(&lun, &CONTROL).is_good());
    lun.good(&[0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0], &lun.blocks(1, 7));
}

#[test]
fn mode_select_10_takes_both_descriptors_that_say_what_is() {
    let lun = Lun::new();
    let short = [&[0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 64, 0, 0, 2, 0], &CONTROL[..]].concat();
    lun.good(&[0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0], &short);
    let descriptor = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 2, 0];
    let long = [&[0, 0, 0, 0, 1, 0, 0, 16], &descriptor[..], &CONTROL].concat();
    lun.good(&[0x55, 0x10, 0, 0, 0, 0, 0, 0, 36, 0], &long);
    assert!(lun.kept.borrow().is_empty(), "nothing has changed");
}

#[test]
fn a_list_that_is_wrong_anywhere_changes_nothing() {
    let lun = Lun::new();
    let refused: [(&str, Vec<u8>); 7] = [
        ("an unknown page", with(&CONTROL, 0, 0x02)),
        ("a subpage that does not exist", with(&CONTROL, 0, 0x4a)),
        ("another page length", with(&CONTROL, 1, 0x0b)),
        ("a bit that cannot change", with(&CONTROL, 3, 0)),
        ("a reserved byte", with(&CONTROL, 11, 1)),
        ("wrong after right", [with(&CACHING, 2, 0), with(&CONTROL, 3, 0)].concat()),
        ("read cache disabled", with(&CACHING, 2, 0x05)),
    ];
    for (what, pages) in refused {
        let sense = select6(&lun, &pages).sense.expect(what);
        assert_eq!((sense.asc.0, sense.asc.1), (0x26, 0), "{what}");
    }
    assert_eq!(sense6(&lun, 0, 0x08)[4..], CACHING);
    assert!(lun.kept.borrow().is_empty());
}

#[test]
fn a_wrong_header_or_descriptor_is_refused_with_a_pointer() {
    let lun = Lun::new();
    let list = |bytes: &[u8]| lun.run(&[0x15, 0x10, 0, 0, u8::try_from(bytes.len()).unwrap(), 0], bytes);
    assert_eq!(list(&[0, 1, 0, 0]).sense()[12..], [0x26, 0, 0, 0x80, 0, 1]);
    assert_eq!(list(&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]).sense()[12..], [0x26, 0, 0, 0x80, 0, 3]);
    assert_eq!(list(&[0, 0, 0, 8, 0, 0, 0, 65, 0, 0, 2, 0]).sense()[12..], [0x26, 0, 0, 0x80, 0, 4]);
    assert_eq!(list(&[0, 0, 0, 8, 0, 0, 0, 64, 0, 0, 4, 0]).sense()[12..], [0x26, 0, 0, 0x80, 0, 9]);
}

#[test]
fn a_list_that_ends_too_early_is_a_length_error() {
    let lun = Lun::new();
    let full = [&[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0], &CONTROL[..]].concat();
    for len in [1, 3, 5, 11, 13, 14, 23] {
        let cdb = [0x15, 0x10, 0, 0, u8::try_from(len).unwrap(), 0];
        assert_eq!(lun.check(&cdb, &full[..len]), LIST_LENGTH_ERROR, "{len} bytes");
    }
    lun.good(&[0x15, 0x10, 0, 0, 24, 0], &full);
    lun.good(&[0x15, 0x10, 0, 0, 12, 0], &full);
    lun.good(&[0x15, 0x10, 0, 0, 0, 0], &[]);
    assert_eq!(lun.check(&[0x15, 0x10, 0, 0, 24, 0], &full[..23]), WRONG_EXPECTED_LENGTH);
    assert_eq!(lun.check(&[0x15, 0x10, 0, 0, 16, 0], &[0; 16]), INVALID_FIELD_IN_LIST);
}

#[test]
fn a_vendors_format_is_refused() {
    let lun = Lun::new();
    assert_eq!(lun.check(&[0x15, 0x00, 0, 0, 16, 0], &[0; 16]), INVALID_FIELD_IN_CDB);
}

#[test]
fn a_unit_opens_with_the_mode_parameters_that_were_kept() {
    let kept = ModeState { write_cache: false, descriptor_sense: true, software_write_protect: false };
    let lun = Lun::with(|_| (), |config| config.mode = kept);
    assert_eq!(sense6(&lun, 0, 0x08)[6], 0);
    assert_eq!(lun.run(&[0xff; 10], &[]).sense()[0], 0x72);
}

#[test]
fn changes_at_the_same_time_do_not_undo_each_other() {
    let lun = Lun::new();
    lun.ram.delay.set(3);
    let list = |page: &[u8]| DataBuf::from_slice(&[&[0; 4], page].concat());
    let cache_off = lun.scsi.execute(&[0x15, 0x10, 0, 0, 24, 0], list(&with(&CACHING, 2, 0)));
    let descriptors = lun.scsi.execute(&[0x15, 0x10, 0, 0, 16, 0], list(&with(&CONTROL, 2, 0x06)));
    let (first, second) = block_on(join(cache_off, descriptors));
    assert!(first.is_good() && second.is_good());
    assert_eq!(lun.kept.borrow().last().map(|state| (state.write_cache, state.descriptor_sense)), Some((false, true)));
}

#[test]
fn what_cannot_be_kept_is_not_changed() {
    let fail = |config: &mut lunette_scsi::Config| {
        config.keep_mode = Some(Box::new(|_| Err(std::io::Error::other("full"))));
    };
    let lun = Lun::with(|_| (), fail);
    let sense = select6(&lun, &with(&CACHING, 2, 0)).sense.expect("it fails");
    assert_eq!((sense.key as u8, sense.asc.0), (4, 0x44));
    assert_eq!(sense6(&lun, 0, 0x08)[4..], CACHING);
}
