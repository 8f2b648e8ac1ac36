//! From one running agent to its successor, another process and perhaps of another version, LUN by LUN.
//!
//! The successor prepares everything, connects to the agent's socket and asks to succeed it. Then, for a few LUNs
//! at a time: the predecessor answers what it has taken from their rings, lets go of device and volume, and says so; the
//! successor opens both and goes on at the tail, and says so. When all are handed over the successor is the agent.
//!
//! What a LUN needs goes over by itself: the ring stays in the kernel, its journal says that nothing is in flight, and
//! the kernel lets one process at a time open the device and lock the volume. So there is nothing in the
//! protocol that the two versions would have to understand alike, but the words below. Until the last of them the
//! predecessor can take everything back: a successor that is lost, or cannot serve what its predecessor could, ends, and what
//! it held is free.
//!
//! | who | says | means |
//! |---|---|---|
//! | successor | `succeed PROTOCOL VERSION` | I am ready |
//! | successor | `stand-by PROTOCOL VERSION` | the same, and I wait until you are told to stop |
//! | predecessor | `go`, or `no WHY` | |
//! | predecessor | `take UID` | let go of: serve it and say so |
//! | predecessor | `later UID` | was not served, or its storage hangs: try when I am gone |
//! | successor | `serving UID`, or `left UID` | it is served; I was not told to serve it |
//! | successor | `cannot UID WHY` | take all back |
//! | predecessor | `yours` | you are the agent |

mod predecessor;
mod successor;
mod supervisor;
mod upgrade;
mod when;
mod wire;

pub use predecessor::{Baton, Candidate, HandOver, Offers, Successors, listen, offers};
pub use successor::{Served, Succession};
pub use supervisor::{start_successor, tell_ready};
pub use upgrade::upgrade;
pub use when::When;
pub use wire::Lost;

/// Raised when the words change their meaning.
const PROTOCOL: u32 = 1;
