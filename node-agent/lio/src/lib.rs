//! LIO's configfs as data: read what is there, diff it with what is wanted, plan steps, apply them.
//!
//! One [`Export`] is everything of one LUN: its TCMU backstore in an HBA directory of its own, its own iSCSI
//! target, and the target behind its local disk, where this machine has it as one. [`read_export`] finds it in
//! configfs, [`plan`] is pure and turns the difference into [`Step`]s, [`apply`] runs them. Knows nothing of
//! Kubernetes, of SCSI commands or of the command ring.
//!
//! Invariants: an object that is not ours is never touched (it becomes a [`Conflict`]); every step is idempotent,
//! so after any failure "read, plan, apply" again converges; a secret is never printed.

#![forbid(unsafe_code)]

mod action;
mod apply;
pub mod configfs;
#[cfg(test)]
mod fixtures;
mod iqn;
mod listening;
mod naa;
mod name;
mod node;
mod plan;
mod portal;
pub mod preflight;
mod read;
mod secret;
mod session;
mod settings;
mod step;
mod tree;

pub use action::{ActionError, ResetAnswer, block_dev, free_kept_buf, reset_ring, uio_device};
pub use apply::{Applied, ApplyError, StepError, Stuck, apply, apply_bounded};
#[cfg(any(test, feature = "test-utils"))]
pub use configfs::Fake;
pub use configfs::{Configfs, Real};
pub use iqn::{BadIqn, Iqn, IqnPrefix};
pub use naa::Naa;
pub use name::{BackstoreName, BadUid, HbaNumber, LunNumber, TpgTag, Uid};
pub use node::Node;
pub use plan::{Conflict, Phase, Plan, plan};
pub use portal::{BadPortal, Portal};
pub use preflight::{Finding, Preflight};
pub use read::{
    DiskAddress, Port, PortGroup, Ports, ReadError, abandoned, disk_address, owners, ports, read_backstore,
    read_export, read_tree,
};
pub use secret::{BadChap, Chap, Login, Secret};
pub use session::{Connection, Session, SessionState, sessions};
pub use settings::Settings;
pub use step::{Step, Value};
pub use tree::{Acl, Backstore, Export, Found, HbaPlace, LocalDisk, Lun, MappedLun, Nexus, Target, Tpg, Tree};
