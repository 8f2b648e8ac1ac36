//! A node whose disk loses what was not flushed to it: its power is cut again and again, on paper.
//!
//! The node's disk logs its writes and flushes ([`lunette_bed::WriteLog`]). Recorders on the node write through
//! LUNs of it, and mark on the same disk what was acknowledged as durable. So the log says, for any moment, what had
//! been acknowledged and what the disk may hold if the power goes then: all up to the last flush, and any part
//! of the rest. Each such image is checked as a boot would do it: the pool's file system recovers and is clean, every
//! acknowledged record is there, and so it is for a file system within a LUN.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use lunette_bed::{
    Bed, Context, DiskSpec, Durable, GuestCommand, Process, RECORD, Recorder, Replay, Result, Vm, VmSpec, WriteLog,
    host,
};
use serde_json::Value;

use super::manifest::{lun_in, pool_at};
use super::site::{SOON, agent_binary, patiently, say};

/// Bytes of the node's disk; the last of them are for marks.
const DISK: u64 = 256 << 20;
const MARKS: u64 = 1 << 20;
/// Records of one recorder at most: its part of a LUN.
const MOST: u64 = 2048;
/// The file of records in the LUN that has a file system.
const FILE: &str = "/mnt/records";

/// The LUNs and the folders of their pools.
const LUNS: [(&str, &str); 3] = [("direct", "files"), ("buffered", "cached"), ("formatted", "files")];

/// Who writes: through which LUN, from which record of it on, and how they are made durable. The records of the last are
/// not: some of them have to be lost, or this test proves nothing.
const RECORDERS: [(&str, u64, Durable); 6] = [
    ("direct", 0, Durable::Flush),
    ("direct", MOST, Durable::Fua),
    ("buffered", 0, Durable::Flush),
    ("buffered", MOST, Durable::Fua),
    ("formatted", 0, Durable::File),
    ("buffered", 2 * MOST, Durable::Never),
];

pub fn a_disk_that_loses_what_was_not_flushed_loses_nothing_acknowledged(context: &Context) -> Result<()> {
    cut(context, 10, 30)
}

pub fn a_hundred_power_cuts_lose_nothing_acknowledged(context: &Context) -> Result<()> {
    cut(context, 100, 300)
}

/// So many cuts, in work in which each recorder writes at least so many records.
fn cut(context: &Context, cuts: usize, records: usize) -> Result<()> {
    let bed = context.bed()?;
    let vm = Vm::boot(&bed, VmSpec::new("lossy").disk(DiskSpec::empty("pool", DISK).logged()))?;
    prepare(&vm)?;
    let agent = serve(&bed, &vm)?;
    let recorders = recorders(&bed, &vm)?;
    record(&bed, &vm, &recorders, records)?;
    let volumes = volumes(&bed, &vm)?;
    // Its last flush ends the log.
    vm.must("sync")?;
    vm.dmesg_must_be_clean()?;
    vm.power_cut()?;
    drop(agent);
    let log = vm.write_log("pool")?;
    Inspection { folder: bed.folder(), log: &log, recorders: &recorders, volumes: &volumes }.of(cuts)
}

/// The disk in two parts, and the manifests.
fn prepare(vm: &Vm) -> Result<()> {
    let (marks, pool) = (MARKS / 512, (DISK - MARKS) / 512);
    vm.must(format!(
        "export DM_DISABLE_UDEV=1; modprobe -a dm_mod sd_mod && \
         dmsetup create pool --table '0 {pool} linear /dev/vda 0' && \
         dmsetup create marks --table '0 {marks} linear /dev/vda {pool}' && \
         mkfs.ext4 -q -J size=4 -E lazy_itable_init=0 /dev/mapper/pool && mount /dev/mapper/pool /srv && \
         mkdir -p /srv/files /srv/cached"
    ))?;
    let lun = |pool, name| lun_in(pool, name, "32Mi", "{nodeName: lossy}", "");
    let manifests = [
        pool_at("files", "path: /srv/files, io: Direct"),
        pool_at("cached", "path: /srv/cached, io: Buffered"),
        lun("files", "direct"),
        lun("cached", "buffered"),
        lun("files", "formatted"),
    ];
    vm.write("/etc/lunette/all.yaml", &manifests.concat())
}

