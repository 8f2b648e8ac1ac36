//! The rest of a whole control plane: controller manager and scheduler, and the API server's way to kubelets.
//!
//! Both are the only ones of their kind, so neither elects a leader, and a restart of the API server costs no election.

use super::pki::KUBELET_CLIENT;
use super::{ControlPlane, PATIENCE};
use crate::Result;
use crate::bed::Daemon;
use std::process::Command;
use std::time::Duration;

/// Where each says whether it is well, on the loopback of the bed's network.
const CONTROLLER_MANAGER_PORT: u16 = 10257;
const SCHEDULER_PORT: u16 = 10259;

impl ControlPlane {
    /// Starts both, where the specification asks for them.
    pub(super) fn start_controllers(&mut self) -> Result<()> {
        if !self.spec.controllers {
            return Ok(());
        }
        let mut manager = self.command_of("kube-controller-manager", CONTROLLER_MANAGER_PORT)?;
        manager.arg(format!("--service-account-private-key-file={}", self.pki.file("service-accounts.key").display()));
        manager.arg(format!("--root-ca-file={}", self.ca().display())).arg("--use-service-account-credentials=true");
        let scheduler = self.command_of("kube-scheduler", SCHEDULER_PORT)?;
        for (name, port, command) in [
            ("kube-controller-manager", CONTROLLER_MANAGER_PORT, manager),
            ("kube-scheduler", SCHEDULER_PORT, scheduler),
        ] {
            let mut daemon = Daemon::start(&self.bed, name, command)?;
            daemon.wait_until(PATIENCE, || self.listens(port))?;
            self.controllers.push(daemon);
        }
        Ok(())
    }

    /// How the API server identifies itself to kubelets.
    pub(super) fn kubelet_client_arguments(&self) -> [String; 2] {
        let file = |extension: &str| self.pki.file(&format!("{KUBELET_CLIENT}.{extension}")).display().to_string();
        [format!("--kubelet-client-certificate={}", file("crt")), format!("--kubelet-client-key={}", file("key"))]
    }

    fn command_of(&self, name: &str, port: u16) -> Result<Command> {
        let kubeconfig = self.kubeconfig_for_user(&format!("system:{name}"), &[])?.display().to_string();
        let mut command = self.bed.command(self.bed.ground().program(name)?);
        for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
            command.arg(format!("--{flag}={kubeconfig}"));
        }
        command.args(["--leader-elect=false", "--bind-address=127.0.0.1", &format!("--secure-port={port}")]);
        // Of a newer version the scheduler waits for kinds that the older API does not have, and schedules nothing.
        command.args(self.spec.emulated_version.iter().map(|version| format!("--emulated-version={version}")));
        Ok(command)
    }

    fn listens(&self, port: u16) -> bool {
        self.bed.net().connect([127, 0, 0, 1].into(), port, Duration::from_millis(200)).is_ok()
    }
}
