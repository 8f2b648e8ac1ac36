//! Parameter lists: UNMAP, EXTENDED COPY of both kinds, tokens, SET TARGET PORT GROUPS, FORMAT UNIT, SANITIZE; nearly
//! right, or anything. The lists of PERSISTENT RESERVE OUT never come here: LIO's core reads them.

use crate::copy::{copy_cdb, list1, list4, own, segment};
use crate::lun::Lun;
use crate::oracle::{Volume, be};
use crate::token::{command, populate, receive_cdb, write};
use crate::{unmap, volume};

/// Bytes of a change to a list: where, and what to.
const CHANGE: usize = 3;
/// EXTENDED COPY's lists: bytes before the CSCDs.
const SHORT_HEADER: usize = 16;
const LONG_HEADER: usize = 48;
/// A block device to block device segment.
const SEGMENT: usize = 28;
/// A range of POPULATE TOKEN and of WRITE USING TOKEN.
const RANGE: usize = 16;
/// The token of zeroes begins so (SPC-5 table 200).
const ZEROES: [u8; 4] = [0xff, 0xff, 0, 1];

/// The first byte says which kind of volume it is. Then lists: which it is, two ranges, how much is cut off, how many
/// bytes of changes or of the list itself follow, and those.
pub fn play(bytes: &[u8]) {
    let Some((kind, mut rest)) = bytes.split_first() else { return };
    let (lun, volume) = volume::of_kind(*kind);
    let first = (0..64_u8).flat_map(|lba| lun.blocks(1, lba)).collect::<Vec<_>>();
    let mut game = Game { lun, volume, tokens: Vec::new() };
    if kind & 0x10 == 0 {
        let cdb = [0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0];
        let eight = first.chunks(8 * game.lun.block);
        for (lba, data) in (0..64_u8).step_by(8).zip(eight) {
            let cdb: Vec<u8> = cdb.iter().enumerate().map(|(at, byte)| if at == 9 { lba } else { *byte }).collect();
            game.volume.run(&game.lun, &cdb, data);
        }
    }
    while let [which, from, blocks, to, cut, len, tail @ ..] = rest {
        let (body, left) = tail.split_at(usize::from(len % 64).min(tail.len()));
        rest = left;
        game.send(*which, [*from, *blocks, *to].map(|byte| byte % 72), *cut, body);
    }
}

struct Game {
    lun: Lun,
    volume: Volume,
    /// Tokens that were given, with what they stand for.
    tokens: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A command that has a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Unmap,
    Copy { long: bool },
    Populate,
    WriteUsing,
    SetPortGroups,
    Format,
    Overwrite,
}

const ALL: [Which; 8] = [
    Which::Unmap,
    Which::Copy { long: false },
    Which::Copy { long: true },
    Which::Populate,
    Which::WriteUsing,
    Which::SetPortGroups,
    Which::Format,
    Which::Overwrite,
];

impl Game {
    fn send(&mut self, which: u8, [from, blocks, to]: [u8; 3], cut: u8, body: &[u8]) {
        let (raw, which) = (which & 0x80 != 0, ALL[usize::from(which) % ALL.len()]);
        let mut list = if raw { body.to_vec() } else { self.list(which, [from, blocks, to].map(u64::from)) };
        for [low, high, with] in body.as_chunks::<CHANGE>().0.iter().filter(|_| !raw) {
            let at = usize::from(u16::from_le_bytes([*low, *high])) % list.len();
            list[at] ^= with;
        }
        // Odd, so that half of the lists are whole.
        if cut % 2 == 1 {
            list.truncate(list.len().saturating_sub(usize::from(cut / 2)));
        }
        let before = self.volume.bytes.clone();
        let ended = self.volume.run(&self.lun, &cdb(which, list.len()), &list);
        if ended.outcome.is_good() {
            self.check(which, &list, &before);
        }
        if matches!(which, Which::Populate | Which::WriteUsing) {
            self.receive(which, &list, ended.outcome.is_good());
        }
        self.lun.good(&[0; 6], &[]);
    }

    /// A list as it should be.
    fn list(&self, which: Which, [from, blocks, to]: [u64; 3]) -> Vec<u8> {
        let (short, few) = (u16::try_from(blocks).unwrap_or(0), u32::try_from(blocks).unwrap_or(0));
        let segments = [segment(short, from, to), segment(1, to, from)];
        match which {
            Which::Unmap => unmap::list(&[(from, few), (to, 1)]),
            Which::Copy { long: false } => list1(0, 2, &[self.own()], &segments),
            Which::Copy { long: true } => list4(0, 2, &[self.own()], &segments),
            Which::Populate => populate(0, 0, 0, &[(from, few), (to, 1)]),
            Which::WriteUsing => write(0, 0, &self.token(), &[(to, few)]),
            Which::SetPortGroups => vec![0, 0, 0, 0, 0, 0, 0, 3],
            Which::Format => vec![0; 4],
            Which::Overwrite => vec![1, 0, 0, 4, 1, 2, 3, 4],
        }
    }

