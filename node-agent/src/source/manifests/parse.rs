//! One file of manifests, understood or refused as a whole.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use k8s_openapi::api::core::v1::Secret;
use lunette_api::{GROUP, Lun, LunPool, LunSnapshot, VERSION};
use lunette_lio::Uid;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Bytes of the largest file that is read; ten thousand LUNs fit.
pub const LARGEST: u64 = 8 << 20;

/// What a file says.
#[derive(Clone, Default)]
pub struct Objects {
    /// Its Luns.
    pub luns: Vec<Lun>,
    /// Its pools.
    pub pools: Vec<LunPool>,
    /// Its snapshots.
    pub snapshots: Vec<LunSnapshot>,
    /// Its Secrets.
    pub secrets: Vec<Secret>,
}

impl fmt::Debug for Objects {
    /// Counts only: a Secret must not be printed by accident.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (luns, pools) = (self.luns.len(), self.pools.len());
        let (snapshots, secrets) = (self.snapshots.len(), self.secrets.len());
        write!(f, "{luns} Luns, {pools} pools, {snapshots} snapshots, {secrets} Secrets")
    }
}

/// Reads a file.
///
/// # Errors
/// A sentence that says what is wrong, and what to do.
pub fn file(path: &Path) -> Result<Objects, String> {
    let about = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !about.is_file() {
        return Err("is no file: only files and links to files are read".to_owned());
    }
    let too_large =
        || format!("has more than {} MiB, which no set of manifests needs: split it or take it away", LARGEST >> 20);
    if about.len() > LARGEST {
        return Err(too_large());
    }
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    let read = read.map_err(|error| format!("cannot be read as text: {error}"))?;
    if read as u64 > LARGEST { Err(too_large()) } else { documents(&text) }
}

/// Reads any number of YAML documents.
///
/// # Errors
/// What is wrong with the first that is.
pub fn documents(text: &str) -> Result<Objects, String> {
    let mut objects = Objects::default();
    for (number, document) in (1..).zip(serde_yaml::Deserializer::from_str(text)) {
        let value = Value::deserialize(document).map_err(|error| format!("document {number} is not YAML: {error}"))?;
        if !value.is_null() {
            object(value, &mut objects).map_err(|error| format!("document {number}: {error}"))?;
        }
    }
    Ok(objects)
}

fn object(value: Value, objects: &mut Objects) -> Result<(), String> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let ours = format!("{GROUP}/{VERSION}");
    match (version.as_str(), kind.as_str()) {
        (_, "") => Err("is no Kubernetes object: it has no kind".to_owned()),
        ("v1", "List") => list(value, objects),
        ("v1", "Secret") => typed(value, &kind, true).map(|secret| objects.secrets.push(secret)),
        (v, "Lun") if v == ours => typed(value, &kind, false).and_then(identified).map(|lun| objects.luns.push(lun)),
        (v, "LunPool") if v == ours => typed(value, &kind, false).map(|pool| objects.pools.push(pool)),
        (v, "LunSnapshot") if v == ours => typed(value, &kind, false).map(|snapshot| objects.snapshots.push(snapshot)),
        (v, "Lun" | "LunPool" | "LunSnapshot") => {
            Err(format!("kind {kind} has apiVersion {v:?}: this agent serves {ours}"))
        }
        _ => Err(format!(
            "kind {kind} of {version:?} cannot be served from a directory: only Lun, LunPool, LunSnapshot and Secret can"
        )),
    }
}

fn list(value: Value, objects: &mut Objects) -> Result<(), String> {
    let Value::Object(mut fields) = value else { return Ok(()) };
    match fields.remove("items") {
        Some(Value::Array(items)) => items.into_iter().try_for_each(|item| object(item, objects)),
        _ => Err("a List needs items".to_owned()),
    }
}

fn typed<T: DeserializeOwned>(value: Value, kind: &str, secret: bool) -> Result<T, String> {
    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    check_name(kind, &name)?;
    check_fields(&value, kind, &name, secret)?;
    serde_json::from_value(value).map_err(|error| match secret {
        // The parser's message may repeat a value.
        true => format!("{kind} {name}: data must be base64 text, and stringData plain text"),
        false => format!("{kind} {name}: {error}"),
    })
}

