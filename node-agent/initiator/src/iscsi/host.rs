//! Calling the host's `iscsiadm` where its iscsid lives: in a container, through that process's namespaces.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::IscsiError;

/// Longer than a login with all of open-iscsi's own retries takes.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// nsenter(1) found the namespaces, and no such program in them.
const NO_PROGRAM: i32 = 127;

/// What a call came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The exit status; -1 if a signal ended it.
    pub status: i32,
    /// What it printed, its errors first.
    pub said: String,
}

/// Whoever runs open-iscsi's commands.
pub trait Commands: Send + Sync {
    /// Runs `iscsiadm` with these arguments.
    ///
    /// # Errors
    /// When it cannot be run or does not come back; how it ended is in the answer.
    fn iscsiadm(&self, arguments: &[&str]) -> Result<Answer, IscsiError>;

    /// The root of the file system that iscsid sees.
    fn root(&self) -> PathBuf;
}

/// The machine's own open-iscsi. In a container it takes the host's process namespace, and the rights to enter others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host;

impl Host {
    /// iscsid, or where it is started on demand, the host's first process; `None`: it is in our own namespaces.
    fn elsewhere(self) -> Option<String> {
        let process = iscsid().unwrap_or_else(|| "1".to_owned());
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
        (namespace(&process)? != namespace("self")?).then_some(process)
    }
}

impl Commands for Host {
    fn iscsiadm(&self, arguments: &[&str]) -> Result<Answer, IscsiError> {
        let elsewhere = self.elsewhere();
        let mut command = match &elsewhere {
            None => Command::new("iscsiadm"),
            Some(process) => {
                let mut enter = Command::new("nsenter");
                let namespaces = ["mnt", "net"].iter().zip(["--mount", "--net"]);
                enter.args(namespaces.map(|(name, flag)| OsString::from(format!("{flag}=/proc/{process}/ns/{name}"))));
                enter.args(["--", "iscsiadm"]);
                enter
            }
        };
        let answer = bounded(command.args(arguments))?;
        if elsewhere.is_some() && answer.status == NO_PROGRAM {
            return Err(IscsiError::NotThere(std::io::Error::other(answer.said.trim().to_owned())));
        }
        Ok(answer)
    }

    fn root(&self) -> PathBuf {
        self.elsewhere().map_or_else(|| PathBuf::from("/"), |process| PathBuf::from(format!("/proc/{process}/root")))
    }
}

fn iscsid() -> Option<String> {
    let processes = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut numbers = processes.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    numbers.find(|number| fs::read_to_string(format!("/proc/{number}/comm")).is_ok_and(|comm| comm.trim() == "iscsid"))
}

fn bounded(command: &mut Command) -> Result<Answer, IscsiError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(IscsiError::NotThere)?;
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait().map_err(IscsiError::NotThere)? {
            Some(status) => break status,
            None if Instant::now() < deadline => sleep(LOOK_AGAIN),
            None => {
                // It may be stuck in the kernel: then nothing ends it, and nobody waits for it.
                let _ = child.kill();
                return Err(IscsiError::Stuck { seconds: PATIENCE.as_secs() });
            }
        }
    };
    // Far less than a pipe holds, so it was never held up.
    let mut said = String::new();
    for pipe in [
        child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read>),
        child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read>),
    ] {
        let _ = pipe.map(|mut pipe| pipe.read_to_string(&mut said));
    }
    Ok(Answer { status: status.code().unwrap_or(-1), said })
}
