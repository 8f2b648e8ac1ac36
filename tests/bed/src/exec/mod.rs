//! Commands in a guest: a tiny server in it, a client here, one TCP connection for each command.
//!
//! No shell protocol, no authentication: the server listens in a bed's own network, where nobody else is. A command
//! that the client lets go of is killed with all of its process group, unless it was detached first.

mod command;
mod frame;
mod output;
mod process;
mod server;

pub use command::GuestCommand;
pub use output::Output;
pub use process::Process;
pub use server::serve;

/// Where the server listens in every guest.
pub const PORT: u16 = 1077;
