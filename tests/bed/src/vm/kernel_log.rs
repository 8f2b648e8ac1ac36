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

/// Seen once in Linux 6.12, on a busy machine: the kernel's iSCSI initiator waits, in a work queue for times of scarce
/// memory, for one that is not for such times, and warns of itself. Its removal of a disk does so, for power management
/// (drivers/base/power/runtime.c, pm_runtime_remove), where that has something left to do. No target can make it.
const WAITS: &str = "check_flush_dependency";
/// What the queues of the initiator are called in such a warning's message.
const INITIATOR: [&str; 2] = ["WQ_MEM_RECLAIM iscsi_", "WQ_MEM_RECLAIM scsi_tmf_"];

/// Memory that was asked for without waiting and was not there: whoever asks so has another way, and where memory is
/// made scarce on purpose this is said, with a stack.
const SCARCE: [&str; 2] = ["page allocation failure", "GFP_NOWAIT"];

/// How many callers of a trace are shown.
const CALLERS: usize = 12;

/// The lines of `log` that tell of trouble, in order, each with what was said of it: the message of a warning, the
/// callers in a trace.
pub fn troubles(log: &str) -> Vec<String> {
    let lines: Vec<&str> = log.lines().collect();
    let mut trace_is_news = false;
    let mut callers = 0;
    let mut found = Vec::new();
    for (number, &line) in lines.iter().enumerate() {
        let message = message(&lines[..number], line);
        if is_anothers(message, line) {
            trace_is_news = true;
        } else if TROUBLES.iter().any(|trouble| line.contains(trouble)) {
            let trace = line.contains("Call Trace");
            let news = std::mem::take(&mut trace_is_news) && trace;
            found.extend(message);
            found.extend((!news).then_some(line));
            callers = if trace && !news { CALLERS } else { 0 };
        } else if callers > 0 && is_caller(line) {
            found.push(line);
            callers -= 1;
        }
    }
    found.into_iter().map(str::to_owned).collect()
}

/// What a warning says, if it says anything: the line between the one that begins every report and its own.
fn message<'a>(before: &[&'a str], line: &str) -> Option<&'a str> {
    match before {
        [.., cut, message] if line.contains("WARNING:") && cut.contains("cut here") => Some(message),
        _ => None,
    }
}

/// A report of what neither a test nor Lunette has a part in.
fn is_anothers(message: Option<&str>, line: &str) -> bool {
    let warning = line.contains("WARNING:");
    let emulator = warning && line.contains(EMULATOR);
    let of_initiator = |message: &str| INITIATOR.iter().any(|queue| message.contains(queue));
    let initiator = line.contains(WAITS) && message.is_some_and(of_initiator);
    emulator || initiator || SCARCE.iter().all(|part| line.contains(part))
}

/// A line of a trace that is sure to be one.
fn is_caller(line: &str) -> bool {
    line.contains("+0x") && !line.contains(" ? ") && !line.contains("RIP:")
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
    fn a_warning_is_told_with_its_message_and_who_called() {
        let log = "[    1.0] ------------[ cut here ]------------
[    1.1] workqueue: WQ_MEM_RECLAIM one:f is flushing !WQ_MEM_RECLAIM two:g
[    1.2] WARNING: CPU: 1 PID: 12 at kernel/workqueue.c:3765 check_flush_dependency.part.0+0xbe/0x130
[    1.3] Modules linked in: iscsi_tcp
[    1.4] RIP: 0010:check_flush_dependency.part.0+0xbe/0x130
[    1.5] Call Trace:
[    1.6]  <TASK>
[    1.7]  ? __warn.cold+0x93/0xf6
[    1.8]  __flush_work+0xb5/0x310
[    1.9]  </TASK>";
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(troubles(log), [lines[1], lines[2], lines[5], lines[8]]);
    }

    #[test]
    fn what_the_initiators_kernel_waits_for_is_its_own_affair() {
        let log = |queue| {
            format!(
                "[    1.0] ------------[ cut here ]------------
[    1.1] workqueue: WQ_MEM_RECLAIM {queue} is flushing !WQ_MEM_RECLAIM pm:pm_runtime_work
[    1.2] WARNING: CPU: 1 PID: 12 at kernel/workqueue.c:3765 check_flush_dependency.part.0+0xbe/0x130
[    1.3] Call Trace:
[    1.4]  __flush_work+0xb5/0x310"
            )
        };
        assert!(troubles(&log("iscsi_ctrl_1:2:__iscsi_unbind_session")).is_empty());
        assert_eq!(troubles(&log("target_completion:target_complete_ok_work")).len(), 4);
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
