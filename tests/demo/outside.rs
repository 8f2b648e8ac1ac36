//! A LUN for a client outside the cluster: asked for, used, grown, deleted.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use lunette_bed::{Result, Step};
use serde_json::Value;

use super::stage::{SOON, Stage};

/// The LUN, as a client must know it.
pub struct Served {
    pub target: String,
    pub portal: String,
    pub wwid: String,
}

/// Applies the example, and watches the LUN become ready.
pub fn apply(step: &Step, stage: &Stage) -> Result<Served> {
    stage.kubectl(step, "apply -f manifests/examples/lun.yaml")?;
    watch_until_ready(step, stage)?;
    let lun: Value = serde_json::from_str(&stage.quietly("get lun disk -o json")?)?;
    let text = |pointer: &str| lun.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let served = Served {
        target: text("/status/target/iqn").context("no target IQN in the status")?,
        portal: text("/status/target/portals/0").context("no portal in the status")?,
        wwid: text("/status/wwid").context("no WWID in the status")?,
    };
    step.say(&format!("target {}\nportal {}\ndevice {}", served.target, served.portal, served.wwid));
    Ok(served)
}

fn watch_until_ready(step: &Step, stage: &Stage) -> Result<()> {
    step.say("admin$ kubectl get luns -w");
    let mut command = stage.kubectl_command("get luns -w --request-timeout=40s")?;
    let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("starting kubectl")?;
    let lines = BufReader::new(watch.stdout.take().context("kubectl has no output")?).lines();
    let mut ready = false;
    for line in lines {
        let line = line?;
        step.say(&format!("| {line}"));
        ready = line.split_whitespace().any(|word| word == "Ready");
        if ready {
            break;
        }
    }
    // It watches until it is told to stop.
    let _ = watch.kill();
    watch.wait()?;
    ensure!(ready, "the LUN is not Ready after 40 s:\n{}", stage.quietly("describe lun disk")?);
    Ok(())
}

/// Finds the target, gives the credentials of `lun.yaml`, logs in; the disk that appears.
pub fn log_in(step: &Step, stage: &Stage, lun: &Served) -> Result<String> {
    stage.on_client(step, &format!("iscsiadm -m discovery -t sendtargets -p {}", lun.portal))?;
    set_password(step, stage, lun, "demo-only-chap-secret")?;
    stage.on_client(step, &format!("iscsiadm -m node -T {} --login", lun.target))?;
    let disk = wait_disk(stage, lun)?;
    stage.on_client(step, "lsblk -S -o NAME,VENDOR,MODEL,TRAN")?;
    let name = disk.trim_start_matches("/dev/");
    stage.on_client(step, &format!("lsblk -o NAME,SIZE {disk} && cat /sys/block/{name}/device/wwid"))?;
    Ok(disk)
}

/// Gives the client its CHAP credentials.
pub fn set_password(step: &Step, stage: &Stage, lun: &Served, password: &str) -> Result<()> {
    let update = format!("iscsiadm -m node -T {} -o update", lun.target);
    for (name, value) in [("authmethod", "CHAP"), ("username", "client"), ("password", password)] {
        stage.on_client(step, &format!("{update} -n node.session.auth.{name} -v {value}"))?;
    }
    Ok(())
}

/// The client's disk of that identity.
pub fn wait_disk(stage: &Stage, lun: &Served) -> Result<String> {
    stage.client().wait_for_disk(&lun.wwid, SOON)
}

/// A file system, and files whose checksums are kept.
pub fn write_files(step: &Step, stage: &Stage, disk: &str) -> Result<()> {
    stage.on_client(step, &format!("mkfs.ext4 -q {disk} && mount {disk} /mnt"))?;
    stage.on_client(step, "for n in 1 2 3; do head -c 8M /dev/urandom > /mnt/file-$n; done && sync")?;
    stage.on_client(step, "cd /mnt && sha256sum file-* | tee /tmp/checksums")?;
    stage.kubectl(step, "get luns").map(drop)
}

/// Twice the size, seen by the client while the file system is mounted.
pub fn grow(step: &Step, stage: &Stage, disk: &str) -> Result<()> {
    stage.kubectl(step, "patch lun disk --type merge -p '{\"spec\":{\"size\":\"2Gi\"}}'")?;
    stage.kubectl(step, "wait lun/disk --for=jsonpath={.status.capacity}=2147483648 --timeout=40s")?;
    stage.on_client(step, "iscsiadm -m session --rescan")?;
    stage.client().wait_for(format!("[ $(blockdev --getsize64 {disk}) = 2147483648 ]"), SOON)?;
    stage.on_client(step, &format!("resize2fs {disk}"))?;
    stage
        .on_client(step, "df -h /mnt && cd /mnt && sha256sum --quiet -c /tmp/checksums && echo all files intact")
        .map(drop)
}

/// Unmounted, logged out, deleted.
pub fn delete(step: &Step, stage: &Stage, lun: &Served) -> Result<()> {
    stage.on_client(step, "umount /mnt")?;
    stage.on_client(step, &format!("iscsiadm -m node -T {} --logout", lun.target))?;
    stage.kubectl(step, "delete -f manifests/examples/lun.yaml --timeout=60s").map(drop)
}
