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

/// The kernel traps into this while it runs by itself if its flags say "single step". Emulation has been seen to give it
/// such flags out of nothing (EFLAGS 22941702, with bits that no processor has); no program in the guest can.
const EMULATOR: &str = "exc_debug_kernel";

/// Memory that was asked for without waiting and was not there: whoever asks so has another way, and where memory is
/// made scarce on purpose this is said, with a stack.
const SCARCE: [&str; 2] = ["page allocation failure", "GFP_NOWAIT"];

/// The lines of `log` that tell of trouble, in order.
pub fn troubles(log: &str) -> Vec<String> {
    let mut trace_is_news = false;
    let mut found = Vec::new();
    for line in log.lines() {
        let emulator = line.contains("WARNING:") && line.contains(EMULATOR);
        if emulator || SCARCE.iter().all(|part| line.contains(part)) {
            trace_is_news = true;
        } else if TROUBLES.iter().any(|trouble| line.contains(trouble)) {
            let its_trace = std::mem::take(&mut trace_is_news) && line.contains("Call Trace");
            found.extend((!its_trace).then(|| line.to_owned()));
        }
    }
    found
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

    #[test]
    fn what_the_emulator_does_is_not_the_kernels_trouble() {
        let log = "[    1.0] WARNING: CPU: 0 PID: 843 at arch/x86/kernel/traps.c:1120 exc_debug_kernel+0xca/0x160
[    1.1] Call Trace:
[    2.0] WARNING: CPU: 1 PID: 12 at drivers/target/target_core_user.c:100 tcmu_x+0x1/0x2 [target_core_user]
[    2.1] Call Trace:";
        assert_eq!(troubles(log).len(), 2);
    }

    #[test]
    fn memory_that_nobody_waits_for_may_be_scarce() {
        let log = "[    1.0] kworker/0:13: page allocation failure: order:0, mode:0x40810(GFP_NOWAIT|__GFP_COMP), nodemask=(null)
[    1.1] CPU: 0 PID: 321 Comm: kworker/0:13 Not tainted
[    1.2] Call Trace:
[    2.0] fio: page allocation failure: order:0, mode:0xcc0(GFP_KERNEL), nodemask=(null)
[    2.1] Call Trace:";
        assert_eq!(troubles(log), ["[    2.1] Call Trace:"]);
    }
}
