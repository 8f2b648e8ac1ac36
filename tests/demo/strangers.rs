//! Who is not listed sees nothing, and who has the wrong secret stays outside.

use anyhow::ensure;
use lunette_bed::{Result, Step};

use super::outside::{Served, set_password, wait_disk};
use super::stage::Stage;

const STRANGER: &str = "iqn.2026-01.io.example:stranger";

/// An initiator that is not on the list, and the right one with a wrong secret.
pub fn are_refused(step: &Step, stage: &Stage, lun: &Served) -> Result<()> {
    step.say("an initiator that is not on the list:");
    stage.on_client(step, "iscsiadm -m iface -I stranger -o new")?;
    stage.on_client(step, &format!("iscsiadm -m iface -I stranger -o update -n iface.initiatorname -v {STRANGER}"))?;
    let seen = stage
        .refused_on_client(step, &format!("iscsiadm -m discovery -t sendtargets -p {} -I stranger", lun.portal))?;
    ensure!(!seen.contains(&lun.target), "the stranger sees the target");
    stage.on_client(step, &format!("iscsiadm -m node -T {} -p {} -I stranger -o new", lun.target, lun.portal))?;
    stage.refused_on_client(step, &format!("iscsiadm -m node -T {} -I stranger --login", lun.target))?;
    stage.on_client(step, &format!("iscsiadm -m node -T {} -I stranger -o delete", lun.target))?;
    step.say("the right initiator with a wrong secret:");
    stage.on_client(step, "umount /mnt")?;
    stage.on_client(step, &format!("iscsiadm -m node -T {} --logout", lun.target))?;
    set_password(step, stage, lun, "not-the-chap-secret")?;
    stage.refused_on_client(step, &format!("iscsiadm -m node -T {} --login", lun.target))?;
    step.say("and with the right one again:");
    set_password(step, stage, lun, "demo-only-chap-secret")?;
    stage.on_client(step, &format!("iscsiadm -m node -T {} --login", lun.target))?;
    let disk = wait_disk(stage, lun)?;
    stage
        .on_client(
            step,
            &format!("mount {disk} /mnt && cd /mnt && sha256sum --quiet -c /tmp/checksums && echo all files intact"),
        )
        .map(drop)
}
