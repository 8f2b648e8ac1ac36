//! A node that lacks something says what, and the command that mends it; done, the LUN is served.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};

use super::manifest::{lun, pool};
use super::site::{SOON, Site, agent_binary, condition, patiently};

pub fn what_a_node_lacks_is_said(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    site.apply("db.yaml", &lun("db", "16Mi", &site.client.initiator_name(), ""))?;
    portals_that_cannot_be(&site)?;
    take_away(&site)?;
    check_says_all_of_it(&site)?;
    let agent = site.start_agent()?;
    must_say(
        &site,
        "KernelNotReady",
        "this node cannot serve LUNs yet: kernel module target_core_mod is missing: apt-get install linux-image-amd64; ",
    )?;
    give_back(&site)?;
    site.wait_ready("db", true).context("after what was missing was mended")?;
    let checked = site.node.run(check(&site))?.ok()?;
    ensure!(checked.contains("This node can serve LUNs."), "check says\n{checked}");
    site.end(agent)
}

fn portals_that_cannot_be(site: &Site) -> Result<()> {
    let (ours, free) = (site.node.ipv4(), "192.0.2.1:3260");
    let agent = site.start_agent_on(&[free.to_owned()])?;
    must_say(
        site,
        "PortalUnavailable",
        "portal 192.0.2.1:3260 cannot be opened: 192.0.2.1 is not an address of this node; give one of its addresses (see `ip address`)",
    )?;
    site.stop_agent(agent)?;
    let taken = site.node.spawn("listener", "exec busybox nc -l -p 3261")?;
    site.node.wait_for("ss -ltn sport = :3261 | grep -q LISTEN", SOON)?;
    let agent = site.start_agent_on(&[format!("{ours}:3261")])?;
    must_say(
        site,
        "PortalUnavailable",
        &format!(
            "portal {ours}:3261 cannot be opened: the port is in use; see `ss -ltnp sport = :3261`, then stop that program or choose another port"
        ),
    )?;
    drop(taken);
    site.wait_ready("db", true).context("after the port was free")?;
    site.stop_agent(agent)
}

fn must_say(site: &Site, reason: &str, words: &str) -> Result<()> {
    patiently(SOON, || {
        let ready = condition(&site.lun("db")?, "Ready");
        let said = ready["message"].as_str().unwrap_or_default();
        ensure!(ready["reason"] == reason && said.contains(words), "Ready should be {reason}: {words}\nbut is {ready}");
        Ok(())
    })
}

/// Takes the target's modules, configfs and iscsid from the node, and everything ours with them.
fn take_away(site: &Site) -> Result<()> {
    let agent = site.start_agent()?;
    site.withdraw("db.yaml")?;
    site.wait_unexported(SOON)?;
    site.stop_agent(agent)?;
    site.apply("db.yaml", &lun("db", "16Mi", &site.client.initiator_name(), ""))?;
    site.node
        .must(
            "set -e; rmdir /sys/kernel/config/target/iscsi; [ ! -e /sys/kernel/config/target/loopback ] || rmdir /sys/kernel/config/target/loopback
             modprobe -r tcm_loop target_core_user iscsi_target_mod target_core_file target_core_iblock target_core_pscsi target_core_mod
             umount /sys/kernel/config; mv /usr/sbin/iscsid /usr/sbin/iscsid.away; mv /etc/iscsi/initiatorname.iscsi /etc/iscsi/away",
        )
        .map(drop)
}

fn check(site: &Site) -> String {
    format!("{} check", agent_binary(&site.bed).display())
}

fn check_says_all_of_it(site: &Site) -> Result<()> {
    let said = site.node.run(check(site))?;
    ensure!(
        said.status == 1,
        "check of a node that lacks everything ended with status {}:\n{}",
        said.status,
        said.stdout
    );
    for wanted in [
        "  MISSING  kernel module target_core_mod\n           mend with: modprobe target_core_mod\n",
        "  MISSING  kernel module target_core_user\n           mend with: modprobe target_core_user\n",
        "  MISSING  kernel module iscsi_target_mod\n           mend with: modprobe iscsi_target_mod\n",
        "  MISSING  configfs mounted on /sys/kernel/config\n           mend with: mount -t configfs configfs /sys/kernel/config\n",
        "  MISSING  iscsid installed\n           mend with: apt-get install open-iscsi (dnf install iscsi-initiator-utils)\n",
        "  MISSING  iscsid running\n           mend with: systemctl enable --now iscsid\n",
        "  MISSING  an initiator name in /etc/iscsi/initiatorname.iscsi\n           mend with: echo",
        "This node cannot serve LUNs yet: ",
    ] {
        ensure!(said.stdout.contains(wanted), "check should say\n{wanted}but says\n{}", said.stdout);
    }
    // The same on a node whose kernel came without these modules.
    let bare = site.node.run(format!("mount -t tmpfs none /lib/modules && {}", check(site)))?;
    let wanted = "  MISSING  kernel module target_core_user\n           mend with: apt-get install linux-image-amd64\n";
    ensure!(bare.status == 1 && bare.stdout.contains(wanted), "check should say\n{wanted}but says\n{}", bare.stdout);
    Ok(())
}

/// Mends it, with the commands that were said.
fn give_back(site: &Site) -> Result<()> {
    site.node
        .must(
            "set -e; umount /lib/modules; modprobe -a target_core_mod target_core_user iscsi_target_mod
             mount -t configfs configfs /sys/kernel/config
             mv /usr/sbin/iscsid.away /usr/sbin/iscsid; mv /etc/iscsi/away /etc/iscsi/initiatorname.iscsi",
        )
        .map(drop)
}