    /// The unit as its own CSCD; the bench's has blocks of 512 bytes.
    fn own(&self) -> Vec<u8> {
        let mut own = own();
        own[28..].copy_from_slice(&u32::try_from(self.lun.block).unwrap_or(0).to_be_bytes());
        own
    }

    /// The token that was given last, or that of zeroes.
    fn token(&self) -> Vec<u8> {
        let zeroes = || [&ZEROES[..], &[0, 0, 0x01, 0xf8], &[0; 504]].concat();
        self.tokens.last().map_or_else(zeroes, |(token, _)| token.clone())
    }

    /// What a copy that ended well has made of the volume.
    fn check(&self, which: Which, list: &[u8], before: &[u8]) {
        let expected = match which {
            Which::Copy { long } => copied(before, list, self.lun.block, long),
            Which::WriteUsing if !list.is_empty() => self.written(before, list),
            Which::Populate | Which::SetPortGroups => before.to_vec(),
            _ => return,
        };
        assert!(self.volume.bytes == expected, "{which:?} left something else: {list:02x?}");
    }

    fn written(&self, before: &[u8], list: &[u8]) -> Vec<u8> {
        let (offset, token, ranges) = (size(&list[8..16]), &list[16..528], ranges(&list[534..], self.lun.block));
        let len: usize = ranges.iter().map(|(_, len)| len).sum();
        let known = self.tokens.iter().find(|(given, _)| given == token);
        let data = match known {
            Some((_, data)) => data[offset * self.lun.block..][..len].to_vec(),
            None => {
                assert_eq!(token[..4], ZEROES, "a token that nobody was given was taken");
                vec![0; len]
            }
        };
        let (mut after, mut data) = (before.to_vec(), data.as_slice());
        for (at, len) in ranges {
            let (now, later) = data.split_at(len);
            after[at..at + len].copy_from_slice(now);
            data = later;
        }
        after
    }

    /// Asks what the last command with a token has done, so that its identifier is free again; keeps a token.
    fn receive(&mut self, which: Which, list: &[u8], good: bool) {
        let told = self.volume.run(&self.lun, &receive_cdb(ID), &[0xee; 1024]);
        if !good || which != Which::Populate || list.is_empty() {
            return;
        }
        assert!(told.outcome.is_good(), "whoever populates a token is given it");
        let ranges = ranges(&list[14..], self.lun.block);
        let data = ranges.iter().flat_map(|(at, len)| &self.volume.bytes[*at..at + len]).copied().collect();
        self.tokens.push((told.data[38..550].to_vec(), data));
    }
}

/// The list identifier of every command.
const ID: u32 = 1;

fn cdb(which: Which, len: usize) -> Vec<u8> {
    let [_, _, high, low] = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    match which {
        Which::Unmap => vec![0x42, 0, 0, 0, 0, 0, 0, high, low, 0],
        Which::Copy { long } => copy_cdb(u8::from(long), len),
        Which::Populate => command(0x10, ID, len),
        Which::WriteUsing => command(0x11, ID, len),
        Which::SetPortGroups => vec![0xa4, 0x0a, 0, 0, 0, 0, 0, 0, high, low, 0, 0],
        Which::Format => vec![0x04, 0x10, 0, 0, 0, 0],
        Which::Overwrite => vec![0x48, 0x01, 0, 0, 0, 0, 0, high, low, 0],
    }
}

fn size(bytes: &[u8]) -> usize {
    usize::try_from(be(bytes)).expect("it was taken, so it lies in the volume")
}

/// Where ranges lie and how long they are, in bytes, of a list that begins with its length.
fn ranges(list: &[u8], block: usize) -> Vec<(usize, usize)> {
    let (len, list) = list.split_at(2);
    let described = list[..size(len)].chunks_exact(RANGE);
    described.map(|range| (size(&range[..8]) * block, size(&range[8..12]) * block)).collect()
}

/// What the segments of a list make of a volume, one after another.
fn copied(before: &[u8], list: &[u8], block: usize, long: bool) -> Vec<u8> {
    let mut after = before.to_vec();
    if list.is_empty() {
        return after;
    }
    let (header, cscds, segments) = match long {
        true => (LONG_HEADER, size(&list[42..44]), size(&list[44..46])),
        false => (SHORT_HEADER, size(&list[2..4]), size(&list[8..12])),
    };
    for segment in list[header + cscds..][..segments].chunks_exact(SEGMENT) {
        let [blocks, from, to] =
            [&segment[10..12], &segment[12..20], &segment[20..28]].map(|field| size(field) * block);
        after.copy_within(from..from + blocks, to);
    }
    after
}
