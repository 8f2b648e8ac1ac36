//! The node's half of the CSI driver: Identity and Node, and its registration with the kubelet.
//!
//! A volume is a LUN that becomes a disk of this machine ([`Luns`] does that), is brought to its staging directory
//! once for the node ([`stage`]: a file system is made if the disk is empty, and mounted; of a raw device its node is
//! bound), and from there bound to where each pod sees it ([`publish`]).
//!
//! Invariant: nothing is formatted, mounted, grown or handed to a pod before the disk itself has said that it is the
//! wanted one, and the disk is held open meanwhile, so that its name can become no other's. Nothing is formatted that
//! is not empty. What is found mounted is known by its device number, never by a path or a kernel name of the past.
//!
//! Each call may be cut off anywhere and made again: it looks at what is and does what is missing. It runs in a task
//! of its own to its end although its caller has left, and until then a second one on its volume is told ABORTED.
//!
//! Knows neither configfs nor the API server: what it needs of the agent is the trait [`Luns`], what it needs of the
//! kernel is the trait `Host`.

#![forbid(unsafe_code)]

mod call;
mod content;
mod expand;
mod filesystem;
mod health;
mod host;
mod luns;
mod machine;
mod mounts;
mod node;
mod programs;
mod publish;
mod record;
mod registration;
pub mod request;
mod server;
mod stage;
mod staging;
mod stats;
mod unpublish;
mod unstage;
mod work;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use lunette_csi_service::busy::Busy;

pub use luns::{Luns, Obstacle, Trouble, Volume};
pub use server::{Endpoints, serve};

use host::Host;

/// What is said of this node.
#[derive(Clone, Debug)]
pub struct About {
    /// Its name.
    pub node: String,
    /// So many volumes it takes.
    pub most_volumes: u32,
}

/// What every call works with.
struct Driver<L, H> {
    luns: L,
    host: Arc<H>,
    busy: Busy,
    about: About,
}

impl<L: Luns, H: Host> Driver<L, H> {
    fn new(luns: L, host: H, about: About) -> Self {
        Self { luns, host: Arc::new(host), busy: Busy::default(), about }
    }
}
