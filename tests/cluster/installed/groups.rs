//! Snapshots of one instant of Luns that two nodes serve: under a writer whose writes follow each other from one to the
//! other, and as VolumeGroupSnapshots of claims.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Result};
use serde_json::{Value, json};

use super::super::site::SYSTEM;
use super::claims::claim;
use super::site::{Installed, PATIENCE, WITHIN};

/// Instants under the writer; the pauses are shown.
const INSTANTS: usize = 3;
/// Longer than it writes.
const LONG: Duration = Duration::from_secs(600);

/// Writes a number to the first disk, and when that is acknowledged to the second; then the next number.
const IN_ORDER: &str = "\
put() { printf '%-512s' $n | dd of=$1 bs=512 count=1 iflag=fullblock oflag=direct conv=notrunc status=none; }
n=0; until [ -e /tmp/enough ]; do n=$((n + 1)); put $FIRST && put $SECOND || exit 1; echo $n > /tmp/written; done";

/// No group has the second write without the first.
pub fn a_group_of_two_nodes_is_of_one_instant(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    let luns = [site.lun("order-a", Some("node-a"))?, site.lun("order-b", Some("node-b"))?];
    let disks = [site.login(&luns[0])?, site.login(&luns[1])?];
    let script = GuestCommand::shell(&format!("rm -f /tmp/enough /tmp/written; {IN_ORDER}")).patience(LONG);
    let writer = site.client.spawn("in-order", script.env("FIRST", &disks[0]).env("SECOND", &disks[1]))?;
    let mut pauses = Vec::new();
    for instant in 0..INSTANTS {
        let count = "echo $(($(cat /tmp/written 2>/dev/null || echo 0)))";
        let before: u64 = site.client.must(count)?.parse()?;
        site.client.wait_for(format!("[ $({count}) -gt {before} ]"), PATIENCE).context("the writer stands still")?;
        let [first, second] = site.group_of_both(instant)?;
        let numbers = [site.number_in(0, &first)?, site.number_in(1, &second)?];
        ensure!(numbers[1] <= numbers[0] && numbers[0] <= numbers[1] + 1, "{numbers:?} are not of one instant");
        ensure!(numbers[1] >= before, "{numbers:?} were written before number {before}");
        let pause = |of: &Value| of["status"]["pauseMicroseconds"].as_u64().context("no pause");
        pauses.extend([pause(&first)?, pause(&second)?]);
    }
    site.client.must("touch /tmp/enough")?;
    writer.wait()?.ok().context("the writer saw an error")?;
    println!("     pauses of {INSTANTS} instants across two nodes: {pauses:?} µs");
    for lun in &luns {
        site.logout(lun)?;
    }
    site.plane.kubectl_must(["delete", "lunsnapshots", "--all", "-n", "prod", WITHIN])?;
    site.plane.kubectl_must(["delete", "luns", "order-a", "order-b", "-n", "prod", WITHIN]).map(drop)
}

impl Installed {
    /// Takes a snapshot of either Lun, together.
    fn group_of_both(&self, instant: usize) -> Result<[Value; 2]> {
        let names = ["order-a", "order-b"].map(|lun| (format!("{lun}-{instant}"), lun));
        for (name, lun) in &names {
            let group = json!({"name": format!("order-{instant}"), "members": 2});
            self.apply(&json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunSnapshot",
                "metadata": {"name": name, "namespace": "prod"}, "spec": {"lun": lun, "group": group}}))?;
        }
        let ready = |snapshot: &Value| snapshot["status"]["readyToUse"] == true;
        let taken = |name: &str| self.plane.wait_for_json(["lunsnapshot", name, "-n", "prod"], PATIENCE, ready);
        Ok([taken(&names[0].0)?, taken(&names[1].0)?])
    }

    /// The number that a snapshot holds, read from its file.
    fn number_in(&self, node: usize, snapshot: &Value) -> Result<u64> {
        let uid = snapshot["metadata"]["uid"].as_str().context("no UID")?;
        let number = self.nodes[node].vm().must(format!("head -c 512 /var/lib/lunette/pool/{uid}/data"))?;
        number.trim().parse().with_context(|| format!("{number:?} is no number"))
    }
}

/// As the user has it: one object, a snapshot of each claim, and all go with it.
pub fn claims_of_two_nodes_are_snapshotted_together(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    for (name, node) in [("left", "node-a"), ("right", "node-b")] {
        let mut claim = claim(name, |_| ());
        claim["metadata"]["labels"] = json!({"together": "yes"});
        site.claim_on(node, claim)?;
    }
    site.apply(&json!({"apiVersion": "groupsnapshot.storage.k8s.io/v1", "kind": "VolumeGroupSnapshot",
        "metadata": {"name": "both", "namespace": "prod"}, "spec": {"volumeGroupSnapshotClassName": "lunette",
            "source": {"selector": {"matchLabels": {"together": "yes"}}}}}))?;
    let ready = |group: &Value| group["status"]["readyToUse"] == true;
    site.plane.wait_for_json(["volumegroupsnapshot", "both", "-n", "prod"], PATIENCE, ready)?;
    let all_ready = |list: &Value| {
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.len() == 2 && items.iter().all(|snapshot| snapshot["status"]["readyToUse"] == true)
    };
    site.plane.wait_for_json(["volumesnapshots", "-n", "prod"], PATIENCE, all_ready)?;
    let members = site.plane.wait_for_json(["lunsnapshots", "-n", SYSTEM], PATIENCE, all_ready)?;
    let nodes = [0, 1].map(|member| members["items"][member]["status"]["node"].clone());
    ensure!(nodes[0] != nodes[1], "{members:#}");
    site.plane.kubectl_must(["delete", "volumegroupsnapshot", "both", "-n", "prod", WITHIN])?;
    let none = |list: &Value| list["items"].as_array().is_some_and(Vec::is_empty);
    for kind in ["volumegroupsnapshotcontents", "volumesnapshotcontents", "lunsnapshots"] {
        site.plane.wait_for_json([kind, "-A"], PATIENCE, none)?;
    }
    site.delete_claim("left")?;
    site.delete_claim("right")
}
