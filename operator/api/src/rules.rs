//! The CEL rules that the API server holds every object to, each with the message that its author reads.
//!
//! A rule is a pair (expression, message); the types of this crate attach them to their fields. They
//! refuse what could never be served or would break a promise; whether a pool or a node exists is the
//! operator's to say, in a condition. A rule with `oldSelf` runs on updates only.

type Rule = (&'static str, &'static str);

/// A name that Kubernetes gives to pools.
pub const POOL_NAME: Rule = (
    "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    "pool must be the name of a LunPool: lower-case letters, digits, '-' and '.' (see: kubectl get lunpools)",
);
/// Data does not travel between pools.
pub const POOL_STAYS: Rule =
    ("self == oldSelf", "pool cannot change: data does not move between pools; create another Lun and copy");

/// What [`crate::Size`] reads.
pub const SIZE_SYNTAX: Rule = (
    "string(self).matches('^[+-]?([0-9]{1,18}([.][0-9]{0,18})?|[.][0-9]{1,18})(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?$') && \
     isQuantity(string(self))",
    "size must be bytes, or a number with Ki, Mi, Gi, Ti, Pi, Ei, k, M, G, T, P or E: write 10Gi for 10 gibibytes",
);
/// No empty LUN.
pub const SIZE_POSITIVE: Rule = (
    "!isQuantity(string(self)) || quantity(string(self)).isGreaterThan(quantity('0'))",
    "size must be greater than 0: a Lun needs at least one block",
);
/// The API's integers, and every file system, end there.
pub const SIZE_BOUNDED: Rule = (
    "!isQuantity(string(self)) || !quantity(string(self)).isGreaterThan(quantity('0')) || \
     (quantity(string(self)).isLessThan(quantity('8Ei')) && quantity(string(self)).isInteger())",
    "size must be a whole number of bytes below 8Ei",
);
/// Shrinking would cut off data.
pub const SIZE_GROWS: Rule = (
    "!isQuantity(string(self)) || !isQuantity(string(oldSelf)) || \
     quantity(string(self)).compareTo(quantity(string(oldSelf))) >= 0",
    "size can only grow: shrinking would cut off data; create a smaller Lun and copy",
);
/// A device has no part of a block.
pub const SIZE_IN_BLOCKS: Rule = (
    "!isQuantity(string(self.size)) || !quantity(string(self.size)).isLessThan(quantity('8Ei')) || \
     !quantity(string(self.size)).isInteger() || \
     !(self.blockSize in [512, 4096]) || quantity(string(self.size)).asInteger() % self.blockSize == 0",
    "size must be a multiple of blockSize (512 bytes where it is not set): round it up",
);
/// What initiators accept.
pub const BLOCK_SIZE: Rule = ("self in [512, 4096]", "blockSize must be 512 or 4096");
/// File systems and partition tables are written in it.
pub const BLOCK_SIZE_STAYS: Rule = (
    "self == oldSelf",
    "blockSize cannot change: what is on the device is laid out in it; create another Lun and copy",
);

/// What a Lun holds at first is history afterwards.
pub const SOURCE_STAYS: Rule = (
    "has(self.source) == has(oldSelf.source) && (!has(self.source) || self.source == oldSelf.source)",
    "source cannot change: it says what the Lun held at first; create another Lun",
);
/// The union of sources.
pub const ONE_SOURCE: Rule = (
    "[has(self.snapshot), has(self.lun), has(self.image)].filter(set, set).size() == 1",
    "source has a snapshot, a lun or an image: write exactly one",
);
/// A name that Kubernetes gives to snapshots.
pub const SNAPSHOT_NAME: Rule = (
    "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    "snapshot must be the name of a LunSnapshot of this namespace: lower-case letters, digits, '-' and '.'",
);
/// A name that Kubernetes gives to Luns.
pub const LUN_NAME: Rule = (
    "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    "lun must be the name of a Lun of this namespace: lower-case letters, digits, '-' and '.' (see: kubectl get luns)",
);
/// A plain file's name, and none that is hidden: it leads nowhere else.
pub const IMAGE_NAME: Rule = (
    "self.matches('^[A-Za-z0-9][-A-Za-z0-9._]*$')",
    "image must be the name of a file in the folder import of the pool: letters, digits, '.', '_' and '-', beginning \
     with a letter or a digit (see: kubectl describe lunnodes)",
);
/// A snapshot is of one time and one Lun.
pub const SNAPSHOT_STAYS: Rule = ("self == oldSelf", "a LunSnapshot cannot change: create another");
/// A word that objects can be labelled with.
pub const GROUP_NAME: Rule = (
    "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    "group.name must have lower-case letters, digits, '-' and '.' only",
);
/// One alone is no group, and a barrier over more is nothing that a node should hold.
pub const GROUP_MEMBERS: Rule = ("self >= 1 && self <= 100", "group.members must be from 1 to 100");
/// Where its bytes are is not forgotten.
pub const SNAPSHOT_STATUS_STAYS: Rule = (
    "!has(oldSelf.status) || !has(oldSelf.status.node) || \
     (has(self.status) && has(self.status.node) && self.status.node == oldSelf.status.node)",
    "status.node cannot change: a snapshot's bytes are where its Lun was",
);

