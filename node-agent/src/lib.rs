//! The node agent: writes LIO's configfs for this node's LUNs, runs the TCMU ring of each in userspace,
//! and tells what became of them.
//!
//! `node` decides what each LUN needs, [`lun`] serves one ring, `source` says what is wanted
//! (an API server, or a directory of manifests), `storage` lists the kinds of pool there are, `attach` is
//! where LUNs become disks of this machine, `csi` brings those to pods, `memory` keeps the agent from waiting for its own disks, `metrics`
//! tells of all of them, `handover` passes all of it to a successor.
//!
//! A library under a program of three lines, so that the bench can run a LUN's thread over storage of its own, and
//! the fuzzers reach what reads manifests.

#![forbid(unsafe_code)]

mod agent;
mod args;
mod attach;
mod check;
mod csi;
mod handover;
pub mod lun;
mod memory;
mod metrics;
mod node;
mod reservations;
mod socket;
mod source;
mod status;
mod storage;
mod trouble;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use args::{Attachment, Cli, Command, Serve};
use attach::Order;

/// The program `lunette-node`.
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lunette-node: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads manifests as those of a directory are read, and what each of their Luns wants of a node.
///
/// # Errors
/// What is wrong with the first that cannot be served.
pub fn check_manifests(text: &str) -> Result<(), String> {
    source::read_manifests(text)?.iter().try_for_each(node::check)
}

fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Check => Ok(check::run()),
        Command::Status(args) => runtime()?.block_on(status::show(args.run.socket(), args.output)).map(|()| true),
        Command::Upgrade(args) => {
            runtime()?.block_on(handover::upgrade(&args.run.socket(), args.program)).map(|()| true)
        }
        Command::Top(args) => runtime()?.block_on(status::top(args.run.socket(), args.how())).map(|()| true),
        Command::Serve(args) => serve(args).map(|()| true),
        Command::Attach(args) => order(Order::Attach, &args).map(|()| true),
        Command::Detach(args) => order(Order::Detach, &args).map(|()| true),
    }
}

fn order(order: Order, args: &Attachment) -> anyhow::Result<()> {
    let patience = Duration::from_secs(args.timeout);
    runtime()?.block_on(attach::run(order, &args.run.socket(), &args.lun, patience))
}

fn serve(args: Serve) -> anyhow::Result<()> {
    log(args.log_json);
    memory::prepare();
    choose_tls();
    let runtime = runtime()?;
    let served = runtime.block_on(agent::serve(args));
    // A thread that sleeps in the kernel or in storage is not waited for.
    runtime.shutdown_background();
    served
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    // Each LUN may have one request at storage or configfs that does not come back.
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(4096).enable_all().build()
}

fn log(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        builder.json().init();
    } else {
        builder.init();
    }
}

fn choose_tls() {
    // It fails only if a provider is chosen already, and then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
