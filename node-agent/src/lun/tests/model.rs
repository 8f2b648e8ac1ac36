//! Two initiators that write over each other, and an agent that dies now and then: what they see is what one command
//! after the other would have made, across every crash.
//!
//! Everything but storage and kernel is real: the ring, its journal, the thread, the SCSI room. An agent dies in the
//! midst of an operation; the next one goes on with ring and journal as it finds them. What it gives back with BUSY
//! may have been done or not, and its initiator sends it again.

mod linear;
mod memory;

use std::collections::VecDeque;
use std::time::Instant;

use lunette_tcmu::Journal;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::lun::takeover::go_on;
use linear::{Answer, Blocks, Checker};
use memory::{Medium, Memory};

/// Blocks of the volume: few, so that commands meet.
const BLOCKS: usize = 6;
/// Commands that an initiator has running at a time.
const DEPTH: usize = 2;
const BUSY: u8 = 8;
const CHECK_CONDITION: u8 = 2;
const NAA: [u8; 16] = [0x60; 16];

/// A command, in blocks of one repeated byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Read { lba: usize, n: usize },
    Write { lba: usize, n: usize, byte: u8 },
    WriteSame { lba: usize, n: usize, byte: u8, unmap: bool },
    Unmap { lba: usize, n: usize },
    Swap { lba: usize, n: usize, expected: u8, wanted: u8 },
    OrWrite { lba: usize, n: usize, byte: u8 },
    WriteAndVerify { lba: usize, n: usize, byte: u8 },
    WriteAtomic { lba: usize, n: usize, byte: u8 },
    Copy { from: usize, to: usize, n: usize },
    Flush,
}

fn action() -> impl Strategy<Value = Action> {
    let range =
        || (0..BLOCKS, prop::sample::select(vec![1_usize, 1, 2, 3])).prop_map(|(lba, n)| (lba, n.min(BLOCKS - lba)));
    // Few values, so that a comparison succeeds now and then.
    let byte = || 0..2_u8;
    prop_oneof![
        4 => range().prop_map(|(lba, n)| Action::Read { lba, n }),
        3 => (range(), byte()).prop_map(|((lba, n), byte)| Action::Write { lba, n, byte }),
        1 => (range(), byte(), any::<bool>())
            .prop_map(|((lba, n), byte, unmap)| Action::WriteSame { lba, n, byte, unmap }),
        1 => range().prop_map(|(lba, n)| Action::Unmap { lba, n }),
        3 => (range(), byte(), byte())
            .prop_map(|((lba, n), expected, wanted)| Action::Swap { lba, n, expected, wanted }),
        2 => (range(), byte()).prop_map(|((lba, n), byte)| Action::OrWrite { lba, n, byte }),
        1 => (range(), byte()).prop_map(|((lba, n), byte)| Action::WriteAndVerify { lba, n, byte }),
        1 => (range(), byte()).prop_map(|((lba, n), byte)| Action::WriteAtomic { lba, n, byte }),
        2 => (range(), 0..BLOCKS).prop_map(|((from, n), to)| Action::Copy { from, to, n: n.min(BLOCKS - to) }),
        1 => Just(Action::Flush),
    ]
}

impl Action {
    /// What it does and says where it has the unit to itself.
    fn apply(self, blocks: &mut Blocks) -> Answer {
        match self {
            Self::Read { lba, n } => return Answer::Data(blocks[lba..lba + n].to_vec()),
            Self::Write { lba, n, byte }
            | Self::WriteSame { lba, n, byte, .. }
            | Self::WriteAndVerify { lba, n, byte }
            | Self::WriteAtomic { lba, n, byte } => blocks[lba..lba + n].fill(byte),
            Self::Unmap { lba, n } => blocks[lba..lba + n].fill(0),
            Self::Swap { lba, n, expected, wanted } => {
                if let Some(at) = blocks[lba..lba + n].iter().position(|byte| *byte != expected) {
                    return Answer::Differs(at);
                }
                blocks[lba..lba + n].fill(wanted);
            }
            Self::OrWrite { lba, n, byte } => blocks[lba..lba + n].iter_mut().for_each(|block| *block |= byte),
            Self::Copy { from, to, n } => blocks.copy_within(from..from + n, to),
            Self::Flush => {}
        }
        Answer::Done
    }

