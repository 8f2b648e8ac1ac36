//! Writing records in a guest, each made durable and then marked, so that it can be told later which of them had been
//! acknowledged at which moment.
//!
//! A mark is a sector of its own on the disk that is watched ([`WriteLog`](crate::WriteLog)), written at once when a record is durable: in
//! the log it stands behind whatever made it so. The guest runs it as a verb of its agent.

use crate::{Bed, GuestCommand, Result};
use anyhow::Context;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// Bytes of a record.
pub const RECORD: usize = 4096;
/// Bytes of a mark.
const MARK: usize = 512;

/// How a record is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Durable {
    /// A write, then a flush.
    Flush,
    /// One write with FUA.
    Fua,
    /// Not at all: for those who doubt that anything can be lost.
    Never,
    /// As [`Durable::Flush`], at the end of a file that grows.
    File,
}

/// One who writes records until a file appears, or there is no more room. Prints the number of each.
#[derive(Debug, Clone, clap::Args)]
pub struct Recorder {
    /// A disk, or a file
    pub target: PathBuf,
    /// The number of its first record in it
    pub first: u64,
    /// How many records it writes at most
    pub most: u64,
    /// How each is made durable
    pub durable: Durable,
    /// The disk of marks
    pub marks: PathBuf,
    /// The number of its mark there
    pub mark: u64,
    /// The file that ends it
    pub until: PathBuf,
}

impl Recorder {
    /// The command for a guest of the bed.
    #[must_use]
    pub fn command(&self, bed: &Bed) -> GuestCommand {
        let Recorder { target, first, most, durable, marks, mark, until } = self;
        let durable = format!("{durable:?}").to_lowercase();
        let arguments: [&dyn fmt::Display; 7] =
            [&target.display(), first, most, &durable, &marks.display(), mark, &until.display()];
        GuestCommand::new(bed.agent()).arg("record").args(arguments.map(|argument| argument.to_string()))
    }

    /// The record of that number, which tells it from every other.
    #[must_use]
    pub fn content(&self, number: u64) -> Vec<u8> {
        filled(self.mark, number, RECORD)
    }

    /// Where its marks stand on the disk of marks, in bytes.
    #[must_use]
    pub fn mark_at(&self) -> u64 {
        self.mark * MARK as u64
    }

    /// The number that a mark tells.
    #[must_use]
    pub fn marked(mark: &[u8]) -> Option<u64> {
        let line = mark.split(|byte| *byte == b'\n').next()?;
        std::str::from_utf8(line).ok()?.split(' ').nth(1)?.parse().ok()
    }

    /// Writes.
    pub(crate) fn record(&self) -> Result<()> {
        let target = self.open_target().with_context(|| format!("opening {}", self.target.display()))?;
        let marks = OpenOptions::new().write(true).custom_flags(nix::libc::O_DIRECT).open(&self.marks);
        let marks = marks.with_context(|| format!("opening {}", self.marks.display()))?;
        let mut page = Page::new();
        for number in 0..self.most {
            if self.until.exists() {
                break;
            }
            let at = (self.first + number) * RECORD as u64;
            target.write_all_at(page.with(&self.content(number)), at).context("writing a record")?;
            if matches!(self.durable, Durable::Flush | Durable::File) {
                target.sync_data().context("flushing a record")?;
            }
            marks
                .write_all_at(page.with(&filled(self.mark, number, MARK)), self.mark_at())
                .context("writing a mark")?;
            println!("{number}");
        }
        Ok(())
    }

    fn open_target(&self) -> std::io::Result<File> {
        let flags = match self.durable {
            Durable::Flush | Durable::Never => nix::libc::O_DIRECT,
            Durable::Fua => nix::libc::O_DIRECT | nix::libc::O_DSYNC,
            Durable::File => 0,
        };
        OpenOptions::new().write(true).create(self.durable == Durable::File).custom_flags(flags).open(&self.target)
    }
}

fn filled(mark: u64, number: u64, len: usize) -> Vec<u8> {
    format!("{mark} {number}\n").bytes().cycle().take(len).collect()
}

/// Memory that begins on a page, as `O_DIRECT` asks.
struct Page {
    memory: Vec<u8>,
    at: usize,
}

impl Page {
    fn new() -> Page {
        let memory = vec![0; 2 * RECORD];
        let at = memory.as_ptr().align_offset(RECORD);
        Page { memory, at }
    }

    fn with(&mut self, bytes: &[u8]) -> &[u8] {
        let place = &mut self.memory[self.at..self.at + bytes.len()];
        place.copy_from_slice(bytes);
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_tells_its_number() {
        assert_eq!(Recorder::marked(&filled(3, 41, MARK)), Some(41));
        assert_eq!(Recorder::marked(&[0; MARK]), None);
    }

    #[test]
    fn records_are_written_where_they_belong_and_marked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("marks"), [0; 2 * MARK]).expect("a file");
        let recorder = Recorder {
            target: path("records"),
            first: 2,
            most: 3,
            durable: Durable::File,
            marks: path("marks"),
            mark: 1,
            until: path("enough"),
        };
        if recorder.record().is_err() {
            // A file system without O_DIRECT: the VM tests cover it.
            return;
        }
        let written = std::fs::read(path("records")).expect("records");
        let expected: Vec<u8> = (0..3).flat_map(|number| recorder.content(number)).collect();
        assert_eq!(written[2 * RECORD..], expected);
        let marks = std::fs::read(path("marks")).expect("marks");
        assert_eq!(Recorder::marked(&marks[MARK..]), Some(2));
    }
}
