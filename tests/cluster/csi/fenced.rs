//! A node that is cut off and loses its volume without its doing: nothing that it still writes lands, nobody lets it in,
//! and it lets go by itself of what it held.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, GuestCommand, Result, Vm};
use tonic::Code;

use super::super::operator::Operator;
use super::super::site::{SOON, SYSTEM, Site};
use super::Driver;
use super::accidents::{is_out, refused};
use super::place::{Kubelet, Seen, Volume};

const SIZE: i64 = 32 << 20;

/// Writes numbers one after another, and acknowledges each when it is durable.
const COUNT: &str = "n=0; while :; do n=$((n + 1)); echo $n >$TARGET/next && mv $TARGET/next $TARGET/count && \
    sync -f $TARGET/count || exit $FAILED; echo $n >/run/acknowledged; done";
/// How it ends when a write fails.
const FAILED: i32 = 7;
/// Longer than it takes to be told that nothing is written any more.
const LONG: Duration = Duration::from_secs(300);
/// How iscsiadm says that a login was refused (`ISCSI_ERR_LOGIN_AUTH_FAILED`).
const REFUSED: i32 = 24;

pub fn a_node_that_is_fenced_lets_go(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    let (server, other) = (Kubelet::of(&site, "real-node")?, Kubelet::of(&site, "other-node")?);
    other.node.vm.start_iscsid()?;
    let driver = Driver::start(&site)?;
    let volume = Volume::create(&driver, "pvc-fenced", Seen::As("ext4"), SIZE, server.node.name)?;
    let context = volume.attach(&driver, other.node.name)?;
    other.stage(&volume, &context)??;
    other.publish(&volume, "a", false)??;
    let count = GuestCommand::shell(COUNT).env("TARGET", &volume.target("a"));
    let count = count.env("FAILED", &FAILED.to_string()).patience(LONG);
    let pod = other.node.vm.spawn("pod", count)?;
    other.node.vm.wait_for("[ -s /run/acknowledged ]", SOON)?;
    let credentials = credentials(&site, &context)?;

    let before = is_fenced(&driver, &server, &other, &volume, &context)?;
    // What waited hears that it failed, and the kubelet takes away what such a pod leaves.
    let ended = pod.wait()?;
    ensure!(ended.status == FAILED, "the pod ended otherwise: {ended:?}");
    other.node.vm.wait_for("! iscsiadm -m session", SOON)?;
    other.unpublish(&volume, "a")??;
    other.unstage(&volume)??;
    other.is_clean_of(&volume)?;
    is_out(&other, &volume, &context)?;
    other.node.vm.must(format!("ip route del blackhole {}/32", server.node.vm.ipv4()))?;
    opens_nothing(&other.node.vm, &context["iqn"], &context["portals"], &credentials)?;
    ensure!(stored(&server.node.vm, &volume)? == before, "the node wrote something after it was detached");
    holds_what_was_acknowledged(&driver, &server, &volume, &other.node.vm)?;
    volume.delete(&driver)?;
    server.node.vm.dmesg_must_be_clean()
}

/// The node is cut off from the one that serves it, and stays so: its disk answers nothing and makes no call hang. Then its
/// access is taken away. What the LUN holds from then on.
fn is_fenced(
    driver: &Driver,
    server: &Kubelet,
    other: &Kubelet,
    volume: &Volume,
    context: &HashMap<String, String>,
) -> Result<String> {
    other.node.vm.must(format!("ip route add blackhole {}/32", server.node.vm.ipv4()))?;
    other.node.vm.wait_for("grep -q FAILED /sys/class/iscsi_session/*/state", SOON)?;
    let staged = other.stage_within(volume, context, SOON)?;
    refused(staged, Code::Unavailable, "the kernel does not reach")?;
    volume.detach(driver, other.node.name)?;
    stored(&server.node.vm, volume)
}

/// What the node proved who it is with.
fn credentials(site: &Site, context: &HashMap<String, String>) -> Result<[String; 2]> {
    let secret = context.get("chapSecret").context("the node has a Secret of its own")?;
    let read = |key: &str| {
        let template = format!("go-template={{{{.data.{key} | base64decode}}}}");
        site.plane.kubectl_must(["get", "secret", secret, "-n", SYSTEM, "-o", &template])
    };
    Ok([read("username")?, read("password")?])
}

/// All that the LUN holds, as its pool has it.
fn stored(vm: &Vm, volume: &Volume) -> Result<String> {
    let uid = &volume.about.volume_context["uid"];
    vm.must(format!("sha256sum </var/lib/lunette/pool/{uid}/data"))
}

/// A login with what the node was once given, past the agent.
fn opens_nothing(vm: &Vm, target: &str, portal: &str, [user, password]: &[String; 2]) -> Result<()> {
    let record = format!("iscsiadm -m node -T {target} -p {portal}");
    let set = |name: &str, value: &str| format!("{record} -o update -n node.session.auth.{name} -v {value}");
    let steps = [
        format!("{record} -o new"),
        set("authmethod", "CHAP"),
        set("username", user),
        set("password", password),
        format!("{record} -o update -n node.session.initial_login_retry_max -v 1"),
    ];
    vm.must(format!("({}) >/dev/null", steps.join(" && ")))?;
    let login = vm.run(format!("{record} --login"))?;
    ensure!(login.status == REFUSED, "the login of a node that is out was not refused: {login:?}");
    vm.must(format!("{record} -o delete")).map(drop)
}

/// The volume comes to its next node with every write that was acknowledged, and at most the one that was under way.
fn holds_what_was_acknowledged(driver: &Driver, next: &Kubelet, volume: &Volume, former: &Vm) -> Result<()> {
    let acknowledged: u64 = former.must("cat /run/acknowledged")?.trim().parse()?;
    next.stage(volume, &volume.attach(driver, next.node.name)?)??;
    next.publish(volume, "b", false)??;
    let found: u64 = next.node.vm.must(format!("cat {}/count", volume.target("b")))?.trim().parse()?;
    ensure!([acknowledged, acknowledged + 1].contains(&found), "{found} is there, and {acknowledged} was acknowledged");
    next.unpublish(volume, "b")??;
    next.unstage(volume)??;
    next.is_clean_of(volume)?;
    volume.detach(driver, next.node.name)
}
