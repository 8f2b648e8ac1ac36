//! Our declarations of the wire against the published ones, which are fetched as pinned Go modules
//! (`tests/tools`): every message, field, enum value and call, in both directions.

mod facts;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use lunette_bed::{Context, Test};
use protox::Compiler;
use protox::prost_reflect::DescriptorPool;

use facts::Facts;

/// All of them.
pub const TESTS: &[Test] = &[
    Test::without_vm("wire::csi_is_declared_as_published", csi_is_declared_as_published),
    Test::without_vm("wire::the_kubelets_registration_is_declared_as_published", registration),
    Test::without_vm("wire::a_difference_is_seen", a_difference_is_seen),
];

const CSI: &str = "csi.v1";

/// What is published and not declared, because nothing of ours serves or calls it: the service
/// SnapshotMetadata and what only it speaks of.
const LEFT_OUT: [&str; 7] = [
    "csi.v1.SnapshotMetadata",
    "csi.v1.BlockMetadata",
    "csi.v1.BlockMetadataType",
    "csi.v1.GetMetadataAllocatedRequest",
    "csi.v1.GetMetadataAllocatedResponse",
    "csi.v1.GetMetadataDeltaRequest",
    "csi.v1.GetMetadataDeltaResponse",
];

fn csi_is_declared_as_published(context: &Context) -> Result<()> {
    let folder = context.ground().go_module("github.com/container-storage-interface/spec")?;
    let mut published = facts(&published(&folder, "csi.proto")?, CSI);
    for name in LEFT_OUT {
        ensure!(published.forget(name), "{name} is left out here, but it is not published: take it off the list");
    }
    same(&facts(&ours()?, CSI), &published)
}

fn registration(context: &Context) -> Result<()> {
    let folder = context.ground().go_module("k8s.io/kubelet")?.join("pkg/apis/pluginregistration/v1");
    let package = "pluginregistration";
    same(&facts(&ours()?, package), &facts(&published(&folder, "api.proto")?, package))
}

/// The comparison itself: each kind of difference is one.
fn a_difference_is_seen(context: &Context) -> Result<()> {
    let folder = context.ground().go_module("github.com/container-storage-interface/spec")?;
    let text = std::fs::read_to_string(folder.join("csi.proto")).context("reading the published csi.proto")?;
    let published = facts(&published(&folder, "csi.proto")?, CSI);
    for (from, to) in [
        ("string vendor_version = 2;", "string vendor_version = 4;"),
        ("string vendor_version = 2;", "bytes vendor_version = 2;"),
        ("string vendor_version = 2;", "repeated string vendor_version = 2;"),
        ("string vendor_version = 2;", ""),
        ("GET_VOLUME_HEALTH = 16", "GET_VOLUME_HEALTH = 18"),
        ("rpc Probe (ProbeRequest)", "rpc Probes (ProbeRequest)"),
        ("map<string, string> secrets = 5 [(csi_secret) = true];", "map<string, string> secrets = 5;"),
    ] {
        let changed = text.replacen(from, to, 1);
        ensure!(changed != text, "the published csi.proto does not say {from:?}");
        let folder = tempfile::tempdir().context("a folder for the changed csi.proto")?;
        std::fs::write(folder.path().join("csi.proto"), changed).context("writing the changed csi.proto")?;
        let changed = facts(&self::published(folder.path(), "csi.proto")?, CSI);
        ensure!(same(&changed, &published).is_err(), "{to:?} in place of {from:?} was not seen");
    }
    Ok(())
}

fn published(folder: &Path, file: &str) -> Result<DescriptorPool> {
    let mut compiler = Compiler::new([folder])?;
    compiler.include_imports(true).open_file(file)?;
    Ok(compiler.descriptor_pool())
}

fn ours() -> Result<DescriptorPool> {
    DescriptorPool::decode(lunette_proto::DESCRIPTORS).context("decoding our own descriptors")
}

fn facts(pool: &DescriptorPool, package: &str) -> Facts {
    Facts::of(pool, package)
}

fn same(ours: &Facts, published: &Facts) -> Result<()> {
    ensure!(!published.all().is_empty(), "nothing was found in the published file");
    let lines = |from: &Facts, without: &Facts, sign: &str| {
        let rest: BTreeSet<_> = from.all().difference(without.all()).cloned().collect();
        rest.iter().map(|fact| format!("\n  {sign} {fact}")).collect::<String>()
    };
    let difference = lines(published, ours, "published:") + &lines(ours, published, "declared: ");
    if !difference.is_empty() {
        bail!("our declaration differs from the published one:{difference}");
    }
    Ok(())
}
