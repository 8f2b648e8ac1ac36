//! What a Lun is to be made from: a snapshot or another Lun of its namespace, as far as a placement cares.

use kube::ResourceExt;
use lunette_api::conditions::reasons;
use lunette_api::{Lun, LunSnapshot};
use thiserror::Error;

/// Where a Lun's first bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// For people: which object.
    pub what: String,
    /// The node that holds it.
    pub node: String,
    /// The pool that holds it.
    pub pool: String,
    /// Its bytes.
    pub size: u64,
    /// Bytes of its logical blocks.
    pub block_size: u32,
}

/// Why a Lun cannot be made from it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NoOrigin {
    /// There is none.
    #[error("{0} does not exist in this namespace: create it, or name another in spec.source")]
    NotFound(String),
    /// It is not there yet.
    #[error("{0} cannot be copied yet: {1}")]
    NotYet(String, String),
    /// It is on its way out.
    #[error("{0} is being deleted")]
    Deleting(String),
    /// Bytes are shared within a pool only.
    #[error("{what} is in pool {there}: a Lun made from it must be in the same; write pool: {there}, or copy the data")]
    OtherPool {
        /// The object.
        what: String,
        /// Its pool.
        there: String,
    },
    /// A device cannot hold more than it has.
    #[error("{what} has {least} bytes: a Lun made from it must have at least as many, not {wanted}")]
    TooSmall {
        /// The object.
        what: String,
        /// Its bytes.
        least: u64,
        /// Bytes wanted.
        wanted: u64,
    },
    /// What is on a device is laid out in its blocks.
    #[error("{what} has blocks of {there} bytes: a Lun made from it must have the same; write blockSize: {there}")]
    OtherBlocks {
        /// The object.
        what: String,
        /// Its block size.
        there: u32,
    },
}

impl NoOrigin {
    /// The reason in a condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(_) => reasons::SOURCE_NOT_FOUND,
            Self::NotYet(..) | Self::Deleting(_) => reasons::SOURCE_UNUSABLE,
            Self::OtherPool { .. } | Self::TooSmall { .. } | Self::OtherBlocks { .. } => reasons::INVALID_SPEC,
        }
    }
}

impl Origin {
    /// A snapshot as an origin.
    ///
    /// # Errors
    /// When it is not there, or not ready.
    pub fn of_snapshot(name: &str, snapshot: Option<&LunSnapshot>) -> Result<Self, NoOrigin> {
        let what = format!("LunSnapshot {name}");
        let snapshot = snapshot.ok_or_else(|| NoOrigin::NotFound(what.clone()))?;
        if snapshot.metadata.deletion_timestamp.is_some() {
            return Err(NoOrigin::Deleting(what));
        }
        let not_yet =
            || NoOrigin::NotYet(what.clone(), "it was not taken yet (kubectl describe lunsnapshot)".to_owned());
        let status = snapshot.status.as_ref().filter(|s| s.ready_to_use == Some(true)).ok_or_else(not_yet)?;
        Ok(Self {
            node: status.node.clone().ok_or_else(not_yet)?,
            pool: status.pool.clone().ok_or_else(not_yet)?,
            size: status.size.ok_or_else(not_yet)?,
            block_size: status.source.as_ref().map(|s| s.block_size).ok_or_else(not_yet)?,
            what,
        })
    }

    /// A Lun as an origin.
    ///
    /// # Errors
    /// When it is not there, or no node serves it.
    pub fn of_lun(name: &str, lun: Option<&Lun>) -> Result<Self, NoOrigin> {
        let what = format!("Lun {name}");
        let lun = lun.ok_or_else(|| NoOrigin::NotFound(what.clone()))?;
        if lun.metadata.deletion_timestamp.is_some() {
            return Err(NoOrigin::Deleting(what));
        }
        let not_yet = || NoOrigin::NotYet(what.clone(), "no node serves it".to_owned());
        let status = lun.status.as_ref().ok_or_else(not_yet)?;
        let size = status.capacity.or_else(|| lun.spec.size.bytes().ok()).ok_or_else(not_yet)?;
        Ok(Self {
            node: status.node.clone().ok_or_else(not_yet)?,
            pool: lun.spec.pool.clone(),
            size,
            block_size: lun.spec.block_size,
            what,
        })
    }

