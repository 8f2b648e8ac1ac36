//! Where a test has the kernel lie, and where it looks at what stands in the memory.

use super::Kernel;
use crate::abi::header;

impl Kernel {
    /// Overwrites four bytes at an offset of the mapping: a lie.
    pub fn poke32(&mut self, at: usize, value: u32) {
        self.memory.store(at, value);
    }

    /// Overwrites eight bytes at an offset of the mapping: a lie.
    pub fn poke64(&mut self, at: usize, value: u64) {
        self.memory.store(at, value);
    }

    /// Four bytes at an offset of the mapping.
    #[must_use]
    pub fn peek32(&self, at: usize) -> u32 {
        self.memory.load(at)
    }

    /// Turns the operation of the entry queued last into one that no agent knows; a newer kernel's.
    pub fn make_last_unknown(&mut self) {
        let Some((at, len_op)) = self.entries.back_mut() else { return };
        *len_op = (*len_op & !header::OP_MASK) | 5;
        let (at, len_op) = (*at, *len_op);
        self.poke32(self.base(at) + header::LEN_OP, len_op);
    }
}