/// A name that Kubernetes gives to nodes.
pub const NODE_NAME: Rule = (
    "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    "nodeName must be the name of a node: lower-case letters, digits, '-' and '.' (see: kubectl get lunnodes)",
);
/// A Lun does not move by itself.
pub const PIN_STAYS: Rule = (
    "!has(oldSelf.nodeName) || (has(self.nodeName) && self.nodeName == oldSelf.nodeName)",
    "nodeName cannot change or be removed once it is set: the data are on that node",
);
/// Nor does a pin move it.
pub const PIN_MATCHES_NODE: Rule = (
    "has(oldSelf.spec.nodeName) || !has(self.spec.nodeName) || !has(oldSelf.status) || \
     !has(oldSelf.status.node) || oldSelf.status.node == self.spec.nodeName",
    "nodeName cannot name another node than the one that serves the Lun already (status.node)",
);

/// Two entries for one initiator could contradict each other.
pub const INITIATORS_DIFFER: Rule = (
    "self.all(a, !has(a.iqn) || self.exists_one(b, has(b.iqn) && b.iqn == a.iqn))",
    "each initiator may be listed once: remove the entry with the same iqn",
);
/// As [`INITIATORS_DIFFER`].
pub const INITIATOR_NODES_DIFFER: Rule = (
    "self.all(a, !has(a.nodeName) || self.exists_one(b, has(b.nodeName) && b.nodeName == a.nodeName))",
    "each node may be listed once: remove the entry with the same nodeName",
);
/// A client or a node, not both and not nobody.
pub const ONE_NAME: Rule = (
    "has(self.iqn) != has(self.nodeName)",
    "an initiator has either an iqn (a client outside) or a nodeName (a node of the cluster): write exactly one",
);
/// A name that Kubernetes gives to nodes.
pub const INITIATOR_NODE: Rule = (
    "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    "an initiator's nodeName must be the name of a node: lower-case letters, digits, '-' and '.' (see: kubectl get lunnodes)",
);
/// RFC 7143 §4.2.7, normalised as RFC 3722 says: lower case, and of ASCII only letters, digits, '-', '.', ':'.
pub const INITIATOR_NAME: Rule = (
    "self.matches('^(iqn[.][0-9]{4}-(0[1-9]|1[0-2])[.][a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[-a-z0-9.:]+)?\
     |eui[.][0-9a-f]{16}|naa[.]([0-9a-f]{16}|[0-9a-f]{32}))$')",
    "iqn must be an iSCSI name in lower case: iqn.YYYY-MM.REVERSED.DOMAIN[:NAME], eui. with 16 or naa. with 16 or 32 \
     hexadecimal digits (RFC 7143); copy it from the client's /etc/iscsi/initiatorname.iscsi",
);
/// A name that Kubernetes gives to Secrets.
pub const SECRET_NAME: Rule = (
    "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
    "chapSecret.name must be the name of a Secret in the Lun's namespace: lower-case letters, digits, '-' and '.'",
);

/// An empty `qos` limits nothing.
pub const QOS_LIMITS: Rule = (
    "has(self.iops) || has(self.readIops) || has(self.writeIops) || has(self.bytesPerSecond)",
    "qos must set a limit: iops, readIops, writeIops or bytesPerSecond; leave qos out for none",
);
/// Two limits of one thing would contradict each other.
pub const QOS_IOPS_ONCE: Rule = (
    "!has(self.iops) || !(has(self.readIops) || has(self.writeIops))",
    "qos.iops limits reads and writes together: set it, or readIops and writeIops, not both",
);
/// [`crate::MIN_IOPS`]: a limited command waits in the ring, and its initiator must not lose patience.
pub const QOS_IOPS: Rule = (
    "self >= 50",
    "limits of IOPS must be at least 50: at fewer, a command could wait in a full queue for longer than the 30 s \
     that initiators grant it",
);
/// Beyond what any device does.
pub const QOS_IOPS_BOUNDED: Rule =
    ("self <= 1000000000", "limits of IOPS must be at most 1000000000; leave the limit out for none");
