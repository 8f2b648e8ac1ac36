//! A pool's status, and its refusal to go while Luns use it.

pub mod reconcile;
pub mod status;
