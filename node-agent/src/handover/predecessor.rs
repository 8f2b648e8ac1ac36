//! The side that serves and lets go.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::wire::{Wire, words};
use super::{Lost, PROTOCOL};
use crate::socket;

/// How long a successor may take to serve what it was given.
const SERVE_WITHIN: Duration = Duration::from_secs(10);

/// How long one may take to say what it wants.
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// Where successors that ask are passed on, one at a time.
#[derive(Clone)]
pub struct Offers(mpsc::Sender<Baton>);

/// Successors that have asked.
pub type Successors = mpsc::Receiver<Baton>;

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
        match wire.hear().await {
            Ok(line) => match words(&line) {
                ("succeed", rest) => self.asked(rest, pid, wire, false).await,
                ("stand-by", rest) => self.asked(rest, pid, wire, true).await,
                _ => drop(wire.say("no nothing but succeed and stand-by is understood here").await),
            },
            Err(lost) => tracing::debug!(%lost, "someone asked for nothing on the socket for successors"),
        }
    }

    /// Someone said `succeed` or, if it `waits`, `stand-by`, and these words.
    async fn asked(&self, said: &str, pid: Option<i32>, mut wire: Wire, waits: bool) {
        let (protocol, version) = words(said);
        if protocol != PROTOCOL.to_string() {
            let no = format!("no this agent hands over by protocol {PROTOCOL}: stop it and start the other");
            return drop(wire.say(&no).await);
        }
        let baton = Baton { wire, version: version.to_owned(), pid, waits };
        if let Err(mpsc::error::TrySendError::Full(baton) | mpsc::error::TrySendError::Closed(baton)) =
            self.0.try_send(baton)
        {
            baton.refuse("this agent is being succeeded or ends").await;
        }
    }
}

/// The connection to a successor that has said that it is ready.
pub struct Baton {
    wire: Wire,
    version: String,
    /// Its process, where that is to be seen from here.
    pid: Option<i32>,
    waits: bool,
}

impl Baton {
    /// Whether it is to be handed over to only when this agent is told to stop.
    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Whether one who waits is still there. It has nothing to say meanwhile, and its end is heard at once.
    pub async fn is_there(&mut self) -> bool {
        matches!(self.wire.hear_within(Duration::from_millis(1)).await, Err(Lost::Silent(_)))
    }

    /// Sends it away.
    pub async fn refuse(mut self, why: &str) {
        // If it is gone, so much the better.
        let _ = self.wire.say(&format!("no {why}")).await;
    }

    /// What the successor calls its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Says that the hand-over begins.
    pub async fn begin(&mut self) -> Result<(), Lost> {
        self.wire.say("go").await
    }

    /// Gives a LUN that was let go of; [`Baton::wait_for`] says when it is served.
    pub async fn give(&mut self, uid: &str) -> Result<(), Lost> {
        self.wire.say(&format!("take {uid}")).await
    }

    /// Names a LUN that cannot be served at once.
    pub async fn name(&mut self, uid: &str) -> Result<(), Lost> {
        self.wire.say(&format!("later {uid}")).await
    }

    /// Waits until all of `given` are served; tells each as it comes.
    pub async fn wait_for(&mut self, mut given: BTreeSet<String>, mut served: impl FnMut(&str)) -> Result<(), Lost> {
        while !given.is_empty() {
            let line = self.wire.hear_within(SERVE_WITHIN).await?;
            match words(&line) {
                ("serving" | "left", uid) if given.remove(uid) => served(uid),
                ("cannot", why) => return Err(Lost::Refused(format!("cannot serve {why}"))),
                _ => return Err(Lost::Odd(line)),
            }
        }
        Ok(())
    }

    /// Makes the successor the agent. Whoever calls this serves nothing any more, and holds no lock.
    pub async fn pass(mut self) -> Result<(), Lost> {
        self.wire.say("yours").await
    }

    /// Takes everything back: the successor ends when it sees the connection end, and if it does not see, it is killed.
    pub fn take_back(self) {
        if let Some(pid) = self.pid {
            // It is there as long as the connection is. If it has ended already, so much the better.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
