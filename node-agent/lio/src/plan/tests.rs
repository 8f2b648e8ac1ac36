//! Planning and applying, against the fake kernel.
