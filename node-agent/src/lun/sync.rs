//! What a LUN's thread and the rest of the process meet at, and the two calls in which the thread waits.
//!
//! They are named in one place because `tests/schedules` puts others in theirs, by which a scheduler decides who comes
//! next: it compiles the files beside this one as they are.

pub use std::sync::Mutex;
pub use std::sync::atomic::{AtomicU8, AtomicU64};

use lunette_tcmu::{Device, DeviceError};
pub use nix::poll::poll;
pub use tokio::sync::watch;
pub use tokio::time::timeout;

/// Takes the events of a device, and waits for them if it is set to block.
///
/// # Errors
/// See [`Device::consume`].
pub fn consume(device: &Device) -> Result<Option<u32>, DeviceError> {
    device.consume()
}
