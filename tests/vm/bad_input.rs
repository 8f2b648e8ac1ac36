//! What cannot be served is refused with a sentence that says why and what to do, and harms nothing else: a verifying
//! writer on a good LUN runs through all of it.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Result};
use serde_json::Value;

use super::manifest::{lun, lun_in, pool, pool_at, secret};
use super::site::{MANIFESTS, POOL, SOON, Site, condition, patiently};

/// A Lun that cannot be served, and what its Ready condition says; `UID` there is its own.
#[derive(Clone)]
struct Refusal {
    name: &'static str,
    manifest: String,
    reason: &'static str,
    message: &'static str,
}

fn refusal(name: &'static str, manifest: String, reason: &'static str, message: &'static str) -> Refusal {
    Refusal { name, manifest, reason, message }
}

pub fn bad_input_is_refused_with_a_reason(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    site.apply("pool.yaml", &pool())?;
    let agent = site.start_agent()?;
    let errors = site.errors_so_far()?;
    let (_, disk) = site.attach("good", "64Mi", "")?;
    let mut writer = site.start_writer(&disk, "--bs=16k --size=4M")?;
    make_bad_places(&site)?;
    let client = site.client.initiator_name();
    let refusals = [luns(&client), pools(&client), secrets(&client)].concat();
    let manifests: String = refusals.iter().map(|refusal| refusal.manifest.as_str()).collect();
    site.apply("refused.yaml", &manifests)?;
    patiently(SOON, || are_refused(&refusals, &site.luns()?))?;
    // A Lun that is too large is tried again and again, and for a moment its volume is being made.
    patiently(SOON, || nothing_was_made(&site))?;
    manifests_are_refused(&site)?;
    ensure!(condition(&site.lun("good")?, "Ready")["status"] == "True", "the good Lun is not Ready among the bad");
    let before = site.completed(&disk)?;
    site.wait_completed(&disk, before, SOON).context("beside all that cannot be served")?;
    writer.must_run()?;
    writer.end(&site)?;
    site.no_io_errors_since(&errors)?;
    site.end(agent)?;
    site.node.must("umount /mnt/read-only /mnt/full && rm /mnt/file").map(drop)
}

fn are_refused(refusals: &[Refusal], luns: &[Value]) -> Result<()> {
    for refusal in refusals {
        let found = luns.iter().find(|lun| lun["metadata"]["name"] == refusal.name);
        let lun = found.with_context(|| format!("status shows no Lun {}", refusal.name))?;
        let ready = condition(lun, "Ready");
        let wanted = refusal.message.replace("UID", lun["metadata"]["uid"].as_str().unwrap_or_default());
        ensure!(
            ready["status"] == "False" && ready["reason"] == refusal.reason && ready["message"] == wanted,
            "{}: Ready should be False, {}: {wanted}\nbut is {ready}",
            refusal.name,
            refusal.reason
        );
    }
    Ok(())
}

/// Pools that cannot be used: a file, a file system that is read-only, one that is full.
fn make_bad_places(site: &Site) -> Result<()> {
    site.node
        .must(
            "set -e; echo > /mnt/file; mkdir -p /mnt/read-only /mnt/full; mount -t tmpfs -o ro none /mnt/read-only
             mount -t tmpfs -o size=16k none /mnt/full; dd if=/dev/zero of=/mnt/full/all bs=4k count=4 status=none",
        )
        .map(drop)
}

fn luns(client: &str) -> Vec<Refusal> {
    let invalid = |name, size, more, message| refusal(name, lun(name, size, client, more), "InvalidSpec", message);
    vec![
        invalid("zero", "0", "", "size 0 is not positive: a Lun needs at least one block"),
        invalid("negative", "-1Gi", "", "size -1Gi is not positive: a Lun needs at least one block"),
        invalid("odd", "1000", "", "size 1000 is not a multiple of the block size 512: round it up to 1024"),
        invalid(
            "odd-large",
            "1536",
            ", blockSize: 4096",
            "size 1536 is not a multiple of the block size 4096: round it up to 4096",
        ),
        invalid(
            "unit",
            "10GB",
            "",
            "size \"10GB\" is not a quantity: write bytes, or a number with Ki, Mi, Gi, Ti, Pi, Ei, k, M, G, T, P or E (10Gi)",
        ),
        invalid("enormous", "8Ei", "", "size 8Ei is not below 8Ei"),
        invalid(
            "too-large",
            "4Ei",
            "",
            "a volume of 4 EiB is larger than the 15.9 TiB (17592186040320 bytes) that one file in /srv/pool can have; ask for less, or use another pool",
        ),
        invalid("block", "1Mi", ", blockSize: 1000", "block size 1000 is not served: write 512 or 4096"),
        refusal(
            "poolless",
            lun_in("nowhere", "poolless", "1Mi", "", ""),
            "PoolNotFound",
            "there is no LunPool nowhere: create it, or name another",
        ),
    ]
}

