//! The side in the guest: `lunette-bed guest-exec`.
//!
//! A thread for each connection, two for its command's output. A command is a process group of its own. Output that
//! comes after the command itself has ended (a child that went to the background and kept the pipe) is waited for
//! only briefly, so that starting a daemon does not hang the caller.

use super::PORT;
use super::frame::{Kind, receive, send};
use crate::Result;
use anyhow::{Context, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long output may go on after the command's end before it counts as a daemon's.
const LATE_OUTPUT: Duration = Duration::from_millis(300);

/// Serves commands until the machine ends.
///
/// # Errors
/// When the port is taken.
pub fn serve() -> Result<()> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)).context("listening for commands")?;
    for connection in listener.incoming() {
        // A connection that failed while it was accepted has nobody left to tell.
        let Ok(connection) = connection else { continue };
        std::thread::spawn(move || {
            if let Err(error) = attend(connection) {
                eprintln!("guest-exec: {error:#}");
            }
        });
    }
    Ok(())
}

type Answers = Arc<Mutex<TcpStream>>;

fn attend(mut connection: TcpStream) -> Result<()> {
    connection.set_nodelay(true).context("setting up the connection")?;
    let Some(mut command) = read_command(&mut connection)? else { return Ok(()) };
    let answers = Arc::new(Mutex::new(connection.try_clone().context("sharing the connection")?));
    match command.spawn() {
        Ok(child) => accompany(child, connection, &answers),
        Err(error) => {
            let reason = format!("{}: {error}", command.get_program().to_string_lossy());
            answer(&answers, Kind::Refused, reason.as_bytes())
        }
    }
}

fn read_command(connection: &mut TcpStream) -> Result<Option<Command>> {
    let mut arguments = Vec::new();
    let mut variables = Vec::new();
    loop {
        let Some(frame) = receive(connection)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&frame.payload).into_owned();
        match frame.kind {
            Kind::Argument => arguments.push(text),
            Kind::Variable => variables.push(text),
            Kind::Start => break,
            other => bail!("{other:?} came before the command was complete"),
        }
    }
    let [program, arguments @ ..] = arguments.as_slice() else { bail!("a command without a program") };
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().filter_map(|variable| variable.split_once('=')));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    Ok(Some(command))
}

/// From the command's start to its end.
fn accompany(mut child: Child, connection: TcpStream, answers: &Answers) -> Result<()> {
    let group = Pid::from_raw(i32::try_from(child.id()).context("process ids fit in an i32")?);
    answer(answers, Kind::Started, &group.as_raw().to_be_bytes())?;
    let (done, finished) = channel();
    pump(child.stdout.take(), Kind::Stdout, answers, &done);
    pump(child.stderr.take(), Kind::Stderr, answers, &done);
    drop(done);
    let input = child.stdin.take();
    let running = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&running);
    let replies = Arc::clone(answers);
    std::thread::spawn(move || obey(connection, input, group, &still, &replies));
    let status = child.wait().context("waiting for the command")?;
    running.store(false, Ordering::SeqCst);
    wait_for_output(&finished);
    answer(answers, Kind::Exited, &shell_status(status).to_be_bytes())?;
    let stream = answers.lock().unwrap_or_else(PoisonError::into_inner);
    // The client may have closed it first.
    let _ = stream.shutdown(Shutdown::Both);
    Ok(())
}

/// Until both pipes are closed, or have been silent for a while.
fn wait_for_output(finished: &Receiver<()>) {
    while finished.recv_timeout(LATE_OUTPUT).is_ok() {}
}

fn shell_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Sends on what comes out of a pipe until it closes, and says each time that something came. If the client is
/// gone it goes on reading, so that a daemon does not block or die on a full or broken pipe.
fn pump(pipe: Option<impl Read + Send + 'static>, kind: Kind, answers: &Answers, came: &Sender<()>) {
    let Some(mut pipe) = pipe else { return };
    let answers = Arc::clone(answers);
    let came = came.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            let _ = answer(&answers, kind, &buffer[..length]);
            let _ = came.send(());
        }
    });
}

/// Does as the client says while the command runs; kills the command's group when the client lets go.
fn obey(mut connection: TcpStream, mut input: Option<ChildStdin>, group: Pid, running: &AtomicBool, answers: &Answers) {
    let mut kill_at_end = true;
    while let Ok(Some(frame)) = receive(&mut connection) {
        match frame.kind {
            Kind::Input if frame.payload.is_empty() => input = None,
            // A command that does not read its input has closed the pipe: its own affair.
            Kind::Input => drop(input.as_mut().map(|pipe| pipe.write_all(&frame.payload))),
            Kind::Signal => pass_on(frame.number().unwrap_or_default(), group),
            Kind::Detach => {
                kill_at_end = false;
                let _ = answer(answers, Kind::Detached, b"");
            }
            _ => break,
        }
    }
    if kill_at_end && running.load(Ordering::SeqCst) {
        let _ = killpg(group, Signal::SIGKILL);
    }
}

fn pass_on(number: i32, group: Pid) {
    if let Ok(signal) = Signal::try_from(number) {
        // Gone already: then there is nothing to signal.
        let _ = killpg(group, signal);
    }
}

fn answer(answers: &Answers, kind: Kind, payload: &[u8]) -> Result<()> {
    let mut stream = answers.lock().unwrap_or_else(PoisonError::into_inner);
    send(&mut *stream, kind, payload)
}
