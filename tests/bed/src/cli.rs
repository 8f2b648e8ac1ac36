//! The command line, for the bed itself and for programs that bring tests and a story of their own.
//!
//! A program that calls [`run`] is also the guests' agent (`guest-exec`), since guests run a copy of whatever
//! program made their bed.

use crate::bed::{interrupt, reaper};
use crate::layout::Layout;
use crate::record::Recorder;
use crate::runner::{self, Context, Test};
use crate::setup::{Extent, Ground, Kernel};
use crate::{Result, exec, grpc, lanes, shell};
use anyhow::Context as _;
use clap::{Parser, Subcommand};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// What a program brings: its tests and the demo's story.
#[derive(Debug, Clone, Copy)]
pub struct Repertoire<'a> {
    /// Run by `test`.
    pub tests: &'a [Test],
    /// Told by `demo`.
    pub demo: fn(&Context) -> Result<()>,
    /// Run by `bench`, with a context for each kernel.
    pub bench: fn(&[Context], &Bench) -> Result<()>,
}

/// What `bench` is asked for.
#[derive(Debug, Clone, clap::Args)]
pub struct Bench {
    /// Parts of names of servers and loads, separated by commas; everything without it
    #[arg(default_value = "")]
    pub filter: String,
    /// Instead of measuring, sample where the instructions go, and print the profile of each load
    #[arg(long)]
    pub profile: bool,
    /// Measure what was measured before, too
    #[arg(long)]
    pub again: bool,
}

#[derive(Debug, Parser)]
#[command(about = "Real kernels in VMs and a real Kubernetes control plane, for the demo and the tests")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install, download and build whatever is missing; nothing else
    Setup,
    /// Set up, then tell the story
    Demo {
        /// The kernel of the VMs: 6.1 or 6.12
        #[arg(long, default_value_t)]
        kernel: Kernel,
    },
    /// Set up, then run the tests whose names contain FILTER
    Test {
        /// Parts of names, separated by commas; without it all tests but the long ones
        #[arg(default_value = "")]
        filter: String,
        /// The long tests too
        #[arg(long)]
        all: bool,
        /// The kernel of the VMs: 6.1 or 6.12; may be given twice
        #[arg(long)]
        kernel: Vec<Kernel>,
        /// How many tests run at a time
        #[arg(long, default_value = "1")]
        lanes: NonZeroUsize,
    },
    /// Set up, then measure what commands cost, beside other targets
    Bench {
        #[command(flatten)]
        what: Bench,
        /// The kernel of the VM: 6.1 or 6.12; may be given twice
        #[arg(long)]
        kernel: Vec<Kernel>,
    },
    /// Print the names of the tests
    List {
        /// Parts of names, separated by commas
        #[arg(default_value = "")]
        filter: String,
    },
    /// Set up, boot a VM, and type commands into it
    Shell {
        /// The kernel of the VM: 6.1 or 6.12
        #[arg(long, default_value_t)]
        kernel: Kernel,
        /// Its clock counts instructions, as the bench's does
        #[arg(long)]
        counting: bool,
    },
    /// The agent in a guest; not for people
    #[command(hide = true)]
    GuestExec,
    /// Runs the tests that standard input names; not for people
    #[command(hide = true, name = lanes::VERB)]
    Lane,
    /// Makes a gRPC call in a guest; not for people
    #[command(hide = true)]
    Call {
        /// The socket to call on
        socket: PathBuf,
        /// The method: /PACKAGE.SERVICE/METHOD
        method: String,
        /// How long it may take
        seconds: u64,
        /// The message, in hexadecimal
        #[arg(default_value = "")]
        request: String,
    },
    /// Writes records in a guest; not for people
    #[command(hide = true)]
    Record(Recorder),
    /// Clears up after the program that started it; not for people
    #[command(hide = true)]
    Reap,
}

/// Does what the command line says; the exit status is 0 only if all of it succeeded.
#[must_use]
pub fn run(repertoire: Repertoire) -> ExitCode {
    let outcome = match Arguments::parse().verb {
        Verb::GuestExec => exec::serve(),
        Verb::Reap => reaper::reap(),
        Verb::Record(recorder) => recorder.record(),
        Verb::Call { socket, method, seconds, request } => {
            grpc::answer(&socket, &method, Duration::from_secs(seconds), &request)
        }
        Verb::List { filter } => list(&repertoire, &filter),
        verb => interrupt::clear_up_on_signals().and_then(|()| run_on_ground(&repertoire, verb)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lunette-bed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list(repertoire: &Repertoire, filter: &str) -> Result<()> {
    runner::select(repertoire.tests, filter, true).iter().for_each(|test| println!("{}", test.name()));
    Ok(())
}

fn run_on_ground(repertoire: &Repertoire, verb: Verb) -> Result<()> {
    let extent = match verb {
        Verb::Bench { .. } | Verb::Shell { .. } => Extent::ControlPlane,
        Verb::Demo { .. } => Extent::Cluster,
        _ => Extent::Everything,
    };
    let ground = Ground::prepare(&Layout::find()?, extent).context("setting up")?;
    match verb {
        Verb::Demo { kernel } => demo(repertoire, &Context::new(ground, kernel)),
        Verb::Test { filter, all, kernel, lanes } => {
            test(&ground, &runner::select(repertoire.tests, &filter, all), &or_default(kernel), lanes.get())
        }
        Verb::Lane => lanes::serve(&ground, repertoire.tests),
        Verb::Bench { what, kernel } => bench(repertoire, &ground, &what, kernel),
        Verb::Shell { kernel, counting } => shell::run(&Context::new(ground, kernel), counting),
        Verb::Setup | Verb::List { .. } | Verb::GuestExec | Verb::Call { .. } | Verb::Record(_) | Verb::Reap => Ok(()),
    }
}

/// The story; the logs of its parts where it failed.
fn demo(repertoire: &Repertoire, context: &Context) -> Result<()> {
    (repertoire.demo)(context).inspect_err(|_| runner::show_recent_logs())
}

/// The measurements, on one kernel after the other.
fn bench(repertoire: &Repertoire, ground: &Ground, what: &Bench, kernels: Vec<Kernel>) -> Result<()> {
    let contexts: Vec<_> = or_default(kernels).into_iter().map(|kernel| Context::new(ground.clone(), kernel)).collect();
    (repertoire.bench)(&contexts, what).inspect_err(|_| runner::show_recent_logs())
}

fn or_default(kernels: Vec<Kernel>) -> Vec<Kernel> {
    if kernels.is_empty() { vec![Kernel::default()] } else { kernels }
}

/// These tests, with one closing line for all.
fn test(ground: &Ground, tests: &[Test], kernels: &[Kernel], lanes: usize) -> Result<()> {
    let report = match lanes {
        1 => runner::run(ground, tests, kernels),
        several => lanes::run(tests, kernels, several)?,
    };
    report.conclude()
}
