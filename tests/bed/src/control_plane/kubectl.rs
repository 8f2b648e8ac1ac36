//! kubectl, as an administrator or as anybody else.

use super::ControlPlane;
use crate::exec::Output;
use crate::{Result, host, patiently};
use anyhow::{Context, ensure};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

impl ControlPlane {
    /// kubectl in the bed's network as an administrator, for arguments.
    ///
    /// # Errors
    /// When it is not built.
    pub fn kubectl_command(&self) -> Result<Command> {
        self.kubectl_command_as(&self.admin_kubeconfig())
    }

    /// kubectl in the bed's network with some other kubeconfig.
    ///
    /// # Errors
    /// When it is not built.
    pub fn kubectl_command_as(&self, kubeconfig: &Path) -> Result<Command> {
        let mut kubectl = self.bed.command(self.bed.ground().program("kubectl")?);
        kubectl.arg("--kubeconfig").arg(kubeconfig);
        // Discovery is cached here and not in the user's home.
        kubectl.arg("--cache-dir").arg(self.folder().join("kubectl-cache"));
        Ok(kubectl)
    }

    /// Runs kubectl as an administrator.
    ///
    /// # Errors
    /// When it cannot be started. A status other than 0 is no error here: see [`Output::ok`].
    pub fn kubectl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<Output> {
        self.kubectl_with_input(arguments, "")
    }

    /// Runs kubectl as an administrator; it has to succeed. Returns its trimmed standard output.
    ///
    /// # Errors
    /// When it fails.
    pub fn kubectl_must<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
        self.kubectl(arguments)?.ok()
    }

    /// Runs kubectl as an administrator with text on its standard input, as for `apply -f -`.
    ///
    /// # Errors
    /// As [`ControlPlane::kubectl`].
    pub fn kubectl_with_input<'a>(&self, arguments: impl IntoIterator<Item = &'a str>, input: &str) -> Result<Output> {
        self.kubectl_as(&self.admin_kubeconfig(), arguments, input)
    }

    /// Runs kubectl with some other kubeconfig.
    ///
    /// # Errors
    /// As [`ControlPlane::kubectl`].
    pub fn kubectl_as<'a>(
        &self,
        kubeconfig: &Path,
        arguments: impl IntoIterator<Item = &'a str>,
        input: &str,
    ) -> Result<Output> {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        let mut kubectl = self.kubectl_command_as(kubeconfig)?;
        let output = host::capture(kubectl.args(&arguments), input.as_bytes())?;
        Ok(Output::of(&format!("kubectl {}", arguments.join(" ")), &output))
    }

    /// An object, or a list of them, as the API server has it: `get_json(["luns", "-n", "prod"])`.
    ///
    /// # Errors
    /// When kubectl fails or prints no JSON.
    pub fn get_json<'a>(&self, what: impl IntoIterator<Item = &'a str>) -> Result<serde_json::Value> {
        let printed = self.kubectl_must(["get", "-o", "json"].into_iter().chain(what))?;
        serde_json::from_str(&printed).context("reading what kubectl printed")
    }

    /// Runs a kubectl that goes on by itself, such as `get luns -w`, until it prints a line that `wanted` accepts.
    ///
    /// # Errors
    /// When it ends before, or prints none within `patience`; the message has what it printed.
    pub fn kubectl_until<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
        patience: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Output> {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        let mut kubectl = self.kubectl_command()?;
        let printed = host::run_until(kubectl.args(&arguments), patience, wanted)?;
        Ok(Output { stdout: printed, shown: format!("kubectl {}", arguments.join(" ")), ..Output::default() })
    }

    /// Asks for an object until `accepted` says yes; returns it.
    ///
    /// # Errors
    /// When it does not within `patience`; the message has the object as it was last.
    pub fn wait_for_json<'a>(
        &self,
        what: impl IntoIterator<Item = &'a str>,
        patience: Duration,
        accepted: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<serde_json::Value> {
        let what: Vec<&str> = what.into_iter().collect();
        patiently(patience, || {
            let object = self.get_json(what.iter().copied())?;
            ensure!(accepted(&object), "{} is not as it should be:\n{object:#}", what.join(" "));
            Ok(object)
        })
    }
}
