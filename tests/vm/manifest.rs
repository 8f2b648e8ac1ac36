//! Manifests, as a user would write them; what a test varies is a parameter.

use super::site::POOL;

/// The CHAP secret of the client, where it has one.
pub const PASSWORD: &str = "sixteen-bytes-ok";

/// The pool `files` on [`POOL`].
pub fn pool() -> String {
    pool_at("files", &format!("path: {POOL}"))
}

/// A pool whose directory is described so.
pub fn pool_at(name: &str, directory: &str) -> String {
    object("LunPool", name, &format!("{{directory: {{{directory}}}}}"))
}

/// A Lun of the pool `files` for one initiator, with `more` fields of its spec, each after a comma.
pub fn lun(name: &str, size: &str, initiator: &str, more: &str) -> String {
    lun_in("files", name, size, &format!("{{iqn: '{initiator}'}}"), more)
}

/// The same, in a pool, for these entries of `initiators`.
pub fn lun_in(pool: &str, name: &str, size: &str, initiators: &str, more: &str) -> String {
    object("Lun", name, &format!("{{pool: {pool}, size: {size}, initiators: [{initiators}]{more}}}"))
}

/// A Secret with these keys; values are quoted, so `\n` in one is a newline.
pub fn secret(name: &str, keys: &[(&str, &str)]) -> String {
    let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key}: \"{value}\"")).collect();
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{{}}}\n---\n", keys.join(", "))
}

/// An object of ours.
pub fn object(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: lunette.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n")
}
