//! What this node still holds of LUNs of other nodes that it may not have any more.
//!
//! A node that was cut off may lose a LUN without its doing: Kubernetes gives it up, the controller takes it off the
//! Lun's list, its session is ended where the LUN is served. When the node is back, open-iscsi tries for an hour to log
//! in again, and until then whatever had the disk mounted waits and cannot even be killed. So the agent ends such a
//! session: what waits fails, the kubelet can end the pod, and takes the mounts away by the calls that it always makes.
//!
//! Invariant: that happens only to a session that is lost already, whose target and disk are named by the Lun's UID, and
//! after the API server itself has said that the Lun is gone, does not list this node, or lists it with another Secret
//! than the session began with. No answer is no reason: a node that serves a LUN may be away for long.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lunette_api::identity::IQN_PREFIX;
use lunette_api::{Lun, identity};
use lunette_initiator::{OpenIscsi, OpenIscsiHost};
use lunette_lio::Uid;
use tokio::time::sleep;

use super::Context;
use super::noted;
use super::remote::{blocking, chap, way, wwid};
use super::worker::local_initiator;
use crate::attach::Refusal;

/// How often it is looked for lost sessions.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The longest time between two questions about one LUN whose node is away.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Ends what may not come back, for as long as the agent lives. For an agent that has an API server to ask.
pub async fn let_go_of_lost(context: Arc<Context>, locks: PathBuf) {
    let lost = Lost { way: Arc::new(way(&context, locks)), context };
    let at_work = Arc::new(Mutex::new(HashSet::new()));
    loop {
        for uid in lost.luns().await {
            // What hangs in the kernel is not begun a second time.
            if at_work.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.clone()) {
                let (lost, at_work) = (lost.clone(), Arc::clone(&at_work));
                tokio::spawn(async move {
                    lost.see_to(&uid).await;
                    at_work.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
                });
            }
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// The LUNs of other nodes whose session with this one is lost.
#[derive(Clone)]
struct Lost {
    context: Arc<Context>,
    way: Arc<OpenIscsi<OpenIscsiHost>>,
}

impl Lost {
    async fn luns(&self) -> Vec<Uid> {
        let way = Arc::clone(&self.way);
        let targets = blocking(move || way.lost()).await.unwrap_or_default();
        targets.iter().filter_map(|target| uid_of(target)).collect()
    }

    /// Asks what is to become of a session until it is ended or has come back.
    async fn see_to(&self, uid: &Uid) {
        let mut wait = LOOK_AGAIN;
        while self.luns().await.contains(uid) {
            match self.let_go(uid).await {
                Ok(true) => return,
                Ok(false) => wait = (wait * 2).min(ASK_AGAIN),
                // As long as nobody answers it costs nobody anything to ask.
                Err(Refusal::NotYet(why) | Refusal::Refused(why)) => {
                    tracing::debug!(why, %uid, "a lost session stays");
                    wait = LOOK_AGAIN;
                }
            }
            sleep(wait).await;
        }
    }

    /// Ends the session if this node may not have the LUN any more; whether it was ended.
    async fn let_go(&self, uid: &Uid) -> Result<bool, Refusal> {
        let Some((namespace, name)) = noted::of(&self.context, uid) else { return Ok(false) };
        let lun = self.context.source.lun(&namespace, &name).await?;
        let why = match out(lun.as_ref(), uid, &self.context.node) {
            Some(why) => why,
            None if self.is_refused(lun.as_ref(), uid).await? => "lists this node with another Secret",
            None => return Ok(false),
        };
        let (way, target, wwid) = (Arc::clone(&self.way), identity::iqn(uid.as_str()), wwid(uid.as_str())?);
        let ended = blocking(move || way.abandon(&target, &wwid)).await?;
        if ended {
            tracing::warn!(
                "Lun {namespace}/{name} {why}, and the session with it was lost: the session is ended and its disk is gone; what was not written is not written any more"
            );
            noted::forget(&self.context, uid);
        }
        Ok(ended)
    }

    /// Whether the node was let in anew since the session began: with that session's password it is refused for ever.
    async fn is_refused(&self, lun: Option<&Lun>, uid: &Uid) -> Result<bool, Refusal> {
        let Some(lun) = lun else { return Ok(false) };
        let Some(initiator) = local_initiator(lun, &self.context.node) else { return Ok(false) };
        let Some(chap) = chap(&self.context, lun, initiator).await? else { return Ok(false) };
        let (way, target) = (Arc::clone(&self.way), identity::iqn(uid.as_str()));
        blocking(move || way.proves_otherwise(&target, &chap)).await
    }
}

/// Whose target that is, if it is one of ours.
fn uid_of(target: &str) -> Option<Uid> {
    Uid::parse(target.strip_prefix(IQN_PREFIX)?.strip_prefix(':')?).ok()
}

/// Why this node may not have the LUN of that UID; `None`: it may.
fn out(lun: Option<&Lun>, uid: &Uid, node: &str) -> Option<&'static str> {
    match lun {
        None => Some("is gone"),
        Some(lun) if lun.metadata.uid.as_deref() != Some(uid.as_str()) => Some("is another one now"),
        Some(lun) if local_initiator(lun, node).is_none() => Some("does not list this node any more"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UID: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

    fn lun(uid: &str, nodes: &[&str]) -> Lun {
        let initiators: Vec<_> = nodes.iter().map(|node| json!({ "nodeName": node })).collect();
        serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "metadata": {"name": "db", "namespace": "prod", "uid": uid},
            "spec": {"pool": "files", "size": "1Mi", "initiators": initiators},
        }))
        .unwrap()
    }

    #[test]
    fn a_node_is_out_of_a_lun_that_is_gone_or_another_or_does_not_list_it() {
        let uid = Uid::parse(UID).unwrap();
        let is_out = |lun: Option<&Lun>| out(lun, &uid, "b").is_some();
        assert!(!is_out(Some(&lun(UID, &["a", "b"]))));
        assert!(is_out(Some(&lun(UID, &["a"]))) && is_out(Some(&lun(UID, &[]))));
        assert!(is_out(Some(&lun("another", &["b"]))) && is_out(None));
    }

    #[test]
    fn only_a_name_of_ours_is_a_target_of_ours() {
        assert_eq!(uid_of(&identity::iqn(UID)), Uid::parse(UID).ok());
        for other in ["iqn.2026-01.com.example:x", "iqn.2026-01.io.lunette", "iqn.2026-01.io.lunette:../x"] {
            assert_eq!(uid_of(other), None, "{other}");
        }
    }
}
