//! The terminal's second screen (ECMA-48 and xterm's control sequences), for as long as `top` draws on it.

use std::io::{self, Write};

use rustix::termios::tcgetwinsize;

use super::rates::Row;
use super::table::{self, WIDTH};

/// To the second screen, cursor hidden.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// The cursor shown, back to the first screen.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left corner.
const HOME: &str = "\x1b[H";
/// Clears what is left of a line, and goes to the next.
const END_OF_LINE: &str = "\x1b[K\r\n";
/// Clears what is left of the screen.
const END: &str = "\x1b[K\x1b[J";

/// The second screen; the first is back when this goes.
pub struct Screen(());

impl Screen {
    /// Turns to the second screen.
    pub fn open() -> io::Result<Self> {
        let screen = Self(());
        write(&format!("{ENTER}{HOME}{END}waiting for the first figures …"))?;
        Ok(screen)
    }

    /// Draws these rows over what is there.
    pub fn show(&mut self, rows: &[Row]) -> io::Result<()> {
        let (width, height) = size();
        write(&frame(rows, width, height))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Without a terminal there is nothing to restore.
        let _ = write(LEAVE);
    }
}

/// What to write for a picture: no line of an earlier one shows through.
fn frame(rows: &[Row], width: usize, height: Option<usize>) -> String {
    let picture = table::draw(rows, width, height);
    let lines: Vec<&str> = picture.lines().collect();
    format!("{HOME}{}{END}", lines.join(END_OF_LINE))
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Columns of the terminal, if it is one.
pub fn width() -> usize {
    size().0
}

/// Columns, and lines if they are known.
fn size() -> (usize, Option<usize>) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (usize::from(size.ws_col), Some(usize::from(size.ws_row))),
        _ => (WIDTH, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_drawn_over_the_last_one_without_scrolling() {
        let rows: Vec<Row> = (0..30).map(|n| Row { name: n.to_string(), ..Row::default() }).collect();
        let frame = frame(&rows, 80, Some(10));
        assert!(frame.starts_with("\x1b[H30 LUNs") && frame.ends_with("\x1b[K\x1b[J"));
        assert_eq!(frame.matches('\n').count(), 9, "ten lines, and no newline after the last");
        assert_eq!(frame.matches("\x1b[K").count(), 10, "each line is cleared to its end");
    }
}
