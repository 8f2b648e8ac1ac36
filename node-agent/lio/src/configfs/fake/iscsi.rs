//! The iSCSI fabric (`target_core_fabric_configfs.c`, `drivers/target/iscsi/`).

use nix::errno::Errno;

use super::objects::{Kind, Rule, join, split};
use super::{Kernel, number};
use crate::iqn::Iqn;

impl Kernel {
    /// `target_core_register_fabric`; `discovery_auth` belongs to the whole node.
    pub(super) fn make_fabric(&mut self, path: &str, name: &str) -> Result<(), Errno> {
        match name {
            "iscsi" => {}
            "loopback" => return self.make_loopback(path),
            _ => return Err(Errno::EINVAL),
        }
        self.objects.add_directory(path, Kind::Iscsi, false);
        self.objects.add_attributes(path, &[("lio_version", "Datera Inc. iSCSI Target v4.1.0", Rule::ReadOnly)]);
        self.group(
            path,
            "discovery_auth",
            &[("userid", "", Rule::Chap), ("enforce_discovery_auth", "0", Rule::Number(0, 1))],
        );
        Ok(())
    }

    /// `iscsit_add_tiqn`; whatever it says, `target_fabric_make_wwn` says EINVAL.
    pub(super) fn make_target(&mut self, path: &str, name: &str) -> Result<(), Errno> {
        if name.len() > 223 {
            return Err(Errno::EINVAL);
        }
        self.objects.add_directory(path, Kind::Target, false);
        self.group(path, "fabric_statistics", &[]);
        self.group(path, "param", &[("cmd_completion_affinity", "-1", Rule::Number(-2, 1024))]);
        Ok(())
    }

    /// `lio_target_tiqn_addtpg`.
    pub(super) fn make_tpg(&mut self, path: &str, name: &str) -> Result<(), Errno> {
        numbered::<u16>(name, "tpgt_")?;
        self.objects.add_directory(path, Kind::Tpg, false);
        self.objects.add_attributes(path, &[("enable", "0", Rule::TpgEnable), ("dynamic_sessions", "", Rule::Info)]);
        self.group(path, "attrib", TPG_ATTRIB);
        self.group(path, "param", TPG_PARAM);
        self.group(path, "auth", CHAP);
        self.group_of(Kind::Portals, path, "np");
        self.group_of(Kind::Luns, path, "lun");
        self.group_of(Kind::Acls, path, "acls");
        Ok(())
    }

    /// `lio_target_call_addnptotpg`: every failure shows as EINVAL (`target_fabric_make_np`). The same portal of two
    /// targets is one listener; a wildcard and an address of the same port exclude each other.
    pub(super) fn make_portal(&mut self, path: &str, name: &str) -> Result<(), Errno> {
        let address: std::net::SocketAddr = name.parse().map_err(|_| Errno::EINVAL)?;
        let names: Vec<&str> = self
            .objects
            .of_kind(Kind::Plain)
            .filter(|path| split(split(path).0).1 == "np")
            .map(|path| split(path).1)
            .collect();
        let clashes = |other: &&str| {
            let Ok(other) = other.parse::<std::net::SocketAddr>() else { return false };
            other != address
                && other.port() == address.port()
                && (other.ip().is_unspecified() || address.ip().is_unspecified())
        };
        if names.iter().any(clashes) || self.occupied.iter().any(|taken| taken == name) {
            return Err(Errno::EINVAL);
        }
        self.objects.add_directory(path, Kind::Plain, false);
        self.objects.add_attributes(path, &[("iser", "0", Rule::Number(0, 1)), ("cxgbit", "0", Rule::Number(0, 1))]);
        Ok(())
    }

    /// `target_fabric_make_lun`.
    pub(super) fn make_lun(&mut self, path: &str, name: &str) -> Result<(), Errno> {
        numbered::<u64>(name, "lun_")?;
        self.objects.add_directory(path, Kind::Lun, false);
        self.objects.add_attributes(path, &[("alua_tg_pt_gp", "", Rule::ReadOnly)]);
        self.group(path, "statistics", &[]);
        self.group(&join(path, "statistics"), "scsi_port", &[("indx", "1", Rule::ReadOnly)]);
        Ok(())
    }

