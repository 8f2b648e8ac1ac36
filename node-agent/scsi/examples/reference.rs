//! Writes the table of commands into a page of the book: `reference PAGE`.

use std::env;
use std::error::Error;
use std::fs;

use lunette_scsi::opcodes::reference;

fn main() -> Result<(), Box<dyn Error>> {
    let page = env::args().nth(1).ok_or("name the page, for example docs/reference/scsi.md")?;
    let text = fs::read_to_string(&page)?;
    let renewed = reference::renewed(&text).ok_or("the page has lost the marks around the table; put them back")?;
    Ok(fs::write(&page, renewed)?)
}
