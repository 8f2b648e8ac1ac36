//! What client and server say to each other: a kind, a length, a payload.
//!
//! The client sends arguments and variables, then `Start`; then, while the command runs, its input and signals. The
//! server answers with output as it comes and one `Exited` (or `Refused`) at the end. Lengths are bounded, so a
//! stranger on the port cannot make either side allocate without end.

use crate::Result;
use anyhow::{Context, bail, ensure};
use std::io::{Read, Write};

/// Payloads above this are refused; output is sent in pieces far smaller.
const LONGEST: u32 = 16 << 20;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Client: the program, or its next argument.
    Argument = 1,
    /// Client: `NAME=value` for the command's environment.
    Variable,
    /// Client: run it.
    Start,
    /// Client: bytes for its standard input; none means the end.
    Input,
    /// Client: a signal's number for its process group, as four bytes.
    Signal,
    /// Client: let it live on when the connection ends.
    Detach,
    /// Server: its process id, as four bytes.
    Started,
    /// Server: bytes from its standard output.
    Stdout,
    /// Server: bytes from its standard error.
    Stderr,
    /// Server: the status as a shell has it (128 and a signal's number, if that ended it), as four bytes.
    Exited,
    /// Server: why it could not be started.
    Refused,
    /// Server: the last `Detach` is known and holds.
    Detached,
}

const KINDS: [Kind; 12] = [
    Kind::Argument,
    Kind::Variable,
    Kind::Start,
    Kind::Input,
    Kind::Signal,
    Kind::Detach,
    Kind::Started,
    Kind::Stdout,
    Kind::Stderr,
    Kind::Exited,
    Kind::Refused,
    Kind::Detached,
];

/// One message.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The payload as a number.
    pub fn number(&self) -> Result<i32> {
        let bytes = self.payload.as_slice().try_into().context("a number frame is not four bytes long")?;
        Ok(i32::from_be_bytes(bytes))
    }
}

/// Sends one frame in one write, so that small ones are one packet.
pub fn send(to: &mut impl Write, kind: Kind, payload: &[u8]) -> Result<()> {
    let length = u32::try_from(payload.len()).ok().filter(|length| *length <= LONGEST);
    let length = length.context("a frame is larger than the longest allowed")?;
    let mut bytes = Vec::with_capacity(5 + payload.len());
    bytes.push(kind as u8);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    to.write_all(&bytes).context("sending a frame")
}

/// The next frame, or `None` where the other side has closed the connection between two.
pub fn receive(from: &mut impl Read) -> Result<Option<Frame>> {
    let mut kind = [0];
    match from.read(&mut kind) {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(error).context("receiving a frame"),
    }
    let Some(kind) = KINDS.into_iter().find(|known| *known as u8 == kind[0]) else {
        bail!("frame kind {} is unknown", kind[0]);
    };
    let mut length = [0; 4];
    from.read_exact(&mut length).context("receiving a frame's length")?;
    let length = u32::from_be_bytes(length);
    ensure!(length <= LONGEST, "a frame of {length} bytes is larger than the longest allowed");
    let mut payload = vec![0; length as usize];
    from.read_exact(&mut payload).context("receiving a frame's payload")?;
    Ok(Some(Frame { kind, payload }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_as_they_were_sent() {
        let mut wire = Vec::new();
        for kind in KINDS {
            send(&mut wire, kind, &[kind as u8; 3]).expect("it fits");
        }
        let mut wire = wire.as_slice();
        for kind in KINDS {
            let frame = receive(&mut wire).expect("it is whole").expect("it is there");
            assert_eq!(frame, Frame { kind, payload: vec![kind as u8; 3] });
        }
        assert!(receive(&mut wire).expect("the end is clean").is_none());
    }

    #[test]
    fn nonsense_is_refused_without_allocating_for_it() {
        assert!(receive(&mut [99, 0, 0, 0, 0].as_slice()).is_err(), "unknown kind");
        assert!(receive(&mut [1, 0xff, 0xff, 0xff, 0xff].as_slice()).is_err(), "four gigabytes");
        assert!(receive(&mut [1, 0, 0, 0, 5, b'x'].as_slice()).is_err(), "cut short");
    }
}
