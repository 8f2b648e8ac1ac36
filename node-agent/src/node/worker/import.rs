//! A LUN that is made from an image of its pool: its volume begins as a copy of that file.
//!
//! It may take long, so it is done in parts: between two of them it is said how far it is, and a LUN that is not wanted any
//! more is given up.

use std::time::Duration;

use lunette_api::conditions::reasons;
use lunette_backend::{Copied, Import, ImportSpec, PoolError, PoolErrorKind};
use tokio::time::Instant;

use super::super::intent::Intent;
use super::super::wanted::Wanted;
use super::Worker;
use crate::storage::AnyPool;
use crate::trouble::Trouble;

/// How often it is said how far it is.
const SAY_EVERY: Duration = Duration::from_secs(5);

impl Worker {
    /// The volume as a copy of the image, which has none yet.
    pub(super) async fn import(&mut self, wanted: &Wanted, pool: &AnyPool, image: &str) -> Result<(), Trouble> {
        let spec = ImportSpec { image: image.to_owned(), volume: wanted.spec.clone() };
        let (asked, volume) = (pool.clone(), wanted.volume.clone());
        let begun = self.patiently(move || asked.import(&volume, &spec)).await?.map_err(trouble)?;
        let Some(mut import) = begun else { return Ok(()) };
        let (began, mut said) = (Instant::now(), None::<Instant>);
        loop {
            let (back, Copied { done, total }) = self.patiently(move || part(import)).await?.map_err(trouble)?;
            import = back;
            if done >= total {
                break;
            }
            if !matches!(*self.intents.borrow(), Intent::Serve(_)) {
                self.patiently(move || drop(import)).await?;
                return Err(importing(format!("importing image {image} is given up: the Lun is not wanted any more")));
            }
            if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                let percent = u128::from(done) * 100 / u128::from(total.max(1));
                let told = format!("{percent}% of image {image} are copied: {done} of {total} bytes");
                self.say_waiting(&importing(told)).await;
                said = Some(Instant::now());
            }
        }
        self.patiently(move || import.keep()).await?.map_err(trouble)?;
        tracing::info!(uid = %self.uid, took = ?began.elapsed(), "made from image {image}");
        Ok(())
    }
}

/// Another part. An import that fails is given up here, where that may wait for storage.
fn part(mut import: Box<dyn Import>) -> Result<(Box<dyn Import>, Copied), PoolError> {
    let copied = import.copy_more()?;
    Ok((import, copied))
}

fn importing(message: String) -> Trouble {
    Trouble::new(reasons::IMPORTING, message)
}

fn trouble(error: PoolError) -> Trouble {
    match error.kind {
        PoolErrorKind::NotFound => Trouble::new(reasons::SOURCE_NOT_FOUND, error.to_string()),
        _ => error.into(),
    }
}
