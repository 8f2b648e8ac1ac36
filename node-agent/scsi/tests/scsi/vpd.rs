//! Vital product data pages, byte for byte.

use lunette_backend::Discard;

use lunette_scsi::TargetPort;

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, NAA, STALE, access};

fn page(lun: &Lun, code: u8) -> Vec<u8> {
    lun.data_in(&[0x12, 1, code, 0, 255, 0], 255)
}

#[test]
fn page_00_lists_exactly_the_pages_that_answer() {
    let lun = Lun::new();
    let listed = page(&lun, 0x00);
    assert_eq!(listed, [0, 0, 0, 11, 0x00, 0x80, 0x83, 0x86, 0x87, 0x88, 0x8f, 0xb0, 0xb1, 0xb2, 0xb7]);
    for code in 0..=255 {
        let answers = lun.run(&[0x12, 1, code, 0, 255, 0], &[STALE; 255]).outcome.is_good();
        assert_eq!(answers, listed[4..].contains(&code), "page {code:02x}");
    }
    let hidden = Lun::with(|_| (), |config| config.access = None);
    assert_eq!(page(&hidden, 0x00), [0, 0, 0, 10, 0x00, 0x80, 0x83, 0x86, 0x87, 0x8f, 0xb0, 0xb1, 0xb2, 0xb7]);
    assert_eq!(lun.check(&[0x12, 1, 0x84, 0, 255, 0], &[STALE; 255]), INVALID_FIELD_IN_CDB);
}

#[test]
fn page_80_is_the_serial_number() {
    assert_eq!(page(&Lun::new(), 0x80), b"\x00\x80\x00\x100123456789abcdef");
    let long = Lun::with(|_| (), |config| config.identity.serial = "x".repeat(1000));
    assert_eq!(page(&long, 0x80).len(), 255);
}

#[test]
fn page_83_identifies_the_unit_by_naa_and_by_vendor() {
    let data = page(&Lun::with(|_| (), |config| config.access = None), 0x83);
    assert_eq!(data[..4], [0, 0x83, 0, 20 + 28]);
    assert_eq!((&data[4..8], &data[8..24]), (&[1, 3, 0, 16][..], &NAA[..]));
    assert_eq!((&data[24..28], &data[28..]), (&[2, 1, 0, 24][..], &b"LUNETTE 0123456789abcdef"[..]));
}

#[test]
fn page_83_names_the_uuid_that_the_unit_has() {
    let uuid = *b"0123456789abcdef";
    let data = page(&Lun::with(|_| (), |config| (config.access, config.identity.uuid) = (None, Some(uuid))), 0x83);
    assert_eq!(data[3], 20 + 28 + 22);
    assert_eq!((&data[52..58], &data[58..]), (&[1, 0x0a, 0, 18, 0x10, 0][..], &uuid[..]));
}

#[test]
fn page_83_names_the_group_and_the_only_port() {
    let data = page(&Lun::new(), 0x83);
    let name = [&[3, 0x18, 0, 28], &b"iqn.2026-01.a:t,t,0x0001"[..], &[0; 4]].concat();
    assert_eq!(data[52..60], [1, 0x15, 0, 4, 0, 0, 0, 3]);
    assert_eq!(data[60..68], [1, 0x14, 0, 4, 0, 0, 1, 2]);
    assert_eq!(data[68..], name);
}

#[test]
fn page_83_does_not_guess_which_of_several_ports_it_was() {
    let lun = Lun::new();
    let mut access = access();
    access.ports.push(TargetPort { relative_id: 9, name: String::new() });
    lun.scsi.set_access(access);
    assert_eq!(page(&lun, 0x83)[52..], [1, 0x15, 0, 4, 0, 0, 0, 3]);
    assert_eq!(lun.data_in(&[0x12, 0, 0, 0, 36, 0], 36)[6], 0x10, "MULTIP");
}

