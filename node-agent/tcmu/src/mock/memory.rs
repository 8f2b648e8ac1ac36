//! The kernel's own mapping of the shared region. Out-of-bounds access panics: the mock's own mistake.

// UNSAFETY: volatile and atomic access to memory that the code under test maps too.
#![allow(unsafe_code)]

use std::fs::File;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::abi::mailbox;
use crate::map::Word;

pub struct Memory {
    file: File,
    raw: MmapRaw,
}

impl Memory {
    pub fn new(len: usize) -> Self {
        let file: File = memfd_create(c"tcmu", MFdFlags::MFD_CLOEXEC).expect("memfd_create").into();
        file.set_len(len as u64).expect("memory for the mock");
        let raw = map(&file, len);
        Self { file, raw }
    }

    /// The same memory as the agent maps it: at another address.
    pub fn second_mapping(&self) -> MmapRaw {
        map(&self.file, self.raw.len())
    }

    pub fn load<T: Word>(&self, at: usize) -> T {
        self.check(at, size_of::<T>());
        assert!(at.is_multiple_of(size_of::<T>()), "a word at {at} is not aligned");
        // SAFETY: just checked to be mapped and aligned.
        unsafe { self.raw.as_ptr().add(at).cast::<T>().read_volatile() }
    }

    pub fn store<T: Word>(&self, at: usize, value: T) {
        self.check(at, size_of::<T>());
        assert!(at.is_multiple_of(size_of::<T>()), "a word at {at} is not aligned");
        // SAFETY: just checked to be mapped and aligned.
        unsafe { self.raw.as_mut_ptr().add(at).cast::<T>().write_volatile(value) }
    }

    pub fn copy_in(&self, at: usize, bytes: &[u8]) {
        self.check(at, bytes.len());
        // SAFETY: just checked to be mapped; no Rust slice overlaps the mapping.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.raw.as_mut_ptr().add(at), bytes.len()) }
    }

    pub fn copy_out(&self, at: usize, bytes: &mut [u8]) {
        self.check(at, bytes.len());
        // SAFETY: just checked to be mapped; no Rust slice overlaps the mapping.
        unsafe { ptr::copy_nonoverlapping(self.raw.as_ptr().add(at), bytes.as_mut_ptr(), bytes.len()) }
    }

    pub fn zero(&self, at: usize, len: usize) {
        self.check(at, len);
        // SAFETY: just checked to be mapped.
        unsafe { ptr::write_bytes(self.raw.as_mut_ptr().add(at), 0, len) }
    }

    pub fn store_head(&self, head: u32) {
        self.cursor(mailbox::CMD_HEAD).store(head, Ordering::Release);
    }

    pub fn tail(&self) -> u32 {
        self.cursor(mailbox::CMD_TAIL).load(Ordering::Acquire)
    }

    pub fn store_tail(&self, tail: u32) {
        self.cursor(mailbox::CMD_TAIL).store(tail, Ordering::Release);
    }

    fn cursor(&self, at: usize) -> &AtomicU32 {
        self.check(at, 4);
        // SAFETY: in the mapping, aligned, and an atomic on both sides.
        unsafe { AtomicU32::from_ptr(self.raw.as_mut_ptr().add(at).cast()) }
    }

    fn check(&self, at: usize, len: usize) {
        assert!(at <= self.raw.len() && len <= self.raw.len() - at, "{len} bytes at {at} are not in the mapping");
    }
}

fn map(file: &File, len: usize) -> MmapRaw {
    MmapOptions::new().len(len).map_raw(file).expect("address space for the mock")
}
