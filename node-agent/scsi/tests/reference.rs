//! The book says what the code does.

#![allow(clippy::unwrap_used, reason = "a test fails where it panics")]

use std::fs;
use std::path::Path;

use lunette_scsi::opcodes::reference;

#[test]
fn the_table_in_the_book_is_the_opcode_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/scsi.md");
    let text = fs::read_to_string(&page).unwrap();
    assert!(reference::renewed(&text).unwrap() == text, "{} is out of date: run `make reference`", page.display());
}
