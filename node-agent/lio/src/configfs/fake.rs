//! The kernel's rules for the target's configfs, in memory, for tests.
//!
//! As strict as the kernel: default directories and attributes appear with `mkdir`, a linked object cannot be removed,
//! a device is enabled once, a bad value is EINVAL. What each rule rests on is said beside it; `objects` has the rules
//! of configfs itself, `device` those of TCMU, `iscsi` and `loopback` those of the fabrics.
//!
//! Beyond the kernel it can fail at a chosen change, sleep in one, and tell whose sessions have been ended.

mod device;
mod iscsi;
mod loopback;
mod objects;

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;

use super::{Configfs, Entry};
use crate::iqn::Iqn;
use crate::node::Node;
use objects::{Item, Kind, Objects, Rule};

/// An in-memory kernel.
#[derive(Debug)]
pub struct Fake {
    kernel: Mutex<Kernel>,
    woken: Condvar,
}

#[derive(Debug)]
struct Kernel {
    objects: Objects,
    /// UIO minor numbers, by device directory.
    uio: BTreeMap<String, u32>,
    /// Who is logged in: (TPG directory, initiator).
    sessions: Vec<(String, String)>,
    /// Portals that some other program holds.
    occupied: Vec<String>,
    acl_authentication: bool,
    has_loopback: bool,
    /// SCSI hosts made so far: the next one's number.
    scsi_hosts: u32,
    /// Changes asked for so far, done or refused.
    changes: usize,
    fail_at: Option<usize>,
    sleep_at: Option<usize>,
}

impl Default for Fake {
    fn default() -> Fake {
        Fake::new()
    }
}

impl Fake {
    /// A kernel (6.1 or later) with its modules loaded and no objects.
    pub fn new() -> Fake {
        let mut objects = Objects::default();
        objects.add_directory("", Kind::Root, true);
        objects.add_directory("core", Kind::Core, true);
        let kernel = Kernel {
            objects,
            uio: BTreeMap::new(),
            sessions: Vec::new(),
            occupied: Vec::new(),
            acl_authentication: true,
            has_loopback: true,
            scsi_hosts: 0,
            changes: 0,
            fail_at: None,
            sleep_at: None,
        };
        Fake { kernel: Mutex::new(kernel), woken: Condvar::new() }
    }

    /// A kernel of before 6.1: an ACL cannot say whether it demands CHAP.
    pub fn without_acl_authentication() -> Fake {
        let fake = Fake::new();
        fake.lock().acl_authentication = false;
        fake
    }

    /// A kernel without tcm_loop: no local disks.
    pub fn without_loopback() -> Fake {
        let fake = Fake::new();
        fake.lock().has_loopback = false;
        fake
    }

    /// The `k`-th change from now on (counted from 0) fails with EIO and does nothing; `None`: no more failures.
    pub fn fail_at(&self, k: Option<usize>) {
        let mut kernel = self.lock();
        kernel.fail_at = k.map(|k| kernel.changes + k);
    }

    /// The `k`-th change from now on sleeps, as in an uninterruptible wait, until [`Fake::wake`].
    pub fn sleep_at(&self, k: usize) {
        let mut kernel = self.lock();
        kernel.sleep_at = Some(kernel.changes + k);
    }

    /// Lets the sleeping change go on.
    pub fn wake(&self) {
        self.lock().sleep_at = None;
        self.woken.notify_all();
    }

    /// How many changes were asked for so far.
    pub fn changes(&self) -> usize {
        self.lock().changes
    }

    /// Has an attribute print this, whatever the kernel's rules.
    pub fn overwrite(&self, attr: &Node, text: &str) {
        self.lock().objects.set(attr.as_str(), text.to_owned());
    }

    /// Has another program listen on this portal.
    pub fn occupy(&self, portal: &str) {
        self.lock().occupied.push(portal.to_owned());
    }

    /// Logs an initiator in, if the target lets it; whether it did. CHAP is taken as proved.
    pub fn login(&self, target: &Iqn, initiator: &Iqn) -> bool {
        self.lock().login(target, initiator)
    }

