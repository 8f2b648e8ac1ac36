//! ListSnapshots and GetSnapshot: what was taken, a page at a time.

use lunette_api::LunSnapshot;
use lunette_api::csi::VolumeId;
use lunette_proto::csi;

use super::cluster::Cluster;
use super::list::{ListError, Page};
use super::{Driver, parse, snapshot};

/// What is listed.
#[derive(Clone, Debug)]
pub struct Request {
    page: Page,
    /// The one snapshot; the inner `None`: none of ours is called so.
    only: Option<Option<VolumeId>>,
    /// The one volume, likewise.
    of: Option<Option<VolumeId>>,
}

impl Request {
    /// Reads the call.
    ///
    /// # Errors
    /// When the number is negative, or the token none of ours.
    pub fn read(call: &csi::ListSnapshotsRequest) -> Result<Self, ListError> {
        let id = |text: &str| (!text.is_empty()).then(|| text.parse().ok());
        let page = Page::read(call.max_entries, &call.starting_token)?;
        Ok(Self { page, only: id(&call.snapshot_id), of: id(&call.source_volume_id) })
    }

    fn wants(&self, found: &LunSnapshot) -> bool {
        let is = |wanted: &Option<Option<VolumeId>>, id: VolumeId| wanted.as_ref().is_none_or(|w| *w == Some(id));
        let taken = found.status.as_ref().is_some_and(|status| status.creation_time.is_some());
        taken && is(&self.only, snapshot::id(found)) && is(&self.of, snapshot::source(found))
    }
}

/// A page of the snapshots that were taken, and the token of the next.
///
/// # Errors
/// When they have not been seen yet.
pub fn list<C: Cluster>(driver: &Driver<C>, request: &Request) -> Result<(Vec<LunSnapshot>, String), ListError> {
    let all = driver.cluster.snapshots().ok_or(ListError::NotSeen)?;
    Ok(request.page.of(all.into_iter().filter(|found| request.wants(found)).collect(), snapshot::id))
}

/// One snapshot.
///
/// # Errors
/// When there is none.
pub async fn get<C: Cluster>(driver: &Driver<C>, id: &str) -> Result<LunSnapshot, ListError> {
    let none = || ListError::NoSnapshot(id.to_owned());
    let parsed = parse::required(id, "snapshot_id")?.parse().map_err(|_| none())?;
    driver.cluster.snapshot(&parsed).await?.ok_or_else(none)
}