#[test]
fn page_86_says_what_the_unit_can() {
    let data = page(&Lun::new(), 0x86);
    assert_eq!((data.len(), &data[..14]), (64, &[0, 0x86, 0, 60, 0, 0x01, 0x01, 0, 0, 0, 0, 0, 0, 96][..]));
    assert_eq!(data[14..], [0; 50]);
    assert_eq!(page(&Lun::with(|g| g.volatile_cache = false, |_| ()), 0x86)[6], 0, "no volatile cache");
}

#[test]
fn page_87_says_that_mode_pages_are_shared() {
    assert_eq!(page(&Lun::new(), 0x87), [0, 0x87, 0, 4, 0x3f, 0xff, 0, 0]);
}

#[test]
fn page_88_lists_every_port() {
    let lun = Lun::new();
    let mut access = access();
    access.ports.push(TargetPort { relative_id: 9, name: String::new() });
    lun.scsi.set_access(access);
    let data = page(&lun, 0x88);
    assert_eq!(data[..16], [0, 0x88, 0, 12 + 32 + 12, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 32]);
    assert_eq!(&data[16..44], [&[3, 0x18, 0, 28], &b"iqn.2026-01.a:t,t,0x0001"[..]].concat());
    assert_eq!(data[44..], [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn page_b7_has_neither_streams_nor_scattered_writes() {
    assert_eq!(page(&Lun::new(), 0xb7), [&[0, 0xb7, 0, 28][..], &[0; 28]].concat());
}

#[test]
fn page_b0_tells_the_limits_that_are_enforced() {
    let data = page(&Lun::new(), 0xb0);
    let expected = [
        0, 0xb0, 0, 0x3c, 0, 4, 0, 8, 0, 0, 0, 64, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0, 4, 0, 0, 0, 8, 0x80,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128,
    ];
    assert_eq!((&data[..44], &data[44..48], &data[48..]), (&expected[..], &[0, 0, 0, 8][..], &[0; 16][..]));
}

#[test]
fn page_b0_has_no_unmap_limits_without_unmap() {
    let data = page(&Lun::with(|g| g.discard = Discard::Unsupported, |_| ()), 0xb0);
    assert_eq!(data[20..36], [0; 16]);
}

#[test]
fn page_b1_says_that_nothing_rotates() {
    let data = page(&Lun::new(), 0xb1);
    assert_eq!((data.len(), &data[..9]), (64, &[0, 0xb1, 0, 0x3c, 0, 1, 0, 0x40, 1][..]));
    let thick = page(&Lun::with(|g| g.discard = Discard::Unsupported, |_| ()), 0xb1);
    assert_eq!(thick[7], 0, "nothing is block erased there");
}

#[test]
fn page_b2_follows_the_geometry() {
    let provisioning =
        |discard, thin| page(&Lun::with(|g| (g.discard, g.thin) = (discard, thin), |_| ()), 0xb2)[4..].to_vec();
    assert_eq!(provisioning(Discard::Zeroes, true), [0, 0xe4, 2, 0]);
    assert_eq!(provisioning(Discard::Zeroes, false), [0, 0xe4, 1, 0]);
    assert_eq!(provisioning(Discard::Unspecified, true), [0, 0xe0, 2, 0]);
    assert_eq!(provisioning(Discard::Unsupported, true), [0, 0, 0, 0]);
}

#[test]
fn page_b2_has_threshold_sets_of_a_mebibyte_where_space_is_counted() {
    for (block_size, exponent) in [(512, 11), (4096, 8)] {
        let lun = Lun::with(|g| g.block_size = block_size, |_| ());
        lun.ram.available.set(Some(0));
        assert_eq!(page(&lun, 0xb2)[4..], [exponent, 0xe4, 2, 0]);
    }
}

#[test]
fn page_b0_has_a_length_that_suits_where_storage_has_none() {
    let optimal = |preferred, most| {
        let lun = Lun::with(|g| g.preferred_io = preferred, |config| config.limits.max_transfer = most);
        u32::from_be_bytes(page(&lun, 0xb0)[12..16].try_into().unwrap())
    };
    assert_eq!(optimal(0, 2 << 20), 1024, "512 KiB");
    assert_eq!(optimal(0, 64 << 10), 128, "no more than may be sent");
    assert_eq!(optimal(64 << 10, 2 << 20), 128, "what storage says");
}
