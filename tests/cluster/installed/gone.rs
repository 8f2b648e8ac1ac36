//! Taking Lunette off a cluster: refused while there is something to lose, complete when there is not.

use anyhow::ensure;
use lunette_bed::{Context, Result};

use super::super::site::{SYSTEM, patiently};
use super::site::{Installed, WITHIN};

/// What Lunette makes on a node: targets, volumes, sockets for the kubelet, mounts, records and sessions.
const LEFT: &str = "\
find /sys/kernel/config/target -name '*lunette*'
ls /var/lib/lunette/pool /var/lib/lunette/plain/pool | grep -v -e ':$' -e '^$'
find /var/lib/kubelet/plugins_registry /var/lib/kubelet/plugins/csi.lunette.io -name '*.sock' 2>/dev/null
grep csi.lunette.io /proc/mounts
iscsiadm -m node 2>/dev/null | grep lunette
iscsiadm -m session 2>/dev/null
true";

pub fn nothing_is_left(context: &Context) -> Result<()> {
    let site = context.shared(Installed::up)?;
    site.lun("last", None)?;
    let uninstall = ["uninstall", "lunette", "--wait", WITHIN];
    site.helm().run(uninstall)?.refused()?;
    let why = site.plane.kubectl_must(["logs", "-n", SYSTEM, "job/lunette-uninstall-check"])?;
    ensure!(why.contains("not uninstalled: there are") && why.contains("LunPools (fast, plain)"), "{why}");
    site.agents_are_ready()?;
    site.plane.kubectl_must(["delete", "luns", "--all", "-n", "prod", WITHIN])?;
    site.plane.kubectl_must(["delete", "lunpools", "--all", WITHIN])?;
    site.helm().run(uninstall)?.ok()?;
    nothing_is_left_on_nodes(&site)?;
    nothing_is_left_in_the_api(&site)
}

/// The agents end, the nodes hold nothing of Lunette, and no kernel of theirs has a complaint.
pub fn nothing_is_left_on_nodes(site: &Installed) -> Result<()> {
    for node in &site.nodes {
        let vm = node.vm();
        vm.wait_for("! pgrep -x lunette-node", super::site::PATIENCE)?;
        let left = vm.must(LEFT)?;
        ensure!(left.is_empty(), "left on {}:\n{left}", node.name());
        vm.dmesg_must_be_clean()?;
    }
    Ok(())
}

/// The kinds stay, and the namespace, which Helm did not make; nothing else.
fn nothing_is_left_in_the_api(site: &Installed) -> Result<()> {
    let kinds = "deployments,daemonsets,jobs,pods,serviceaccounts,roles,rolebindings,networkpolicies,secrets,leases,\
                 persistentvolumeclaims,csistoragecapacities";
    // The pods of hooks go a moment after their Jobs.
    patiently(|| {
        let left = site.plane.kubectl_must(["get", kinds, "-n", SYSTEM, "-o", "name"])?;
        ensure!(left == "serviceaccount/default", "left in the namespace:\n{left}");
        Ok(())
    })?;
    let kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,\
                 csidrivers,storageclasses,volumesnapshotclasses,volumegroupsnapshotclasses,\
                 persistentvolumes,volumeattachments";
    let all = site.plane.kubectl_must(["get", kinds, "-o", "name"])?;
    let left: Vec<&str> = all.lines().filter(|name| name.contains("lunette")).collect();
    ensure!(left.is_empty(), "left in the cluster: {left:?}");
    let nodes = site.plane.kubectl_must(["get", "lunnodes", "-o", "name"])?;
    ensure!(nodes.is_empty(), "{nodes}");
    let grants = site.plane.kubectl_must(["get", "roles,rolebindings", "-n", "prod", "-o", "name"])?;
    ensure!(grants.is_empty(), "grants are left: {grants}");
    Ok(())
}
