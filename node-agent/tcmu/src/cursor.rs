//! Arithmetic on byte offsets of the ring.
//!
//! An offset is always below the ring's size and a multiple of eight; head, parse cursor and tail are
//! such offsets. Nothing here touches memory.

/// `at + len`, wrapped at the ring's end. Needs `at < size` and `len <= size - at`, as an entry never
/// straddles the end (`queue_cmd_ring` in TCU pads instead).
pub fn step(at: u32, len: u32, size: u32) -> u32 {
    let next = at + len;
    if next == size { 0 } else { next }
}

/// Bytes from `from` forwards to `to`. Needs both below `size`.
pub fn distance(from: u32, to: u32, size: u32) -> u32 {
    if to >= from { to - from } else { size - from + to }
}

/// Whether `at` can be an offset in a ring of `size` bytes.
pub fn is_valid(at: u32, size: u32) -> bool {
    at < size && at.is_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_step_lands_its_own_length_away(size in 2u32..1000, at in 0u32..1000, len in 1u32..1000) {
            let (size, at) = (size * 8, at % size * 8);
            let len = (len * 8).min(size - at);
            let next = step(at, len, size);
            prop_assert!(is_valid(next, size));
            prop_assert_eq!(distance(at, next, size), len % size);
        }
    }
}
