//! Luns that begin as images of their pool: byte for byte, with the agent killed in the middle of it, and refused where the
//! image is not one.

use anyhow::ensure;
use lunette_bed::{Context, Result};

use super::manifest::{lun_in, pool_at};
use super::site::{POOL, SOON, Site, condition, patiently};

/// Takes a while to copy.
const LARGE: &str = "768";

pub fn a_lun_begins_as_an_image(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.node.must(format!(
        "mkdir -p {POOL}/import && cd {POOL}/import && head -c 24M /dev/urandom > small.raw && ln -s small.raw link.raw && \
         cp small.raw large.raw && truncate -s {LARGE}M large.raw && \
         dd if=/dev/zero of=large.raw bs=1M seek=32 count=700 conv=notrunc status=none"
    ))?;
    site.apply("pool.yaml", &pool_at("files", &format!("path: {POOL}")))?;
    let agent = site.start_agent()?;
    let (_, disk) = site.attach("golden", "32Mi", ", source: {image: small.raw}")?;
    let then = site.node.must(format!("sha256sum < {POOL}/import/small.raw"))?;
    let found = site.client.must(format!("head -c 24M {disk} | sha256sum"))?;
    ensure!(found == then, "the Lun is not what its image is");
    site.client.must(format!("tail -c 8M {disk} | cmp -n 8M - /dev/zero"))?;
    // Its own from now on.
    site.client.must(format!("dd if=/dev/zero of={disk} bs=1M count=1 oflag=direct conv=notrunc status=none"))?;
    ensure!(site.node.must(format!("sha256sum < {POOL}/import/small.raw"))? == then, "the image was changed");
    what_is_no_image_is_refused(&site)?;
    site.end(a_killed_agent_begins_anew(&site, agent)?)
}

fn what_is_no_image_is_refused(site: &Site) -> Result<()> {
    for (name, image, reason, says) in [
        ("absent", "none.raw", "SourceNotFound", "there is no image none.raw: an administrator puts it at"),
        ("link", "link.raw", "InvalidSpec", "is not a regular file"),
        ("larger", "large.raw", "InvalidSpec", "does not fit into 32 MiB"),
    ] {
        let source = format!(", source: {{image: {image}}}, reclaimPolicy: Delete");
        site.apply(&format!("{name}.yaml"), &lun_in("files", name, "32Mi", "", &source))?;
        patiently(SOON, || {
            let ready = condition(&site.lun(name)?, "Ready");
            let message = ready["message"].as_str().unwrap_or_default();
            ensure!(ready["reason"] == reason && message.contains(says), "Ready of {name} is {ready}");
            Ok(())
        })?;
        site.withdraw(&format!("{name}.yaml"))?;
    }
    Ok(())
}

/// Half a copy is no volume.
fn a_killed_agent_begins_anew(site: &Site, agent: lunette_bed::Process) -> Result<lunette_bed::Process> {
    let source = ", source: {image: large.raw}";
    site.apply("large.yaml", &lun_in("files", "large", &format!("{LARGE}Mi"), "", source))?;
    patiently(SOON, || {
        let ready = condition(&site.lun("large")?, "Ready");
        let told = ready["message"].as_str().unwrap_or_default();
        ensure!(ready["reason"] == "Importing" && told.contains("% of image large.raw are copied"), "Ready is {ready}");
        Ok(())
    })?;
    site.kill_agent(agent)?;
    let agent = site.start_agent()?;
    let lun = site.wait_ready("large", true)?;
    let uid = lun["metadata"]["uid"].as_str().unwrap_or_default();
    site.node.must(format!("cmp {POOL}/import/large.raw {POOL}/{uid}/data"))?;
    ensure!(!site.volumes(POOL)?.contains("lunette-new"), "half a copy is left: {}", site.volumes(POOL)?);
    Ok(agent)
}
