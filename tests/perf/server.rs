//! The targets that are measured beside each other, and how each is set up in a VM that is its own.
//!
//! Each serves a file of the same size on a tmpfs of the same kind, over the same fabrics with the same parameters,
//! as far as it has them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use lunette_bed::layout::Layout;
use lunette_bed::{Bed, GuestCommand, Process, Result, Vm, host};

use super::load::Fabric;

/// Bytes of every LUN: small enough to be filled in a moment, far beyond any processor's cache.
const SIZE: u64 = 64 << 20;
/// What peers call their target.
const IQN: &str = "iqn.2026-01.bed.test:peer";
const FILE: &str = "/srv/bench/file";
/// What the guest can do.
pub const FUNCTIONS: &str = include_str!("guest.sh");
/// Where the guest has that.
const FUNCTIONS_AT: &str = "/run/bench.sh";
/// Ends a bench that goes nowhere; on a busy machine everything takes its time.
const SOON: Duration = Duration::from_secs(300);

/// A target to be measured.
#[derive(Clone, Copy)]
pub struct Server {
    /// For people.
    pub name: &'static str,
    /// How it can be reached.
    pub fabrics: &'static [Fabric],
    program: Program,
    serve: fn(&Guest) -> Result<Served>,
}

/// Where the program that serves comes from.
#[derive(Clone, Copy)]
enum Program {
    /// Debian, or it is the kernel.
    Debian,
    /// Our own build.
    Ours(&'static str),
    /// [`FLOOR`].
    Floor,
}

/// All of them, in the table's order.
pub static SERVERS: [Server; 8] = [
    Server { name: YARDSTICK, fabrics: BOTH, program: Program::Ours("lunette-node"), serve: lunette },
    Server { name: "Lunette-null", fabrics: BOTH, program: Program::Ours("lunette-null"), serve: null },
    Server { name: LEAST, fabrics: BOTH, program: Program::Floor, serve: floor },
    Server { name: "tcmu-runner", fabrics: BOTH, program: Program::Debian, serve: runner },
    Server { name: "tgt", fabrics: &[Fabric::Iscsi], program: Program::Debian, serve: tgt },
    Server { name: "LIO fileio", fabrics: BOTH, program: Program::Debian, serve: fileio },
    Server { name: YARDSTICK_DIRECT, fabrics: LOOP, program: Program::Ours("lunette-node"), serve: lunette_direct },
    Server { name: LEAST_DIRECT, fabrics: LOOP, program: Program::Floor, serve: floor_direct },
];

const BOTH: &[Fabric] = &[Fabric::Loop, Fabric::Iscsi];
const LOOP: &[Fabric] = &[Fabric::Loop];
/// The one that the others are compared with.
pub const YARDSTICK: &str = "Lunette";
/// The least that a server of the ring can do.
pub const LEAST: &str = "floor";
/// Both past the page cache, on a RAM disk.
pub const YARDSTICK_DIRECT: &str = "Lunette-direct";
pub const LEAST_DIRECT: &str = "floor-direct";
/// Its source.
const FLOOR: &str = include_str!("floor/floor.c");

impl Server {
    /// Whether it passes the page cache by, where only small transfers at depth are of interest.
    pub fn is_direct(&self) -> bool {
        self.name.ends_with("-direct")
    }

    /// What the program is, if that may change: it, or its source.
    pub fn identity(&self, layout: &Layout) -> Option<Vec<u8>> {
        match self.program {
            Program::Debian => None,
            Program::Ours(name) => std::fs::read(layout.program(name)).ok(),
            Program::Floor => Some(FLOOR.into()),
        }
    }
}

/// A server that runs.
pub struct Served {
    /// It and what it needs; gone with this value.
    daemons: Vec<Process>,
}

impl Served {
    /// The process to be looked at; none where the kernel serves.
    pub fn pid(&self) -> Option<i32> {
        self.daemons.last().map(Process::pid)
    }
}

/// A VM for one server.
pub struct Guest<'a> {
    /// It.
    pub vm: &'a Vm,
    /// Where it stands.
    pub bed: &'a Bed,
}

