//! A volume's life once more, short, on the oldest API that the chart admits.

use anyhow::ensure;
use lunette_bed::{Context, ControlPlaneSpec, Result};
use serde_json::json;

use super::claims::{WRITE, claim, running};
use super::site::Installed;
use super::snapshots::{SNAPSHOTS, made_from};
use super::volumes::no_sessions_are_left;

/// The chart's `kubeVersion`.
const OLDEST: &str = "1.34";

/// Installed by Helm; claimed, written, moved to the other node, snapshotted, restored, deleted. On a cluster of its own.
pub fn the_oldest_api_has_volumes(context: &Context) -> Result<()> {
    let site = Installed::up_on(context, ControlPlaneSpec::new().emulated_version(OLDEST))?;
    let version = site.plane.kubectl_must(["get", "--raw", "/version"])?;
    let minor = format!(r#""emulationMinor": "{}""#, OLDEST.trim_start_matches("1."));
    ensure!(version.contains(&minor), "{version}");
    site.apply(&claim("old", |_| ()))?;
    site.run_pod("writes", Some("node-a"), running(WRITE, "old"))?;
    site.finds_data("moved", "node-b", "old")?;
    site.snapshot("kept", "old")?;
    site.wait_snapshot("kept", |snapshot| snapshot["status"]["readyToUse"] == true)?;
    let snapshot = json!({"apiGroup": SNAPSHOTS, "kind": "VolumeSnapshot", "name": "kept"});
    site.apply(&made_from("restored", "384Mi", snapshot))?;
    site.finds_data("restored", "node-b", "restored")?;
    site.delete_claim("restored")?;
    site.delete_snapshot("kept")?;
    site.delete_claim("old")?;
    no_sessions_are_left(&site)
}
