//! The side that is ready and takes over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::Lost;
use super::when::When;
use super::wire::{Wire, words};
use crate::source::View;

/// How long the predecessor may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What a worker says of its LUN when it has looked at all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// Its ring is served.
    Serving(String),
    /// It is not, for this reason.
    Not(String, String),
}

/// A hand-over under way, from the successor's side.
pub struct Succession {
    wire: Wire,
    /// What the predecessor has let go of.
    ours: BTreeSet<String>,
    /// Those of them that it waits to be served.
    awaited: BTreeSet<String>,
}

impl Succession {
    /// Tells the agent on `socket` that everything is ready, and waits until it hands over: a while if that is to be now,
    /// or until its end, however far that is.
    ///
    /// # Errors
    /// There is none, it refuses, or has gone without handing over.
    pub async fn ask(socket: &Path, when: When) -> Result<Self, Lost> {
        let connected = timeout(ANSWER_WITHIN, UnixStream::connect(socket)).await;
        let stream = connected.map_err(|_| Lost::Silent(ANSWER_WITHIN))?.map_err(|_| Lost::Gone)?;
        Self::ask_over(stream, when).await
    }

    /// The same over a connection to the agent.
    pub(crate) async fn ask_over(stream: UnixStream, when: When) -> Result<Self, Lost> {
        let mut wire = Wire::new(stream);
        wire.say(&when.greeting()).await?;
        let line = match when {
            When::Now => wire.hear_within(ANSWER_WITHIN).await?,
            When::AtItsEnd => wire.hear().await?,
        };
        Self::begun(wire, line)
    }

    /// After the first answer.
    fn begun(wire: Wire, line: String) -> Result<Self, Lost> {
        match words(&line) {
            ("go", _) => Ok(Self { wire, ours: BTreeSet::new(), awaited: BTreeSet::new() }),
            ("no", why) => Err(Lost::Refused(why.to_owned())),
            // An agent from before there were hand-overs answers in JSON.
            _ => Err(Lost::Odd(line)),
        }
    }

    /// Shows the node of what is `wanted` only what was let go of, and tells the predecessor what `served` says, until we
    /// are the agent.
    ///
    /// # Errors
    /// The predecessor is gone before that, or took everything back: whoever gets this must end at once.
    pub async fn run(
        mut self,
        wanted: &mut watch::Receiver<View>,
        shown: &watch::Sender<View>,
        served: &mut mpsc::UnboundedReceiver<Served>,
    ) -> Result<(), Lost> {
        loop {
            tokio::select! {
                line = self.wire.hear() => match words(&line?) {
                    ("take", uid) => self.take(uid, &wanted.borrow().clone()).await?,
                    ("later", _) => {}
                    ("yours", _) => return Ok(()),
                    (word, _) => return Err(Lost::Odd(word.to_owned())),
                },
                Some(news) = served.recv() => self.tell(news).await?,
                Ok(()) = wanted.changed() => {}
            }
            let view = self.restricted(&wanted.borrow_and_update());
            shown.send_replace(view);
        }
    }

    async fn take(&mut self, uid: &str, wanted: &View) -> Result<(), Lost> {
        self.ours.insert(uid.to_owned());
        if wanted.luns.contains_key(uid) {
            self.awaited.insert(uid.to_owned());
            return Ok(());
        }
        // Where something was not understood, it may be that LUN.
        let word =
            if wanted.complete { format!("left {uid}") } else { format!("cannot {uid} its object is not known") };
        self.wire.say(&word).await
    }

    async fn tell(&mut self, news: Served) -> Result<(), Lost> {
        match news {
            Served::Serving(uid) if self.awaited.remove(&uid) => self.wire.say(&format!("serving {uid}")).await,
            Served::Not(uid, why) if self.awaited.remove(&uid) => self.wire.say(&format!("cannot {uid} {why}")).await,
            _ => Ok(()),
        }
    }

    /// Never complete: what is not ours yet is not to be taken for something that nobody wants.
    fn restricted(&self, wanted: &View) -> View {
        let ours = |(uid, lun): (&String, &Arc<_>)| self.ours.contains(uid).then(|| (uid.clone(), Arc::clone(lun)));
        let luns: BTreeMap<_, _> = wanted.luns.iter().filter_map(ours).collect();
        View { luns, complete: false, ..wanted.clone() }
    }
}
