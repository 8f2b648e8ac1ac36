//! The agent's part of CSI's Node service (`lunette-csi-node`): a volume's LUN as a disk of this machine. This node's
//! own comes from its worker, another node's over iSCSI.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use lunette_api::csi::VolumeId;
use lunette_csi_node::{About, Endpoints, Luns, Obstacle, Trouble, Volume};
use lunette_csi_service::socket::Socket;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::args::{Csi, Run};
use crate::attach::{self, Order, Outcome, Refusal};
use crate::check;
use crate::node::{self, Context};
use crate::source::View;

/// Serves CSI where the arguments say, if they do.
///
/// # Errors
/// When a socket cannot be had.
pub fn serve(
    args: &Csi,
    context: &Arc<Context>,
    run: &Run,
    views: watch::Receiver<View>,
) -> anyhow::Result<Vec<Socket>> {
    let endpoints = Endpoints::of(args.csi_endpoint.as_deref(), args.kubelet_dir.as_deref());
    let Some(endpoints) = endpoints.context("--csi-endpoint")? else { return Ok(Vec::new()) };
    let about = About { node: context.node.clone(), most_volumes: args.max_volumes };
    let luns = Disks { context: Arc::clone(context), views, locks: run.locks() };
    lunette_csi_node::serve(&endpoints, luns, about)
}

/// LUNs as disks of this machine.
struct Disks {
    context: Arc<Context>,
    views: watch::Receiver<View>,
    locks: PathBuf,
}

impl From<Refusal> for Obstacle {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotYet(why) => Self::NotYet(why),
            Refusal::Refused(why) => Self::Refused(why),
        }
    }
}

impl Disks {
    async fn attached(&self, volume: &Volume) -> Outcome {
        if self.context.board.has(&volume.uid) {
            return self.context.desk.ask(&volume.uid, Order::Attach).await;
        }
        let VolumeId { namespace, name } = &volume.id;
        match self.context.source.lun(namespace, name).await? {
            None => Err(node::unknown_lun(&volume.id.to_string())),
            Some(lun) if lun.metadata.uid.as_ref() != Some(&volume.uid) => Err(another(volume)),
            Some(lun) => node::attach_remote(&self.context, self.locks.clone(), &lun).await,
        }
    }

    /// Whatever led to the disk, it is over only when no disk of that identity is left.
    async fn detached(&self, volume: &Volume) -> Result<(), Refusal> {
        if self.context.board.has(&volume.uid) {
            self.context.desk.ask(&volume.uid, Order::Detach).await?;
        }
        node::detach_remote(&self.context, self.locks.clone(), &volume.uid).await?;
        let wwid = volume.wwid().map_err(|error| Refusal::Refused(error.to_string()))?;
        let machine = self.context.machine.clone();
        let left = spawn_blocking(move || machine.identified(&wwid)).await;
        match left.map_err(|error| Refusal::NotYet(error.to_string()))?? {
            Some(disk) => Err(still_there(volume, &disk.path)),
            None => Ok(()),
        }
    }
}

impl Luns for Disks {
    async fn attach(&self, volume: &Volume, deadline: Instant) -> Result<PathBuf, Obstacle> {
        let name = volume.id.to_string();
        let disk = attach::patiently(&name, deadline, || self.attached(volume)).await?;
        disk.ok_or_else(|| Obstacle::NotYet(format!("the disk of Lun {name} has just been taken away: try again")))
    }

    async fn detach(&self, volume: &Volume, deadline: Instant) -> Result<(), Obstacle> {
        Ok(attach::patiently(&volume.id.to_string(), deadline, || self.detached(volume)).await?)
    }

    async fn look_up(&self, id: &VolumeId, deadline: Instant) -> Result<Option<(Volume, u64)>, Obstacle> {
        let VolumeId { namespace, name } = id;
        let mine = self.context.board.entries().into_iter().find(|entry| {
            let about = &entry.lun.metadata;
            about.namespace.as_deref().unwrap_or("default") == namespace && about.name.as_ref() == Some(name)
        });
        let (uid, epoch) = match mine {
            Some(entry) => (entry.lun.metadata.uid.clone(), entry.status.epoch),
            None => {
                let found =
                    attach::patiently(name, deadline, || async { Ok(self.context.source.lun(namespace, name).await?) });
                match found.await? {
                    Some(lun) => (lun.metadata.uid, lun.status.and_then(|status| status.epoch)),
                    None => return Ok(None),
                }
            }
        };
        let volume = Volume { id: id.clone(), uid: uid.unwrap_or_default() };
        Ok(Some((volume, epoch.unwrap_or_default())))
    }

    fn is_ready(&self) -> bool {
        self.views.borrow().complete
    }

    async fn troubles(&self) -> Vec<Trouble> {
        let preflight = self.context.preflight.clone();
        let found = spawn_blocking(move || (preflight.check(), check::initiator_name())).await;
        let (findings, initiator) = found.unwrap_or_default();
        troubles(&check::blocking(&findings), initiator.as_deref())
    }
}

/// A node may lack one of its two ways to a LUN and still have the other.
fn troubles(missing: &[String], initiator: Option<&str>) -> Vec<Trouble> {
    let has_initiator = initiator.is_some_and(|name| !name.is_empty());
    let of_all = !missing.is_empty() && !has_initiator;
    let mut troubles = Vec::new();
    if !missing.is_empty() {
        let message = format!("LUNs cannot be served from this node: {}", missing.join("; "));
        troubles.push(Trouble { of_all, reason: "KernelNotReady", message });
    }
    if !has_initiator {
        let message = "LUNs of other nodes cannot be attached: install open-iscsi (/etc/iscsi/initiatorname.iscsi)";
        troubles.push(Trouble { of_all, reason: "NoInitiator", message: message.to_owned() });
    }
    troubles
}

fn another(volume: &Volume) -> Refusal {
    let Volume { id, uid } = volume;
    Refusal::Refused(format!("Lun {id} is not the one that was published: that had UID {uid}, and is gone"))
}

fn still_there(volume: &Volume, disk: &std::path::Path) -> Refusal {
    Refusal::NotYet(format!("the kernel still shows the disk of Lun {} as {}: see `dmesg`", volume.id, disk.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_one_way_to_luns_is_degraded_and_without_both_it_is_cut_off() {
        let said = |missing: &[&str], initiator| {
            let missing: Vec<String> = missing.iter().map(|what| (*what).to_owned()).collect();
            let found = troubles(&missing, initiator);
            found.into_iter().map(|trouble| (trouble.reason, trouble.of_all)).collect::<Vec<_>>()
        };
        assert_eq!(said(&[], Some("iqn.x:a")), []);
        assert_eq!(said(&["modprobe x"], Some("iqn.x:a")), [("KernelNotReady", false)]);
        assert_eq!(said(&[], None), [("NoInitiator", false)]);
        assert_eq!(said(&["modprobe x"], Some("")), [("KernelNotReady", true), ("NoInitiator", true)]);
    }
}
