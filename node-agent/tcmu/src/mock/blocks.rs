//! Which blocks of the data area are taken: the lowest free ones first (`tcmu_get_empty_block` in TCU).

pub struct Blocks {
    taken: Vec<bool>,
}

impl Blocks {
    pub fn new(count: usize) -> Self {
        Self { taken: vec![false; count] }
    }

    pub fn in_use(&self) -> usize {
        self.taken.iter().filter(|taken| **taken).count()
    }

    /// Takes `count` blocks, or none if there are fewer.
    pub fn take(&mut self, count: usize) -> Option<Vec<usize>> {
        let free = self.taken.iter().enumerate().filter(|(_, taken)| !**taken).map(|(block, _)| block);
        let blocks: Vec<usize> = free.take(count).collect();
        if blocks.len() < count {
            return None;
        }
        for block in &blocks {
            self.taken[*block] = true;
        }
        Some(blocks)
    }

    pub fn free(&mut self, blocks: &[usize]) {
        for block in blocks {
            assert!(std::mem::take(&mut self.taken[*block]), "block {block} freed twice");
        }
    }
}

/// `len` bytes over `blocks` as offset and length in the data area: neighbours merged, the last one
/// trimmed (`new_block_to_iov`).
pub fn iovecs(blocks: &[usize], block_size: usize, len: usize) -> Vec<(usize, usize)> {
    let mut iovecs: Vec<(usize, usize)> = Vec::new();
    let mut left = len;
    for block in blocks {
        let (start, part) = (block * block_size, left.min(block_size));
        match iovecs.last_mut() {
            Some(last) if last.0 + last.1 == start => last.1 += part,
            _ => iovecs.push((start, part)),
        }
        left -= part;
    }
    iovecs
}
