//! A LUN that another node serves, as a disk of this one: over iSCSI, by the machine's own open-iscsi.
//!
//! Nothing of that is remembered but the Lun's name. Who the target and the disk must be follows from its UID; where it
//! listens and how large it is its status says.

use std::path::PathBuf;

use lunette_api::{Initiator, Lun, LunStatus, conditions, identity};
use lunette_initiator::{Disk, Expected, IscsiError, Login, OpenIscsi, OpenIscsiHost, Remote, RemoteChap, Wwid};
use lunette_lio::{Chap, Uid};
use tokio::task::spawn_blocking;

use super::wanted::owner;
use super::worker::{local_initiator, not_listed};
use super::{Context, credentials, noted};
use crate::attach::{Order, Outcome, Refusal};

impl From<IscsiError> for Refusal {
    fn from(error: IscsiError) -> Self {
        match error {
            IscsiError::Disk(error) => error.into(),
            error => Self::NotYet(error.to_string()),
        }
    }
}

/// Carries an order out for a Lun that this node does not serve.
pub async fn order(context: &Context, locks: PathBuf, order: Order, lun: &str) -> Outcome {
    let (namespace, name) = lun.split_once('/').unwrap_or(("default", lun));
    let Some(lun) = context.source.lun(namespace, name).await? else { return Err(unknown(lun)) };
    match order {
        Order::Attach => attach(context, locks, &lun).await,
        Order::Detach => detach(context, locks, uid(&lun)).await,
    }
}

/// Logs in, and finds the disk.
pub async fn attach(context: &Context, locks: PathBuf, lun: &Lun) -> Outcome {
    if lun.status.as_ref().is_some_and(|status| status.node.as_ref() == Some(&context.node)) {
        // Over iSCSI it would be a loop through this machine's own memory.
        let why = format!("Lun {} is this node's own, and just coming: see `lunette-node status`", owner(lun));
        return Err(Refusal::NotYet(why));
    }
    let initiator = local_initiator(lun, &context.node).ok_or_else(|| not_listed(lun, &context.node))?;
    let remote = remote(lun, identity::iqn(uid(lun)), wwid(uid(lun))?, !initiator.read_only)?;
    let chap = chap(context, lun, initiator).await?;
    let way = way(context, locks);
    note(context, lun)?;
    let disk: Disk = blocking(move || way.attach(&remote, chap.as_ref())).await?;
    Ok(Some(disk.path))
}

/// Takes the disk away and logs out; the Lun may be gone meanwhile.
pub async fn detach(context: &Context, locks: PathBuf, uid: &str) -> Outcome {
    let (way, target, wwid) = (way(context, locks), identity::iqn(uid), wwid(uid)?);
    let disk = blocking(move || way.detach(&target, &wwid)).await?;
    if let Ok(uid) = Uid::parse(uid) {
        noted::forget(context, &uid);
    }
    Ok(disk.map(|disk| disk.path))
}

/// Before the login: there is no session that nobody knows the Lun of.
fn note(context: &Context, lun: &Lun) -> Result<(), Refusal> {
    let uid = Uid::parse(uid(lun)).map_err(|error| Refusal::Refused(error.to_string()))?;
    let about = &lun.metadata;
    let namespace = about.namespace.as_deref().unwrap_or("default");
    noted::note(context, &uid, namespace, about.name.as_deref().unwrap_or_default())
}

/// This machine's open-iscsi.
pub(super) fn way(context: &Context, locks: PathBuf) -> OpenIscsi<OpenIscsiHost> {
    OpenIscsi::new(context.machine.clone(), OpenIscsiHost, locks)
}

/// What is to be reached, as far as the Lun's status says.
fn remote(lun: &Lun, target: String, wwid: Wwid, writable: bool) -> Result<Remote, Refusal> {
    let status = lun.status.clone().unwrap_or_default();
    let not_ready = || Refusal::NotYet(format!("Lun {} is not served yet: {}", owner(lun), why(&status)));
    if !conditions::is_true(&status.conditions, conditions::EXPORTED) {
        return Err(not_ready());
    }
    let portals = status.target.iter().flat_map(|target| &target.portals).filter_map(|portal| portal.parse().ok());
    let size = status.capacity.ok_or_else(not_ready)?;
    let disk = Expected { wwid, size, writable };
    Ok(Remote { target, portals: portals.collect(), lun: u64::from(identity::LUN_NUMBER), disk })
}