    fn request(self) -> Request {
        let data = |n: usize, byte: u8| vec![byte; n * BLOCK];
        match self {
            Self::Read { lba, n } => Request::reading(&long_cdb(0x88, 0, lba, n), n * BLOCK),
            Self::Write { lba, n, byte } => Request::writing(&long_cdb(0x8a, 0, lba, n), &data(n, byte)),
            Self::WriteSame { lba, n, byte, unmap } => {
                Request::writing(&long_cdb(0x93, u8::from(unmap) << 3, lba, n), &data(1, byte))
            }
            Self::Unmap { lba, n } => Request::writing(&[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], &unmap_list(lba, n)),
            Self::Swap { lba, n, expected, wanted } => {
                let mut cdb = long_cdb(0x89, 0, lba, 0);
                cdb[13] = u8::try_from(n).unwrap();
                Request::writing(&cdb, &[data(n, expected), data(n, wanted)].concat())
            }
            Self::OrWrite { lba, n, byte } => Request::writing(&long_cdb(0x8b, 0, lba, n), &data(n, byte)),
            Self::WriteAndVerify { lba, n, byte } => Request::writing(&long_cdb(0x8e, 2, lba, n), &data(n, byte)),
            Self::WriteAtomic { lba, n, byte } => {
                let mut cdb = long_cdb(0x9c, 0, lba, 0);
                cdb[13] = u8::try_from(n).unwrap();
                Request::writing(&cdb, &data(n, byte))
            }
            Self::Copy { from, to, n } => copy_request(from, to, n),
            Self::Flush => Request::bare(&long_cdb(0x91, 0, 0, 0)),
        }
    }
}

/// A CDB of 16 bytes with an LBA and a length.
fn long_cdb(code: u8, flags: u8, lba: usize, n: usize) -> [u8; 16] {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[9], cdb[13]) = (code, flags, u8::try_from(lba).unwrap(), u8::try_from(n).unwrap());
    cdb
}

fn unmap_list(lba: usize, n: usize) -> [u8; 24] {
    let mut list = [0; 24];
    (list[1], list[3], list[15], list[19]) = (22, 16, u8::try_from(lba).unwrap(), u8::try_from(n).unwrap());
    list
}

/// EXTENDED COPY (LID1) within the unit, of one segment, without results to keep.
fn copy_request(from: usize, to: usize, n: usize) -> Request {
    let [from, to, n] = [from, to, n].map(|number| u8::try_from(number).unwrap());
    let mut header = [0; 16];
    (header[1], header[3], header[11]) = (3 << 3, 32, 28);
    let mut cscd = [0; 32];
    (cscd[0], cscd[4], cscd[5], cscd[7]) = (0xe4, 1, 3, 16);
    cscd[8..24].copy_from_slice(&NAA);
    cscd[30] = 2;
    let mut segment = [0; 28];
    (segment[0], segment[3], segment[11], segment[19], segment[27]) = (2, 0x18, n, from, to);
    let list = [&header[..], &cscd, &segment].concat();
    let mut cdb = [0; 16];
    (cdb[0], cdb[13]) = (0x83, u8::try_from(list.len()).unwrap());
    Request::writing(&cdb, &list)
}

/// A command under way.
struct Sent {
    tag: Tag,
    id: usize,
    action: Action,
    initiator: usize,
}

/// Initiators, kernel, storage, and the agent of the moment.
struct Site {
    kernel: Kernel,
    dir: TempDir,
    medium: Arc<Medium>,
    agent: LunThread,
    checker: Checker,
    running: Vec<Sent>,
    sent: usize,
    deaths: usize,
}

