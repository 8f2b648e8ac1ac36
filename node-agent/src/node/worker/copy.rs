//! A LUN that is made from a snapshot, from another LUN or from an image: its volume begins as a copy.
//!
//! Once the volume is there its source is history: it is not looked for any more, and may be gone.

use lunette_api::conditions::reasons;
use lunette_backend::{CopySpec, Draft, PoolErrorKind, VolumeId};

use super::super::instant::{self, Drafts, Taken};
use super::super::intent::{Assignment, Origin};
use super::super::wanted::Wanted;
use super::Worker;
use crate::storage::AnyPool;
use crate::trouble::Trouble;

impl Worker {
    /// The volume as a copy of what the Lun's spec names, unless it is there.
    pub(super) async fn ensure_copied(
        &mut self,
        wanted: &Wanted,
        pool: &AnyPool,
        assignment: &Assignment,
    ) -> Result<(), Trouble> {
        let Some(source) = &assignment.lun.spec.source else { return Ok(()) };
        let (asked, volume) = (pool.clone(), wanted.volume.clone());
        match self.patiently(move || asked.usage(&volume)).await? {
            Ok(_) => return Ok(()),
            Err(error) if error.kind != PoolErrorKind::NotFound => return Err(error.into()),
            Err(_) => {}
        }
        if let Some(image) = &source.image {
            return self.import(wanted, pool, image).await;
        }
        let what = match (&source.snapshot, &source.lun) {
            (Some(name), _) => format!("LunSnapshot {name}"),
            (None, name) => format!("Lun {}", name.as_deref().unwrap_or_default()),
        };
        let origin = assignment.origin.clone().ok_or_else(|| {
            let message = format!("{what} is not on this node: create it, or name another in spec.source");
            Trouble::new(reasons::SOURCE_NOT_FOUND, message)
        })?;
        let Some(draft) = self.draft(wanted, pool, &origin, &what).await? else { return Ok(()) };
        let held = origin.is_lun.then_some(origin.uid.as_str());
        let mut drafts = Drafts::default();
        drafts.push(draft, held);
        let Taken { drafts, paused, .. } = instant::take(&self.context.pausers, drafts).await?;
        self.patiently(move || drafts.keep()).await??;
        tracing::info!(uid = %self.uid, ?paused, "made from {what}");
        Ok(())
    }

    async fn draft(
        &mut self,
        wanted: &Wanted,
        pool: &AnyPool,
        origin: &Origin,
        what: &str,
    ) -> Result<Option<Box<dyn Draft>>, Trouble> {
        let invalid = || Trouble::new(reasons::INVALID_SPEC, format!("the UID {:?} is no UUID", origin.uid));
        let source = VolumeId::parse(&origin.uid).ok_or_else(invalid)?;
        let copy = CopySpec { source, size: Some(wanted.spec.size), owner: wanted.spec.owner.clone() };
        let (pool, volume) = (pool.clone(), wanted.volume.clone());
        match self.patiently(move || pool.draft(&volume, &copy)).await? {
            Err(error) if error.kind == PoolErrorKind::NotFound => {
                let message =
                    format!("the pool has nothing of {what} (yet): it must be taken, and in the same pool as the Lun");
                Err(Trouble::new(reasons::SOURCE_UNUSABLE, message))
            }
            other => Ok(other?),
        }
    }
}
