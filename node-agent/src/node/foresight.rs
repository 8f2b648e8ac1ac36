//! What a successor reads of LUNs while its predecessor still serves them, so that little is left to do in the moment in
//! which one changes hands.
//!
//! It may be out of date when it is used. So it is used to start the LUN's thread and for nothing else: that compares the
//! device's name with the LUN's before it touches the ring. If the thread does not start from it, all is read again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use lunette_lio::{Found, Uid};
use lunette_scsi::Access;
use tokio::task::spawn_blocking;

use super::worker::is_enabled;
use super::{Context, access};
use crate::source::View;

/// What the kernel has of one LUN.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What configfs holds.
    pub found: Found,
    /// Through which ports it is reached.
    pub access: Option<Access>,
}

/// What was read of each LUN, until its worker asks for it.
#[derive(Default)]
pub struct Foresight(Mutex<HashMap<String, Standing>>);

impl Foresight {
    /// What was read of this LUN. It is given out once: later it would only be older.
    pub fn take(&self, uid: &Uid) -> Option<Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid.as_str())
    }

    pub(super) fn put(&self, uid: &Uid, standing: Standing) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_string(), standing);
    }
}

/// Reads what the kernel has of the LUNs of this view. What cannot be read is left to the workers, who say why.
pub async fn foresee(context: &Arc<Context>, view: &View) {
    let uids: Vec<Uid> = view.luns.keys().filter_map(|uid| Uid::parse(uid).ok()).collect();
    let context = Arc::clone(context);
    let read = move || {
        for uid in uids {
            if let Some(standing) = look_at(&context, &uid) {
                context.foresight.put(&uid, standing);
            }
        }
    };
    if spawn_blocking(read).await.is_err() {
        tracing::warn!("LUNs could not be looked at beforehand: each pauses for a little longer");
    }
}

/// What the kernel has of a LUN that can be served as it stands.
fn look_at(context: &Context, uid: &Uid) -> Option<Standing> {
    let found = lunette_lio::read_backstore(context.configfs.as_ref(), uid).ok().filter(is_enabled)?;
    let access = access::read(context.configfs.as_ref(), &found, &context.prefix.target(uid));
    // Asked for the sake of asking: the names of all devices are known from then on.
    lunette_lio::uio_device(context.configfs.as_ref(), &found).ok()?;
    Some(Standing { found, access })
}