/// What [`crate::Size`] reads.
pub const QOS_BYTES_SYNTAX: Rule = (
    SIZE_SYNTAX.0,
    "bytesPerSecond must be bytes, or a number with Ki, Mi, Gi, Ti, k, M, G or T: write 100Mi for 100 mebibytes a second",
);
/// [`crate::MIN_BYTES_PER_SECOND`], for the same reason as [`QOS_IOPS`].
pub const QOS_BYTES: Rule = (
    "!isQuantity(string(self)) || quantity(string(self)).compareTo(quantity('4Mi')) >= 0",
    "bytesPerSecond must be at least 4Mi: at less, a command could wait in a full queue for longer than the 30 s \
     that initiators grant it",
);
/// Beyond what any memory moves.
pub const QOS_BYTES_BOUNDED: Rule = (
    "!isQuantity(string(self)) || quantity(string(self)).isLessThan(quantity('4Mi')) || \
     (quantity(string(self)).isInteger() && !quantity(string(self)).isGreaterThan(quantity('1Ti')))",
    "bytesPerSecond must be a whole number of bytes of at most 1Ti; leave it out for no limit",
);
/// An hour at most.
pub const QOS_BURST: Rule = ("self <= 3600", "burstSeconds must be at most 3600");

/// Two nodes must never both take themselves for the one: whoever moves a Lun says a new epoch.
pub const NODE_MOVES_WITH_EPOCH: Rule = (
    "!has(oldSelf.node) || (has(self.node) && self.node == oldSelf.node) || \
     (has(self.node) && has(self.epoch) && has(oldSelf.epoch) && self.epoch > oldSelf.epoch)",
    "status.node cannot change without a higher status.epoch: the old node must be fenced first",
);
/// A fencing generation that went back would let an old owner in.
pub const EPOCH_GROWS: Rule = (
    "!has(oldSelf.epoch) || (has(self.epoch) && self.epoch >= oldSelf.epoch)",
    "status.epoch can only grow: it is a fencing generation",
);
/// The same, against dropping the whole status.
pub const STATUS_STAYS: Rule = (
    "!has(oldSelf.status) || !has(oldSelf.status.node) || has(self.status)",
    "status cannot be removed while it names the node that serves the Lun",
);

/// An initiator asks once, as it logs in, whether there is a cache, and flushes none that it was told is not there.
pub const CACHE_IS_ANNOUNCED: Rule = (
    "!has(oldSelf.spec.writeCache) || oldSelf.spec.writeCache != 'WriteThrough' || !has(self.spec.writeCache) || \
     self.spec.writeCache != 'WriteBack' || !has(oldSelf.status) || !has(oldSelf.status.sessionCount) || \
     oldSelf.status.sessionCount == 0",
    "writeCache cannot become WriteBack while an initiator is logged in: it was told that there is no cache, and would \
     not flush one; log out (see status.sessions), then change it",
);

/// The union of backends.
pub const ONE_BACKEND: Rule =
    ("[has(self.directory)].filter(set, set).size() == 1", "exactly one backend must be set: directory");
/// The Luns of a pool are where they are.
pub const BACKEND_STAYS: Rule = (
    "has(self.directory) == has(oldSelf.directory)",
    "the backend of a pool cannot change: its Luns' data are there; create another pool",
);
/// A limit below one percent is none.
pub const OVERCOMMIT: Rule =
    ("self >= 1", "overcommitPercent must be at least 1; 100 never promises more than there is");
/// Relative to what?
pub const PATH_ABSOLUTE: Rule =
    ("self.startsWith('/') && self != '/'", "path must be absolute and not / itself: write /var/lib/lunette/pool");
/// One spelling for one directory.
pub const PATH_PLAIN: Rule = (
    "!self.matches('(^|/)[.]{1,2}(/|$)') && !self.matches('//|.+/$|[[:cntrl:]]')",
    "path must have no '.' or '..' part, no empty part, no '/' at its end and no control character",
);
/// As [`BACKEND_STAYS`].
pub const PATH_STAYS: Rule = ("self == oldSelf", "path cannot change: the pool's data are there; create another pool");

#[cfg(test)]
mod tests;
