//! The runner of tests that need a bed: ordinary named functions in a list.
//!
//! Tests run one after another in a process (and in several processes side by side: see [`crate::lanes`]). A test
//! passes when it returns `Ok`; an error or a panic fails it, and the end of every log of its beds is printed. What is slow to make can be shared between tests (see
//! [`Context::shared`]); a failed test takes what is shared with it, so the next one starts fresh.

use crate::bed::{Bed, clear_all, recent_logs};
use crate::progress::elapsed;
use crate::setup::{Ground, Kernel};
use crate::{Result, host};
use anyhow::{anyhow, bail};
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// A test longer than this hangs.
const LONGEST_TEST: Duration = Duration::from_secs(15 * 60);
/// For a test whose VMs were taken away: longer than any usual wait.
const LAST_GRACE: Duration = Duration::from_secs(120);
/// How many lines of each log a failure shows.
const SHOWN_LINES: usize = 25;
/// How much of a line: some daemons write whole objects on one.
const SHOWN_COLUMNS: usize = 300;
/// How much of a reason is told again at the end.
const TOLD_COLUMNS: usize = 900;

/// What a test came to: why it failed, in one line, if it did.
pub type Outcome = std::result::Result<(), String>;

/// A test: its name, such as `vm::survives_a_power_cut`, and what it does.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    name: &'static str,
    body: fn(&Context) -> Result<()>,
    kernels: Kernels,
    long: bool,
    one_lane: bool,
}

/// On which kernels a run over several runs a test.
#[derive(Debug, Clone, Copy)]
enum Kernels {
    Each,
    First,
    /// On each if all tests are asked for, or some by name; else on this one, or on the first where it is none of them.
    Mostly(Kernel),
}

impl Test {
    /// A test named `name`; filters match parts of names.
    #[must_use]
    pub const fn new(name: &'static str, body: fn(&Context) -> Result<()>) -> Test {
        Test { name, body, kernels: Kernels::Each, long: false, one_lane: false }
    }

    /// A test that boots no VM: a run over several kernels runs it once.
    #[must_use]
    pub const fn without_vm(name: &'static str, body: fn(&Context) -> Result<()>) -> Test {
        Test::new(name, body).once()
    }

    /// A run over several kernels runs it once, on the first: what it is about is no kernel's business.
    #[must_use]
    pub const fn once(mut self) -> Test {
        self.kernels = Kernels::First;
        self
    }

    /// A run over several kernels runs it on this one only, unless all tests are asked for, or some by name: the kernel matters
    /// little to what it is about, and it is not quick. Each kernel gets a share of such tests.
    #[must_use]
    pub const fn mostly_on(mut self, kernel: Kernel) -> Test {
        self.kernels = Kernels::Mostly(kernel);
        self
    }

    /// It takes minutes: it runs only if all tests are asked for, or some by name.
    #[must_use]
    pub const fn long(mut self) -> Test {
        self.long = true;
        self
    }

    /// No other lane runs tests of its room at the same time: what they share is so large that two of it starve each other.
    #[must_use]
    pub const fn in_one_lane(mut self) -> Test {
        self.one_lane = true;
        self
    }

    /// Whether it is [`Test::in_one_lane`].
    pub(crate) fn is_in_one_lane(&self) -> bool {
        self.one_lane
    }

    /// The same, on each kernel if that matters at all.
    fn wherever_it_can(&self) -> Test {
        match self.kernels {
            Kernels::Mostly(_) => Test { kernels: Kernels::Each, ..*self },
            Kernels::Each | Kernels::First => *self,
        }
    }

    /// Whether a run over these kernels runs it on this one of them.
    fn is_due_on(&self, kernel: Kernel, kernels: &[Kernel]) -> bool {
        match self.kernels {
            Kernels::Each => true,
            Kernels::Mostly(chosen) if kernels.contains(&chosen) => kernel == chosen,
            Kernels::First | Kernels::Mostly(_) => kernels.first() == Some(&kernel),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// What a test is given.
#[derive(Debug)]
pub struct Context {
    ground: Ground,
    kernel: Kernel,
    shared: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl Context {
    /// One whose beds boot `kernel`.
    #[must_use]
    pub fn new(ground: Ground, kernel: Kernel) -> Context {
        Context { ground, kernel, shared: Mutex::default() }
    }

    /// What set-up made.
    #[must_use]
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// The kernel this run is about.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// A bed of the test's own.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn bed(&self) -> Result<Bed> {
        Bed::up(&self.ground, self.kernel)
    }

    /// A value that tests share: made by the first that asks, given to the others until one fails. One value for
    /// each type, so give each fixture a type.
    ///
    /// # Errors
    /// When `make` fails.
    pub fn shared<T: Send + Sync + 'static>(&self, make: impl FnOnce(&Context) -> Result<T>) -> Result<Arc<T>> {
        let key = TypeId::of::<T>();
        let found = self.shared.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let value = match found {
            Some(value) => value,
            None => Arc::new(make(self)?),
        };
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&value));
        value.downcast().map_err(|_| anyhow!("the shared value under a type is of that type"))
    }