    /// Whether a Lun of that many bytes can be made from it.
    ///
    /// # Errors
    /// In what they differ.
    pub fn fits(&self, lun: &Lun, bytes: u64) -> Result<(), NoOrigin> {
        let what = self.what.clone();
        if lun.spec.pool != self.pool {
            return Err(NoOrigin::OtherPool { what, there: self.pool.clone() });
        }
        if lun.spec.block_size != self.block_size {
            return Err(NoOrigin::OtherBlocks { what, there: self.block_size });
        }
        if bytes < self.size {
            return Err(NoOrigin::TooSmall { what, least: self.size, wanted: bytes });
        }
        Ok(())
    }
}

/// The names of the snapshot and of the Lun that a Lun is to be made from, whichever it is.
pub fn named(lun: &Lun) -> (Option<String>, Option<String>) {
    lun.spec.source.as_ref().map_or((None, None), |source| (source.snapshot.clone(), source.lun.clone()))
}

/// Whether a Lun without a node waits for the object of that name and namespace to be copied.
pub fn waits_for(lun: &Lun, namespace: Option<&str>, name: &str) -> bool {
    let (snapshot, other) = named(lun);
    let is = |source: Option<String>| source.as_deref() == Some(name);
    lun.namespace().as_deref() == namespace && (is(snapshot) || is(other))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lun(spec: &Value) -> Lun {
        let mut whole = json!({"pool": "fast", "size": "1Gi"});
        whole.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        serde_json::from_value(json!({"apiVersion": "lunette.io/v1alpha1", "kind": "Lun",
            "metadata": {"name": "new", "namespace": "prod"}, "spec": whole}))
        .expect("a Lun")
    }

    fn snapshot(status: &Value) -> LunSnapshot {
        serde_json::from_value(json!({"apiVersion": "lunette.io/v1alpha1", "kind": "LunSnapshot",
            "metadata": {"name": "s", "namespace": "prod"}, "spec": {"lun": "db"}, "status": status}))
        .expect("a LunSnapshot")
    }

    fn taken() -> Value {
        json!({"node": "a", "pool": "fast", "size": 1 << 30, "readyToUse": true,
            "source": {"uid": "u", "wwid": "naa.6", "blockSize": 512}})
    }

    #[test]
    fn a_lun_must_be_like_what_it_is_made_from_and_no_smaller() {
        let origin = Origin::of_snapshot("s", Some(&snapshot(&taken()))).expect("it is ready");
        let fits = |spec: Value| {
            let lun = lun(&spec);
            origin.fits(&lun, lun.spec.size.bytes().expect("a size")).map_err(|why| why.to_string())
        };
        assert_eq!(fits(json!({})), Ok(()));
        assert_eq!(fits(json!({"size": "2Gi"})), Ok(()));
        for (spec, says) in [
            (
                json!({"size": "1Mi"}),
                "LunSnapshot s has 1073741824 bytes: a Lun made from it must have at least as many",
            ),
            (json!({"pool": "slow"}), "LunSnapshot s is in pool fast: a Lun made from it must be in the same"),
            (
                json!({"blockSize": 4096}),
                "LunSnapshot s has blocks of 512 bytes: a Lun made from it must have the same",
            ),
        ] {
            let refused = fits(spec).expect_err("refused");
            assert!(refused.starts_with(says), "{refused}");
        }
    }

    #[test]
    fn what_is_not_there_or_not_ready_is_waited_for() {
        let reason = |result: Result<Origin, NoOrigin>| result.expect_err("not ready").reason();
        assert_eq!(reason(Origin::of_snapshot("s", None)), reasons::SOURCE_NOT_FOUND);
        let mut early = taken();
        early["readyToUse"] = json!(false);
        assert_eq!(reason(Origin::of_snapshot("s", Some(&snapshot(&early)))), reasons::SOURCE_UNUSABLE);
        assert_eq!(reason(Origin::of_lun("db", None)), reasons::SOURCE_NOT_FOUND);
        assert_eq!(reason(Origin::of_lun("db", Some(&lun(&json!({}))))), reasons::SOURCE_UNUSABLE);
    }
}