impl Guest<'_> {
    /// Runs a line that may use the functions of `guest.sh`.
    pub fn must(&self, line: &str) -> Result<String> {
        self.vm.must(GuestCommand::shell(&self.script(line)).patience(Duration::from_secs(600)))
    }

    fn script(&self, line: &str) -> String {
        format!("set -e; . {FUNCTIONS_AT}; {line}")
    }

    /// Sets a server up until it has a disk for each of its fabrics.
    pub fn serve(&self, server: &Server) -> Result<Served> {
        self.vm.write(FUNCTIONS_AT, FUNCTIONS)?;
        self.must("mkdir -p /srv/bench && mount -t tmpfs -o size=256m bench /srv/bench")?;
        self.vm.start_iscsid()?;
        let served = (server.serve)(self)?;
        for fabric in server.fabrics {
            let disk = self
                .vm
                .wait_for(self.script(&format!("disk {}", fabric.word())), SOON)
                .with_context(|| format!("no disk over {fabric}"))?;
            self.must(&format!("settle {disk}"))?;
        }
        Ok(served)
    }

    fn portal(&self) -> String {
        format!("{}:3260", self.vm.ipv4())
    }

    fn daemon(&self, label: &str, line: &str) -> Result<Process> {
        self.vm.spawn(label, GuestCommand::shell(&format!("exec {line}")).env("RUST_LOG", "warn"))
    }

    /// Exports a backstore over both fabrics, and logs in.
    fn export(&self, backstore: &str) -> Result<()> {
        let (portal, initiator) = (self.portal(), self.vm.initiator_name());
        self.must(&format!(
            "export_loop {backstore}; export_iscsi {backstore} {IQN} {portal} {initiator}; login {IQN} {portal}"
        ))
        .map(drop)
    }

    fn program(&self, name: &str) -> String {
        self.bed.ground().layout().program(name).display().to_string()
    }

    /// Waits for Lunette's own target, logs in, and makes a loop device of its backstore beside it.
    fn join_lunette(&self) -> Result<()> {
        let enabled = "grep -qs 1 /sys/kernel/config/target/iscsi/iqn.2026-01.io.lunette:*/tpgt_1/enable";
        self.vm.wait_for(enabled, SOON)?;
        let iqn = "$(basename /sys/kernel/config/target/iscsi/iqn.2026-01.io.lunette:*)";
        let backstore = "$(cd $core && echo user_*/lunette-*)";
        self.must(&format!("login {iqn} {}; export_loop {backstore}", self.portal())).map(drop)
    }
}

fn lunette(guest: &Guest) -> Result<Served> {
    serve_pool(guest, "/srv/bench", "Auto")
}

fn lunette_direct(guest: &Guest) -> Result<Served> {
    guest.must(RAM_DISK)?;
    serve_pool(guest, "/srv/direct", "Direct")
}

/// ext4 on a RAM disk, where the page cache can be passed by.
const RAM_DISK: &str =
    "modprobe brd rd_nr=1 rd_size=131072; mkfs.ext4 -q /dev/ram0; mkdir -p /srv/direct; mount /dev/ram0 /srv/direct";

fn serve_pool(guest: &Guest, path: &str, io: &str) -> Result<Served> {
    let manifest = format!(
        "apiVersion: lunette.io/v1alpha1
kind: LunPool
metadata: {{name: files}}
spec: {{directory: {{path: {path}/pool, io: {io}}}}}
---
apiVersion: lunette.io/v1alpha1
kind: Lun
metadata: {{name: bench}}
spec: {{pool: files, size: {SIZE}, initiators: [{{iqn: '{}'}}]}}
",
        guest.vm.initiator_name()
    );
    guest.must(&format!("mkdir -p {path}/pool /srv/manifests"))?;
    guest.vm.write("/srv/manifests/bench.yaml", &manifest)?;
    let agent = guest.daemon(
        "agent",
        &format!(
            "{} serve --manifests /srv/manifests --state-dir /srv/state --node bench --portal {}",
            guest.program("lunette-node"),
            guest.portal()
        ),
    )?;
    guest.join_lunette()?;
    Ok(Served { daemons: vec![agent] })
}

