//! What both halves of the CSI driver, the controller and the agents, serve their calls with: the socket, how long a
//! call may wait, one call at a time for each volume, and the codes that failures get.
//!
//! Knows neither what a call does nor its messages.

#![forbid(unsafe_code)]

pub mod busy;
pub mod deadline;
pub mod failure;
pub mod socket;