impl Site {
    fn new(seed: u32) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut kernel = Kernel::new(Layout::default());
        let medium = Medium::new(seed);
        let (claim, journal, storage) = (kernel.claim(), open_journal(&dir), Arc::clone(&medium));
        let agent = spawn(storage, move || claim.attach_with(journal).unwrap().into());
        Self { kernel, dir, medium, agent, checker: Checker::new(), running: Vec::new(), sent: 0, deaths: 0 }
    }

    /// Runs what each initiator is to do; all of it is answered in the end.
    fn run(&mut self, mut work: [VecDeque<Action>; 2]) -> Result<(), String> {
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            for (initiator, queue) in work.iter_mut().enumerate() {
                self.send(initiator, queue);
            }
            let Some(oldest) = self.running.first().map(|sent| sent.tag) else { return Ok(()) };
            // It waits for one, and takes all that are there.
            let first = self.kernel.wait(oldest, Duration::from_millis(2));
            if Instant::now() > deadline {
                return Err(format!("{:?} has no answer: a wakeup was lost", self.running[0].action));
            }
            for (sent, completion) in self.take(oldest, first) {
                deadline = Instant::now() + PATIENCE;
                self.judge(&sent, &completion, &mut work)?;
            }
            if matches!(self.agent.state(), State::Ended(_)) {
                self.succeed();
            }
        }
    }

    fn send(&mut self, initiator: usize, queue: &mut VecDeque<Action>) {
        while self.running.iter().filter(|sent| sent.initiator == initiator).count() < DEPTH {
            let Some(action) = queue.pop_front() else { return };
            self.sent += 1;
            self.checker.sent(self.sent, action);
            let tag = self.kernel.submit(action.request());
            self.running.push(Sent { tag, id: self.sent, action, initiator });
        }
    }

    fn take(&mut self, oldest: Tag, first: Option<Completion>) -> Vec<(Sent, Completion)> {
        let mut first = first;
        let (mut answered, mut left) = (Vec::new(), Vec::new());
        for sent in std::mem::take(&mut self.running) {
            let completion = if sent.tag == oldest { first.take() } else { self.kernel.take(sent.tag) };
            match completion {
                Some(completion) => answered.push((sent, completion)),
                None => left.push(sent),
            }
        }
        self.running = left;
        answered
    }

    fn judge(&mut self, sent: &Sent, completion: &Completion, work: &mut [VecDeque<Action>; 2]) -> Result<(), String> {
        if completion.status == BUSY {
            self.checker.given_back(sent.id);
            work[sent.initiator].push_front(sent.action);
            return Ok(());
        }
        self.checker.answered(sent.id, &answer(sent.action, completion)?)
    }

    /// The next agent goes on.
    fn succeed(&mut self) {
        self.deaths += 1;
        let (claim, journal, storage) = (self.kernel.claim(), open_journal(&self.dir), Arc::clone(&self.medium));
        self.agent = spawn(storage, move || {
            let resumed = claim.resume(journal).unwrap_or_else(|refused| panic!("{}", refused.doubt));
            go_on(resumed).unwrap()
        });
    }
}

fn open_journal(dir: &TempDir) -> Journal {
    Journal::open(&dir.path().join("journal"), 1).unwrap()
}

/// An agent that answers nobody when it dies, unlike one that catches its own panic.
fn spawn(medium: Arc<Medium>, take: impl FnOnce() -> Taken + Send + 'static) -> LunThread {
    let body = move |inbox: &Inbox, _: &_| {
        let unit = ScsiDisk::new(Disk::new(Memory::open(medium)), Config::new(Identity::new(NAA, "bench")));
        let Taken { device, mut ring, again, free } = take();
        let kernel = KernelSide { device: &device, free: free.as_ref() };
        match serve(&unit, kernel, &mut ring, inbox, again) {
            Ok(_) => Ended::Stopped,
            Err(error) => Ended::Failed(error.to_string()),
        }
    };
    LunThread::spawn("model", tracing::Span::none(), body).unwrap()
}

/// What an initiator learns; an error where that is none of what the command may come to.
fn answer(action: Action, completion: &Completion) -> Result<Answer, String> {
    match (action, completion.status) {
        (Action::Read { .. }, 0) => {
            let blocks = completion.data.chunks(BLOCK);
            let whole = blocks.clone().all(|block| block.iter().all(|byte| *byte == block[0]));
            if whole {
                Ok(Answer::Data(blocks.map(|block| block[0]).collect()))
            } else {
                Err("a torn block".to_owned())
            }
        }
        (_, 0) => Ok(Answer::Done),
        (Action::Swap { .. }, CHECK_CONDITION) if sense(completion) == (0x0e, 0x1d) => {
            let offset: [u8; 4] = completion.sense[3..7].try_into().unwrap();
            Ok(Answer::Differs(u32::from_be_bytes(offset) as usize / BLOCK))
        }
        (action, status) => Err(format!("{action:?} ended with status {status:02x} and {:02x?}", sense(completion))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn two_initiators_see_one_order_of_their_commands_across_crashes(
        ours in prop::collection::vec(action(), 1..60),
        theirs in prop::collection::vec(action(), 1..60),
        deaths in prop::collection::vec(1..40_u32, 0..12),
        seed in any::<u32>(),
    ) {
        let mut site = Site::new(seed);
        // Each part of the work has the agent die once, if it comes that far.
        let parts = deaths.len() + 1;
        for part in 0..parts {
            site.medium.kill_after(deaths.get(part).copied().unwrap_or(0));
            let of = |work: &[Action]| work.chunks(work.len().div_ceil(parts)).nth(part).unwrap_or_default().to_vec();
            site.run([of(&ours).into(), of(&theirs).into()]).map_err(TestCaseError::fail)?;
        }
        let all = VecDeque::from([Action::Read { lba: 0, n: BLOCKS }]);
        site.run([all, VecDeque::new()]).map_err(TestCaseError::fail)?;
        prop_assert!(site.deaths <= deaths.len());
        prop_assert!(!site.kernel.is_broken());
        prop_assert_eq!(site.kernel.running(), 0);
        site.agent.order(Order::Stop);
    }
}
