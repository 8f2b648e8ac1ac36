//! The side on the host: a command that runs in a guest, from its start to its end.
//!
//! Every wait is bounded. An error says which command it was about, and shows what had been printed until then.

use super::command::{GuestCommand, PATIENCE};
use super::frame::{Frame, Kind, receive, send};
use super::output::Output;
use crate::{Result, host};
use anyhow::{Context, anyhow, bail};
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

impl Process {
    /// Starts `command` over a fresh connection to the guest's server. Its output goes to `log` too.
    ///
    /// # Errors
    /// When the guest refuses it or does not answer.
    pub fn start(connection: Arc<TcpStream>, command: &GuestCommand, log: Option<File>) -> Result<Process> {
        connection.set_nodelay(true).context("setting up the connection")?;
        for variable in &command.variables {
            send(&mut &*connection, Kind::Variable, variable.as_bytes())?;
        }
        for argument in &command.arguments {
            send(&mut &*connection, Kind::Argument, argument.as_bytes())?;
        }
        send(&mut &*connection, Kind::Start, b"")?;
        let frames = read_on_a_thread(Arc::clone(&connection), log);
        let mut process = Process {
            shown: command.shown(),
            connection,
            sending: Arc::default(),
            frames,
            pid: 0,
            patience: command.patience,
            stdout: Vec::new(),
            stderr: Vec::new(),
            lines_from: 0,
            status: None,
        };
        process.await_start()?;
        process.feed(&command.input)?;
        Ok(process)
    }
}

/// Frames as they come; output goes to the log too, whether or not anybody waits for it.
fn read_on_a_thread(connection: Arc<TcpStream>, mut log: Option<File>) -> Receiver<Frame> {
    let (sender, frames) = mpsc::channel();
    std::thread::spawn(move || {
        while let Ok(Some(frame)) = receive(&mut &*connection) {
            if let (Some(log), Kind::Stdout | Kind::Stderr) = (&mut log, frame.kind) {
                // A log that cannot be written fails no test.
                let _ = log.write_all(&frame.payload);
            }
            if sender.send(frame).is_err() {
                return;
            }
        }
    });
    frames
}

/// A command that runs in a guest. Dropping it kills the command with its process group.
#[derive(Debug)]
pub struct Process {
    shown: String,
    connection: Arc<TcpStream>,
    /// Held for each frame sent, so that a signal does not land within a piece of input.
    sending: Arc<Mutex<()>>,
    frames: Receiver<Frame>,
    pid: i32,
    patience: Duration,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    lines_from: usize,
    status: Option<i32>,
}

