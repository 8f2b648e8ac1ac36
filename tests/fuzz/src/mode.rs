//! MODE SELECT: lists that are nearly what MODE SENSE tells, or anything.

use lunette_scsi::SenseKey;

use crate::lun::{INVALID_FIELD_IN_LIST, Lun};
use crate::oracle::Volume;
use crate::volume;

/// Pages and subpages to begin from; all of them, twice.
const PAGES: [(u8, u8); 8] =
    [(0x3f, 0xff), (0x3f, 0), (0x08, 0), (0x0a, 0), (0x0a, 0xff), (0x01, 0), (0x1a, 0), (0x1c, 0)];
/// Bytes of the header of MODE SENSE (6), and of each change to a list.
const HEADER: usize = 4;
const CHANGE: usize = 2;

/// The first byte says which kind of volume it is. Then lists: how each is sent, with which page it begins, how many bytes
/// of changes or of the list itself follow, and those.
pub fn play(bytes: &[u8]) {
    let Some((kind, mut rest)) = bytes.split_first() else { return };
    let (lun, mut volume) = volume::of_kind(*kind);
    while let [how, page, len, tail @ ..] = rest {
        let (body, left) = tail.split_at(usize::from(len % 64).min(tail.len()));
        rest = left;
        send(&lun, &mut volume, *how, *page, body);
    }
}

/// What MODE SENSE tells.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    current: Vec<u8>,
    changeable: Vec<u8>,
    default: Vec<u8>,
}

impl Told {
    fn by(lun: &Lun, (page, subpage): (u8, u8)) -> Self {
        let sense = |control: u8| {
            let told = lun.data_in(&[0x1a, 0x08, control << 6 | page, subpage, 0xff, 0], 0xff);
            told[HEADER..].to_vec()
        };
        Self { current: sense(0), changeable: sense(1), default: sense(2) }
    }
}

fn send(lun: &Lun, volume: &mut Volume, how: u8, page: u8, body: &[u8]) {
    let page = PAGES[usize::from(page) % PAGES.len()];
    let (ten, raw, save) = (how & 1 != 0, how & 2 != 0, how >> 2 & 1);
    let (before, all, kept) = (Told::by(lun, page), Told::by(lun, PAGES[0]), lun.kept.borrow().len());
    let (pages, expected) = if raw { (body.to_vec(), None) } else { changed(&before, body) };
    let list = [vec![0; if ten { 8 } else { HEADER }], pages.clone()].concat();
    let list = if raw { pages.clone() } else { list };
    let len = u8::try_from(list.len()).expect("all pages and their header are less");
    let cdb =
        if ten { vec![0x55, 0x10 | save, 0, 0, 0, 0, 0, 0, len, 0] } else { vec![0x15, 0x10 | save, 0, 0, len, 0] };
    let ended = volume.run(lun, &cdb, &list);
    let sense = ended.outcome.sense.map(|sense| (sense.key as u8, sense.asc.0, sense.asc.1));
    if let Some(expected) = expected {
        assert_eq!(sense, if expected { None } else { Some(INVALID_FIELD_IN_LIST) }, "{pages:02x?}");
    }
    let now = Told::by(lun, PAGES[0]);
    match sense {
        Some((key, ..)) => {
            assert_eq!(key, SenseKey::IllegalRequest as u8);
            assert_eq!((now, lun.kept.borrow().len()), (all, kept), "a list that is refused changes nothing");
        }
        None => holds(lun, &all, &now),
    }
    if sense.is_none() && expected == Some(true) {
        assert_eq!(Told::by(lun, page).current, pages, "what was taken is what is told");
    }
    lun.good(&[0; 6], &[]);
}

/// A page list with changes, and whether it has to be taken: where every change is of a parameter, that is known.
fn changed(told: &Told, changes: &[u8]) -> (Vec<u8>, Option<bool>) {
    let (mut pages, headers) = (told.current.clone(), headers(&told.current));
    let mut in_headers = false;
    for [at, with] in changes.as_chunks::<CHANGE>().0 {
        let at = usize::from(*at) % pages.len();
        in_headers |= headers[at] && *with != 0;
        pages[at] ^= with;
    }
    let mut bits = pages.iter().zip(&told.current).zip(&told.changeable).zip(&headers);
    let allowed = bits.all(|(((new, old), mask), header)| *header || (new ^ old) & !mask == 0);
    (pages, (!in_headers).then_some(allowed))
}

/// Which bytes of a list of pages are not parameters.
fn headers(pages: &[u8]) -> Vec<bool> {
    let (mut headers, mut at) = (vec![false; pages.len()], 0);
    while at < pages.len() {
        let (header, len) = match pages[at] & 0x40 {
            0 => (2, usize::from(pages[at + 1])),
            _ => (4, usize::from(u16::from_be_bytes([pages[at + 2], pages[at + 3]]))),
        };
        headers[at..at + header].fill(true);
        at += header + len;
    }
    headers
}

/// Only what may change has changed, defaults stay, and what changed is kept.
fn holds(lun: &Lun, before: &Told, now: &Told) {
    assert_eq!((&before.default, &before.changeable), (&now.default, &now.changeable));
    let headers = headers(&now.current);
    for (at, header) in headers.iter().enumerate() {
        let mask = if *header { 0 } else { now.changeable[at] };
        assert_eq!((before.current[at] ^ now.current[at]) & !mask, 0, "byte {at} cannot change");
    }
    if before.current != now.current {
        let kept = *lun.kept.borrow().last().expect("what changes is kept");
        let (caching, control) = (Told::by(lun, (0x08, 0)), Told::by(lun, (0x0a, 0)));
        let told = (caching.current[2] & 0x04 != 0, control.current[2] & 0x04 != 0, control.current[4] & 0x08 != 0);
        // Without a cache WCE is told as zero, and cannot change, whatever is kept of it.
        let write_cache = kept.write_cache && caching.changeable[2] & 0x04 != 0;
        assert_eq!((write_cache, kept.descriptor_sense, kept.software_write_protect), told);
    }
}