/// A UID becomes a name on the wire and in the pool.
fn identified(lun: Lun) -> Result<Lun, String> {
    match &lun.metadata.uid {
        Some(uid) if Uid::parse(uid).is_err() => {
            let name = lun.metadata.name.as_deref().unwrap_or_default();
            Err(format!("Lun {name}: the uid {uid:?} is no UUID: leave metadata.uid out, and the Lun is given one"))
        }
        _ => Ok(lun),
    }
}

/// A DNS subdomain, as the API server demands (RFC 1123).
fn check_name(kind: &str, name: &str) -> Result<(), String> {
    let label = |l: &str| {
        let inner = l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        !l.is_empty() && inner && !l.starts_with('-') && !l.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    Err(format!("{kind} has the name {name:?}: give it one of lower-case letters, digits, '-' and '.'"))
}

fn check_fields(value: &Value, kind: &str, name: &str, secret: bool) -> Result<(), String> {
    let known: &[&str] = match secret {
        true => &["apiVersion", "kind", "metadata", "data", "stringData", "type", "immutable"],
        false => &["apiVersion", "kind", "metadata", "spec", "status"],
    };
    let fields = value.as_object().into_iter().flatten().map(|(field, _)| field.as_str());
    match fields.into_iter().find(|field| !known.contains(field)) {
        Some(field) => Err(format!("{kind} {name}: unknown field {field:?}, expected one of {}", known.join(", "))),
        None => Ok(()),
    }
}

/// A Secret's values by key: `stringData` wins over `data`, as in the API.
pub fn secret_data(secret: &Secret) -> BTreeMap<String, Vec<u8>> {
    let encoded = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
    let plain = secret.string_data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
    encoded.chain(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LUN: &str =
        "apiVersion: lunette.io/v1alpha1\nkind: Lun\nmetadata: {name: db}\nspec: {pool: files, size: 1Gi}\n";

    #[test]
    fn several_objects_in_one_file_are_read() {
        let secret =
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {password: aGk=}\nstringData: {username: a}\n";
        let objects = documents(&format!("{LUN}---\n---\n{secret}")).unwrap();
        assert_eq!((objects.luns.len(), objects.secrets.len()), (1, 1));
        let data = secret_data(&objects.secrets[0]);
        assert_eq!((data["username"].as_slice(), data["password"].as_slice()), (&b"a"[..], &b"hi"[..]));
        assert_eq!(objects.luns[0].spec.block_size, 512);
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let refused = |text: &str| documents(text).unwrap_err();
        assert!(
            refused(&LUN.replace("pool:", "poll:"))
                .starts_with("document 1: Lun db: unknown field `poll`, expected one of `pool`")
        );
        assert_eq!(
            refused(&format!("{LUN}extra: 1\n")),
            "document 1: Lun db: unknown field \"extra\", expected one of apiVersion, kind, metadata, spec, status"
        );
        assert_eq!(
            refused("kind: ConfigMap\napiVersion: v1\n"),
            "document 1: kind ConfigMap of \"v1\" cannot be served from a directory: only Lun, LunPool, LunSnapshot and Secret can"
        );
        assert_eq!(refused("just text"), "document 1: is no Kubernetes object: it has no kind");
        assert!(refused("a: [1").starts_with("document 1 is not YAML: "));
        assert_eq!(
            refused(&LUN.replace("v1alpha1", "v2")),
            "document 1: kind Lun has apiVersion \"lunette.io/v2\": this agent serves lunette.io/v1alpha1"
        );
        assert!(refused(&LUN.replace("name: db", "name: ../etc")).contains("has the name \"../etc\""));
    }

    #[test]
    fn a_bad_secret_is_refused_without_its_value() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {password: hunter2!!}\n";
        let refused = documents(text).unwrap_err();
        assert!(refused.contains("Secret s") && !refused.contains("hunter2"), "{refused}");
    }
}
