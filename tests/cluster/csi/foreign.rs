//! A target that is not the volume's answers under its name, at its portal, with its LUN number; and a device becomes
//! another one where the volume's was. Both are refused, and keep every byte.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::ensure;
use lunette_api::identity;
use lunette_bed::{Context, GuestCommand, Result, Vm};
use tonic::Code;

use super::super::operator::Operator;
use super::super::site::{SYSTEM, Site, patiently};
use super::accidents::refused;
use super::agent::while_serving;
use super::place::{Kubelet, Seen, Volume};
use super::{Driver, NOBODYS};

const SIZE: i64 = 16 << 20;

/// One VM is everything: the node, and what answers at the portal of a node that is only played.
pub fn a_foreign_target_is_left_alone(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    let kubelet = Kubelet::of(&site, "real-node")?;
    let vm = &kubelet.node.vm;
    vm.start_iscsid()?;
    vm.must(format!("ip address add {NOBODYS}/32 dev lo"))?;
    while_serving(&site.plane, &["elsewhere"], |_| {
        let driver = Driver::start(&site)?;
        let volume = Volume::create(&driver, "pvc-foreign", Seen::As("ext4"), SIZE, "elsewhere")?;
        let told = volume.attach(&driver, "real-node")?;
        let foreign = Foreign::answers(&kubelet, &told["iqn"])?;
        foreign.is_refused_without_a_password(&volume, &told)?;
        // Without CHAP nothing but the disk itself says who it is.
        volume.detach(&driver, "real-node")?;
        let chap = ["annotate", "lun", volume.lun(), "-n", SYSTEM, "csi.lunette.io/chap=false", "--overwrite"];
        site.plane.kubectl_must(chap)?;
        let told = volume.attach(&driver, "real-node")?;
        foreign.is_refused_by_its_identity(&volume, &told)?;
        foreign.is_refused_where_the_volume_was(&volume, &told)?;
        volume.detach(&driver, "real-node")
    })?;
    vm.dmesg_must_be_clean()
}

/// A target of LIO's own in the VM, and two files that it may have behind it: `same` says that it is the volume,
/// `other` does not.
struct Foreign<'a> {
    kubelet: &'a Kubelet<'a>,
    iqn: String,
}

/// Where LIO is.
pub const LIO: &str = "/sys/kernel/config/target";

/// Makes a file a backstore with this serial number.
const BACKSTORE: &str = "\
modprobe -a target_core_mod target_core_file && sha256sum </run/$NAME >/run/$NAME.sum && \
store=$LIO/core/fileio_77/$NAME && mkdir -p $store && \
echo fd_dev_name=/run/$NAME,fd_dev_size=$(stat -c %s /run/$NAME) >$store/control && echo 1 >$store/enable && \
echo $SERIAL >$store/wwn/vpd_unit_serial";

/// A backstore of LIO's own that is the file `/run/NAME`, and says that it has the identity.
pub fn backstore(vm: &Vm, name: &str, wwid: &str) -> Result<()> {
    // LIO makes it of its company's number and the digits of the serial number.
    let serial = wwid.trim_start_matches("naa.6001405");
    vm.must(GuestCommand::shell(BACKSTORE).env("LIO", LIO).env("NAME", name).env("SERIAL", serial)).map(drop)
}

/// That a backstore's file holds what it held in the beginning.
pub fn is_untouched(vm: &Vm, name: &str) -> Result<()> {
    let same = vm.run(format!("sha256sum </run/{name} | cmp - /run/{name}.sum"))?;
    ensure!(same.success(), "something was written to {name}");
    Ok(())
}

/// Whoever comes is let in.
const TARGET: &str = "\
modprobe iscsi_target_mod && tpg=$LIO/iscsi/$IQN/tpgt_1 && mkdir -p $tpg/np/$PORTAL:3260 && cd $tpg/attrib && echo 1 >generate_node_acls && \
echo 0 >demo_mode_write_protect && echo 0 >authentication && echo 1 >$tpg/enable";

impl Foreign<'_> {
    fn answers<'a>(kubelet: &'a Kubelet, iqn: &str) -> Result<Foreign<'a>> {
        let vm = &kubelet.node.vm;
        let uid = iqn.rsplit(':').next().unwrap_or_default();
        vm.must(format!("truncate -s {SIZE} /run/same && head -c {SIZE} /dev/urandom >/run/other"))?;
        backstore(vm, "same", &identity::wwid(uid))?;
        backstore(vm, "other", &format!("naa.6001405{}", "f".repeat(25)))?;
        let made = GuestCommand::shell(TARGET).env("LIO", LIO).env("IQN", iqn).env("PORTAL", NOBODYS);
        vm.must(made)?;
        Ok(Foreign { kubelet, iqn: iqn.to_owned() })
    }

    fn vm(&self) -> &Vm {
        &self.kubelet.node.vm
    }

    /// Has that file behind its LUN 0.
    fn shows(&self, name: &str) -> Result<()> {
        let luns = format!("{LIO}/iscsi/{}/tpgt_1/lun", self.iqn);
        self.vm()
            .must(format!(
                "rm -f {luns}/lun_0/file; mkdir -p {luns}/lun_0 && ln -s {LIO}/core/fileio_77/{name} {luns}/lun_0/file"
            ))
            .map(drop)
    }

    /// open-iscsi does not go in where it was to prove who it is and nobody wants to know.
    fn is_refused_without_a_password(&self, volume: &Volume, told: &HashMap<String, String>) -> Result<()> {
        self.shows("other")?;
        let staged = self.kubelet.stage_within(volume, told, Duration::from_secs(5))?;
        ensure!(staged.is_err(), "it is staged");
        // What the call began goes on to its end.
        patiently(|| Ok(self.kubelet.unstage(volume)??))?;
        self.left_nothing(volume)
    }

    fn is_refused_by_its_identity(&self, volume: &Volume, told: &HashMap<String, String>) -> Result<()> {
        self.shows("other")?;
        refused(self.kubelet.stage(volume, told)?, Code::FailedPrecondition, "it is left alone")?;
        self.left_nothing(volume)
    }

    /// The session is the same, the address is, and the kernel remembers who was there.
    fn is_refused_where_the_volume_was(&self, volume: &Volume, told: &HashMap<String, String>) -> Result<()> {
        self.shows("same")?;
        // Staged once as what it says it is: it gets a file system.
        self.kubelet.stage(volume, told)??;
        self.vm().must(format!("umount {}/volume", volume.staging()))?;
        self.shows("other")?;
        refused(self.kubelet.stage(volume, told)?, Code::FailedPrecondition, "it is left alone")?;
        self.kubelet.unstage(volume)??;
        // Whose disk it is now is not ours to log out.
        self.vm().must("iscsiadm -m session")?;
        self.other_is_untouched()
    }

    /// That the node keeps nothing of the volume, and that not a byte of the other disk has changed.
    fn left_nothing(&self, volume: &Volume) -> Result<()> {
        self.kubelet.is_clean_of(volume)?;
        self.other_is_untouched()
    }

    fn other_is_untouched(&self) -> Result<()> {
        is_untouched(self.vm(), "other")
    }
}
