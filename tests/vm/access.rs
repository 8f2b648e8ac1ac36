//! Who may log in: the initiators that are listed, with the secrets that they were given, to read and write or only
//! to read. Nobody else, and nobody else learns that there is a target.
//!
//! One client plays all initiators, each through an interface with a name of its own.

use anyhow::{Context as _, ensure};
use lunette_bed::{Context, Output, Result};
use serde_json::Value;

use super::initiator::target;
use super::manifest::{PASSWORD, lun_in, pool, secret};
use super::site::Site;

const MUTUAL: &str = "another-sixteen-bytes";

/// iscsiadm's status for a login that the target refused (`ISCSI_ERR_LOGIN_AUTH_FAILED` of open-iscsi).
const REFUSED: i32 = 24;
/// Its status for a discovery that found nothing (`ISCSI_ERR_NO_OBJS_FOUND`).
const NOTHING_FOUND: i32 = 21;

/// `node.session.auth.*` of an initiator that presents this secret.
fn chap(password: &str) -> Vec<(&'static str, &str)> {
    vec![("authmethod", "CHAP"), ("username", "client"), ("password", password)]
}

/// The same, which also asks the target for its own.
fn mutual<'a>(password: &'a str, target: &'a str) -> Vec<(&'static str, &'a str)> {
    [chap(password), vec![("username_in", "target"), ("password_in", target)]].concat()
}

pub fn strangers_and_wrong_secrets_are_refused(context: &Context) -> Result<()> {
    let site = Site::shared(context)?;
    for name in ["stranger", "secretive", "suspicious", "reader"] {
        let new = format!(
            "iscsiadm -m iface -I {name} -o new && iscsiadm -m iface -I {name} -o update -n iface.initiatorname"
        );
        site.client.must(format!("({new} -v {}) >/dev/null", iqn(name)))?;
    }
    site.apply("pool.yaml", &pool())?;
    site.apply("secrets.yaml", &secrets())?;
    site.apply("vault.yaml", &vault())?;
    let agent = site.start_agent()?;
    let vault = site.wait_ready("vault", true)?;
    only_listed_initiators_find_it(&site, &vault)?;
    a_stranger_is_refused(&site, &vault)?;
    chap_is_asked_for(&site, &vault)?;
    chap_is_asked_for_both_ways(&site, &vault)?;
    a_reader_cannot_write(&site, &vault)?;
    no_secret_is_told(&site)?;
    site.client.must("for i in stranger secretive suspicious reader; do iscsiadm -m iface -I $i -o delete; done")?;
    site.end(agent)
}

fn iqn(name: &str) -> String {
    format!("iqn.2026-01.bed.test:{name}")
}

fn secrets() -> String {
    let keys = [("username", "client"), ("password", PASSWORD)];
    let both = [keys[0], keys[1], ("mutualUsername", "target"), ("mutualPassword", MUTUAL)];
    secret("one-way", &keys) + &secret("both-ways", &both)
}

fn vault() -> String {
    let initiators = format!(
        "{{iqn: '{}', chapSecret: {{name: one-way}}}}, {{iqn: '{}', chapSecret: {{name: both-ways}}}}, \
         {{iqn: '{}', readOnly: true}}",
        iqn("secretive"),
        iqn("suspicious"),
        iqn("reader")
    );
    lun_in("files", "vault", "16Mi", &initiators, "")
}

fn only_listed_initiators_find_it(site: &Site, vault: &Value) -> Result<()> {
    let discover = |iface: &str| {
        site.client
            .run(format!("iscsiadm -m discovery -t sendtargets -p {} -I {iface} -o nonpersistent", site.portal()))
    };
    let found = discover("reader")?.ok()?;
    ensure!(found.contains(target(vault)?), "an initiator that is listed does not find the target:\n{found}");
    let found = discover("stranger")?;
    ensure!(
        found.status == NOTHING_FOUND,
        "a stranger's discovery ended with status {}:\n{}",
        found.status,
        found.printed()
    );
    Ok(())
}

