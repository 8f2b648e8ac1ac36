//! `lunette-node top`: what the LUNs of this node do, live.
//!
//! It asks the agent for counts, again and again, and shows the differences. On a terminal it redraws one
//! picture, on the terminal's second screen, and leaves the first as it was, however it ends; anywhere else it
//! prints one table, or one line of JSON, after the other.

mod rates;
mod sample;
mod screen;
mod table;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use sample::Sample;

use rates::Row;
use screen::Screen;

use super::Board;
use crate::socket;

/// How `top` prints, where it is not the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line, each with all LUNs.
    Json,
}

/// What is asked of `top`.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Between two looks.
    pub interval: Duration,
    /// End after the first picture.
    pub once: bool,
    /// How to print.
    pub format: Option<Format>,
}

/// Shows what the LUNs do until it is told to stop, or once.
///
/// # Errors
/// When no agent answers, or one that does not know the request.
pub async fn top(socket: PathBuf, how: How) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let mut output = Output::new(how)?;
    tokio::select! {
        shown = show(&socket, how, &mut output) => shown,
        () = signals.any() => Ok(()),
    }
}

async fn show(socket: &Path, how: How, output: &mut Output) -> anyhow::Result<()> {
    let mut before = ask(socket).await?;
    loop {
        tokio::time::sleep(how.interval).await;
        let after = ask(socket).await?;
        let shown = output.show(&rates::rows(&before, &after));
        match shown {
            // Whoever read it has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
        if how.once {
            return Ok(());
        }
        before = after;
    }
}

async fn ask(socket: &Path) -> anyhow::Result<Sample> {
    let reply = socket::ask(socket, "top", socket::ANSWER_WITHIN).await?;
    serde_json::from_value(reply).context("the agent's answer is not understood: is it of this version?")
}

/// The agent's answer to the request `top`.
pub fn answer(board: &Board) -> Value {
    serde_json::to_value(Sample::of(board)).unwrap_or_else(|error| json!({ "error": error.to_string() }))
}

/// Where the pictures go.
enum Output {
    Live(Screen),
    Tables,
    Lines,
}

impl Output {
    fn new(how: How) -> io::Result<Self> {
        match how.format {
            Some(Format::Json) => Ok(Self::Lines),
            None if !how.once && io::stdout().is_terminal() => Screen::open().map(Self::Live),
            None => Ok(Self::Tables),
        }
    }

    fn show(&mut self, rows: &[Row]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        match self {
            Self::Live(screen) => return screen.show(rows),
            Self::Tables => writeln!(stdout, "{}", table::draw(rows, screen::width(), None))?,
            Self::Lines => writeln!(stdout, "{}", json!({ "luns": rows }))?,
        }
        stdout.flush()
    }
}

/// Whatever tells a program in a terminal to end.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> io::Result<Self> {
        let [interrupt, terminate, hangup] = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        Ok(Self([signal(interrupt)?, signal(terminate)?, signal(hangup)?]))
    }

    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
