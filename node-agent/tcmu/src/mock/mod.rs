//! The other side of the ring, for tests: what `target_core_user` does, over a memfd.
//!
//! [`Kernel`] queues commands, padding and task management, hands out data blocks, walks the slots
//! between its last place and the tail when it is kicked, holds commands back when there is no room,
//! and can be expired, blocked, reset and removed, as the functions of TCU that are named here do. It
//! has its own mapping and its own end of a socket in place of the UIO file, so agent and kernel may
//! run in different threads. Where the real kernel would hang or corrupt itself, it panics: that is a
//! failed test. It can also lie, through `poke`, where the real one is trusted.

mod blocks;
mod command;
pub mod hostile;
mod kept;
mod lies;
mod memory;
mod uio;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use blocks::Blocks;
use command::{Queued, Running};
use memory::Memory;
use uio::Uio;

pub use command::{Completion, Request};

use crate::abi::{capability, command as layout, header, mailbox, op, tmr, uflag};
use crate::{Claim, Device, Ring, SENSE_SIZE, cursor};

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Mailbox and ring together, in bytes; a multiple of 8.
    pub ring_bytes: u32,
    /// Blocks of the data area.
    pub blocks: usize,
    /// Bytes of a block.
    pub block_size: usize,
    /// Mailbox flags; as Linux 6.1 sets them by default.
    pub flags: u16,
}

impl Default for Config {
    /// A small ring, so that tests wrap it, and 4 MiB of data.
    fn default() -> Self {
        Self { ring_bytes: 16 << 10, blocks: 1024, block_size: 4096, flags: 0xf }
    }
}

/// One command, from submission to [`Kernel::take`]. Unlike a `cmd_id` it is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u64);

/// SAM status codes and the one sense that the kernel makes by itself.
mod status {
    pub const CHECK_CONDITION: u8 = 2;
    pub const BUSY: u8 = 8;
    pub const TASK_SET_FULL: u8 = 0x28;
}

/// A kernel with one TCMU device.
pub struct Kernel {
    config: Config,
    memory: Memory,
    uio: Uio,
    blocks: Blocks,
    /// What stands in the ring, oldest first: offset and `len_op` as written.
    entries: VecDeque<(u32, u32)>,
    head: u32,
    /// `cmdr_last_cleaned`.
    cleaned: u32,
    /// By `cmd_id`.
    running: BTreeMap<u16, Running>,
    /// Answered, with their buffers left to the agent; by `cmd_id`.
    kept: BTreeMap<u16, Running>,
    /// `qfull_queue`.
    waiting: VecDeque<(Tag, Request)>,
    done: BTreeMap<Tag, Completion>,
    tags: u64,
    blocked: bool,
    broken: bool,
    /// See [`Kernel::recreate`].
    incarnation: u64,
}

