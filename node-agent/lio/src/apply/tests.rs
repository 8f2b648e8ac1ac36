//! Applying, against the fake kernel.