    /// `target_fabric_make_nodeacl`: takes the TPG's default depth.
    pub(super) fn make_acl(&mut self, path: &str, acls: &str, name: &str) -> Result<(), Errno> {
        if name.len() > 223 {
            return Err(Errno::EINVAL);
        }
        let depth = self.objects.text(&join(split(acls).0, "attrib/default_cmdsn_depth")).to_owned();
        self.objects.add_directory(path, Kind::Acl, false);
        self.objects.add_attributes(path, &[("info", "", Rule::Info), ("cmdsn_depth", &depth, Rule::CmdsnDepth)]);
        self.group(path, "auth", CHAP);
        self.group(path, "attrib", &[("nopin_timeout", "15", Rule::Number(0, 60))]);
        if self.acl_authentication {
            self.objects.add_attributes(&join(path, "attrib"), &[("authentication", "-1", Rule::Number(-1, 1))]);
        }
        self.group(path, "param", &[]);
        self.group(path, "fabric_statistics", &[]);
        Ok(())
    }

    /// `target_fabric_make_mappedlun`.
    pub(super) fn make_mapped_lun(&mut self, path: &str, name: &str) -> Result<(), Errno> {
        numbered::<u64>(name, "lun_")?;
        self.objects.add_directory(path, Kind::MappedLun, false);
        self.objects.add_attributes(path, &[("write_protect", "", Rule::WriteProtect)]);
        self.group(path, "statistics", &[]);
        Ok(())
    }

    /// `target_fabric_mappedlun_link`: a LUN of the same TPG, that has a device.
    pub(super) fn link_mapped_lun(&mut self, mapped: &str, lun: &str, kind: Kind) -> Result<(), Errno> {
        let tpg = |path: &str, up: usize| (0..up).fold(path.to_owned(), |path, _| split(&path).0.to_owned());
        match kind {
            Kind::Lun if self.objects.links_in(lun).next().is_none() => Err(Errno::EINVAL),
            Kind::Lun if tpg(mapped, 3) != tpg(lun, 2) => Err(Errno::EINVAL),
            Kind::Lun if self.objects.links_in(mapped).next().is_some() => Err(Errno::EINVAL),
            Kind::Lun => {
                let protect = self.objects.text(&format!("{}/attrib/prod_mode_write_protect", tpg(lun, 2))) == "1";
                self.objects.set(&join(mapped, "write_protect"), u8::from(protect).to_string());
                Ok(())
            }
            _ => Err(Errno::EFAULT),
        }
    }

    /// A LUN that loses its device is mapped nowhere any more, though the links stay (`core_clear_lun_from_tpg`).
    pub(super) fn unlinked(&mut self, directory: &str) {
        let mut unmapped: Vec<String> = self.objects.links_to(directory).map(|link| split(link).0.to_owned()).collect();
        if self.objects.kind(directory) == Ok(Kind::MappedLun) {
            unmapped.push(directory.to_owned());
        }
        for mapped in unmapped {
            self.objects.set(&join(&mapped, "write_protect"), String::new());
        }
    }

    /// `lio_target_tiqn_enabletpg`; what is so already is no change (6.1 and 6.12). While CHAP is demanded, None is dropped.
    pub(super) fn enable_tpg(&mut self, attr: &str, old: &str, text: &str) -> Result<String, Errno> {
        let tpg = split(attr).0.to_owned();
        let new = number(text, 0, 1)?.to_string();
        if new == old {
            return Ok(new);
        }
        if new == "1" {
            self.normalise(&tpg, self.objects.text(&join(&tpg, "attrib/authentication")) == "1");
        } else {
            self.end_sessions(|(at, _)| *at == tpg);
        }
        Ok(new)
    }

    /// `iscsit_ta_authentication`.
    pub(super) fn authentication(&mut self, attr: &str, text: &str) -> Result<String, Errno> {
        let demanded = number(text, 0, 1)? == 1;
        let tpg = split(split(attr).0).0.to_owned();
        self.normalise(&tpg, demanded);
        Ok(if demanded { "1" } else { "0" }.to_owned())
    }

    fn normalise(&mut self, tpg: &str, demanded: bool) {
        let methods = if demanded { "CHAP" } else { "CHAP,None" };
        self.objects.set(&join(tpg, "param/AuthMethod"), methods.to_owned());
    }

    /// `core_tpg_set_initiator_node_queue_depth`: nothing happens if it is the same; else the sessions end.
    pub(super) fn cmdsn_depth(&mut self, attr: &str, old: &str, text: &str) -> Result<String, Errno> {
        let depth = number(text, 0, 512)?.to_string();
        if depth != old {
            let acl = split(attr).0.to_owned();
            self.end_sessions(|(tpg, who)| format!("{tpg}/acls/{who}") == acl);
        }
        Ok(depth)
    }

    pub(super) fn end_sessions(&mut self, ends: impl Fn(&(String, String)) -> bool) {
        self.sessions.retain(|session| !ends(session));
    }