impl Process {
    /// Its process id in the guest, which is also that of its process group.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal to its process group.
    ///
    /// # Errors
    /// When the connection to the guest is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let _whole = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        send(&mut &*self.connection, Kind::Signal, &(signal as i32).to_be_bytes())
    }

    /// The next whole line of its standard output, without its end; `None` when the command has ended.
    ///
    /// # Errors
    /// When none comes within `patience`, or the guest is gone.
    pub fn next_line(&mut self, patience: Duration) -> Result<Option<String>> {
        let deadline = Instant::now() + patience;
        loop {
            let fresh = &self.stdout[self.lines_from..];
            if let Some(length) = fresh.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&fresh[..length]).into_owned();
                self.lines_from += length + 1;
                return Ok(Some(line));
            }
            if self.status.is_some() {
                return Ok(None);
            }
            self.take_frame(deadline, patience)?;
        }
    }

    /// The first line of standard output from here on that `wanted` accepts.
    ///
    /// # Errors
    /// When the command ends before, or none comes within `patience`.
    pub fn wait_for_line(&mut self, patience: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + patience;
        while let Some(line) = self.next_line(deadline.saturating_duration_since(Instant::now()))? {
            if wanted(&line) {
                return Ok(line);
            }
        }
        bail!("`{}` ended before it printed the line waited for:\n{}", self.shown, self.printed_tail())
    }

    /// Everything it printed and its status, once it has ended.
    ///
    /// # Errors
    /// When it runs longer than its command's patience (it is killed then), or the guest is gone.
    pub fn wait(self) -> Result<Output> {
        let patience = self.patience;
        self.wait_at_most(patience)
    }

    /// As [`Process::wait`], with a patience of its own.
    ///
    /// # Errors
    /// As [`Process::wait`].
    pub fn wait_at_most(mut self, patience: Duration) -> Result<Output> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.status {
                return Ok(self.output(status));
            }
            self.take_frame(deadline, patience)?;
        }
    }

    /// Its status, if it has ended by now; takes in what it printed until now.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn ended(&mut self) -> Result<Option<i32>> {
        while self.status.is_none() {
            match self.frames.try_recv() {
                Ok(frame) => self.take_in(&frame)?,
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return Err(self.lost()),
            }
        }
        Ok(self.status)
    }

    /// Lets it live on in the guest, with nobody listening.
    ///
    /// # Errors
    /// When the guest is gone, or does not confirm.
    pub fn detach(mut self) -> Result<()> {
        send(&mut &*self.connection, Kind::Detach, b"")?;
        let deadline = Instant::now() + PATIENCE;
        while self.status.is_none() {
            if self.next_frame(deadline, PATIENCE)?.kind == Kind::Detached {
                break;
            }
        }
        Ok(())
    }

    /// What it printed on standard output until now, as far as it was taken in.
    #[must_use]
    pub fn stdout_so_far(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    fn await_start(&mut self) -> Result<()> {
        let frame = self.next_frame(Instant::now() + PATIENCE, PATIENCE)?;
        match frame.kind {
            Kind::Started => self.pid = frame.number()?,
            Kind::Refused => bail!("the guest cannot run {}", String::from_utf8_lossy(&frame.payload)),
            other => bail!("the guest answered {other:?} to a start"),
        }
        Ok(())
    }

    /// Sends all of the input, on a thread: a command may print before it reads on.
    fn feed(&self, input: &[u8]) -> Result<()> {
        if input.is_empty() {
            return send(&mut &*self.connection, Kind::Input, b"");
        }
        let (connection, sending) = (Arc::clone(&self.connection), Arc::clone(&self.sending));
        let input = input.to_vec();
        std::thread::spawn(move || -> Result<()> {
            for piece in input.chunks(64 << 10).chain([b"".as_slice()]) {
                let _whole = sending.lock().unwrap_or_else(PoisonError::into_inner);
                send(&mut &*connection, Kind::Input, piece)?;
            }
            Ok(())
        });
        Ok(())
    }

    fn take_frame(&mut self, deadline: Instant, patience: Duration) -> Result<()> {
        let frame = self.next_frame(deadline, patience)?;
        self.take_in(&frame)
    }

    fn next_frame(&mut self, deadline: Instant, patience: Duration) -> Result<Frame> {
        match self.frames.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(frame) => Ok(frame),
            Err(RecvTimeoutError::Timeout) => {
                bail!("`{}` is not done after {patience:?}; it printed:\n{}", self.shown, self.printed_tail())
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.lost()),
        }
    }

    fn take_in(&mut self, frame: &Frame) -> Result<()> {
        match frame.kind {
            Kind::Stdout => self.stdout.extend_from_slice(&frame.payload),
            Kind::Stderr => self.stderr.extend_from_slice(&frame.payload),
            Kind::Exited => self.status = Some(frame.number()?),
            _ => {}
        }
        Ok(())
    }

    fn lost(&self) -> anyhow::Error {
        anyhow!("the guest was gone while `{}` ran; it had printed:\n{}", self.shown, self.printed_tail())
    }

    fn printed_tail(&self) -> String {
        let printed = [self.stdout.as_slice(), self.stderr.as_slice()].concat();
        host::tail(&String::from_utf8_lossy(&printed), 30)
    }

    fn output(&self, status: i32) -> Output {
        Output {
            status,
            stdout: String::from_utf8_lossy(&self.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&self.stderr).into_owned(),
            shown: self.shown.clone(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The reading thread holds the connection too: only a shutdown ends it. It may be gone already.
        let _ = self.connection.shutdown(Shutdown::Both);
    }
}
