//! Attribute values that we set, by file name: what stands in one `attrib/` or `param/` directory.
//!
//! Only names from the tables here are ever read or written; everything else keeps the kernel's value. An attribute
//! that this kernel does not have is absent from what was read.

use std::collections::BTreeMap;

use serde::Serialize;

/// Attribute file name to value, as configfs prints it (without the newline).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Settings(BTreeMap<&'static str, String>);

/// Of `core/user_N/NAME/attrib`.
pub(crate) const DEVICE_ATTRIB: &[&str] = &["cmd_time_out", "emulate_pr", "qfull_time_out", "tmr_notification"];

/// Of `IQN/tpgt_N/attrib`.
pub(crate) const TPG_ATTRIB: &[&str] = &[
    "authentication",
    "cache_dynamic_acls",
    "default_cmdsn_depth",
    "demo_mode_discovery",
    "demo_mode_write_protect",
    "generate_node_acls",
    "prod_mode_write_protect",
];

/// Of `IQN/tpgt_N/param`. `AuthMethod` is not among them: it follows from the ACLs and has a rule of its own.
pub(crate) const TPG_PARAM: &[&str] = &[
    "FirstBurstLength",
    "ImmediateData",
    "InitialR2T",
    "MaxBurstLength",
    "MaxRecvDataSegmentLength",
    "MaxXmitDataSegmentLength",
];

impl Settings {
    /// Nothing set.
    pub fn new() -> Settings {
        Settings::default()
    }

    /// Sets one value; `name` must be one that the directory's table holds, or it is never written.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) -> &mut Settings {
        self.0.insert(name, value.into());
        self
    }

    /// The value under that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Those of `self` that `have` lacks or holds otherwise, by name.
    pub(crate) fn differing<'a>(&'a self, have: &'a Settings) -> impl Iterator<Item = (&'static str, &'a str)> {
        self.iter().filter(|(name, value)| have.get(name) != Some(value))
    }
}

impl<const N: usize> From<[(&'static str, &str); N]> for Settings {
    fn from(pairs: [(&'static str, &str); N]) -> Settings {
        Settings(pairs.into_iter().map(|(name, value)| (name, value.to_owned())).collect())
    }
}
