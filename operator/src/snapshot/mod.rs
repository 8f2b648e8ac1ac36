//! LunSnapshots: which node takes each, and when one that is deleted may go.

mod decide;
pub mod reconcile;
