//! Who is logged in: reads `acls/<initiator>/info`.
//!
//! LIO prints the latest session of each initiator only (`nacl_sess`), in a text made for people
//! (`lio_target_nacl_info_show`); what is not understood is left out, never an error.

use std::net::IpAddr;

use nix::errno::Errno;
use serde::Serialize;

use crate::configfs::Configfs;
use crate::iqn::Iqn;
use crate::name::TpgTag;
use crate::node::Node;

/// One initiator's session with a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Session {
    /// Who is logged in.
    pub initiator: String,
    /// The initiator's half of the session's identity, in hexadecimal (RFC 7143 §11.12.5).
    pub isid: String,
    /// The target's half.
    pub tsih: u16,
    /// Whether it works.
    pub state: SessionState,
    /// Its TCP connections.
    pub connections: Vec<Connection>,
}

/// Whether a session works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum SessionState {
    /// Full feature phase.
    LoggedIn,
    /// Its connection broke; the initiator may come back to it.
    Failed,
    /// Anything in between.
    Other,
}

/// One TCP connection of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// The connection identifier.
    pub cid: u16,
    /// Whether it is in full feature phase.
    pub logged_in: bool,
    /// The initiator's address, if the kernel prints one that can be read.
    pub address: Option<IpAddr>,
}

/// The sessions of this target, by initiator; none if the target is not there.
pub fn sessions(fs: &dyn Configfs, target: &Iqn) -> Result<Vec<Session>, Errno> {
    let acls = Node::tpg(target, TpgTag::ONLY).child("acls");
    let initiators = match fs.list(&acls) {
        Err(Errno::ENOENT) => Vec::new(),
        listing => listing?,
    };
    let info = |entry: crate::configfs::Entry| match fs.read(&acls.child(entry.name).child("info")) {
        Err(Errno::ENOENT) => None,
        text => Some(text),
    };
    let texts: Vec<String> = initiators.into_iter().filter_map(info).collect::<Result<_, Errno>>()?;
    Ok(texts.iter().filter_map(|text| parse(text)).collect())
}

/// `None`: nobody is logged in.
fn parse(info: &str) -> Option<Session> {
    let initiator = value(info, "InitiatorName:")?.to_owned();
    Some(Session {
        initiator,
        isid: value(info, "ISID:").unwrap_or_default().trim_start_matches("0x").replace(' ', ""),
        tsih: value(info, "TSIH:").and_then(|text| text.parse().ok()).unwrap_or_default(),
        state: state(value(info, "Session State:").unwrap_or_default()),
        connections: connections(info),
    })
}

/// What stands after a label: up to the end of the line or a run of two spaces.
fn value<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let rest = text.split_once(label)?.1.trim_start_matches(' ');
    let line = rest.lines().next().unwrap_or_default();
    Some(line.split("  ").next().unwrap_or(line).trim())
}

fn state(text: &str) -> SessionState {
    match text {
        "TARG_SESS_STATE_LOGGED_IN" => SessionState::LoggedIn,
        "TARG_SESS_STATE_FAILED" => SessionState::Failed,
        _ => SessionState::Other,
    }
}

/// Each begins with `CID: n  Connection State: …`; the next line says `Address a.b.c.d TCP`.
fn connections(info: &str) -> Vec<Connection> {
    info.split("CID:").skip(1).map(connection).collect()
}

fn connection(text: &str) -> Connection {
    let cid = text.split_whitespace().next().and_then(|cid| cid.parse().ok()).unwrap_or_default();
    let state = value(text, "Connection State:").unwrap_or_default();
    let address = value(text, "Address").and_then(|rest| rest.split_whitespace().next());
    Connection {
        cid,
        logged_in: state == "TARG_CONN_STATE_LOGGED_IN",
        address: address.and_then(|address| address.trim_matches(['[', ']']).parse().ok()),
    }
}

#[cfg(test)]
mod tests;
