//! Vital product data pages, byte for byte.

use lunette_backend::Discard;

use crate::lun::{INVALID_FIELD_IN_CDB, Lun, NAA, STALE};

fn page(lun: &Lun, code: u8) -> Vec<u8> {
    lun.data_in(&[0x12, 1, code, 0, 255, 0], 255)
}

#[test]
fn page_00_lists_exactly_the_pages_that_answer() {
    let lun = Lun::new();
    let listed = page(&lun, 0x00);
    assert_eq!(listed, [0, 0, 0, 6, 0x00, 0x80, 0x83, 0xb0, 0xb1, 0xb2]);
    for code in 0..=255 {
        let answers = lun.run(&[0x12, 1, code, 0, 255, 0], &[STALE; 255]).outcome.is_good();
        assert_eq!(answers, listed[4..].contains(&code), "page {code:02x}");
    }
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
    let data = page(&Lun::new(), 0x83);
    assert_eq!(data[..4], [0, 0x83, 0, 20 + 28]);
    assert_eq!((&data[4..8], &data[8..24]), (&[1, 3, 0, 16][..], &NAA[..]));
    assert_eq!((&data[24..28], &data[28..]), (&[2, 1, 0, 24][..], &b"LUNETTE 0123456789abcdef"[..]));
}

#[test]
fn page_b0_tells_the_limits_that_are_enforced() {
    let data = page(&Lun::new(), 0xb0);
    let expected = [
        0, 0xb0, 0, 0x3c, 0x01, 4, 0, 8, 0, 0, 0, 64, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0, 4, 0, 0, 0, 8,
        0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128,
    ];
    assert_eq!((&data[..44], &data[44..]), (&expected[..], &[0; 20][..]));
}

#[test]
fn page_b0_has_no_unmap_limits_without_unmap() {
    let data = page(&Lun::with(|g| g.discard = Discard::Unsupported, |_| ()), 0xb0);
    assert_eq!(data[20..36], [0; 16]);
}

#[test]
fn page_b1_says_that_nothing_rotates() {
    let data = page(&Lun::new(), 0xb1);
    assert_eq!((data.len(), &data[..9]), (64, &[0, 0xb1, 0, 0x3c, 0, 1, 0, 0, 1][..]));
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