    fn drop_shared(&self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A test on a kernel.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// The test.
    pub test: Test,
    /// The kernel.
    pub kernel: Kernel,
}

impl Due {
    /// The test's name, and the kernel if it depends on that.
    #[must_use]
    pub fn title(&self) -> String {
        let kernel = match self.test.kernels {
            Kernels::First => String::new(),
            Kernels::Each | Kernels::Mostly(_) => format!(" on Linux {}", self.kernel),
        };
        format!("{}{kernel}", self.test.name)
    }
}

/// Every test on the first kernel or the one that it is for, and on each kernel those that depend on that.
pub fn due<'a>(tests: &'a [Test], kernels: &'a [Kernel]) -> impl Iterator<Item = Due> + 'a {
    kernels.iter().flat_map(move |kernel| {
        let tests = tests.iter().filter(move |test| test.is_due_on(*kernel, kernels));
        tests.map(|test| Due { test: *test, kernel: *kernel })
    })
}

/// How a run of tests ended.
#[derive(Debug, Default)]
pub struct Report {
    passed: u32,
    /// The titles of those that did not, and why.
    failed: Vec<String>,
}

impl Report {
    /// Counts a test.
    pub fn count(&mut self, due: &Due, outcome: &Outcome) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(reason) => self.failed.push(format!("{}: {reason}", due.title())),
        }
    }

    /// Says which tests failed and why, for those who see the end of a long output only, and, alone on the last line, how many:
    /// programs read it.
    ///
    /// # Errors
    /// When a test failed, or none ran.
    pub fn conclude(&self) -> Result<()> {
        println!();
        self.failed.iter().for_each(|failed| println!("FAILED: {failed}"));
        println!("{} passed, {} failed", self.passed, self.failed.len());
        match (self.passed, self.failed.len()) {
            (_, 1..) => bail!("some tests failed"),
            (0, 0) => bail!("no test ran: does the filter match a name? `lunette-bed list` shows them"),
            _ => Ok(()),
        }
    }
}

/// The tests whose names contain `filter`; several parts separated by commas match any of them. Without a filter,
/// long tests are among them only if `all` are wanted, and some are for one kernel only.
#[must_use]
pub fn select(tests: &[Test], filter: &str, all: bool) -> Vec<Test> {
    let named = |test: &&Test| filter.split(',').any(|part| test.name.contains(part));
    if all || !filter.is_empty() {
        return tests.iter().filter(named).map(Test::wherever_it_can).collect();
    }
    tests.iter().filter(|test| !test.long).copied().collect()
}

/// Runs `tests` in order on each kernel that they are about, and prints a line for each as it goes.
#[must_use]
pub fn run(ground: &Ground, tests: &[Test], kernels: &[Kernel]) -> Report {
    let mut report = Report::default();
    let mut current: Option<Context> = None;
    for due in due(tests, kernels) {
        current.take_if(|context| context.kernel != due.kernel);
        let context = current.get_or_insert_with(|| Context::new(ground.clone(), due.kernel));
        report.count(&due, &run_one(context, &due.test));
    }
    report
}

/// Runs a test and prints its lines; what it came to.
///
/// # Errors
/// When the test fails.
pub fn run_one(context: &Context, test: &Test) -> Outcome {
    print!("test {} ... ", Due { test: *test, kernel: context.kernel }.title());
    // A test can take minutes: its name should be there while it does.
    let _ = std::io::stdout().flush();
    let started = Instant::now();
    let outcome = bounded(context, test);
    match outcome {
        Ok(()) => {
            println!("ok ({})", elapsed(started));
            // Nobody needs the logs of a passed test.
            drop(recent_logs());
            Ok(())
        }
        Err(error) => {
            println!("FAILED ({})", elapsed(started));
            println!("     reason: {error:#}");
            context.drop_shared();
            show_recent_logs();
            Err(in_one_line(&format!("{error:#}")))
        }
    }
}

