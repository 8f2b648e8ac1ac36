//! What was measured before: a line that stands is not measured again, so a bench that was broken off goes on where it
//! was, and after a change only Lunette's own lines are due.
//!
//! A line stands as long as its load, the guest's functions and, where the server is ours, its program are what they
//! were. What the guest printed is kept, not what was made of it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;

use anyhow::Context as _;
use lunette_bed::layout::Layout;
use lunette_bed::{Context, Result};

use super::WINDOW;
use super::load::{Fabric, Load};
use super::sample::Cost;
use super::server::{FUNCTIONS, Server};

/// One line of the table.
#[derive(Clone, Copy)]
pub struct Line {
    /// What is measured.
    pub server: &'static Server,
    /// Over what.
    pub fabric: Fabric,
    /// Under what.
    pub load: Load,
}

impl Line {
    /// As filters have it.
    pub fn name(&self) -> String {
        format!("{}/{}/{}", self.server.name, self.fabric, self.load.id)
    }
}

/// The lines of one kernel that were measured.
pub struct Kept {
    folder: PathBuf,
    layout: Layout,
}

impl Kept {
    /// Those of this kernel.
    pub fn of(context: &Context) -> Kept {
        let layout = context.ground().layout();
        let folder = layout.checkout().join(format!("target/bench/linux-{}", context.kernel()));
        Kept { folder, layout: layout.clone() }
    }

    /// What a line cost, if that stands.
    pub fn find(&self, line: &Line) -> Option<Cost> {
        let text = std::fs::read_to_string(self.path(line)).ok()?;
        let (mark, text) = text.split_once('\n')?;
        if mark == self.mark(line) { Cost::read(text).ok() } else { None }
    }

    /// Keeps what the guest printed.
    pub fn keep(&self, line: &Line, text: &str) -> Result<()> {
        let path = self.path(line);
        let text = format!("{}\n{text}", self.mark(line));
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| std::fs::write(&path, text))
            .with_context(|| format!("writing {}", path.display()))
    }

    fn path(&self, line: &Line) -> PathBuf {
        self.folder.join(line.name().replace('/', "."))
    }

    /// Another one when something that the figures depend on is another.
    fn mark(&self, line: &Line) -> String {
        let mut hasher = DefaultHasher::new();
        (FUNCTIONS, line.load.options(), WINDOW.to_bits()).hash(&mut hasher);
        if let Some(identity) = line.server.identity(&self.layout) {
            identity.hash(&mut hasher);
        }
        format!("{:016x}", hasher.finish())
    }
}
