//! Memory that an initiator tests its path with: the data buffer, numbered 0, and the echo buffer. A ring names no
//! initiator, so both belong to all of them. It is there from the first write on, and goes with the process.

use std::cell::RefCell;

use crate::{Sense, asc};

/// Bytes of either buffer.
pub const CAPACITY: u16 = 4096;

/// The two buffers; empty until something is written.
#[derive(Default)]
pub struct Buffers {
    data: RefCell<Vec<u8>>,
    echo: RefCell<Vec<u8>>,
}

impl Buffers {
    /// The data buffer from this byte on.
    pub fn data_from(&self, offset: u16) -> Vec<u8> {
        let mut data = self.data.borrow().clone();
        data.resize(usize::from(CAPACITY), 0);
        data.split_off(usize::from(offset))
    }

    /// Writes into the data buffer; the parser has seen that it fits.
    pub fn write_data(&self, offset: u16, list: &[u8]) {
        let mut data = self.data.borrow_mut();
        data.resize(usize::from(CAPACITY), 0);
        let (from, to) = (usize::from(offset), usize::from(offset) + list.len());
        data[from..to].copy_from_slice(list);
    }

    /// Has this echoed.
    pub fn write_echo(&self, list: Vec<u8>) {
        self.echo.replace(list);
    }

    /// What was last written to be echoed, as long as it was; nothing to read before the first write is an error (SPC-5 6.18.6).
    pub fn echo(&self) -> Result<Vec<u8>, Sense> {
        let echo = self.echo.borrow();
        if echo.is_empty() { Err(Sense::illegal(asc::COMMAND_SEQUENCE_ERROR)) } else { Ok(echo.clone()) }
    }
}
