//! What both halves of the CSI driver, the controller and the agents, serve their calls with: the socket, how long a
//! call may wait, one call at a time for each volume, and the codes that failures get; and who the driver is.
//!
//! Knows of no volume's calls what they do, nor their messages.

#![forbid(unsafe_code)]

pub mod busy;
pub mod deadline;
pub mod failure;
pub mod identity;
pub mod socket;
