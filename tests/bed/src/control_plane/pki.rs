//! The certificates and keys of a control plane, made afresh for each by the openssl program.
//!
//! Elliptic-curve keys: they cost milliseconds. Nothing of it is secret: it lives and dies with the bed.

use crate::bed::{HOST_IPV4, HOST_IPV6};
use crate::{Result, host};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;

/// With this certificate the API server asks kubelets, for logs and commands in pods.
pub const KUBELET_CLIENT: &str = "kubelet-client";

#[derive(Debug)]
pub struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// Makes the authority, the server's certificate and the keys for service account tokens.
    pub fn make(folder: &Path) -> Result<Pki> {
        let pki = Pki { folder: folder.to_path_buf() };
        pki.authority()?;
        pki.key("service-accounts")?;
        pki.openssl(&["ec", "-in", "service-accounts.key", "-pubout", "-out", "service-accounts.pub"])?;
        let names = format!(
            "subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,\
             IP:{HOST_IPV4},IP:{HOST_IPV6},IP:127.0.0.1,IP:10.96.0.1"
        );
        pki.certificate("apiserver", "/CN=kube-apiserver", &format!("{names}\nextendedKeyUsage=serverAuth"))?;
        pki.user(KUBELET_CLIENT, "kube-apiserver", &["system:masters"])?;
        Ok(pki)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes `NAME.crt` and `NAME.key` for a user, whose groups are organizations of the subject.
    pub fn user(&self, name: &str, user: &str, groups: &[&str]) -> Result<()> {
        let groups: String = groups.iter().map(|group| format!("/O={group}")).collect();
        self.certificate(name, &format!("{groups}/CN={user}"), "extendedKeyUsage=clientAuth")
    }

    fn authority(&self) -> Result<()> {
        self.key("ca")?;
        self.openssl(&[
            "req",
            "-x509",
            "-new",
            "-key",
            "ca.key",
            "-days",
            "30",
            "-subj",
            "/CN=bed-ca",
            "-out",
            "ca.crt",
        ])
    }

    fn certificate(&self, name: &str, subject: &str, extensions: &str) -> Result<()> {
        self.key(name)?;
        let [key, request, certificate, extension_file] =
            ["key", "csr", "crt", "ext"].map(|extension| format!("{name}.{extension}"));
        std::fs::write(self.file(&extension_file), extensions).context("writing a certificate's extensions")?;
        self.openssl(&["req", "-new", "-key", &key, "-subj", subject, "-out", &request])?;
        let sign = ["x509", "-req", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30"];
        let files = ["-in", &request, "-extfile", &extension_file, "-out", &certificate];
        self.openssl(&[sign.as_slice(), files.as_slice()].concat())
    }

    fn key(&self, name: &str) -> Result<()> {
        self.openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &format!("{name}.key")])
    }

    fn openssl(&self, arguments: &[&str]) -> Result<()> {
        host::run(Command::new("openssl").args(arguments).current_dir(&self.folder)).map(drop)
    }
}
