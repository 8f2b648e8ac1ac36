//! `lunette-node upgrade`: has the running agent hand over to this program, and waits for the outcome.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;

use crate::socket;

/// Many LUNs, a few at a time, each within its own limits.
const DONE_WITHIN: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Upgrades the agent that answers `at` a socket to `program`, or to this program.
///
/// # Errors
/// The old agent serves on; why.
pub async fn upgrade(at: &Path, program: Option<PathBuf>) -> anyhow::Result<()> {
    let program = match program {
        Some(program) => std::path::absolute(program)?,
        None => std::env::current_exe().context("cannot tell where this program is: name it")?,
    };
    let program = program.to_str().context("the path of the new program is no text")?;
    let started = Instant::now();
    let answer = socket::ask(at, &format!("upgrade {program}"), socket::ANSWER_WITHIN).await?;
    let pid = number(&answer, "successor").context("the agent that runs does not know how to hand over: restart it")?;
    while started.elapsed() < DONE_WITHIN {
        let agent = socket::ask(at, "agent", socket::ANSWER_WITHIN).await.ok();
        if agent.as_ref().and_then(|agent| number(agent, "pid")) == Some(pid) {
            let version = agent.as_ref().and_then(|agent| agent["version"].as_str()).unwrap_or("?");
            println!("process {pid}, version {version}, is the agent now ({:.1} s)", started.elapsed().as_secs_f64());
            return Ok(());
        }
        if kill(Pid::from_raw(pid), None).is_err() {
            bail!("process {pid} could not take over, and the old agent serves on: see the agent's log");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    bail!("process {pid} has not taken over for {} s: see the agent's log", DONE_WITHIN.as_secs())
}

fn number(answer: &Value, name: &str) -> Option<i32> {
    i32::try_from(answer.get(name)?.as_i64()?).ok()
}
