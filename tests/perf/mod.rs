//! What a command costs, counted in instructions, beside other targets: `lunette-bed bench`.
//!
//! One VM whose clock counts instructions; each server has it for itself, freshly switched on. What is measured and
//! how it is to be read is told in docs/performance.md, which this also writes.

mod load;
mod report;
mod rooms;
mod sample;
mod server;

use anyhow::ensure;
use lunette_bed::cli::Bench;
use lunette_bed::progress::stage;
use lunette_bed::{Bed, Context, Result, Vm, VmSpec};

use load::{FABRICS, Fabric, LOADS, Load};
use report::{Figures, Row};
use sample::Cost;
use server::{DIRECT, Guest, SERVERS, Server};

/// Debian packages of the peers and of the tools.
const PACKAGES: &[&str] = &["dbus", "linux-perf", "tcmu-runner", "tgt", "valgrind"];
/// Seconds of the guest's clock: a billion instructions.
const WINDOW: f32 = 1.0;
/// The same for a profile, which costs many times the load itself.
const PROFILED: f32 = 0.2;

/// Counts the rooms alone, then measures what the filter names on each kernel. Everything measured goes into the
/// book's page; a part of it only onto the terminal.
pub fn bench(contexts: &[Context], what: &Bench) -> Result<()> {
    for context in contexts {
        context.ground().install(PACKAGES)?;
    }
    if let Some(context) = contexts.first()
        && !what.profile
        && chosen(&what.filter, "rooms")
    {
        rooms::guard(context.ground().layout().checkout())?;
    }
    for context in contexts {
        if what.profile { profile(context, what)? } else { figures(context, what)? }
    }
    Ok(())
}

fn figures(context: &Context, what: &Bench) -> Result<()> {
    let mut figures = Figures::new(context.kernel());
    let measured = measure(context, what, &mut figures);
    if !figures.is_empty() {
        println!("\nLinux {}\n{}", context.kernel(), figures.table());
    }
    measured?;
    if what.filter.is_empty() {
        figures.write(context.ground().layout().checkout())?;
    }
    Ok(())
}

fn measure(context: &Context, what: &Bench, figures: &mut Figures) -> Result<()> {
    each_server(context, what, |guest, server, pid, due| {
        for (fabric, load) in due {
            let cost = measure_one(guest, *fabric, load, pid)?;
            figures.add(Row { server: server.name, fabric: *fabric, load: *load, cost });
        }
        Ok(())
    })
}

fn measure_one(guest: &Guest, fabric: Fabric, load: &Load, pid: Option<i32>) -> Result<Cost> {
    let pid = pid.map(|pid| pid.to_string()).unwrap_or_default();
    let line = format!("measure {WINDOW} '{pid}' \"$(disk {})\" {}", fabric.word(), load.options());
    Cost::read(&guest.must(&line)?)
}

fn profile(context: &Context, what: &Bench) -> Result<()> {
    each_server(context, what, |guest, server, _, due| {
        for (fabric, load) in due {
            let line = format!("profile {PROFILED} \"$(disk {})\" {}", fabric.word(), load.options());
            println!("\n{}, {fabric}, {}:\n{}", server.name, load.name, guest.must(&line)?);
        }
        Ok(())
    })
}

/// Switches the VM on for each server that has something to do, and gives it that.
fn each_server(
    context: &Context,
    what: &Bench,
    mut work: impl FnMut(&Guest, &Server, Option<i32>, &[(Fabric, Load)]) -> Result<()>,
) -> Result<()> {
    let due = SERVERS.iter().map(|server| (server, due(server, &what.filter)));
    let due: Vec<_> = due.filter(|(_, due)| !due.is_empty()).collect();
    if due.is_empty() {
        return Ok(());
    }
    let bed = context.bed()?;
    let mut vm: Option<Vm> = None;
    let mut failed = Vec::new();
    for (server, due) in &due {
        let done = stage(format!("{} on Linux {}", server.name, context.kernel()), || {
            let vm = fresh(&mut vm, &bed)?;
            let guest = Guest { vm, bed: &bed };
            let served = guest.serve(server)?;
            work(&guest, server, served.pid(), due)
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

/// The loads of a server that the filter leaves.
fn due(server: &Server, filter: &str) -> Vec<(Fabric, Load)> {
    let all = FABRICS
        .iter()
        .filter(|fabric| server.fabrics.contains(fabric))
        .flat_map(|fabric| LOADS.map(|load| (*fabric, load)));
    let wanted = |fabric: &Fabric, load: &Load| chosen(filter, &format!("{}/{fabric}/{}", server.name, load.id));
    // Past the page cache only small transfers at depth are of interest.
    let of_interest = |load: &Load| server.name != DIRECT || matches!(load.id, "r4k-32" | "w4k-32");
    all.filter(|(fabric, load)| of_interest(load) && wanted(fabric, load)).collect()
}

/// Whether a filter of parts of names, separated by commas, leaves a name.
fn chosen(filter: &str, name: &str) -> bool {
    filter.split(',').any(|part| name.contains(part))
}