fn serve(bed: &Bed, vm: &Vm) -> Result<Process> {
    let line = format!(
        "exec {} serve --manifests /etc/lunette --state-dir /srv/state --node lossy --portal {}:3260",
        agent_binary(bed).display(),
        vm.ipv4()
    );
    vm.spawn("agent", GuestCommand::shell(&line))
}

/// Makes the LUNs disks of the node, and says who writes where on them.
fn recorders(bed: &Bed, vm: &Vm) -> Result<Vec<Recorder>> {
    let disk = |name: &str| -> Result<String> {
        let line = format!("{} attach default/{name} --timeout 60", agent_binary(bed).display());
        let said = patiently(SOON, || vm.must(&line))?;
        said.split_whitespace().last().map(str::to_owned).context("attach prints nothing")
    };
    let (direct, buffered, formatted) = (disk("direct")?, disk("buffered")?, disk("formatted")?);
    vm.must(format!("mkfs.ext4 -q -J size=4 {formatted} && mount {formatted} /mnt"))?;
    let recorder = |(number, (lun, first, durable)): (usize, &(&str, u64, Durable))| Recorder {
        target: PathBuf::from(match *lun {
            "direct" => &direct,
            "buffered" => &buffered,
            _ => FILE,
        }),
        first: *first,
        most: MOST,
        durable: *durable,
        marks: PathBuf::from("/dev/mapper/marks"),
        mark: number as u64,
        until: PathBuf::from("/tmp/enough"),
    };
    Ok(RECORDERS.iter().enumerate().map(recorder).collect())
}

fn record(bed: &Bed, vm: &Vm, recorders: &[Recorder], records: usize) -> Result<()> {
    let spawn = |recorder: &Recorder| vm.spawn("recorder", recorder.command(bed).patience(4 * SOON));
    let mut running: Vec<Process> = recorders.iter().map(spawn).collect::<Result<_>>()?;
    for recorder in &mut running {
        for _ in 0..records {
            recorder.next_line(SOON)?.context("a recorder ended early")?;
        }
    }
    vm.must("touch /tmp/enough")?;
    running.into_iter().try_for_each(|recorder| recorder.wait_at_most(SOON)?.ok().map(drop))
}

/// Where the volume of each of [`LUNS`] is in the pool's file system.
fn volumes(bed: &Bed, vm: &Vm) -> Result<Vec<String>> {
    let status: Value = serde_json::from_str(&vm.must(format!("{} status -o json", agent_binary(bed).display()))?)?;
    let items = status["items"].as_array().context("status is no List")?;
    let volume = |(name, pool): &(&str, &str)| {
        let lun = items.iter().find(|lun| lun["metadata"]["name"] == *name);
        let uid = lun.and_then(|lun| lun["metadata"]["uid"].as_str()).context("a Lun has no UID")?;
        Ok(format!("/{pool}/{uid}/data"))
    };
    LUNS.iter().map(volume).collect()
}

/// Looks at what the disk holds after each cut.
struct Inspection<'a> {
    folder: PathBuf,
    log: &'a WriteLog,
    recorders: &'a [Recorder],
    volumes: &'a [String],
}

/// What one cut showed.
#[derive(Default)]
struct Found {
    /// Records that had been acknowledged as durable.
    acknowledged: u64,
    /// Records of the careless one that are gone.
    lost: u64,
}

