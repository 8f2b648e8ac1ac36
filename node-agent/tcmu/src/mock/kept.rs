//! Buffers that an agent keeps beyond their command's answer (`TCMU_UFLAG_KEEP_BUF`).

use super::Kernel;

impl Kernel {
    /// `action/free_kept_buf`: whether that id had its buffers kept (`tcmu_free_kept_buf_store`).
    pub fn free_kept_buf(&mut self, id: u16) -> bool {
        let Some(kept) = self.kept.remove(&id) else { return false };
        self.blocks.free(&kept.out_blocks);
        self.blocks.free(&kept.in_blocks);
        self.run_waiting();
        true
    }

    /// Commands that are answered and whose buffers are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// The agent has closed the device, or the ring is reset: nobody keeps anything (`tcmu_release`).
    pub(super) fn free_all_kept(&mut self) {
        for (_, kept) in std::mem::take(&mut self.kept) {
            self.blocks.free(&kept.out_blocks);
            self.blocks.free(&kept.in_blocks);
        }
    }
}
