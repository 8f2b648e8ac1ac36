//! What the unit counts of the commands that it carried out, for the General Statistics and Performance
//! log page.

use std::cell::Cell;

/// Counters since the unit was opened or LOG SELECT set them to zero. They go round at 2⁶⁴.
#[derive(Default)]
pub struct Statistics {
    read: Cell<Traffic>,
    written: Cell<Traffic>,
}

/// Commands and logical blocks in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Commands, those that failed included.
    pub commands: u64,
    /// Blocks of the commands that were done.
    pub blocks: u64,
}

impl Statistics {
    /// Notes a READ that has ended.
    pub fn note_read(&self, blocks: u32, done: bool) {
        self.read.set(self.read.get().with(blocks, done));
    }

    /// Notes a WRITE that has ended.
    pub fn note_write(&self, blocks: u32, done: bool) {
        self.written.set(self.written.get().with(blocks, done));
    }

    /// What was read.
    pub fn read(&self) -> Traffic {
        self.read.get()
    }

    /// What was written.
    pub fn written(&self) -> Traffic {
        self.written.get()
    }

    /// Begins at zero again.
    pub fn reset(&self) {
        self.read.take();
        self.written.take();
    }
}

impl Traffic {
    fn with(self, blocks: u32, done: bool) -> Self {
        let blocks = if done { u64::from(blocks) } else { 0 };
        Self { commands: self.commands.wrapping_add(1), blocks: self.blocks.wrapping_add(blocks) }
    }
}