impl Inspection<'_> {
    /// Cuts the power that often, at random moments while all recorders were at work.
    fn of(&self, cuts: usize) -> Result<()> {
        let marks = self.recorders.iter().map(|recorder| self.marks(recorder)).collect::<Result<Vec<_>>>()?;
        let first = marks.iter().filter_map(|marks| marks.first()).map(|(number, _)| *number).max().unwrap_or(0);
        let mut chance = Chance(0x1f2e_3d4c_5b6a_7988);
        let mut moments: Vec<usize> = (0..cuts).map(|_| chance.between(first + 1, self.log.len())).collect();
        moments.sort_unstable();
        let mut replay = Replay::new(self.log, &self.folder.join("replayed"))?;
        let mut found = Found::default();
        for moment in moments {
            replay.cut(moment, &self.image(), |_| chance.between(0, 2) == 1)?;
            let last =
                |marks: &Vec<(usize, u64)>| marks.iter().rfind(|(number, _)| *number < moment).map(|mark| mark.1);
            let marked: Vec<Option<u64>> = marks.iter().map(last).collect();
            self.look(&marked, &mut found).with_context(|| format!("cut after {moment} requests to the disk"))?;
        }
        let Found { acknowledged, lost } = found;
        ensure!(lost > 0, "of the records that nobody flushed none was lost: the cuts cut nothing");
        say(&format!(
            "{cuts} power cuts in {} requests to the disk: {acknowledged} times an acknowledged record was there, never it was not; \
             of those that nobody had flushed {lost} were lost",
            self.log.len()
        ));
        Ok(())
    }

    /// When each of a recorder's marks was on its way, and what it says.
    fn marks(&self, recorder: &Recorder) -> Result<Vec<(usize, u64)>> {
        let at = DISK - MARKS + recorder.mark_at();
        let read = |(number, bytes): (usize, Vec<u8>)| Recorder::marked(&bytes).map(|record| (number, record));
        let marks: Vec<_> = self.log.writes_at(at, 64)?.into_iter().filter_map(read).collect();
        ensure!(!marks.is_empty(), "recorder {} has left no mark in the log", recorder.mark);
        Ok(marks)
    }

    /// Recovers and checks one image: all up to the records that are `marked` has to be there.
    fn look(&self, marked: &[Option<u64>], found: &mut Found) -> Result<()> {
        recover(&self.image()).context("the pool's file system")?;
        let volumes = self.volumes.iter().zip(LUNS).map(|(volume, (name, _))| {
            let to = self.folder.join(name);
            dump(&self.image(), volume, &to).map(|()| to)
        });
        let volumes: Vec<PathBuf> = volumes.collect::<Result<_>>()?;
        let file = self.folder.join("records");
        recover(&volumes[2]).context("the file system in a LUN")?;
        dump(&volumes[2], "/records", &file)?;
        for ((recorder, (lun, ..)), last) in self.recorders.iter().zip(RECORDERS).zip(marked) {
            let place = LUNS.iter().position(|(name, _)| *name == lun).context("no such LUN")?;
            let bytes = std::fs::read(if recorder.durable == Durable::File { &file } else { &volumes[place] })?;
            let all = last.map_or(0, |last| last + 1);
            let lost: Vec<u64> = (0..all).filter(|number| !is_there(recorder, *number, &bytes)).collect();
            if recorder.durable == Durable::Never {
                found.lost += lost.len() as u64;
            } else {
                ensure!(
                    lost.is_empty(),
                    "of {all} records acknowledged by {:?} on {lun} these are lost: {lost:?}",
                    recorder.durable
                );
                found.acknowledged += all;
            }
        }
        Ok(())
    }

    fn image(&self) -> PathBuf {
        self.folder.join("image")
    }
}

fn is_there(recorder: &Recorder, number: u64, bytes: &[u8]) -> bool {
    let at = usize::try_from(recorder.first + number).map_or(usize::MAX, |number| number * RECORD);
    bytes.get(at..at + RECORD).is_some_and(|there| there == recorder.content(number))
}

/// What a boot does: replays the journal and mends what belongs to that. Afterwards nothing may be left to mend.
fn recover(image: &Path) -> Result<()> {
    let mended = host::capture(Command::new("e2fsck").arg("-p").arg(image), b"")?;
    ensure!(
        mended.status.code().is_some_and(|code| code <= 1),
        "e2fsck does not dare to mend it:\n{}",
        String::from_utf8_lossy(&mended.stdout)
    );
    host::run(Command::new("e2fsck").arg("-fn").arg(image)).context("it is not clean").map(drop)
}

/// Copies a file out of an image.
fn dump(image: &Path, file: &str, to: &Path) -> Result<()> {
    // A file that does not exist is no failure to debugfs, and must not be one of an earlier cut.
    std::fs::write(to, b"")?;
    let request = format!("dump {file} {}", to.display());
    host::run(Command::new("debugfs").args(["-R", &request]).arg(image)).map(drop)
}

/// Numbers by chance, the same in every run (splitmix64).
struct Chance(u64);

impl Chance {
    /// At least `from`, less than `to`.
    fn between(&mut self, from: usize, to: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        from + usize::try_from(mixed >> 33).unwrap_or(0) % to.saturating_sub(from).max(1)
    }
}
