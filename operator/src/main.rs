//! `lunette-operator`: decides which node serves which Lun, is the controller side of CSI, prints the CRDs, watches over
//! an uninstallation, and tries a volume.
//!
//! Arguments, logging, then one role; nothing else happens here. The process never touches storage.

#![forbid(unsafe_code)]

mod args;
mod backoff;
mod context;
mod controller;
mod crds;
mod csi;
mod error;
mod events;
mod finalizer;
mod http;
mod leader;
mod lun;
mod metrics;
mod node;
mod pool;
mod signals;
mod snapshot;
mod telemetry;
mod triggers;
mod try_volume;
mod uninstall;

use clap::Parser;

use crate::args::{Args, Role};

fn main() -> anyhow::Result<()> {
    // Before any TLS: with two providers in the tree rustls would refuse to choose.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args = Args::parse();
    telemetry::install(args.log_format);
    match args.role {
        Role::Crds(args) => crds::run(&args),
        Role::Controller(args) => controller::main(args),
        Role::Csi(args) => csi::main(&args),
        Role::Reference(args) => csi::reference::run(&args),
        Role::Uninstall(step) => uninstall::main(&step),
        Role::TryVolume(args) => try_volume::main(&args),
    }
}
