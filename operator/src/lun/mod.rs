//! What becomes of a Lun: which node serves it, who may read its Secrets, and when it may go.

pub mod grant;
pub mod origin;
pub mod place;
pub mod reconcile;
pub mod release;
pub mod status;