/// The beginning of a reason: what follows it are mostly logs.
fn in_one_line(reason: &str) -> String {
    let line = reason.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ");
    line.chars().take(TOLD_COLUMNS).collect()
}

/// Runs a test on a thread of its own. One that takes too long has its VMs and daemons taken away, upon which its
/// own waits fail; if it does not end even then, the process does, since nothing after it could be trusted.
fn bounded(context: &Context, test: &Test) -> Result<()> {
    std::thread::scope(|scope| {
        let (ended, end) = mpsc::channel();
        let running = scope.spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| (test.body)(context)));
            // The receiver waits for longer than any test.
            let _ = ended.send(());
            outcome.unwrap_or_else(|panic| Err(reason(&*panic)))
        });
        let overdue = end.recv_timeout(LONGEST_TEST).is_err();
        if overdue {
            clear_all();
            if end.recv_timeout(LAST_GRACE).is_err() {
                println!("FAILED: it hangs, and does not end when its VMs are gone");
                std::process::exit(1);
            }
        }
        let outcome = running.join().unwrap_or_else(|panic| Err(reason(&*panic)));
        if overdue { outcome.and(Err(anyhow!("it took longer than {LONGEST_TEST:?}"))) } else { outcome }
    })
}

/// Prints the end of every log of this process's beds that has not been printed or passed over yet.
pub fn show_recent_logs() {
    recent_logs().iter().for_each(|folder| show_logs(folder));
}

fn reason(panic: &(dyn Any + Send)) -> anyhow::Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    anyhow!("panicked: {}", text.unwrap_or("with something that is no text"))
}

fn show_logs(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut logs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    logs.sort();
    for log in logs {
        let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
        if !text.trim().is_empty() {
            println!("     ---- the end of {} ----", log.display());
            host::tail(&text, SHOWN_LINES).lines().for_each(|line| println!("     {line:.SHOWN_COLUMNS$}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: [Test; 3] = [
        Test::new("vm::one", |_| Ok(())),
        Test::new("vm::two", |_| bail!("a reason")),
        Test::new("api::three", |_| panic!("a panic")),
    ];

    #[test]
    fn filters_match_parts_of_names() {
        let names = |filter| select(&TESTS, filter, false).iter().map(Test::name).collect::<Vec<_>>();
        assert_eq!(names("vm::"), ["vm::one", "vm::two"]);
        assert_eq!(names("one,three"), ["vm::one", "api::three"]);
        assert_eq!(names("").len(), 3);
    }

    #[test]
    fn a_long_test_runs_when_all_do_or_it_is_named() {
        let tests = [TESTS[0], TESTS[1].long()];
        let count = |filter, all| select(&tests, filter, all).len();
        assert_eq!((count("", false), count("", true), count("vm::", false)), (1, 2, 2));
    }

    #[test]
    fn a_test_that_is_mostly_for_one_kernel_runs_on_each_when_all_do_or_it_is_named() {
        let tests = [TESTS[0].mostly_on(Kernel::V6_12)];
        let on = |filter, all, kernels| -> Vec<Kernel> {
            due(&select(&tests, filter, all), kernels).map(|due| due.kernel).collect()
        };
        assert_eq!(on("", false, &Kernel::ALL), [Kernel::V6_12]);
        assert_eq!(on("", false, &[Kernel::V6_1]), [Kernel::V6_1], "there is no other");
        assert_eq!(on("", true, &Kernel::ALL), Kernel::ALL);
        assert_eq!(on("one", false, &Kernel::ALL), Kernel::ALL);
    }

    #[test]
    fn a_run_without_a_test_is_no_success() {
        let of = |outcomes: &[Outcome]| {
            let (mut report, due) = (Report::default(), Due { test: TESTS[0], kernel: Kernel::V6_1 });
            outcomes.iter().for_each(|outcome| report.count(&due, outcome));
            report.conclude()
        };
        assert!(of(&[]).is_err());
        assert!(of(&[Ok(()), Err("a reason".to_owned()), Ok(())]).is_err());
        assert!(of(&[Ok(()), Ok(())]).is_ok());
    }

    #[test]
    fn a_reason_is_told_in_one_line() {
        assert_eq!(in_one_line("it should be\n  this\n\nbut is that\n"), "it should be | this | but is that");
        assert_eq!(in_one_line(&"é".repeat(2 * TOLD_COLUMNS)).chars().count(), TOLD_COLUMNS);
    }
}
