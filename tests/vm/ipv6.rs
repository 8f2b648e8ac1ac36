//! A portal with an IPv6 address, beside one with an IPv4 address.

use anyhow::ensure;
use lunette_bed::{Context, Result};

use super::initiator::VERIFY;
use super::manifest::{lun, pool};
use super::site::Site;

pub fn a_portal_may_be_ipv6(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    let portal = format!("[{}]:3260", site.node.ipv6());
    site.apply("pool.yaml", &pool())?;
    site.apply("db.yaml", &lun("db", "16Mi", &site.client.initiator_name(), ""))?;
    let agent = site.start_agent_on(&[site.portal(), portal.clone()])?;
    let db = site.wait_ready("db", true)?;
    let portals = &db["status"]["target"]["portals"];
    ensure!(*portals == serde_json::json!([site.portal(), portal]), "status shows the portals {portals}");
    let disk = site.login_at(&db, &portal, None)?;
    let peer = site.client.must("cat /sys/class/iscsi_connection/*/persistent_address")?;
    ensure!(peer == site.node.ipv6().to_string(), "the session is with {peer}");
    site.fio(&disk, &format!("--rw=randwrite --bs=16k --size=4M {VERIFY}"))?;
    site.end(agent)
}
