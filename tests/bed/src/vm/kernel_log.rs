//! Reading trouble out of a kernel's log.
//!
//! Only what a correct kernel under a correct user never prints counts: warnings with a stack, oopses, hung tasks,
//! lockups, corruption found by the kernel's own checks. A plain message at warning level does not: drivers use
//! those for news.

const TROUBLES: &[&str] = &[
    "WARNING:",
    "BUG:",
    "Oops",
    "Call Trace",
    "blocked for more than",
    "general protection fault",
    "soft lockup",
    "hard LOCKUP",
    "refcount_t:",
    "list_add corruption",
    "list_del corruption",
    "kernel BUG at",
    "Kernel panic",
    "Out of memory:",
    "segfault at",
    "unable to handle",
    "INFO: rcu",
    "possible circular locking",
];

/// The lines of `log` that tell of trouble, in order.
pub fn troubles(log: &str) -> Vec<String> {
    log.lines().filter(|line| TROUBLES.iter().any(|trouble| line.contains(trouble))).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::troubles;

    #[test]
    fn trouble_is_told_from_news() {
        let log = "[    1.0] ACPI: VIDEO: unusual table
[    2.0] WARNING: CPU: 1 PID: 12 at drivers/target/target_core_user.c:100 tcmu_x+0x1/0x2 [target_core_user]
[    3.0] INFO: task iscsi_trx:99 blocked for more than 120 seconds.
[    4.0] Warning: Deprecated Driver is detected: ip_tables
[    5.0] scsi host0: iSCSI Initiator over TCP/IP";
        let found = troubles(log);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("tcmu_x") && found[1].contains("iscsi_trx"));
    }
}
