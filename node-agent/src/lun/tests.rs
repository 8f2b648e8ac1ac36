//! The LUN's thread against the mock kernel: what an initiator would see of its stops and failures.