    /// Whether this initiator has a session with this target.
    pub fn is_logged_in(&self, target: &Iqn, initiator: &Iqn) -> bool {
        let tpg = format!("iscsi/{target}/tpgt_1");
        self.lock().sessions.iter().any(|(at, who)| *at == tpg && who == initiator.as_str())
    }

    /// Everything there is, path to text: to see that something was left as it was.
    pub fn dump(&self) -> BTreeMap<String, String> {
        self.lock().objects.dump()
    }

    /// The UIO devices: minor number and name.
    pub fn uio_devices(&self) -> Vec<(u32, String)> {
        self.lock().uio_names()
    }

    fn lock(&self) -> MutexGuard<'_, Kernel> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a change, and fails or sleeps if this is the one.
    fn begin(&self) -> Result<MutexGuard<'_, Kernel>, Errno> {
        let mut kernel = self.lock();
        let this = kernel.changes;
        kernel.changes += 1;
        if kernel.fail_at == Some(this) {
            return Err(Errno::EIO);
        }
        while kernel.sleep_at == Some(this) {
            kernel = self.woken.wait(kernel).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(kernel)
    }
}

impl Configfs for Fake {
    fn list(&self, directory: &Node) -> Result<Vec<Entry>, Errno> {
        self.lock().objects.list(directory.as_str())
    }

    fn read(&self, attr: &Node) -> Result<String, Errno> {
        self.lock().read(attr.as_str())
    }

    fn write_once(&self, attr: &Node, bytes: &[u8]) -> Result<(), Errno> {
        let text = std::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?;
        self.begin()?.write(attr.as_str(), text)
    }

    fn mkdir(&self, directory: &Node) -> Result<(), Errno> {
        self.begin()?.mkdir(directory.as_str())
    }

    fn rmdir(&self, directory: &Node) -> Result<(), Errno> {
        self.begin()?.rmdir(directory.as_str())
    }

    fn symlink(&self, link: &Node, to: &Node) -> Result<(), Errno> {
        self.begin()?.symlink(link.as_str(), to.as_str())
    }

    fn unlink(&self, link: &Node) -> Result<(), Errno> {
        self.begin()?.unlink(link.as_str())
    }

    fn read_link(&self, link: &Node) -> Result<Node, Errno> {
        let kernel = self.lock();
        let to = kernel.objects.link(link.as_str())?;
        Node::of_absolute("/".as_ref(), format!("/{to}").as_ref()).ok_or(Errno::EXDEV)
    }

    fn uio_minor(&self, name: &str) -> Result<Option<u32>, Errno> {
        Ok(self.uio_devices().into_iter().find(|(_, other)| other == name).map(|(minor, _)| minor))
    }
}

impl Kernel {
    fn mkdir(&mut self, path: &str) -> Result<(), Errno> {
        let (parent, name) = objects::split(path);
        let kind = self.objects.kind(parent)?;
        if self.objects.exists(path) {
            return Err(Errno::EEXIST);
        }
        match kind {
            Kind::Root => self.make_fabric(path, name),
            Kind::Core => self.make_hba(path, name),
            Kind::Hba => self.make_device(path),
            Kind::Iscsi => self.make_target(path, name),
            Kind::Loopback => self.make_loop_target(path, name),
            Kind::LoopTarget => self.make_loop_tpg(path, name),
            Kind::LoopAcls => self.make_loop_acl(path, name),
            Kind::Target => self.make_tpg(path, name),
            Kind::Portals => self.make_portal(path, name),
            Kind::Luns => self.make_lun(path, name),
            Kind::Acls => self.make_acl(path, parent, name),
            Kind::Acl => self.make_mapped_lun(path, name),
            // A group without make_group (configfs_mkdir).
            _ => Err(Errno::EPERM),
        }
    }

    fn rmdir(&mut self, path: &str) -> Result<(), Errno> {
        if self.waits_for_ever(path) {
            return Err(Errno::EDEADLK);
        }
        self.objects.remove_directory(path)?;
        self.uio.remove(path);
        self.end_sessions(|(tpg, who)| *tpg == *path || format!("{tpg}/acls/{who}") == path);
        Ok(())
    }