fn why(status: &LunStatus) -> String {
    let said = conditions::find(&status.conditions, conditions::READY)
        .or_else(|| conditions::find(&status.conditions, conditions::PLACED));
    said.map_or_else(|| "no node has it".to_owned(), |condition| condition.message.clone())
}

/// What this node proves to the target.
pub(super) async fn chap(context: &Context, lun: &Lun, initiator: &Initiator) -> Result<Option<RemoteChap>, Refusal> {
    let Some(secret) = &initiator.chap_secret else { return Ok(None) };
    let namespace = lun.metadata.namespace.as_deref().unwrap_or("default");
    let data = context.source.secret(namespace, &secret.name).await?;
    Ok(Some(told(&credentials::chap(&secret.name, &data)?)))
}

/// The same credentials in the words of the other side.
fn told(chap: &Chap) -> RemoteChap {
    let login =
        |login: &lunette_lio::Login| Login { user: login.user.clone(), password: login.password.expose().to_owned() };
    RemoteChap { initiator: login(&chap.initiator), target: chap.target.as_ref().map(login) }
}

/// Does what blocks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IscsiError> + Send + 'static,
) -> Result<T, Refusal> {
    let worked = spawn_blocking(work).await;
    worked.unwrap_or_else(|error| Err(IscsiError::NotThere(std::io::Error::other(error)))).map_err(Refusal::from)
}

fn uid(lun: &Lun) -> &str {
    lun.metadata.uid.as_deref().unwrap_or_default()
}

/// Who the disk of the Lun of that UID says it is.
pub(super) fn wwid(uid: &str) -> Result<Wwid, Refusal> {
    identity::wwid(uid).parse().map_err(|error| Refusal::Refused(format!("{error}")))
}

/// That nobody here has heard of a Lun.
pub fn unknown(lun: &str) -> Refusal {
    Refusal::NotYet(format!("this node serves no Lun {lun}, and knows of none elsewhere: see `lunette-node status`"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lun(status: &Value) -> Lun {
        serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "spec": {"pool": "files", "size": "1Mi"},
            "metadata": {"name": "db", "namespace": "prod", "uid": "3fa85f64-5717-4562-b3fc-2c963f66afa6"},
            "status": status,
        }))
        .unwrap()
    }

    fn condition(type_: &str, status: &str, message: &str) -> Value {
        json!({"type": type_, "status": status, "reason": "R", "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    fn reached(status: &Value) -> Result<Remote, Refusal> {
        let lun = lun(status);
        remote(&lun, identity::iqn(uid(&lun)), wwid(uid(&lun)).unwrap(), true)
    }

    #[test]
    fn a_lun_is_reached_where_its_status_says_and_is_who_its_uid_says() {
        let remote = reached(&json!({
            "capacity": 1048576, "wwid": "naa.60014050000000000000000000000000",
            "target": {"iqn": "iqn.forged:x", "portals": ["10.0.0.1:3260", "[fd00::1]:3260"]},
            "conditions": [condition("Exported", "True", "")],
        }))
        .unwrap();
        assert_eq!(remote.target, "iqn.2026-01.io.lunette:3fa85f64-5717-4562-b3fc-2c963f66afa6");
        assert_eq!(remote.portals, ["10.0.0.1:3260".parse().unwrap(), "[fd00::1]:3260".parse().unwrap()]);
        assert_eq!(
            (remote.disk.wwid.as_str().to_owned(), remote.disk.size),
            (identity::wwid(uid(&lun(&json!({})))), 1 << 20)
        );
    }

    #[test]
    fn a_lun_that_is_not_served_yet_says_why() {
        for (status, why) in [
            (json!({}), "no node has it"),
            (json!({"conditions": [condition("Placed", "False", "no node can take it")]}), "no node can take it"),
            (json!({"conditions": [condition("Ready", "False", "the disk is away")]}), "the disk is away"),
        ] {
            let told = format!("Lun prod/db is not served yet: {why}");
            assert_eq!(reached(&status), Err(Refusal::NotYet(told)));
        }
    }
}