impl Kernel {
    /// A kernel whose device has just been enabled.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let ring = config.ring_bytes as usize;
        let memory = Memory::new(ring + config.blocks * config.block_size);
        memory.store(mailbox::VERSION, crate::abi::MAILBOX_VERSION);
        memory.store(mailbox::FLAGS, config.flags);
        memory.store(mailbox::CMDR_OFF, ring_off());
        memory.store(mailbox::CMDR_SIZE, config.ring_bytes - ring_off());
        Self {
            config,
            memory,
            uio: Uio::new(),
            blocks: Blocks::new(config.blocks),
            entries: VecDeque::new(),
            head: 0,
            cleaned: 0,
            running: BTreeMap::new(),
            kept: BTreeMap::new(),
            waiting: VecDeque::new(),
            done: BTreeMap::new(),
            tags: 0,
            blocked: false,
            broken: false,
            incarnation: 1,
        }
    }

    /// The device was removed and another made in its place, under the same name.
    pub fn recreate(&mut self) {
        let (config, incarnation) = (self.config, self.incarnation + 1);
        *self = Self { incarnation, ..Self::new(config) };
    }

    /// The device as an agent has it once opened. Call it again to play a restarted agent.
    #[must_use]
    pub fn claim(&mut self) -> Claim {
        self.claim_named("tcm-user/0/mock/lunette/mock")
    }

    /// The same, under the name that sysfs gives it.
    #[must_use]
    pub fn claim_named(&mut self, name: &str) -> Claim {
        self.free_all_kept();
        Claim::new(self.uio.open(), self.memory.second_mapping(), name.into(), self.incarnation)
    }

    /// The device and its ring, attached.
    ///
    /// # Panics
    /// If the mailbox has been made unusable.
    #[must_use]
    pub fn device(&mut self) -> (Device, Ring) {
        self.claim().attach().expect("the mock's mailbox is of the version we know")
    }

    /// Submits a command and notifies the device, or holds the command back while there is no room (`tcmu_queue_cmd`).
    pub fn submit(&mut self, request: Request) -> Tag {
        self.tags += 1;
        let tag = Tag(self.tags);
        if self.waiting.is_empty() {
            self.queue_or_wait(tag, request);
        } else {
            self.waiting.push_back((tag, request));
        }
        tag
    }

    /// The answer to a command, once it has one. It can be taken once.
    pub fn take(&mut self, tag: Tag) -> Option<Completion> {
        self.done.remove(&tag)
    }

    /// Handles kicks as they come until `tag` is answered, for up to `timeout`.
    pub fn wait(&mut self, tag: Tag, timeout: Duration) -> Option<Completion> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(completion) = self.take(tag) {
                return Some(completion);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            if self.uio.wait_kick(left) {
                self.harvest();
            }
        }
    }

    /// `irqcontrol`, if the device was kicked; whether it was.
    pub fn handle_kick(&mut self) -> bool {
        let kicked = self.uio.wait_kick(Duration::ZERO);
        if kicked {
            self.harvest();
        }
        kicked
    }

    /// How often the device was kicked, as far as handled.
    #[must_use]
    pub fn kicks(&self) -> usize {
        self.uio.kicks()
    }

    /// The `cmd_id` of a command that is in the ring or was answered without being completed by the agent.
    #[must_use]
    pub fn cmd_id(&self, tag: Tag) -> Option<u16> {
        self.running.iter().find(|(_, running)| running.tag == tag).map(|(id, _)| *id)
    }

    /// Commands held back for want of room.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Commands in the ring, or expired and not yet completed by the agent.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Data blocks in use.
    #[must_use]
    pub fn blocks_in_use(&self) -> usize {
        self.blocks.in_use()
    }

    /// Whether a completion with an unknown id broke the ring (`TCMU_DEV_BIT_BROKEN`).
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether every entry has been handed back.
    #[must_use]
    pub fn ring_is_empty(&self) -> bool {
        self.cleaned == self.head
    }

    /// Announces a task management function (`tcmu_queue_tmr_ring`); `false` if there is no room.
    pub fn task_management(&mut self, kind: u8, cmd_ids: &[u16]) -> bool {
        let len = (tmr::SIZE + 2 * u32::try_from(cmd_ids.len()).expect("few ids")).next_multiple_of(8);
        let Some(at) = self.reserve(len) else { return false };
        self.write_header(at, len | op::TMR, 0);
        let base = self.base(at);
        self.memory.store(base + tmr::TYPE, kind);
        self.memory.store(base + tmr::CMD_CNT, u32::try_from(cmd_ids.len()).expect("few ids"));
        for (i, id) in cmd_ids.iter().enumerate() {
            self.memory.store(base + tmr::CMD_IDS + 2 * i, *id);
        }
        self.announce(at, len);
        true
    }

    /// The command timed out: the initiator gets an error now, the slot and the blocks stay taken until
    /// the agent answers (`tcmu_check_expired_ring_cmd`).
    pub fn expire(&mut self, tag: Tag) {
        for running in self.running.values_mut().filter(|r| r.tag == tag && !r.expired) {
            running.expired = true;
            self.done.insert(tag, Completion::communication_failure());
        }
    }

    /// `action/block_dev`: new commands are answered BUSY; on unblocking nothing is replayed.
    pub fn block(&mut self, blocked: bool) {
        self.blocked = blocked;
        if blocked {
            self.harvest_completions();
            for (tag, _) in self.waiting.drain(..) {
                self.done.insert(tag, Completion::of_status(status::BUSY));
            }
        }
    }

    /// `action/reset_ring`: 1 answers all that runs with BUSY, 2 with an error (`tcmu_reset_ring`).
    pub fn reset_ring(&mut self, level: u8) {
        self.harvest_completions();
        for (_, running) in std::mem::take(&mut self.running) {
            self.blocks.free(&running.out_blocks);
            self.blocks.free(&running.in_blocks);
            if !running.expired {
                let busy = Completion::of_status(status::BUSY);
                self.done.insert(running.tag, if level == 1 { busy } else { Completion::communication_failure() });
            }
        }
        self.free_all_kept();
        self.entries.clear();
        (self.head, self.cleaned, self.broken) = (0, 0, false);
        self.memory.store_head(0);
        self.memory.store_tail(0);
        self.run_waiting();
    }

    /// Removes the backstore: the agent's descriptor fails from now on.
    pub fn remove(&mut self) {
        self.uio.close();
    }

    /// What a kick makes the kernel do (`tcmu_irqcontrol`): collect completions, then let waiting commands in.
    pub fn harvest(&mut self) {
        self.harvest_completions();
        self.run_waiting();
    }

    /// Offset in the ring of the entry queued last.
    #[must_use]
    pub fn last_entry(&self) -> Option<u32> {
        self.entries.back().map(|(at, _)| *at)
    }

    /// The head, in bytes from the ring's start.
    #[must_use]
    pub fn head(&self) -> u32 {
        self.head
    }

    /// The tail that the agent has published.
    #[must_use]
    pub fn tail(&self) -> u32 {
        self.memory.tail()
    }

    /// Offset in the mapping of ring offset `at`, for the pokes.
    #[must_use]
    pub fn base(&self, at: u32) -> usize {
        (ring_off() + at) as usize
    }

    /// Bytes of the ring.
    #[must_use]
    pub fn ring_size(&self) -> u32 {
        self.config.ring_bytes - ring_off()
    }

    fn queue_or_wait(&mut self, tag: Tag, request: Request) {
        if let Some((tag, request)) = self.queue(tag, request) {
            self.waiting.push_back((tag, request));
        }
    }

    /// `queue_cmd_ring`; gives the command back if there is no room now.
    fn queue(&mut self, tag: Tag, request: Request) -> Option<(Tag, Request)> {
        if self.broken || self.blocked {
            let busy = Completion::of_status(status::BUSY);
            self.done.insert(tag, if self.broken { Completion::communication_failure() } else { busy });
            return None;
        }
        let Some(queued) = Queued::plan(&request, &mut self.blocks, self.config.block_size) else {
            return Some((tag, request));
        };
        if queued.len > self.ring_size() / 2 {
            self.blocks.free(&queued.out_blocks);
            self.blocks.free(&queued.in_blocks);
            self.done.insert(tag, Completion::invalid_field());
            return None;
        }
        let (Some(id), Some(at)) = (self.free_id(), self.reserve(queued.len)) else {
            self.blocks.free(&queued.out_blocks);
            self.blocks.free(&queued.in_blocks);
            return Some((tag, request));
        };
        self.write_command(at, id, &queued, &request);
        self.announce(at, queued.len);
        self.running.insert(id, queued.running(tag, &request));
        None
    }

    /// The lowest unused id from 1 on, as `xa_alloc` finds it.
    fn free_id(&self) -> Option<u16> {
        (1..=u16::MAX).find(|id| !self.running.contains_key(id) && !self.kept.contains_key(id))
    }

    /// Room for `len` bytes that do not straddle the ring's end, padding written if need be (`is_ring_space_avail`,
    /// `ring_insert_padding`).
    fn reserve(&mut self, len: u32) -> Option<u32> {
        let (size, to_end) = (self.ring_size(), self.ring_size() - self.head);
        let needed = if to_end >= len { len } else { len + to_end };
        let used = cursor::distance(self.cleaned, self.head, size);
        if size - used - 1 < needed {
            return None;
        }
        if to_end < len {
            self.write_header(self.head, to_end | op::PAD, 0);
            self.announce(self.head, to_end);
        }
        Some(self.head)
    }

    fn write_header(&mut self, at: u32, len_op: u32, cmd_id: u16) {
        self.entries.push_back((at, len_op));
        let base = self.base(at);
        self.memory.zero(base, (len_op & !header::OP_MASK) as usize);
        self.memory.store(base + header::LEN_OP, len_op);
        self.memory.store(base + header::CMD_ID, cmd_id);
    }

    fn write_command(&mut self, at: u32, id: u16, queued: &Queued, request: &Request) {
        self.write_header(at, queued.len | op::CMD, id);
        let (base, data) = (self.base(at), self.config.ring_bytes as usize);
        let count = |n: usize| u32::try_from(n).expect("few iovecs");
        self.memory.store(base + layout::IOV_CNT, count(queued.out_iovs.len()));
        self.memory.store(base + layout::IOV_BIDI_CNT, count(queued.bidi_iovs.len()));
        self.memory.store(base + layout::CDB_OFF, (base + queued.cdb_at) as u64);
        for (i, (start, len)) in queued.out_iovs.iter().chain(&queued.bidi_iovs).enumerate() {
            self.memory.store(base + layout::IOV + layout::IOV_SIZE * i, (data + start) as u64);
            self.memory.store(base + layout::IOV + layout::IOV_SIZE * i + 8, *len as u64);
        }
        self.memory.copy_in(base + queued.cdb_at, &request.cdb);
        self.scatter(&queued.out_blocks, &request.data_out);
    }

    /// Moves the head over an entry and says so.
    fn announce(&mut self, at: u32, len: u32) {
        self.head = cursor::step(at, len, self.ring_size());
        self.memory.store_head(self.head);
        self.uio.notify();
    }

    /// `tcmu_handle_completions`.
    fn harvest_completions(&mut self) {
        let tail = self.memory.tail();
        assert!(cursor::is_valid(tail, self.ring_size()), "the tail {tail} is no place in the ring");
        while self.cleaned != tail && !self.broken {
            let (at, written) = self.entries.pop_front().expect("the tail is past the head: the kernel would loop");
            assert_eq!(at, self.cleaned, "entries follow each other");
            let len_op: u32 = self.memory.load(self.base(at) + header::LEN_OP);
            assert_eq!(len_op, written, "len_op at {at} was altered: the kernel would lose its way");
            if !matches!(len_op & header::OP_MASK, op::PAD | op::TMR) {
                self.harvest_slot(at);
            }
            self.cleaned = cursor::step(at, len_op & !header::OP_MASK, self.ring_size());
        }
    }

    /// `tcmu_handle_completion`: whatever command the slot names now.
    fn harvest_slot(&mut self, at: u32) {
        let base = self.base(at);
        let id = self.memory.load(base + header::CMD_ID);
        let Some(running) = self.running.remove(&id) else {
            self.broken = true;
            return;
        };
        if !running.expired {
            let completion = self.completion(base, &running);
            self.done.insert(running.tag, completion);
        }
        let uflags: u8 = self.memory.load(base + header::UFLAGS);
        if uflags & uflag::KEEP_BUF != 0 {
            self.kept.insert(id, running);
        } else {
            self.blocks.free(&running.out_blocks);
            self.blocks.free(&running.in_blocks);
        }
    }

    fn completion(&self, base: usize, running: &Running) -> Completion {
        let mut sense = [0; SENSE_SIZE];
        self.memory.copy_out(base + layout::SENSE, &mut sense);
        let response = command::Response {
            uflags: self.memory.load(base + header::UFLAGS),
            status: self.memory.load(base + layout::STATUS),
            read_len: self.memory.load(base + layout::READ_LEN),
            sense,
        };
        let read_len_known = self.config.flags & capability::READ_LEN != 0;
        running.complete(&response, read_len_known, |len| self.gather(&running.in_blocks, len))
    }

    /// `run_qfull_queue`: as many as fit, in order.
    fn run_waiting(&mut self) {
        while let Some((tag, request)) = self.waiting.pop_front() {
            if let Some(back) = self.queue(tag, request) {
                self.waiting.push_front(back);
                return;
            }
        }
    }

    /// Ends everything that waits for room (`qfull_time_out`).
    pub fn expire_waiting(&mut self) {
        for (tag, _) in self.waiting.drain(..) {
            self.done.insert(tag, Completion::of_status(status::TASK_SET_FULL));
        }
    }

    fn scatter(&mut self, blocks: &[usize], bytes: &[u8]) {
        for (block, chunk) in blocks.iter().zip(bytes.chunks(self.config.block_size)) {
            self.memory.copy_in(self.block_base(*block), chunk);
        }
    }

    fn gather(&self, blocks: &[usize], len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        for (block, chunk) in blocks.iter().zip(bytes.chunks_mut(self.config.block_size)) {
            self.memory.copy_out(self.block_base(*block), chunk);
        }
        bytes
    }

    fn block_base(&self, block: usize) -> usize {
        self.config.ring_bytes as usize + block * self.config.block_size
    }
}

fn ring_off() -> u32 {
    u32::try_from(mailbox::SIZE).expect("128")
}
