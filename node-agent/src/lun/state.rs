//! How far a LUN's thread has come.

/// How far a LUN's thread has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It opens its volume and takes its ring over.
    Starting,
    /// Commands are being answered.
    Serving,
    /// It is over; everything it held is released.
    Ended(Ended),
}

/// Why a LUN's thread ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// The backstore was removed.
    Removed,
    /// It could not go on; the text says why, and what to do.
    Failed(String),
}
