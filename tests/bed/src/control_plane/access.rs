//! Ways into the API server: kubeconfigs for users and tokens, and tokens of service accounts on a node.

use super::ControlPlane;
use crate::Result;
use anyhow::{Context, bail};
use serde_json::json;
use std::path::PathBuf;

impl ControlPlane {
    /// The kubeconfig of a member of `system:masters`.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.pki.file("admin.kubeconfig")
    }

    /// A kubeconfig for `user` in `groups`, by client certificate.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn kubeconfig_for_user(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let name = user.replace([':', '/'], "-");
        self.pki.user(&name, user, groups)?;
        let credentials = json!({
            "client-certificate": self.pki.file(&format!("{name}.crt")),
            "client-key": self.pki.file(&format!("{name}.key")),
        });
        self.write_kubeconfig(&name, &credentials)
    }

    /// A kubeconfig named `name` for the bearer of `token`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig_for_token(&self, name: &str, token: &str) -> Result<PathBuf> {
        self.write_kubeconfig(name, &json!({ "token": token }))
    }

    /// A token of a service account, as a pod of it running on `node` would have: it carries the node's name and
    /// UID as claims. The service account and the Node object are made where missing.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn token_for_node_sa(&self, namespace: &str, service_account: &str, node: &str) -> Result<String> {
        self.ensure_node(node)?;
        self.ensure_service_account(namespace, service_account)?;
        let bound = ["--bound-object-kind", "Node", "--bound-object-name", node];
        self.kubectl_must([["create", "token", service_account, "-n"].as_slice(), &[namespace], &bound].concat())
    }

    /// Makes a Node object, as a kubelet would by registering.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn ensure_node(&self, node: &str) -> Result<()> {
        let labels = json!({ "kubernetes.io/hostname": node, "kubernetes.io/os": "linux" });
        self.apply(&json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node, "labels": labels } }))
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn ensure_namespace(&self, namespace: &str) -> Result<()> {
        self.apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }))
    }

    /// Makes a service account and its namespace.
    ///
    /// # Errors
    /// When the API server refuses.
    pub fn ensure_service_account(&self, namespace: &str, name: &str) -> Result<()> {
        self.ensure_namespace(namespace)?;
        let metadata = json!({ "name": name, "namespace": namespace });
        self.apply(&json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }))
    }

    fn apply(&self, object: &serde_json::Value) -> Result<()> {
        // JSON is YAML.
        self.kubectl_with_input(["apply", "-f", "-"], &object.to_string())?.ok().map(drop)
    }

    pub(super) fn write_admin_kubeconfig(&self) -> Result<()> {
        self.kubeconfig_for_user("admin", &["system:masters"]).map(drop)
    }

    fn write_kubeconfig(&self, name: &str, credentials: &serde_json::Value) -> Result<PathBuf> {
        if name.contains('/') {
            bail!("a kubeconfig's name is that of a file, not a path: {name:?}");
        }
        let path = self.pki.file(&format!("{name}.kubeconfig"));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bed",
            "clusters": [{ "name": "bed", "cluster": { "server": self.url(), "certificate-authority": self.ca() } }],
            "users": [{ "name": name, "user": credentials }],
            "contexts": [{ "name": "bed", "context": { "cluster": "bed", "user": name } }],
        });
        std::fs::write(&path, config.to_string()).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}
