//! The fabric of local disks (`drivers/target/loopback/tcm_loop.c`).

use nix::errno::Errno;

use super::Kernel;
use super::objects::{Kind, Rule, join, split};

impl Kernel {
    /// `target_core_register_fabric`, which loads the module by name.
    pub(super) fn make_loopback(&mut self, path: &str) -> Result<(), Errno> {
        if !self.has_loopback {
            return Err(Errno::EINVAL);
        }
        self.objects.add_directory(path, Kind::Loopback, false);
        self.objects.add_attributes(path, &[("version", "TCM Loopback Fabric module v2.1-rc2", Rule::ReadOnly)]);
        Ok(())
    }

    /// `tcm_loop_make_scsi_hba`: a SCSI host.
    pub(super) fn make_loop_target(&mut self, path: &str, name: &str) -> Result<(), Errno> {
        if !["naa.", "fc.", "iqn."].iter().any(|kind| name.contains(kind)) || name.len() >= 256 {
            return Err(Errno::EINVAL);
        }
        self.scsi_hosts += 1;
        self.objects.add_directory(path, Kind::LoopTarget, false);
        self.group(path, "fabric_statistics", &[]);
        self.group(path, "param", &[]);
        Ok(())
    }

    /// `tcm_loop_make_naa_tpg`: the tag is the SCSI target's number.
    pub(super) fn make_loop_tpg(&mut self, path: &str, name: &str) -> Result<(), Errno> {
        let tag: u32 = name.strip_prefix("tpgt_").and_then(|tag| tag.parse().ok()).ok_or(Errno::EINVAL)?;
        if tag >= 32 {
            return Err(Errno::EINVAL);
        }
        let address = format!("{}:0:{tag}", self.scsi_hosts);
        self.objects.add_directory(path, Kind::LoopTpg, false);
        self.objects.add_attributes(
            path,
            &[
                ("address", &address, Rule::ReadOnly),
                ("nexus", "", Rule::Nexus),
                ("transport_status", "online", Rule::Word(&["online", "offline"])),
            ],
        );
        self.group(path, "attrib", &[("fabric_prot_type", "0", Rule::Number(0, 3))]);
        self.group(path, "param", &[]);
        self.group(path, "auth", &[]);
        self.group_of(Kind::Plain, path, "np");
        self.group_of(Kind::Luns, path, "lun");
        self.group_of(Kind::LoopAcls, path, "acls");
        Ok(())
    }

    /// `target_fabric_make_nodeacl`, of a fabric that adds nothing of its own.
    pub(super) fn make_loop_acl(&mut self, path: &str, name: &str) -> Result<(), Errno> {
        if name.len() > 223 {
            return Err(Errno::EINVAL);
        }
        self.objects.add_directory(path, Kind::Acl, false);
        for group in ["auth", "attrib", "param", "fabric_statistics"] {
            self.group(path, group, &[]);
        }
        Ok(())
    }

    /// `tcm_loop_tpg_nexus_store`.
    pub(super) fn nexus(&mut self, attr: &str, old: &str, text: &str) -> Result<String, Errno> {
        let tpg = split(attr).0;
        let linked = self.has_linked_luns(tpg);
        match text.strip_suffix('\n').unwrap_or(text) {
            "NULL" if old.is_empty() => Err(Errno::ENODEV),
            "NULL" if linked => Err(Errno::EPERM),
            "NULL" => Ok(String::new()),
            _ if !old.is_empty() => Err(Errno::EEXIST),
            name if name.contains("naa.") => Ok(name.to_owned()),
            _ => Err(Errno::EINVAL),
        }
    }

    fn has_linked_luns(&self, tpg: &str) -> bool {
        let inside = format!("{}/", join(tpg, "lun"));
        self.objects
            .of_kind(Kind::Lun)
            .any(|lun| lun.starts_with(&inside) && self.objects.links_in(lun).next().is_some())
    }

    /// Removing the ACL of a session that lives would wait for ever (`core_tpg_del_initiator_node_acl`): no caller may
    /// ask for it, so here it is an error.
    pub(super) fn waits_for_ever(&self, path: &str) -> bool {
        let (acls, name) = split(path);
        self.objects.kind(acls) == Ok(Kind::LoopAcls) && self.objects.text(&join(split(acls).0, "nexus")) == name
    }
}
