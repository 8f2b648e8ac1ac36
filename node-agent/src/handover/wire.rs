//! Lines of words over a local socket, each within a time.

use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// The longest line; reasons are cut to fit.
const LONGEST: usize = 1024;
/// How long the other side may take to read a line.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// The other process is no use any more.
#[derive(Debug, Error)]
pub enum Lost {
    /// It ended or closed the connection.
    #[error("the other agent has gone")]
    Gone,
    /// It says nothing.
    #[error("the other agent has not answered for {} s", .0.as_secs())]
    Silent(Duration),
    /// It refused, for this reason.
    #[error("the other agent says: {0}")]
    Refused(String),
    /// It says what nobody understands.
    #[error("the other agent says {0:?}, which is not understood: are the versions too far apart?")]
    Odd(String),
}

/// A connection between two agents.
pub struct Wire {
    read: BufReader<OwnedReadHalf>,
    write: OwnedWriteHalf,
    /// What has come of the next line, so that a wait that is given up loses nothing.
    partial: Vec<u8>,
}

impl Wire {
    pub fn new(stream: UnixStream) -> Self {
        let (read, write) = stream.into_split();
        Self { read: BufReader::new(read), write, partial: Vec::new() }
    }

    pub async fn say(&mut self, words: &str) -> Result<(), Lost> {
        let mut line: String = words.chars().map(|c| if c == '\n' { ' ' } else { c }).take(LONGEST / 4).collect();
        line.push('\n');
        match timeout(WRITE_WITHIN, self.write.write_all(line.as_bytes())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Lost::Gone),
            Err(_) => Err(Lost::Silent(WRITE_WITHIN)),
        }
    }

    /// The next line. It may be given up at any time and asked for again.
    pub async fn hear(&mut self) -> Result<String, Lost> {
        let room = LONGEST.saturating_sub(self.partial.len()) as u64;
        let read = (&mut self.read).take(room).read_until(b'\n', &mut self.partial).await;
        match read {
            Ok(1..) if self.partial.ends_with(b"\n") => {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.partial)).trim_end().to_owned();
                Ok(line)
            }
            Ok(1..) => Err(Lost::Odd(String::from_utf8_lossy(&self.partial).into_owned())),
            Ok(0) | Err(_) => Err(Lost::Gone),
        }
    }

    pub async fn hear_within(&mut self, patience: Duration) -> Result<String, Lost> {
        timeout(patience, self.hear()).await.unwrap_or(Err(Lost::Silent(patience)))
    }
}

/// A line's first word and the rest.
pub fn words(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap_or((line, ""))
}