    pub(super) fn login(&mut self, target: &Iqn, initiator: &Iqn) -> bool {
        let tpg = format!("iscsi/{target}/tpgt_1");
        let enabled = self.objects.text(&join(&tpg, "enable")) == "1";
        let listed = self.objects.exists(&format!("{tpg}/acls/{initiator}"));
        let reachable = self.objects.list(&join(&tpg, "np")).is_ok_and(|portals| !portals.is_empty());
        let let_in = enabled && listed && reachable;
        if let_in {
            self.sessions.push((tpg, initiator.to_string()));
        }
        let_in
    }

    /// `lio_target_nacl_info_show`, in brief; `dynamic_sessions` is always empty, for there is no demo mode.
    pub(super) fn session_info(&self, attr: &str) -> String {
        if attr.ends_with("/dynamic_sessions") {
            return String::new();
        }
        let acl = split(attr).0;
        let who = split(acl).1;
        if !self.sessions.iter().any(|(tpg, initiator)| format!("{tpg}/acls/{initiator}") == acl) {
            return format!("No active iSCSI Session for Initiator Endpoint: {who}\n");
        }
        format!(
            "InitiatorName: {who}\nInitiatorAlias: \nLIO Session ID: 1   ISID: 0x00 02 3d 00 00 01  TSIH: 1  SessionType: Normal\nSession State: TARG_SESS_STATE_LOGGED_IN\n"
        )
    }
}

/// Whether both files of mutual CHAP say something (`__iscsi_nacl_auth_*_store`).
pub(super) fn authenticates_target(kernel: &Kernel, attr: &str) -> &'static str {
    let auth = split(attr).0;
    let set = |name: &str| {
        let text = kernel.objects.text(&join(auth, name));
        !text.is_empty() && !text.starts_with("NULL")
    };
    if set("userid_mutual") && set("password_mutual") { "1\n" } else { "0\n" }
}

fn numbered<T: std::str::FromStr>(name: &str, prefix: &str) -> Result<T, Errno> {
    name.strip_prefix(prefix).and_then(|digits| digits.parse().ok()).ok_or(Errno::EINVAL)
}

/// `__iscsi_nacl_auth_*_store`: every byte is kept, a newline too.
pub(super) fn chap(text: &str) -> Result<String, Errno> {
    if text.len() < 256 { Ok(text.to_owned()) } else { Err(Errno::EINVAL) }
}

/// `iscsi_change_param_value` for AuthMethod.
pub(super) fn methods(text: &str) -> Result<String, Errno> {
    let list = text.strip_suffix('\n').unwrap_or(text);
    let known = list.split(',').all(|method| matches!(method, "CHAP" | "None"));
    if known { Ok(list.to_owned()) } else { Err(Errno::EINVAL) }
}

/// `target_fabric_mappedlun_write_protect_store`: without a link it says yes and does nothing.
pub(super) fn write_protect(old: &str, text: &str) -> Result<String, Errno> {
    let protect = number(text, 0, 1)?;
    Ok(if old.is_empty() { String::new() } else { protect.to_string() })
}

const CHAP: &[(&str, &str, Rule)] = &[
    ("authenticate_target", "0", Rule::AuthenticateTarget),
    ("password", "", Rule::Chap),
    ("password_mutual", "", Rule::Chap),
    ("userid", "", Rule::Chap),
    ("userid_mutual", "", Rule::Chap),
];

const TPG_ATTRIB: &[(&str, &str, Rule)] = &[
    ("authentication", "1", Rule::Authentication),
    ("cache_dynamic_acls", "0", Rule::Number(0, 1)),
    ("default_cmdsn_depth", "64", Rule::Number(1, 512)),
    ("demo_mode_discovery", "1", Rule::Number(0, 1)),
    ("demo_mode_write_protect", "1", Rule::Number(0, 1)),
    ("generate_node_acls", "0", Rule::Number(0, 1)),
    ("login_timeout", "15", Rule::Number(5, 30)),
    ("prod_mode_write_protect", "0", Rule::Number(0, 1)),
];

const LENGTH: Rule = Rule::Number(512, 16_777_215);
const YES_NO: Rule = Rule::Word(&["Yes", "No"]);

const TPG_PARAM: &[(&str, &str, Rule)] = &[
    ("AuthMethod", "CHAP", Rule::Methods),
    ("DataDigest", "CRC32C,None", Rule::Word(&["CRC32C,None", "None", "CRC32C"])),
    ("FirstBurstLength", "65536", LENGTH),
    ("ImmediateData", "Yes", YES_NO),
    ("InitialR2T", "Yes", YES_NO),
    ("MaxBurstLength", "262144", LENGTH),
    ("MaxOutstandingR2T", "1", Rule::Number(1, 65535)),
    ("MaxRecvDataSegmentLength", "8192", LENGTH),
    ("MaxXmitDataSegmentLength", "262144", LENGTH),
];
