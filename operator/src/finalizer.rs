//! Finalizers, added and removed under the object's resource version: what another wrote meanwhile is
//! never overwritten, it is read again.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::error::Error;

/// Adds the finalizer where it is missing, and returns the object as it is then.
///
/// # Errors
/// When the API server refuses; a conflict means that the object was changed meanwhile.
pub async fn ensure<K>(api: &Api<K>, object: K, finalizer: &str) -> Result<K, Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    if object.finalizers().iter().any(|f| f == finalizer) {
        return Ok(object);
    }
    let mut list = object.finalizers().to_vec();
    list.push(finalizer.to_owned());
    set(api, &object, &list).await
}

/// Removes the finalizer; an object that is gone is as good.
///
/// # Errors
/// When the API server refuses; a conflict means that the object was changed meanwhile.
pub async fn remove<K>(api: &Api<K>, object: &K, finalizer: &str) -> Result<(), Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    if !object.finalizers().iter().any(|f| f == finalizer) {
        return Ok(());
    }
    let rest: Vec<String> = object.finalizers().iter().filter(|f| *f != finalizer).cloned().collect();
    match set(api, object, &rest).await {
        Err(error) if error.is_gone() => Ok(()),
        other => other.map(|_| ()),
    }
}

async fn set<K>(api: &Api<K>, object: &K, list: &[String]) -> Result<K, Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let name = object.name_any();
    let patch = json!({"metadata": {
        "uid": object.uid(), "resourceVersion": object.resource_version(), "finalizers": list,
    }});
    let params = PatchParams::default();
    api.patch(&name, &params, &Patch::Merge(&patch)).await.map_err(Error::api(format!("set the finalizers of {name}")))
}
