//! The side that serves and lets go. A successor is to it first a [`Candidate`], then there is a [`HandOver`] under way, and
//! in the end the [`Baton`] is passed.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tokio::net::UnixStream;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::timeout;

use super::when::{Greeting, When};
use super::wire::{Wire, words};
use super::{Lost, PROTOCOL};
use crate::socket;

/// How long a successor may take to serve what it was given.
const SERVE_WITHIN: Duration = Duration::from_secs(10);

/// How long one may take to say what it wants.
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// Where successors that ask are passed on, one at a time.
#[derive(Clone)]
pub struct Offers(mpsc::Sender<Candidate>);

/// Successors that have asked.
pub type Successors = mpsc::Receiver<Candidate>;

/// A way for successors to the node.
pub fn offers() -> (Offers, Successors) {
    let (sender, receiver) = mpsc::channel(1);
    (Offers(sender), receiver)
}

/// Passes on who asks on the socket `path` to succeed us, for as long as the process lives.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen(path: &Path, offers: Offers) -> anyhow::Result<()> {
    socket::accept(path, move |stream| timeout(ASK_WITHIN, attend(stream, offers.clone())))
}

async fn attend(stream: UnixStream, offers: Offers) {
    let Ok(peer) = stream.peer_cred() else { return };
    // The socket's mode says so already; whoever was given it in some other way is refused too.
    if peer.uid() == 0 || peer.uid() == geteuid().as_raw() {
        let pid = peer.pid().filter(|pid| *pid > 0);
        offers.introduce(stream, pid).await;
    }
}

impl Offers {
    /// Hears what someone wants, and passes it on.
    pub async fn introduce(&self, stream: UnixStream, pid: Option<i32>) {
        let mut wire = Wire::new(stream);
        let line = match wire.hear().await {
            Ok(line) => line,
            Err(lost) => return tracing::debug!(%lost, "someone asked for nothing on the socket for successors"),
        };
        let no = match Greeting::read(&line) {
            Some(Greeting { when, protocol, version }) if protocol == PROTOCOL.to_string() => {
                let (version, successor) = (version.to_owned(), Successor { wire, pid });
                return self.pass_on(Candidate { successor, version, when }).await;
            }
            Some(_) => format!("no this agent hands over by protocol {PROTOCOL}: stop it and start the other"),
            None => "no nothing but succeed and stand-by is understood here".to_owned(),
        };
        // If it is gone, so much the better.
        let _ = wire.say(&no).await;
    }

    async fn pass_on(&self, candidate: Candidate) {
        let Err(refused) = self.0.try_send(candidate) else { return };
        let (TrySendError::Full(candidate) | TrySendError::Closed(candidate)) = refused;
        candidate.refuse("this agent is being succeeded or ends").await;
    }
}

/// The connection to a successor's process.
struct Successor {
    wire: Wire,
    /// The process, where that is to be seen from here.
    pid: Option<i32>,
}

impl Successor {
    /// Ends it: it ends when it sees the connection end, and if it does not see, it is killed.
    fn end(self) {
        if let Some(pid) = self.pid {
            // It is there as long as the connection is. If it has ended already, so much the better.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// A successor that has said that it is ready. Nothing is handed over to it yet.
pub struct Candidate {
    successor: Successor,
    version: String,
    when: When,
}

impl Candidate {
    /// When it is to be handed over to.
    pub fn when(&self) -> When {
        self.when
    }

    /// What it calls its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it is still there. It has nothing to say meanwhile, and its end is heard at once.
    pub async fn is_there(&mut self) -> bool {
        matches!(self.successor.wire.hear_within(Duration::from_millis(1)).await, Err(Lost::Silent(_)))
    }

    /// Sends it away.
    pub async fn refuse(mut self, why: &str) {
        // If it is gone, so much the better.
        let _ = self.successor.wire.say(&format!("no {why}")).await;
    }

    /// Says that the hand-over begins.
    ///
    /// # Errors
    /// It is lost, and has been ended.
    pub async fn begin(mut self) -> Result<HandOver, Lost> {
        match self.successor.wire.say("go").await {
            Ok(()) => Ok(HandOver { successor: self.successor, version: self.version }),
            Err(lost) => {
                self.successor.end();
                Err(lost)
            }
        }
    }
}

/// A hand-over under way: some LUNs are the successor's, others still ours. All can be taken back.
pub struct HandOver {
    successor: Successor,
    version: String,
}

impl HandOver {
    /// Gives a LUN that was let go of; [`HandOver::wait_for`] says when it is served.
    pub async fn give(&mut self, uid: &str) -> Result<(), Lost> {
        self.successor.wire.say(&format!("take {uid}")).await
    }

    /// Names a LUN that cannot be served at once.
    pub async fn name(&mut self, uid: &str) -> Result<(), Lost> {
        self.successor.wire.say(&format!("later {uid}")).await
    }

    /// Waits until all of `given` are served; tells each as it comes.
    pub async fn wait_for(&mut self, mut given: BTreeSet<String>, mut served: impl FnMut(&str)) -> Result<(), Lost> {
        while !given.is_empty() {
            let line = self.successor.wire.hear_within(SERVE_WITHIN).await?;
            match words(&line) {
                ("serving" | "left", uid) if given.remove(uid) => served(uid),
                ("cannot", why) => return Err(Lost::Refused(format!("cannot serve {why}"))),
                _ => return Err(Lost::Odd(line)),
            }
        }
        Ok(())
    }

    /// Takes everything back: the successor is ended, and what it has opened is free then.
    pub fn take_back(self) {
        self.successor.end();
    }

    /// Every LUN is handed over.
    pub fn done(self) -> Baton {
        Baton { successor: self.successor, version: self.version }
    }
}

/// What is left to give to a successor that has every LUN: that it is the agent of this machine.
pub struct Baton {
    successor: Successor,
    version: String,
}

impl Baton {
    /// Makes the successor the agent; its version. Whoever calls this serves nothing any more, and holds no lock.
    ///
    /// # Errors
    /// It is lost.
    pub async fn pass(mut self) -> Result<String, Lost> {
        self.successor.wire.say("yours").await?;
        Ok(self.version)
    }
}
