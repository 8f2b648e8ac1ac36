//! The demo: from an empty cluster to volumes of pods that are snapshotted, moved, crashed under and grown; then a LUN for
//! a machine outside the cluster, with strangers refused; and back to nothing.
//!
//! Every step shows the command that a user would type and what it really printed, and fails the story when
//! it does not do what it says. [`stage`] is what stands before the story begins.

mod crash;
mod outside;
mod removal;
mod stage;
mod strangers;
mod volume;

use lunette_bed::{Context, Result, Story};

use stage::Stage;

/// Tells the story.
pub fn tell(context: &Context) -> Result<()> {
    let mut story = Story::begin("Lunette: volumes for pods, a LUN for a machine outside, and back to nothing");
    let stage =
        story.must("a cluster of two nodes, and a client outside the cluster", |step| Stage::set(step, context))?;
    story.must("Lunette is installed by Helm, with a pool and a class", |step| stage.install(step))?;
    story.must("a pod asks for a volume and writes to it", |step| volume::claim(step, &stage))?;
    story.step("the volume is snapshotted, and comes back as another", |step| volume::restore(step, &stage));
    story.must("the pod moves to the other node, and so does its volume", |step| volume::move_pod(step, &stage))?;
    story.step("the agent is killed while the pod writes", |step| crash::kill_under_load(step, &stage));
    story.step("the volume grows under the running pod", |step| volume::grow(step, &stage));
    let lun = story.must("a LUN is asked for, for the client outside", |step| outside::apply(step, &stage))?;
    let disk = story.must("the client logs in with CHAP", |step| outside::log_in(step, &stage, &lun))?;
    story.must("the client makes a file system and writes files", |step| outside::write_files(step, &stage, &disk))?;
    story.step("the LUN grows while it is mounted", |step| outside::grow(step, &stage, &disk));
    story.step("strangers and wrong secrets are refused", |step| strangers::are_refused(step, &stage, &lun));
    story.step("the client leaves, and the LUN is deleted", |step| outside::delete(step, &stage, &lun));
    story.step("everything is removed, and nothing is left", |step| removal::remove(step, &stage));
    story.step("no kernel has a complaint", |step| stage.kernels_are_clean(step));
    story.end()
}
