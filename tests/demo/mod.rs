//! The demo: from nothing to a LUN that is served, used, crashed under, grown, defended and removed.
//!
//! Every step shows the command that a user would type and what it really printed, and fails the story when
//! it does not do what it says. [`stage`] is what stands before the story begins.

mod crash;
mod life;
mod stage;
mod strangers;

use lunette_bed::{Context, Result, Story};

use stage::Stage;

/// Tells the story.
pub fn tell(context: &Context) -> Result<()> {
    let mut story = Story::begin("Lunette: from kubectl apply to a mounted file system, and back");
    let mut stage =
        story.must("a cluster, a node and a client outside the cluster", |step| Stage::set(step, context))?;
    story.must("Lunette is installed", |step| stage.install(step))?;
    let lun = story.must("a pool and a LUN are asked for", |step| life::apply(step, &stage))?;
    let disk = story.must("the client logs in with CHAP", |step| life::log_in(step, &stage, &lun))?;
    story.must("the client makes a file system and writes files", |step| life::write_files(step, &stage, &disk))?;
    story.step("the agent is killed while the client writes", |step| crash::kill_under_load(step, &mut stage, &disk));
    story.step("the LUN grows while it is mounted", |step| life::grow(step, &stage, &disk));
    story.step("strangers and wrong secrets are refused", |step| strangers::are_refused(step, &stage, &lun));
    story.step("the LUN is deleted, and nothing is left", |step| life::delete(step, &stage, &lun));
    story.step("neither kernel has a complaint", |step| stage.kernels_are_clean(step));
    story.end()
}