fn a_stranger_is_refused(site: &Site, vault: &Value) -> Result<()> {
    must_be_refused("a stranger", &try_login(site, vault, "stranger", &[])?)?;
    must_be_refused("a stranger who knows a secret", &try_login(site, vault, "stranger", &chap(PASSWORD))?)
}

fn chap_is_asked_for(site: &Site, vault: &Value) -> Result<()> {
    must_be_refused("without a secret", &try_login(site, vault, "secretive", &[])?)?;
    must_be_refused("with a wrong secret", &try_login(site, vault, "secretive", &chap("sixteen-bytes-no"))?)?;
    must_be_refused("with another's secret", &try_login(site, vault, "secretive", &chap(MUTUAL))?)?;
    try_login(site, vault, "secretive", &chap(PASSWORD))?.ok().context("with the right secret")?;
    write_and_read(site, &site.disk(vault)?)?;
    log_out(site, vault)
}

fn chap_is_asked_for_both_ways(site: &Site, vault: &Value) -> Result<()> {
    let wrong = try_login(site, vault, "suspicious", &mutual(PASSWORD, "sixteen-bytes-no"))?;
    ensure!(!wrong.success(), "the initiator did not notice that the target had a wrong secret");
    try_login(site, vault, "suspicious", &mutual(PASSWORD, MUTUAL))?.ok().context("with both secrets right")?;
    write_and_read(site, &site.disk(vault)?)?;
    log_out(site, vault)
}

fn a_reader_cannot_write(site: &Site, vault: &Value) -> Result<()> {
    try_login(site, vault, "reader", &[])?.ok().context("an initiator that needs no secret")?;
    let disk = site.disk(vault)?;
    let refused = site.client.run(format!("dd if=/dev/zero of={disk} bs=4096 count=1 oflag=direct conv=notrunc"))?;
    ensure!(!refused.success(), "an initiator with readOnly could write");
    let discard = site.client.run(format!("blkdiscard -l 4096 {disk}"))?;
    ensure!(!discard.success(), "an initiator with readOnly could discard");
    let read = site.client.must(format!("dd if={disk} bs=4096 count=1 iflag=direct status=none | head -c 7"))?;
    ensure!(read == "written", "a reader reads {read:?}");
    log_out(site, vault)
}

fn write_and_read(site: &Site, disk: &str) -> Result<()> {
    let write = format!("yes written | head -c 4096 | dd of={disk} bs=4096 iflag=fullblock oflag=direct status=none");
    let read = format!("dd if={disk} bs=4096 count=1 iflag=direct status=none | head -c 7");
    let read = site.client.must(format!("{write} && {read}"))?;
    ensure!(read == "written", "{read:?} was read back");
    Ok(())
}

/// Neither the agent's log nor its status repeats a secret.
fn no_secret_is_told(site: &Site) -> Result<()> {
    let status = site.luns()?;
    let told = serde_json::to_string(&status)?;
    let log = std::fs::read_to_string(site.bed.logs().join("node.agent.log")).context("reading the agent's log")?;
    for word in [PASSWORD, MUTUAL] {
        ensure!(!told.contains(word) && !log.contains(word), "a secret is in the agent's log or status");
    }
    Ok(())
}

fn try_login(site: &Site, lun: &Value, iface: &str, settings: &[(&str, &str)]) -> Result<Output> {
    // What an earlier attempt set would stay in the record.
    site.client.must("iscsiadm -m node -o delete >/dev/null 2>&1 || true")?;
    site.try_login(lun, &site.portal(), iface, settings)
}

fn must_be_refused(who: &str, login: &Output) -> Result<()> {
    ensure!(login.status == REFUSED, "{who}: the login ended with status {}:\n{}", login.status, login.printed());
    Ok(())
}

fn log_out(site: &Site, lun: &Value) -> Result<()> {
    site.logout(lun)
}