fn pools(client: &str) -> Vec<Refusal> {
    let initiator = format!("{{iqn: '{client}'}}");
    let unusable = |name, path: &str, message| {
        let manifest = pool_at(name, &format!("path: {path}")) + &lun_in(name, name, "1Mi", &initiator, "");
        refusal(name, manifest, "PoolUnavailable", message)
    };
    vec![
        unusable(
            "missing",
            "/mnt/nothing",
            "the pool directory /mnt/nothing does not exist on this node; make it with: mkdir -p /mnt/nothing",
        ),
        unusable("file", "/mnt/file", "the pool's path /mnt/file is not a directory; name a directory"),
        unusable(
            "relative",
            "srv/pool",
            "the pool's path srv/pool is relative; write it from the root, beginning with /",
        ),
        unusable(
            "read-only",
            "/mnt/read-only",
            "making /mnt/read-only/.lunette-new-UID failed: Read-only file system; mount the file system for writing or name another directory",
        ),
        unusable(
            "full",
            "/mnt/full",
            "making /mnt/full/.lunette-new-UID failed: No space left on device; free some space or enlarge the file system",
        ),
    ]
}

fn secrets(client: &str) -> Vec<Refusal> {
    let user = ("username", "client");
    let with = |name, keys: &[(&str, &str)], message| {
        let initiator = format!("{{iqn: '{client}', chapSecret: {{name: {name}}}}}");
        let secret = if keys.is_empty() { String::new() } else { secret(name, keys) };
        refusal(name, secret + &lun_in("files", name, "1Mi", &initiator, ""), "SecretUnusable", message)
    };
    vec![
        with(
            "absent",
            &[],
            "there is no Secret absent in namespace default: add its manifest to /etc/lunette/manifests",
        ),
        with(
            "keyless",
            &[user],
            "Secret keyless has no key password: CHAP needs username and password, and mutual CHAP mutualUsername and mutualPassword too",
        ),
        with(
            "short",
            &[user, ("password", "fifteen-bytes-x")],
            "Secret short: password has 15 bytes: a CHAP secret needs at least 16",
        ),
        with(
            "newline",
            &[user, ("password", "sixteen-bytes-ok\\n")],
            "Secret newline: the CHAP secret holds a newline or another control character: create the Secret without it, for example with `printf %s`",
        ),
    ]
}

/// Only the Luns whose fault is their Secret have volumes, and nobody can log in to them.
fn nothing_was_made(site: &Site) -> Result<()> {
    let volumes = site.volumes(POOL)?;
    ensure!(volumes.lines().count() == 5, "the pool holds more than 1 good Lun and 4 that lack a Secret:\n{volumes}");
    let enabled = site.node.must("cat /sys/kernel/config/target/iscsi/*lunette*/tpgt_1/enable | grep -c 1")?;
    ensure!(enabled == "1", "{enabled} targets accept logins, not just the good one");
    Ok(())
}

/// Files that are no manifests, and what `lunette-node status` says of each.
fn manifests_are_refused(site: &Site) -> Result<()> {
    let client = site.client.initiator_name();
    site.apply("misspelt.yaml", &lun("misspelt", "1Mi", &client, "").replace("size:", "sise:"))?;
    site.apply("more.yaml", &lun("more", "1Mi", &client, "").replace("spec:", "extra: 1\nspec:"))?;
    site.apply("no-yaml.yaml", "kind: [Lun\n")?;
    site.apply("prose.yaml", "please make a LUN\n")?;
    site.apply("twice.yaml", &lun("good", "1Mi", &client, ""))?;
    for (name, content) in [("huge", "head -c 100M /dev/zero"), ("noise", "head -c 1000 /dev/urandom")] {
        site.node.must(format!("{content} > {MANIFESTS}/.new && mv {MANIFESTS}/.new {MANIFESTS}/{name}.yaml"))?;
    }
    let wanted = [
        "huge.yaml: has more than 8 MiB, which no set of manifests needs: split it or take it away\n",
        "misspelt.yaml: document 1: Lun misspelt: unknown field `sise`, expected one of `pool`, `size`, `blockSize`, `source`, `nodeName`, `initiators`, `writeCache`, `reclaimPolicy`",
        "more.yaml: document 1: Lun more: unknown field \"extra\", expected one of apiVersion, kind, metadata, spec, status\n",
        "no-yaml.yaml: document 1 is not YAML: ",
        "noise.yaml: cannot be read as text: stream did not contain valid UTF-8\n",
        "prose.yaml: document 1: is no Kubernetes object: it has no kind\n",
        "twice.yaml: Lun default/good was already given by an earlier file or document, which stays in force: rename one\n",
    ];
    patiently(SOON, || {
        let (_, notices) = site.status_and_notices()?;
        let missing = wanted.iter().find(|wanted| !notices.contains(*wanted));
        ensure!(missing.is_none(), "status should say\n{}\nbut says\n{notices}", missing.unwrap_or(&""));
        Ok(())
    })?;
    let good = site.lun("good")?;
    ensure!(good["spec"]["size"] == "64Mi", "the second Lun of one name won: {good}");
    Ok(())
}
