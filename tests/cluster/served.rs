//! From `kubectl apply` to a served LUN on a real node, with parts missing along the way.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};
use nix::sys::signal::Signal;

use super::node::Node;
use super::operator::Operator;
use super::site::{SOON, Site, condition, lun, says};

/// How many Luns are timed.
const LUNS: usize = 20;

pub fn twenty_luns_are_ready_soon(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    let node = Node::up(&site)?;
    let mut watch = Watch::begin(&site)?;
    let mut waits = Vec::new();
    for number in 0..LUNS {
        let name = format!("timed-{number}");
        let applied = Instant::now();
        site.apply(&lun(&name, |_| {}))?;
        waits.push(watch.ready(&name)?.duration_since(applied));
    }
    waits.sort();
    let (p50, p99) = (waits[LUNS / 2], waits[LUNS - 1]);
    println!("     apply to Ready over {LUNS} Luns: p50 {:.2} s, p99 {:.2} s", p50.as_secs_f64(), p99.as_secs_f64());
    let all = ["delete", "luns", "--all", "-n", "prod", "--timeout=120s"];
    site.plane.kubectl_must(all)?;
    let left = node.vm.must("find /sys/kernel/config/target -name '*lunette*' | wc -l")?;
    ensure!(left == "0", "configfs still holds {left} of our objects");
    node.vm.dmesg_must_be_clean()
}

pub fn an_agent_that_was_down_catches_up(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    let mut node = Node::up(&site)?;
    site.apply(&lun("early", |spec| spec["reclaimPolicy"] = "Delete".into()))?;
    site.wait_lun("early", |lun| says(lun, "Ready", "True", "Serving"))?;
    node.end_agent(Signal::SIGKILL)?;
    site.apply(&lun("late", |_| {}))?;
    site.wait_lun("late", |lun| says(lun, "Placed", "True", "Placed"))?;
    site.plane.kubectl_must(["delete", "lun", "early", "-n", "prod", "--wait=false"])?;
    let early = site.wait_lun("early", |lun| condition(lun, "Released")["reason"] == "WaitingForNode")?;
    let message = condition(&early, "Released")["message"].as_str().unwrap_or_default().to_owned();
    ensure!(message.contains("real-node"), "the message does not name the node: {message}");
    node.start_agent()?;
    site.wait_lun("late", |lun| says(lun, "Ready", "True", "Serving"))?;
    site.wait_gone(&["lun", "early", "-n", "prod"])?;
    let volumes = node.vm.must("ls /var/lib/lunette/pool | wc -l")?;
    ensure!(volumes == "1", "the pool holds {volumes} volumes, and only that of `late` should be there");
    node.vm.dmesg_must_be_clean()
}

pub fn an_agent_needs_no_api_server_to_start(context: &Context) -> Result<()> {
    let site = Site::up(context)?;
    let _operator = Operator::start(&site)?;
    let mut node = Node::up(&site)?;
    site.apply(&lun("kept", |_| {}))?;
    site.wait_lun("kept", |lun| says(lun, "Ready", "True", "Serving"))?;
    node.end_agent(Signal::SIGKILL)?;
    node.start_agent_without_api_server()?;
    node.wait_served("kept")?;
    node.vm.dmesg_must_be_clean()
}

/// A watch of all Luns, by kubectl, with the moment at which each was first Ready.
struct Watch {
    kubectl: Child,
    lines: Receiver<(Instant, String)>,
    ready: HashMap<String, Instant>,
}

impl Watch {
    fn begin(site: &Site) -> Result<Watch> {
        let mut command = site.plane.kubectl_command()?;
        command.args(["get", "luns", "-n", "prod", "-w", "--no-headers"]);
        command.args(["-o", "custom-columns=NAME:.metadata.name,STATE:.status.state"]);
        let mut kubectl = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("starting kubectl")?;
        let stdout = kubectl.stdout.take().context("kubectl has no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Watch { kubectl, lines, ready: HashMap::new() })
    }

    fn ready(&mut self, name: &str) -> Result<Instant> {
        let deadline = Instant::now() + SOON;
        while !self.ready.contains_key(name) {
            let patience = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let (when, line) =
                self.lines.recv_timeout(patience).with_context(|| format!("{name} is not Ready in time"))?;
            if let [lun, "Ready"] = line.split_whitespace().collect::<Vec<_>>()[..] {
                self.ready.entry(lun.to_owned()).or_insert(when);
            }
        }
        Ok(self.ready[name])
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It watches until it is told to stop.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
