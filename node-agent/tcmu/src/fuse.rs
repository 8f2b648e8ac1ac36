//! A fuse for tests that kill an agent between any two stores into shared memory.
//!
//! Once it has burnt down, the next store panics instead of being done, and so does every later one: nothing
//! that unwinding does is seen from outside, as if the process had been killed.

use std::cell::Cell;

thread_local! {
    static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// What a panic of ours says.
pub const KILLED: &str = "killed by the fuse";

/// Lets so many stores pass on this thread; `None` is no fuse at all.
pub fn set(stores: Option<u32>) {
    LEFT.set(stores);
}

/// Called before each store.
pub fn burn() {
    match LEFT.get() {
        None => {}
        // Without the hook's message: this is no bug.
        Some(0) => std::panic::resume_unwind(Box::new(KILLED)),
        Some(left) => LEFT.set(Some(left - 1)),
    }
}
