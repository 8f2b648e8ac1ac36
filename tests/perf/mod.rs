//! What a command costs, counted in instructions, beside other targets: `lunette-bed bench`.
//!
//! One VM whose clock counts instructions; each server has it for itself, freshly switched on. What is measured and
//! how it is to be read is told in docs/performance.md, which this also writes.

mod kept;
mod load;
mod report;
mod rooms;
mod sample;
mod server;

use anyhow::ensure;
use lunette_bed::cli::Bench;
use lunette_bed::progress::stage;
use lunette_bed::{Bed, Context, Result, Test, Vm, VmSpec};

use kept::{Kept, Line};
use load::{FABRICS, LOADS};
use report::Figures;
use sample::Cost;
use server::{Guest, SERVERS};

/// What is counted of each build, without a VM.
pub const TESTS: &[Test] = &[Test::without_vm("perf::no_room_costs_more_than_it_may", no_room_costs_more_than_it_may)];

/// Debian packages of the peers and of the tools.
const PACKAGES: &[&str] = &["dbus", "linux-perf", "tcmu-runner", "tgt", "valgrind"];
/// Seconds of the guest's clock: so many billion instructions, which is thousands of commands.
const WINDOW: f32 = 0.3;
/// The same for a profile, which costs many times the load itself.
const PROFILED: f32 = 0.2;
/// The profile that was just taken, in coarser parts.
const BY_THREAD: &str = "perf report -q --stdio -i /tmp/perf.data --sort comm,dso --percent-limit 0.4";

/// Counts the rooms alone, then measures what the filter names on each kernel, as far as it was not measured before.
/// What was measured goes onto the terminal, and once all lines of a kernel were, into the book's page.
pub fn bench(contexts: &[Context], what: &Bench) -> Result<()> {
    for context in contexts {
        context.ground().install(PACKAGES)?;
    }
    if let Some(context) = contexts.first()
        && !what.profile
        && chosen(&what.filter, "rooms")
    {
        rooms::guard(context.ground().layout())?;
    }
    for context in contexts {
        if what.profile { profile(context, what)? } else { figures(context, what)? }
    }
    Ok(())
}

fn no_room_costs_more_than_it_may(context: &Context) -> Result<()> {
    context.ground().install(&["valgrind"])?;
    println!();
    rooms::guard(context.ground().layout())
}

fn figures(context: &Context, what: &Bench) -> Result<()> {
    let kept = Kept::of(context);
    let lines = lines(&what.filter);
    let due: Vec<Line> = lines.iter().filter(|line| what.again || kept.find(line).is_none()).copied().collect();
    println!("Linux {}: {} of {} lines are to be measured", context.kernel(), due.len(), lines.len());
    let measured = each_server(context, &due, |guest, line, pid| measure(guest, line, pid, &kept));
    let figures = Figures::of(context.kernel(), &lines, &kept);
    if !figures.is_empty() {
        println!("\nLinux {}\n{}\n{}", context.kernel(), figures.table(), figures.beside_the_least());
    }
    measured?;
    let all = self::lines("");
    let figures = Figures::of(context.kernel(), &all, &kept);
    if figures.len() == all.len() { figures.write(context.ground().layout().checkout()) } else { Ok(()) }
}

fn measure(guest: &Guest, line: &Line, pid: Option<i32>, kept: &Kept) -> Result<()> {
    let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
    let (disk, options) = (line.fabric.word(), line.load.options());
    let text = guest.must(&format!("measure {WINDOW} '{pid}' \"$(disk {disk})\" {options}"))?;
    let cost = Cost::read(&text)?;
    println!("{}: {:.1} thousand instructions", line.name(), cost.whole / 1000.0);
    kept.keep(line, &text)
}

fn profile(context: &Context, what: &Bench) -> Result<()> {
    each_server(context, &lines(&what.filter), |guest, line, _| {
        let (disk, options) = (line.fabric.word(), line.load.options());
        let functions = guest.must(&format!("profile {PROFILED} \"$(disk {disk})\" {options}"))?;
        let threads = guest.must(BY_THREAD)?;
        println!(
            "\n{}, threads in their own code and in the kernel's:\n{threads}\nfunctions:\n{functions}",
            line.name()
        );
        Ok(())
    })
}

/// Switches the VM on for each server that has something to do, and gives it that, line by line.
fn each_server(
    context: &Context,
    due: &[Line],
    mut work: impl FnMut(&Guest, &Line, Option<i32>) -> Result<()>,
) -> Result<()> {
    if due.is_empty() {
        return Ok(());
    }
    let bed = context.bed()?;
    let mut vm: Option<Vm> = None;
    let mut failed = Vec::new();
    for lines in due.chunk_by(|one, next| one.server.name == next.server.name) {
        let server = lines[0].server;
        let done = stage(format!("{} on Linux {}", server.name, context.kernel()), || {
            let guest = Guest { vm: fresh(&mut vm, &bed)?, bed: &bed };
            let served = guest.serve(server)?;
            lines.iter().try_for_each(|line| work(&guest, line, served.pid()))
        });
        // The others' figures are worth having.
        if let Err(error) = done {
            eprintln!("{}: {error:#}", server.name);
            failed.push(server.name);
        }
    }
    ensure!(failed.is_empty(), "these could not be measured: {}", failed.join(", "));
    Ok(())
}

/// The one VM, newly switched on.
fn fresh<'a>(vm: &'a mut Option<Vm>, bed: &Bed) -> Result<&'a Vm> {
    match vm {
        Some(vm) => {
            vm.power_cycle()?;
            Ok(vm)
        }
        none => Ok(none.insert(Vm::boot(bed, VmSpec::new("bench").counting_instructions())?)),
    }
}

/// The lines that the filter leaves, server by server.
fn lines(filter: &str) -> Vec<Line> {
    let all = SERVERS.iter().flat_map(|server| {
        let fabrics = FABRICS.into_iter().filter(|fabric| server.fabrics.contains(fabric));
        fabrics.flat_map(move |fabric| LOADS.map(|load| Line { server, fabric, load }))
    });
    let of_interest = |line: &Line| !line.server.is_direct() || matches!(line.load.id, "r4k-32" | "w4k-32");
    all.filter(|line| of_interest(line) && chosen(filter, &line.name())).collect()
}

/// Whether a filter of parts of names, separated by commas, leaves a name.
fn chosen(filter: &str, name: &str) -> bool {
    filter.split(',').any(|part| name.contains(part))
}