fn null(guest: &Guest) -> Result<Served> {
    guest.must("modprobe -a target_core_user iscsi_target_mod")?;
    let line = format!(
        "{} --size {SIZE} --portal {} --initiator {}",
        guest.program("lunette-null"),
        guest.portal(),
        guest.vm.initiator_name()
    );
    let server = guest.daemon("null", &line)?;
    guest.join_lunette()?;
    Ok(Served { daemons: vec![server] })
}

fn floor(guest: &Guest) -> Result<Served> {
    serve_least(guest, FILE, "")
}

fn floor_direct(guest: &Guest) -> Result<Served> {
    guest.must(RAM_DISK)?;
    serve_least(guest, "/srv/direct/file", "direct")
}

fn serve_least(guest: &Guest, file: &str, how: &str) -> Result<Served> {
    let program = compiled(guest.bed.ground().layout().checkout())?;
    guest.must(&format!(
        "modprobe target_core_user; truncate -s {SIZE} {file}; cd $core; mkdir -p user_0/floor; \
         echo dev_config=floor/{file},dev_size={SIZE},hw_block_size=512 >user_0/floor/control; echo 1 >user_0/floor/enable"
    ))?;
    let server = guest.daemon("floor", &format!("{program} /dev/uio0 {file} {how}"))?;
    guest.export("user_0/floor")?;
    Ok(Served { daemons: vec![server] })
}

/// Compiles the floor; where it is.
fn compiled(checkout: &Path) -> Result<String> {
    let program = checkout.join("target/bench/floor").display().to_string();
    let source = checkout.join("tests/perf/floor/floor.c");
    host::run(Command::new("cc").args(["-O2", "-Wall", "-Wextra", "-o", &program]).arg(source))?;
    Ok(program)
}

/// Its qcow handler on a raw file: the only one in Debian that serves a file.
fn runner(guest: &Guest) -> Result<Served> {
    guest.must(&format!("modprobe target_core_user; truncate -s {SIZE} {FILE}; mkdir -p /run/dbus"))?;
    let bus = guest.daemon("dbus", "dbus-daemon --system --nofork --nopidfile")?;
    guest.vm.wait_for("test -S /run/dbus/system_bus_socket", SOON)?;
    let server = guest.daemon(
        "tcmu-runner",
        "tcmu-runner --handler-path /usr/lib/x86_64-linux-gnu/tcmu-runner --tcmu-log-dir /tmp",
    )?;
    let owned = "dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetNameOwner string:org.kernel.TCMUService1";
    guest.vm.wait_for(owned, SOON)?;
    guest.must(&format!(
        "cd $core; mkdir -p user_0/qcow; echo dev_config=qcow/{FILE},dev_size={SIZE},hw_block_size=512 >user_0/qcow/control; \
         echo 1 >user_0/qcow/enable"
    ))?;
    guest.export("user_0/qcow")?;
    Ok(Served { daemons: vec![bus, server] })
}

fn tgt(guest: &Guest) -> Result<Served> {
    guest.must(&format!("truncate -s {SIZE} {FILE}"))?;
    let server = guest.daemon("tgtd", &format!("tgtd --foreground --iscsi portal={}", guest.portal()))?;
    guest.vm.wait_for("tgtadm --lld iscsi --mode system --op show", SOON)?;
    guest.must(&format!(
        "tgtadm --lld iscsi --mode target --op new --tid 1 -T {IQN}
         tgtadm --lld iscsi --mode logicalunit --op new --tid 1 --lun 1 -b {FILE}
         tgtadm --lld iscsi --mode target --op bind --tid 1 -I ALL
         login {IQN} {}",
        guest.portal()
    ))?;
    Ok(Served { daemons: vec![server] })
}

fn fileio(guest: &Guest) -> Result<Served> {
    guest.must(&format!(
        "modprobe -a target_core_mod target_core_file; truncate -s {SIZE} {FILE}; cd $core; mkdir -p fileio_0/file; \
         echo fd_dev_name={FILE},fd_dev_size={SIZE} >fileio_0/file/control; echo 1 >fileio_0/file/enable"
    ))?;
    guest.export("fileio_0/file")?;
    Ok(Served { daemons: vec![] })
}
