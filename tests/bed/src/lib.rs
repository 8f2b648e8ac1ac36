//! The ground that Lunette's demo and tests stand on: real kernels in VMs, a real Kubernetes control plane, a network
//! of their own, all of it set up from nothing on a plain Debian 12 machine and cleared away whatever happens.
//!
//! Start at [`setup::Ground::prepare`], make a [`Bed`], boot [`vm::Vm`]s in it. The crate knows nothing of Lunette
//! itself: the demo's story and the tests are built on top of it. Errors are `anyhow`'s, because nobody acts on
//! them: they are printed, with what led to them.

#![forbid(unsafe_code)]

pub mod bed;
mod buildah;
pub mod cli;
pub mod control_plane;
pub mod exec;
pub mod grpc;
pub mod host;
pub mod images;
mod lanes;
pub mod layout;
mod node;
mod patience;
pub mod progress;
mod record;
pub mod runner;
pub mod setup;
mod shell;
pub mod smoke;
pub mod story;
pub mod vm;

pub use anyhow::Error;
pub use bed::{Bed, Daemon, HOST_IPV4, Net};
pub use control_plane::{ControlPlane, ControlPlaneSpec};
pub use exec::{GuestCommand, Output, Process};
pub use images::Image;
pub use node::ClusterNode;
pub use patience::patiently;
pub use record::{Durable, RECORD, Recorder};
pub use runner::{Context, Test};
pub use setup::{Ground, Kernel};
pub use story::{Step, Story};
pub use vm::{DiskCache, DiskSpec, Replay, Vm, VmSpec, WriteLog};

/// What everything in the bed returns.
pub type Result<T, E = anyhow::Error> = std::result::Result<T, E>;