    fn symlink(&mut self, link: &str, to: &str) -> Result<(), Errno> {
        let (directory, _) = objects::split(link);
        let kind = self.objects.kind(directory)?;
        // The path is walked as any other: a link on the way is followed (`kern_path`).
        let target = self.objects.kind(self.objects.link(to).unwrap_or(to))?;
        if self.objects.exists(link) {
            return Err(Errno::EEXIST);
        }
        match kind {
            Kind::Lun => self.link_lun(directory, to, target)?,
            Kind::MappedLun => self.link_mapped_lun(directory, to, target)?,
            // No allow_link (configfs_symlink).
            _ => return Err(Errno::EPERM),
        }
        self.objects.add(link, Item::Link(to.to_owned()));
        Ok(())
    }

    fn unlink(&mut self, link: &str) -> Result<(), Errno> {
        self.objects.link(link)?;
        self.objects.remove(link);
        self.unlinked(objects::split(link).0);
        Ok(())
    }

    fn read(&self, attr: &str) -> Result<String, Errno> {
        let (text, rule) = self.objects.attribute(attr)?;
        match rule {
            // configfs opens an attribute without a show function for writing only.
            Rule::Control | Rule::ResetRing | Rule::FreeKeptBuf => Err(Errno::EACCES),
            Rule::UnitSerial => Ok(format!("T10 VPD Unit Serial Number: {text}\n")),
            Rule::Info => Ok(self.session_info(attr)),
            Rule::AuthenticateTarget => Ok(iscsi::authenticates_target(self, attr).to_owned()),
            Rule::WriteProtect if text.is_empty() => Ok(String::new()),
            Rule::Nexus if text.is_empty() => Err(Errno::ENODEV),
            _ => Ok(format!("{text}\n")),
        }
    }

    fn write(&mut self, attr: &str, text: &str) -> Result<(), Errno> {
        let (old, rule) = self.objects.attribute(attr)?;
        let old = old.to_owned();
        let new = match rule {
            Rule::ReadOnly | Rule::Info | Rule::AuthenticateTarget => Err(Errno::EACCES),
            Rule::Number(least, most) => number(text, least, most).map(|number| number.to_string()),
            Rule::Word(words) => one_of(text, words),
            Rule::Chap => iscsi::chap(text),
            Rule::Methods => iscsi::methods(text),
            Rule::Control => self.control(attr, text).map(|()| old),
            Rule::DeviceEnable => self.enable_device(attr, text),
            Rule::Reconfigured => self.reconfigure(attr, text),
            Rule::UnlessExported => self.unless_exported(attr, text),
            Rule::UnitSerial => self.unit_serial(attr, text),
            Rule::BlockDev => self.block_dev(attr, text),
            Rule::ResetRing => self.reset_ring(attr, text).map(|()| old),
            Rule::FreeKeptBuf => self.free_kept_buf(attr, text).map(|()| old),
            Rule::TpgEnable => self.enable_tpg(attr, &old, text),
            Rule::Authentication => self.authentication(attr, text),
            Rule::CmdsnDepth => self.cmdsn_depth(attr, &old, text),
            Rule::WriteProtect => iscsi::write_protect(&old, text),
            Rule::Nexus => self.nexus(attr, &old, text),
        }?;
        self.objects.set(attr, new);
        Ok(())
    }
}

/// `kstrtol` and its like: one newline at the end is allowed.
fn number(text: &str, least: i64, most: i64) -> Result<i64, Errno> {
    let number = text.strip_suffix('\n').unwrap_or(text).parse().map_err(|_| Errno::EINVAL)?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(Errno::EINVAL) }
}

fn one_of(text: &str, words: &[&str]) -> Result<String, Errno> {
    let word = text.strip_suffix('\n').unwrap_or(text);
    words.contains(&word).then(|| word.to_owned()).ok_or(Errno::EINVAL)
}

#[cfg(test)]
mod tests;
