//! `spec.qos`: how much I/O a Lun may do at most.
//!
//! A limit holds commands back in the LUN's queue; none is refused. So a limit must not be so low that a
//! command in a full queue outlasts its initiator's patience: that is what the least values are for.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Size, rules};

/// The lowest limit of operations a second. One session has up to 128 commands in the queue; at this rate
/// eleven sessions with full queues are still served within the 30 s that a Linux initiator grants a command.
pub const MIN_IOPS: u32 = 50;
/// The highest.
const MAX_IOPS: u32 = 1_000_000_000;
/// The lowest limit of bytes a second. The queue of a LUN holds up to 64 MiB of data, which takes 16 s then.
pub const MIN_BYTES_PER_SECOND: u64 = 4 << 20;
/// The highest limit of bytes a second.
const MAX_BYTES_PER_SECOND: u64 = 1 << 40;
/// The longest burst.
const MAX_BURST_SECONDS: u32 = 3600;

/// How much I/O a Lun may do at most. Each limit holds by itself. Commands wait in one queue in the order of
/// their arrival: where writes have to wait, so do the reads behind them.
#[derive(KubeSchema, Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[x_kube(validation = rules::QOS_LIMITS, validation = rules::QOS_IOPS_ONCE)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Qos {
    /// Reads and writes a second, taken together; at least 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::QOS_IOPS, validation = rules::QOS_IOPS_BOUNDED)]
    pub iops: Option<u32>,
    /// Reads a second; at least 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::QOS_IOPS, validation = rules::QOS_IOPS_BOUNDED)]
    pub read_iops: Option<u32>,
    /// Writes a second, discards among them; at least 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::QOS_IOPS, validation = rules::QOS_IOPS_BOUNDED)]
    pub write_iops: Option<u32>,
    /// Bytes a second that reads and writes transfer together, as a quantity (`100Mi`); at least `4Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = rules::QOS_BYTES_SYNTAX, validation = rules::QOS_BYTES)]
    #[x_kube(validation = rules::QOS_BYTES_BOUNDED)]
    pub bytes_per_second: Option<Size>,
    /// Seconds for which unused allowance is saved up, to be spent at full speed later: after being idle that
    /// long, a Lun may do that many seconds' worth at once. 0 (the default) evens the rate out over a tenth of a
    /// second; at most 3600.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[x_kube(validation = rules::QOS_BURST)]
    pub burst_seconds: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(seconds: &u32) -> bool {
    *seconds == 0
}

/// Why limits cannot be kept; the API server refuses the same with the same words ([`rules`]).
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct QosError(&'static str);

impl Qos {
    /// Bytes a second, where they are limited.
    ///
    /// # Errors
    /// What no limit of bytes can be.
    pub fn bytes_per_second(&self) -> Result<Option<u64>, QosError> {
        let Some(size) = &self.bytes_per_second else { return Ok(None) };
        let bytes = size.bytes().map_err(|_| QosError(rules::QOS_BYTES_SYNTAX.1))?;
        match bytes {
            ..MIN_BYTES_PER_SECOND => Err(QosError(rules::QOS_BYTES.1)),
            MIN_BYTES_PER_SECOND..=MAX_BYTES_PER_SECOND => Ok(Some(bytes)),
            _ => Err(QosError(rules::QOS_BYTES_BOUNDED.1)),
        }
    }

    /// Checks what the rules of the API check, where there is no API server.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), QosError> {
        let by_kind = [self.read_iops, self.write_iops];
        let rates = [self.iops, self.read_iops, self.write_iops];
        if rates.iter().all(Option::is_none) && self.bytes_per_second.is_none() {
            return Err(QosError(rules::QOS_LIMITS.1));
        }
        if self.iops.is_some() && by_kind.iter().any(Option::is_some) {
            return Err(QosError(rules::QOS_IOPS_ONCE.1));
        }
        if rates.iter().flatten().any(|rate| *rate < MIN_IOPS) {
            return Err(QosError(rules::QOS_IOPS.1));
        }
        if rates.iter().flatten().any(|rate| *rate > MAX_IOPS) {
            return Err(QosError(rules::QOS_IOPS_BOUNDED.1));
        }
        if self.burst_seconds > MAX_BURST_SECONDS {
            return Err(QosError(rules::QOS_BURST.1));
        }
        self.bytes_per_second().map(drop)
    }
}
