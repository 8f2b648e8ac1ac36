//! Serves one LUN over no storage, as the agent would serve one over a file: the same thread, the same ring, the
//! same SCSI room, the same target. The difference between both is what storage costs.
//!
//! For a throw-away VM: it makes its backstore and its target, serves until it is killed, and clears nothing away.

#![forbid(unsafe_code)]

mod nothing;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Parser;
use lunette_backend::{OpenOptions, VolumeId};
use lunette_lio::{Acl, Backstore, Configfs, Export, Found, Iqn, IqnPrefix, Phase, Portal, Real, Target, Uid};
use lunette_node::lun::{Job, Kernel, LunThread, State};
use lunette_scsi::{Config, Identity};
use nothing::Nowhere;

const BLOCK: u32 = 512;

#[derive(Debug, Parser)]
#[command(about = "A LUN over no storage at all, for counting what the rest costs")]
struct Arguments {
    /// Its identity: the backstore is lunette-UID
    #[arg(long, default_value = "null")]
    uid: Uid,
    /// Its size in bytes
    #[arg(long)]
    size: u64,
    /// Where the target listens
    #[arg(long)]
    portal: Portal,
    /// Who may log in
    #[arg(long)]
    initiator: Iqn,
}

fn main() -> ExitCode {
    match serve(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lunette-null: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// In the agent's order: backstore, thread, target.
fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    let configfs: Arc<dyn Configfs> = Arc::new(Real::default());
    let backstore = Backstore::new(arguments.size, BLOCK, arguments.uid.as_str());
    let mut want = Export { backstore: Some(backstore), target: None, local: None };
    let found = bring_about(configfs.as_ref(), &arguments.uid, &want, Phase::Backstore)?;
    let volume = VolumeId::parse(arguments.uid.as_str()).context("a UID names a volume")?;
    let device = found.device();
    let lun =
        LunThread::start("null", Arc::new(Nowhere { size: arguments.size }), job(configfs.clone(), found, volume))?;
    let mut state = lun.watch();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let reached = runtime.block_on(state.wait_for(|state| *state != State::Starting))?.clone();
    if reached != State::Serving {
        bail!("it cannot be served: {reached:?}");
    }
    want.target = Some(target(arguments));
    bring_about(configfs.as_ref(), &arguments.uid, &want, Phase::Target)?;
    println!("serving {device}");
    let ended = runtime.block_on(state.wait_for(|state| matches!(state, State::Ended(_))))?.clone();
    bail!("it is served no more: {ended:?}")
}

fn bring_about(fs: &dyn Configfs, uid: &Uid, want: &Export, phase: Phase) -> anyhow::Result<Found> {
    let prefix = IqnPrefix::default();
    let found = lunette_lio::read_export(fs, &prefix, uid)?;
    let plan = lunette_lio::plan(&found, Some(want))?;
    lunette_lio::apply(fs, plan.steps(phase), |_, _| {})?;
    Ok(lunette_lio::read_export(fs, &prefix, uid)?)
}

fn job(configfs: Arc<dyn Configfs>, found: Found, volume: VolumeId) -> Job {
    let serial = found.uid.to_string();
    let journal = Path::new("/run/lunette/journals").join(&serial);
    Job {
        found,
        volume,
        options: OpenOptions { block_size: BLOCK, read_only: false, write_cache: true },
        config: Box::new(move || Config::new(Identity::new([0x60; 16], serial))),
        configfs,
        kernel: Kernel::here(),
        journal,
    }
}

fn target(arguments: &Arguments) -> Target {
    let acls = BTreeMap::from([(arguments.initiator.clone(), Acl::new(None, false))]);
    Target::new(IqnPrefix::default().target(&arguments.uid), [arguments.portal], acls)
}
