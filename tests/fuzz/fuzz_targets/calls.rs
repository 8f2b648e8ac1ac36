//! libFuzzer plays the game of [`lunette_fuzz::calls`].

#![no_main]
// UNSAFETY: libFuzzer calls the function by its name, which the macro exports.
#![allow(unsafe_code)]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lunette_fuzz::calls::play(bytes));
