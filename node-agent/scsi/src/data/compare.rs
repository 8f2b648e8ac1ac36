//! Comparing two buffers without a reference to shared memory, and what a difference means.

use lunette_iobuf::DataBuf;

use crate::{Sense, SenseKey, asc};

/// Bytes compared at a time, on the stack.
const STEP: usize = 512;

/// The first byte at which `a` and `b`, of equal length, differ.
pub fn first_difference(a: &DataBuf, b: &DataBuf) -> Option<usize> {
    let len = a.len().max(b.len());
    (0..len).step_by(STEP).find_map(|at| {
        let (mut left, mut right) = ([0; STEP], [0; STEP]);
        let lengths = (a.copy_out(at, &mut left), b.copy_out(at, &mut right));
        debug_assert_eq!(lengths.0, lengths.1);
        left.iter().zip(&right).position(|(l, r)| l != r).map(|i| at + i)
    })
}

/// MISCOMPARE DURING VERIFY OPERATION; INFORMATION is the offset of the first byte that differs.
pub fn miscompare(offset: u64) -> Sense {
    Sense::new(SenseKey::Miscompare, asc::MISCOMPARE).with_information(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found_in_any_step() {
        let same = vec![7; 3 * STEP + 5];
        for at in [0, 1, STEP - 1, STEP, 3 * STEP + 4] {
            let mut other = same.clone();
            other[at] = 8;
            other[3 * STEP + 4] = 8;
            assert_eq!(first_difference(&DataBuf::from_slice(&same), &DataBuf::from_slice(&other)), Some(at));
        }
        assert_eq!(first_difference(&DataBuf::from_slice(&same), &DataBuf::from_slice(&same)), None);
    }
}
