//! Page 8Fh: what the copy manager can (SPC-5 7.7.18), a list of descriptors whose lengths are multiples of
//! four.

use lunette_backend::Backend;

use crate::ScsiDisk;
use crate::copy::token::{DEFAULT_TIMEOUT, MAX_RANGES, MAX_TIMEOUT, MAX_TRANSFER, OPTIMAL_TRANSFER};
use crate::copy::{
    BLOCK_ZERO, CHANGE_VULNERABLE, DESCRIPTORS, MAX_COPIES, MAX_CSCDS, MAX_DESCRIPTORS, MAX_SEGMENTS, block_exponent,
    max_segment,
};
use crate::opcodes::OPCODES;

/// EXTENDED COPY and its kin, and the commands that ask about them.
const COPY_COMMANDS: [u8; 2] = [0x83, 0x84];

pub(super) fn third_party_copy<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    [
        descriptor(0x0000, &token_limits(disk)),
        descriptor(0x0001, &supported_commands()),
        descriptor(0x0004, &parameter_data()),
        descriptor(0x0008, &supported_descriptors()),
        descriptor(0x000c, &supported_cscd_ids()),
        descriptor(0x0106, &token_features()),
        descriptor(0x0108, &rod_types()),
        descriptor(0x8001, &general_copy_operations(disk)),
    ]
    .concat()
}

fn descriptor(kind: u16, parameters: &[u8]) -> Vec<u8> {
    let len = parameters.len().next_multiple_of(4);
    let mut d = kind.to_be_bytes().to_vec();
    d.extend(u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
    d.extend(parameters);
    d.resize(4 + len, 0);
    d
}

/// Straight from the opcode table.
fn supported_commands() -> Vec<u8> {
    let actions = |code: u8| OPCODES.iter().filter(move |entry| entry.code == code).filter_map(|entry| entry.action);
    let mut list = Vec::new();
    for code in COPY_COMMANDS {
        list.extend([code, byte(actions(code).count())]);
        list.extend(actions(code).map(|action| byte(usize::from(action))));
    }
    [&[byte(list.len())], list.as_slice()].concat()
}

fn parameter_data() -> Vec<u8> {
    let mut p = vec![0; 4];
    p.extend(MAX_CSCDS.to_be_bytes());
    p.extend(MAX_SEGMENTS.to_be_bytes());
    p.extend(MAX_DESCRIPTORS.to_be_bytes());
    // No inline data; twelve bytes reserved.
    p.resize(28, 0);
    p
}

fn supported_descriptors() -> Vec<u8> {
    [&[byte(DESCRIPTORS.len())], &DESCRIPTORS[..]].concat()
}

/// FFFFh: the unit that the copy manager is in.
fn supported_cscd_ids() -> Vec<u8> {
    vec![0, 2, 0xff, 0xff]
}

/// Block device ROD token limits (SBC-4 6.6.10), in seconds and in blocks.
fn token_limits<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    let blocks = |bytes| disk.block_size().blocks_in(bytes).to_be_bytes();
    let mut p = vec![0; 6];
    p.extend(MAX_RANGES.to_be_bytes());
    p.extend(MAX_TIMEOUT.to_be_bytes());
    p.extend(DEFAULT_TIMEOUT.to_be_bytes());
    p.extend(blocks(MAX_TRANSFER));
    p.extend(blocks(OPTIMAL_TRANSFER));
    p
}

/// ROD token features: no other unit's tokens are taken; how long tokens live depends on their use alone.
fn token_features() -> Vec<u8> {
    const BLOCK_DEVICE_FEATURES: [u8; 4] = [0, 0, 0, 44];
    let mut p = vec![0; 20];
    p.extend(MAX_TIMEOUT.to_be_bytes());
    p.resize(42, 0);
    p.extend([0, 48]);
    p.extend(BLOCK_DEVICE_FEATURES);
    p.extend([0; 4]);
    p.extend(MAX_TRANSFER.to_be_bytes());
    p.extend(OPTIMAL_TRANSFER.to_be_bytes());
    p.resize(44 + 48, 0);
    p
}

/// Supported ROD types: what tokens are made of, and what they may be.
fn rod_types() -> Vec<u8> {
    const TOKEN_OUT: u8 = 0x01;
    const TOKEN_IN: u8 = 0x02;
    let mut p = vec![0, 0, 0, 128];
    for (kind, flags) in [(CHANGE_VULNERABLE, TOKEN_OUT | TOKEN_IN), (BLOCK_ZERO, TOKEN_IN)] {
        p.extend(kind.to_be_bytes());
        p.push(flags);
        p.extend([0; 59]);
    }
    p
}

fn general_copy_operations<B: Backend>(disk: &ScsiDisk<B>) -> Vec<u8> {
    let (block, copies) = (disk.block_size(), u32::from(MAX_COPIES).to_be_bytes());
    let mut p = [copies, copies, max_segment(block).to_be_bytes()].concat();
    p.push(block_exponent(block.bytes()));
    p.resize(32, 0);
    p
}

fn byte(n: usize) -> u8 {
    u8::try_from(n).unwrap_or(u8::MAX)
}
