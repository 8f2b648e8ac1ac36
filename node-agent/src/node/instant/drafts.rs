//! Copies in the making, and what their LUNs write meanwhile.
//!
//! Invariant: what a draft lacks of its source was noted in its changes, or is being written. So the changes are begun before the
//! first bytes are taken, by the same thread of the LUN that is held still in the end.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunette_backend::{Changes, Draft, PoolError};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::{Pausers, not_still, not_taken};
use crate::lun::{NoPause, Pauser};
use crate::trouble::Trouble;

/// How often what was written meanwhile is taken again, while the LUNs go on.
const ROUNDS: usize = 10;
/// A round that took no longer leaves little for the instant.
const LITTLE: Duration = Duration::from_millis(30);

/// Copies that are prepared, or taken. To give one up is to remove files, which waits for storage: whoever drops them does
/// not.
#[derive(Default)]
pub struct Drafts(Vec<Part>);

struct Part {
    draft: Box<dyn Draft>,
    /// The UID of the LUN that writes to its source, where one does.
    lun: Option<String>,
    /// Who notes what it writes, and where; from the moment on when that has begun.
    watched: Option<(Pauser, Arc<Changes>)>,
    /// Whether all that was not noted is taken.
    is_begun: bool,
}

impl Part {
    fn take_ahead(&mut self) -> Result<(), PoolError> {
        self.draft.settle()?;
        self.take()
    }

    /// Takes all, or what is new since.
    fn take(&mut self) -> Result<(), PoolError> {
        let size = self.draft.source_size()?;
        let ranges = match &self.watched {
            Some((_, changes)) if self.is_begun => changes.take(size),
            None if self.is_begun => return Ok(()),
            _ => iter::once(0..size).collect(),
        };
        self.is_begun = true;
        self.draft.take(&ranges)
    }
}

impl Drafts {
    /// Takes another one in, and the UID of the LUN that writes to its source, where one does.
    pub fn push(&mut self, draft: Box<dyn Draft>, lun: Option<&str>) {
        self.0.push(Part { draft, lun: lun.map(str::to_owned), watched: None, is_begun: false });
    }

    /// Those who hold their LUNs still.
    pub(super) fn pausers(&self) -> impl Iterator<Item = &Pauser> {
        self.0.iter().filter_map(|part| part.watched.as_ref().map(|(pauser, _)| pauser))
    }

    /// Has noted, from now on, what their LUNs write, where it is not yet.
    pub(super) async fn watch(self, pausers: &Pausers, patience: Duration) -> Result<Self, Trouble> {
        if self.0.iter().all(|part| part.lun.is_none() || part.watched.is_some()) {
            return Ok(self);
        }
        let (mut drafts, sizes) = spawn_blocking(move || self.measure()).await.map_err(|error| not_taken(&error))??;
        for (part, size) in drafts.0.iter_mut().zip(sizes) {
            let (Some(uid), None) = (&part.lun, &part.watched) else { continue };
            let pauser = pausers.get(uid).ok_or(NoPause::NotServed).map_err(not_still)?;
            let changes = Arc::new(Changes::of(size));
            pauser.watch(&changes, patience).await.map_err(not_still)?;
            part.watched = Some((pauser, changes));
        }
        Ok(drafts)
    }

    /// The sizes of their sources.
    fn measure(self) -> Result<(Self, Vec<u64>), PoolError> {
        let sizes = self.0.iter().map(|part| part.draft.source_size()).collect::<Result<_, _>>()?;
        Ok((self, sizes))
    }

    /// Takes all of them, and again what was written meanwhile until that takes hardly any time. It blocks.
    pub(super) fn take_ahead(mut self) -> Result<Self, PoolError> {
        for round in 1..=ROUNDS {
            let began = Instant::now();
            self.0.iter_mut().try_for_each(Part::take_ahead)?;
            let took = began.elapsed();
            tracing::debug!(round, ?took, "taken ahead");
            if took < LITTLE || self.pausers().next().is_none() {
                break;
            }
        }
        Ok(self)
    }

    /// Takes what is left, of LUNs that are held still. It blocks.
    pub(super) fn take_rest(mut self) -> Result<Self, PoolError> {
        self.0.iter_mut().try_for_each(Part::take)?;
        Ok(self)
    }

    /// Keeps all. It blocks.
    ///
    /// # Errors
    /// That of the first that cannot be kept; those behind it are given up.
    pub fn keep(mut self) -> Result<(), PoolError> {
        std::mem::take(&mut self.0).into_iter().try_for_each(|part| part.draft.keep())
    }
}

impl Drop for Drafts {
    fn drop(&mut self) {
        let given_up = std::mem::take(&mut self.0);
        if let (false, Ok(runtime)) = (given_up.is_empty(), Handle::try_current()) {
            drop(runtime.spawn_blocking(move || drop(given_up)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, ThreadId};

    use super::super::take;
    use super::*;

    const SIZE: u64 = 1 << 20;
    const ALL: Range<u64> = 0..SIZE;

    /// Tells what is taken, and on which thread it is given up.
    struct Told {
        taken: Sender<Vec<Range<u64>>>,
        given_up: Sender<ThreadId>,
    }

    impl Draft for Told {
        fn source_size(&self) -> Result<u64, PoolError> {
            Ok(SIZE)
        }

        fn settle(&mut self) -> Result<(), PoolError> {
            Ok(())
        }

        fn take(&mut self, ranges: &[Range<u64>]) -> Result<(), PoolError> {
            let _ = self.taken.send(ranges.to_vec());
            Ok(())
        }

        fn keep(self: Box<Self>) -> Result<(), PoolError> {
            Ok(())
        }
    }

    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.given_up.send(thread::current().id());
        }
    }

    #[tokio::test]
    async fn what_is_given_up_waits_for_storage_on_a_thread_of_its_own() {
        let ((taken, _), (given_up, told)) = (channel(), channel());
        let mut drafts = Drafts::default();
        drafts.push(Box::new(Told { taken, given_up }), Some("a Lun that nobody serves"));
        assert!(take(&Pausers::default(), drafts).await.is_err());
        let on = spawn_blocking(move || told.recv()).await.unwrap().unwrap();
        assert_ne!(on, thread::current().id(), "the runtime waits for it");
    }

    #[tokio::test]
    async fn what_nobody_writes_to_is_taken_once() {
        let ((taken, told), (given_up, _)) = (channel(), channel());
        let mut drafts = Drafts::default();
        drafts.push(Box::new(Told { taken, given_up }), None);
        let taken = take(&Pausers::default(), drafts).await.map_err(|trouble| trouble.message).unwrap();
        assert_eq!(taken.paused, Duration::ZERO);
        taken.drafts.keep().unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), [[ALL]]);
    }

    #[test]
    fn what_was_written_meanwhile_is_taken_again_and_the_rest_at_the_end() {
        let ((taken, told), (given_up, _)) = (channel(), channel());
        let changes = Arc::new(Changes::of(SIZE));
        let mut part = Part { draft: Box::new(Told { taken, given_up }), lun: None, watched: None, is_begun: false };
        part.watched = Some((Pauser::of_nobody(), Arc::clone(&changes)));
        part.take_ahead().unwrap();
        changes.note(32 << 10, 512);
        part.take_ahead().unwrap();
        changes.note(64 << 10, 512);
        Drafts(vec![part]).take_rest().map_err(|error| error.to_string()).unwrap();
        let part = |at: u64| vec![Range { start: at << 10, end: (at + 16) << 10 }];
        assert_eq!(told.iter().collect::<Vec<_>>(), [vec![ALL], part(32), part(64)]);
    }
}
