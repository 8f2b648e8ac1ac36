//! One call at a time for each volume.
//!
//! Kubernetes' sidecars try again when a call took too long, while the first may still run. The second is
//! refused at once; nothing is remembered once the first has ended, however it ended.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use lunette_api::csi::VolumeId;
use thiserror::Error;

/// The volumes that calls are working on.
#[derive(Clone, Debug, Default)]
pub struct Busy(Arc<Mutex<HashSet<VolumeId>>>);

/// Another call works on the volume.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("another call is working on volume {0}: try again when it has ended")]
pub struct InFlight(VolumeId);

/// Keeps others off a volume while it lives.
#[derive(Debug)]
pub struct Turn {
    busy: Busy,
    volume: VolumeId,
}

impl Busy {
    /// The volume's turn, unless another call has it.
    pub fn begin(&self, volume: &VolumeId) -> Result<Turn, InFlight> {
        if self.lock().insert(volume.clone()) {
            Ok(Turn { busy: self.clone(), volume: volume.clone() })
        } else {
            Err(InFlight(volume.clone()))
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<VolumeId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.busy.lock().remove(&self.volume);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_worked_on_by_one_call_until_that_ends() {
        let (busy, id) = (Busy::default(), |name: &str| format!("ns/{name}").parse::<VolumeId>().expect("an id"));
        let turn = busy.begin(&id("a")).expect("nobody is there");
        assert_eq!(busy.begin(&id("a")).err(), Some(InFlight(id("a"))));
        assert!(busy.begin(&id("b")).is_ok());
        drop(turn);
        assert!(busy.begin(&id("a")).is_ok());
    }
}
