//! Reading, against the fake kernel.
