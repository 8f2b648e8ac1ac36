//! This machine's own disk of the LUN: made when it is asked for, kept while the Lun lists this node, gone when
//! that is asked for or the Lun lists the node no more.
//!
//! Whether there is to be one is what configfs holds, so a new agent goes on where the last one was. What goes
//! wrong here harms no initiator: it is told to whoever asked, and in the log.

use std::fs::File;
use std::time::Duration;

use lunette_api::{Initiator, Lun, identity};
use lunette_initiator::{Address, Disk, DiskError, Expected, Machine, Wwid};
use lunette_lio::{DiskAddress, Export, Found, LocalDisk, Phase};

use super::super::export;
use super::super::intent::Assignment;
use super::super::wanted::{Wanted, owner};
use super::Worker;
use crate::attach::{Order, Outcome, Refusal, Request};
use crate::trouble::Trouble;

/// How long the kernel may take to show a disk that it was told of, or its new size.
const DISK_WITHIN: Duration = Duration::from_secs(20);

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        Self::NotYet(trouble.message)
    }
}

impl From<DiskError> for Refusal {
    fn from(error: DiskError) -> Self {
        if error.is_final() { Self::Refused(error.to_string()) } else { Self::NotYet(error.to_string()) }
    }
}

impl Worker {
    /// Takes an order in; the next whole pass carries it out.
    pub(super) fn take_order(&mut self, request: Request) {
        self.attach = Some(request.order);
        self.asked.push(request);
    }

    /// Tells whoever asked what came of it.
    pub(super) fn answer(&mut self, outcome: &Outcome) {
        for request in self.asked.drain(..) {
            request.answer(outcome.clone());
        }
    }

    /// Whoever asked is told; where nobody did, the log is all that there is.
    pub(super) fn tell_of_a_failed_disk(&self, found: &Found, outcome: &Outcome) {
        if let (Err(Refusal::NotYet(why) | Refusal::Refused(why)), true) = (outcome, found.export.local.is_some()) {
            tracing::warn!(uid = %self.uid, "the local disk: {why}");
        }
    }

    /// Brings the disk to what is asked for and allowed.
    pub(super) async fn ensure_local(&mut self, wanted: &Wanted, assignment: &Assignment, found: &Found) -> Outcome {
        let listed = local_initiator(&assignment.lun, &self.context.node);
        let stands = found.export.local.is_some();
        let Some(initiator) = listed else {
            if stands {
                self.remove_disk(wanted, found, None).await?;
            }
            let detached = self.attach.take() == Some(Order::Detach);
            return if detached { Ok(None) } else { Err(not_listed(&assignment.lun, &self.context.node)) };
        };
        match self.attach {
            Some(Order::Detach) if stands => self.detach(wanted, found).await,
            Some(Order::Attach) => self.attach(wanted, initiator, found).await.map(Some),
            _ if stands => self.attach(wanted, initiator, found).await.map(Some),
            _ => Ok(None),
        }
        .map(|disk| disk.map(|disk| disk.path))
    }

    async fn attach(&mut self, wanted: &Wanted, initiator: &Initiator, found: &Found) -> Result<Disk, Refusal> {
        self.apply_local(wanted, found, Some(LocalDisk::new(initiator.read_only))).await?;
        let at = self.disk_address().await?.ok_or_else(|| not_made(&self.context.node))?;
        let machine = self.context.machine.clone();
        let expected = Expected { wwid: wwid(wanted)?, size: wanted.spec.size, writable: !initiator.read_only };
        Ok(self.patiently(move || machine.attached(at, &expected, DISK_WITHIN)).await??)
    }

    /// Takes away a disk that nobody uses; one that somebody does use stays attached.
    async fn detach(&mut self, wanted: &Wanted, found: &Found) -> Result<Option<Disk>, Refusal> {
        let disk = self.shown_disk().await?;
        let claimed = match &disk {
            Some(disk) => match self.claim(disk.clone()).await {
                Err(Refusal::Refused(why)) => {
                    self.attach = None;
                    return Err(Refusal::Refused(why));
                }
                claimed => claimed?,
            },
            None => None,
        };
        self.remove_disk(wanted, found, claimed).await?;
        Ok(disk)
    }

    async fn claim(&mut self, disk: Disk) -> Result<Option<File>, Refusal> {
        let machine = self.context.machine.clone();
        Ok(self.patiently(move || machine.claim(&disk)).await??)
    }

    /// Removes the disk while the LUN is served, so that the kernel's last flush is answered. The kernel counts
    /// a disk that was deleted by hand as there (`tcm_loop_port_unlink`), so it has to be shown first.
    async fn remove_disk(&mut self, wanted: &Wanted, found: &Found, claimed: Option<File>) -> Result<(), Refusal> {
        self.shown_disk().await?;
        self.apply_local(wanted, found, None).await?;
        drop(claimed);
        Ok(())
    }

    /// The disk, after the kernel was told to look for it where it shows none; `None` if it was never made.
    async fn shown_disk(&mut self) -> Result<Option<Disk>, Refusal> {
        let Some(at) = self.disk_address().await? else { return Ok(None) };
        let machine = self.context.machine.clone();
        let show = move |machine: Machine| match machine.find(at)? {
            Some(disk) => Ok(disk),
            None => machine.discover(at, DISK_WITHIN),
        };
        let shown: Result<Disk, DiskError> = self.patiently(move || show(machine)).await?;
        Ok(Some(shown?))
    }

    async fn disk_address(&self) -> Result<Option<Address>, Trouble> {
        let address = export::disk_address(&self.context, &self.uid).await?;
        Ok(address.map(|DiskAddress { host, channel, target }| Address { host, channel, target, lun: 0 }))
    }

    async fn apply_local(&mut self, wanted: &Wanted, found: &Found, local: Option<LocalDisk>) -> Result<(), Trouble> {
        let want = Export { backstore: Some(wanted.backstore()), target: None, local };
        let plan = export::plan(found, Some(&want))?;
        self.applied(&plan, &[Phase::RemoveLocal, Phase::Local]).await
    }
}

/// The entry by which this node may have the LUN as a disk.
pub fn local_initiator<'a>(lun: &'a Lun, node: &str) -> Option<&'a Initiator> {
    lun.spec.initiators.iter().find(|initiator| initiator.node_name.as_deref() == Some(node))
}

fn wwid(wanted: &Wanted) -> Result<Wwid, Refusal> {
    identity::wwid(wanted.uid.as_str()).parse().map_err(|error| Refusal::Refused(format!("{error}")))
}

/// Why a node may not have the LUN.
pub fn not_listed(lun: &Lun, node: &str) -> Refusal {
    let owner = owner(lun);
    Refusal::NotYet(format!("Lun {owner} does not list this node: add `- nodeName: {node}` to its spec.initiators"))
}

fn not_made(node: &str) -> Refusal {
    Refusal::NotYet(format!("the disk of node {node} has just been removed by somebody: try again"))
}
