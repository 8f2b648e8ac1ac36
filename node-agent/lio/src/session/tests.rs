//! Sessions: the text of the kernel, and what the fake kernel says.

use super::*;
use crate::fixtures::*;
use crate::tree::Acl;

/// As Linux 6.1 prints it for open-iscsi.
const INFO: &str = "InitiatorName: iqn.1993-08.org.debian:01:abc
InitiatorAlias: client
LIO Session ID: 3   ISID: 0x00 02 3d 00 00 01  TSIH: 2  SessionType: Normal
Session State: TARG_SESS_STATE_LOGGED_IN
---------------------[iSCSI Session Values]-----------------------
  CmdSN/WR  :  CmdSN/WC  :  ExpCmdSN  :  MaxCmdSN  :     ITT    :     TTT
 0x00000080   0x00000080   0x00000021   0x000000a0   0x00000020   0x00000021
----------------------[iSCSI Connections]-------------------------
CID: 0  Connection State: TARG_CONN_STATE_LOGGED_IN
   Address 10.0.0.2 TCP  StatSN: 0x6a1f0c5b
";

#[test]
fn the_kernels_text_is_understood() {
    let connection = Connection { cid: 0, logged_in: true, address: Some("10.0.0.2".parse().unwrap()) };
    let expected = Session {
        initiator: "iqn.1993-08.org.debian:01:abc".to_owned(),
        isid: "00023d000001".to_owned(),
        tsih: 2,
        state: SessionState::LoggedIn,
        connections: vec![connection],
    };
    assert_eq!(parse(INFO), Some(expected));
}

#[test]
fn an_ipv6_address_is_understood() {
    let text = INFO.replace("10.0.0.2", "[fd00::2]");
    assert_eq!(parse(&text).unwrap().connections[0].address, Some("fd00::2".parse().unwrap()));
}

#[test]
fn any_cut_of_the_text_is_survived() {
    for end in 0..INFO.len() {
        if let Some(session) = parse(&INFO[..end]) {
            assert!(INFO.contains(&session.initiator));
        }
    }
}

#[test]
fn only_those_who_are_logged_in_are_listed() {
    let fs =
        kernel_with(&export([(initiator("alice"), Acl::new(None, false)), (initiator("bob"), Acl::new(None, false))]));
    assert_eq!(sessions(&fs, &target()).unwrap(), []);
    assert!(fs.login(&target(), &initiator("bob")));
    let sessions = super::sessions(&fs, &target()).unwrap();
    assert_eq!(
        sessions.iter().map(|session| session.initiator.as_str()).collect::<Vec<_>>(),
        [initiator("bob").as_str()]
    );
    assert_eq!(super::sessions(&fs, &initiator("no-such-target")).unwrap(), []);
}
