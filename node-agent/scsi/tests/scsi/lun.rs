//! The bench: a logical unit over RAM, and how a test runs commands on it.

use std::cell::RefCell;
use std::rc::Rc;

use futures::executor::block_on;
use lunette_backend::{Discard, Disk, Geometry};
use lunette_scsi::{
    Access, AccessState, Config, Identity, Limits, ModeState, Outcome, PortGroup, ScsiDisk, SenseKey, TargetPort,
};

use crate::buffer::Memory;
use crate::ram::Ram;

/// What stale memory looks like: no byte of it may ever come back.
pub const STALE: u8 = 0xee;

/// NAA-6 with an IEEE company id, as an operator would give it.
pub const NAA: [u8; 16] = [0x60, 0x01, 0x40, 0x5a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// The logical unit of a test.
pub struct Lun {
    pub scsi: ScsiDisk<Ram>,
    pub ram: Ram,
    pub block: usize,
    /// What was kept of mode parameters.
    pub kept: Rc<RefCell<Vec<ModeState>>>,
}

/// What a command came to: the outcome, and the data area afterwards.
#[derive(Debug)]
pub struct Ended {
    pub outcome: Outcome,
    pub data: Vec<u8>,
}

/// Geometry of a thin volume with a write cache.
pub fn geometry(block_size: u32) -> Geometry {
    Geometry {
        block_size,
        physical_block_size: 4096,
        discard_granularity: 4096,
        preferred_io: 65536,
        read_only: false,
        volatile_cache: true,
        discard: Discard::Zeroes,
        thin: true,
    }
}

/// One port in one group, as LIO has them by default.
pub fn access() -> Access {
    let group = PortGroup {
        id: 3,
        state: AccessState::ActiveOptimized,
        supported: vec![AccessState::ActiveOptimized, AccessState::Standby],
        preferred: false,
        implicit: true,
        explicit: true,
        transition_seconds: 7,
    };
    Access { group, ports: vec![TargetPort { relative_id: 0x0102, name: "iqn.2026-01.a:t,t,0x0001".to_owned() }] }
}

impl Lun {
    /// 64 blocks of 512 bytes.
    pub fn new() -> Self {
        Self::with(|_| (), |_| ())
    }

    /// The same, with another geometry or configuration.
    pub fn with(shape: impl FnOnce(&mut Geometry), configure: impl FnOnce(&mut Config)) -> Self {
        let mut geometry = geometry(512);
        shape(&mut geometry);
        let block = usize::try_from(geometry.block_size).unwrap();
        let ram = Ram::new(64 * u64::from(geometry.block_size), geometry);
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keeper = kept.clone();
        let mut config = Config::new(Identity::new(NAA, "0123456789abcdef"));
        config.access = Some(access());
        config.limits = Limits { max_transfer: 32 << 10, max_write_same: 64 << 10, ..Limits::default() };
        config.limits.max_unmap_descriptors = 4;
        config.limits.max_unmap_blocks = 48;
        config.limits.max_compare_and_write = 4;
        config.keep_mode = Some(Box::new(move |state| {
            keeper.borrow_mut().push(state);
            Ok(())
        }));
        configure(&mut config);
        Self { scsi: ScsiDisk::new(Disk::new(ram.clone()), config), ram, block, kept }
    }

    /// Runs a command over memory with these bytes.
    pub fn run(&self, cdb: &[u8], data: &[u8]) -> Ended {
        let (memory, mut buf) = Memory::new(data);
        // As the LUN's thread does it.
        let at_once = self.scsi.execute_at_once(cdb, &mut buf);
        let outcome = at_once.unwrap_or_else(|| block_on(self.scsi.execute(cdb, buf)));
        Ended { outcome, data: memory.bytes() }
    }

    /// Runs a command with Data-In of this expected length; what is returned has been checked to hold
    /// nothing stale, and is cut to what is valid.
    pub fn data_in(&self, cdb: &[u8], expected: usize) -> Vec<u8> {
        let ended = self.run(cdb, &vec![STALE; expected]);
        assert!(ended.outcome.is_good(), "{cdb:02x?} ended with {:?}", ended.outcome);
        ended.valid()
    }

    /// Runs a command that must end with GOOD.
    pub fn good(&self, cdb: &[u8], data: &[u8]) {
        let outcome = self.run(cdb, data).outcome;
        assert_eq!(outcome, Outcome::good(), "{cdb:02x?}");
    }

    /// Runs a command that must end with CHECK CONDITION; returns sense key, ASC and ASCQ.
    pub fn check(&self, cdb: &[u8], data: &[u8]) -> (u8, u8, u8) {
        let ended = self.run(cdb, data);
        assert_eq!(ended.outcome.status, 2, "{cdb:02x?}");
        let sense = ended.outcome.sense.expect("CHECK CONDITION comes with sense");
        (sense.key as u8, sense.asc.0, sense.asc.1)
    }

    /// Blocks whose bytes are all `byte`.
    pub fn blocks(&self, n: usize, byte: u8) -> Vec<u8> {
        vec![byte; n * self.block]
    }

    /// What the medium holds in these blocks.
    pub fn medium(&self, lba: usize, n: usize) -> Vec<u8> {
        self.ram.bytes()[lba * self.block..(lba + n) * self.block].to_vec()
    }
}

impl Ended {
    /// The valid part of the Data-In; the rest has been checked to be zero.
    pub fn valid(mut self) -> Vec<u8> {
        let valid = self.outcome.data_in.map_or(self.data.len(), |n| usize::try_from(n).unwrap());
        assert!(self.data[valid..].iter().all(|b| *b == 0), "what is not valid is zeroed");
        self.data.truncate(valid);
        self.data
    }

    /// The sense data as the initiator gets it, without its padding.
    pub fn sense(&self) -> Vec<u8> {
        let bytes = self.outcome.sense_bytes().expect("there is sense");
        let len = 8 + usize::from(bytes[7]);
        assert!(bytes[len..].iter().all(|b| *b == 0));
        bytes[..len].to_vec()
    }
}

/// CHECK CONDITION codes that many tests expect.
pub const INVALID_FIELD_IN_CDB: (u8, u8, u8) = (SenseKey::IllegalRequest as u8, 0x24, 0);
pub const INVALID_OPCODE: (u8, u8, u8) = (SenseKey::IllegalRequest as u8, 0x20, 0);
pub const INVALID_FIELD_IN_LIST: (u8, u8, u8) = (SenseKey::IllegalRequest as u8, 0x26, 0);
pub const LIST_LENGTH_ERROR: (u8, u8, u8) = (SenseKey::IllegalRequest as u8, 0x1a, 0);
pub const WRONG_EXPECTED_LENGTH: (u8, u8, u8) = (SenseKey::IllegalRequest as u8, 0x0e, 3);
pub const OUT_OF_RANGE: (u8, u8, u8) = (SenseKey::IllegalRequest as u8, 0x21, 0);
pub const WRITE_PROTECTED: (u8, u8, u8) = (SenseKey::DataProtect as u8, 0x27, 0);
pub const SOFTWARE_WRITE_PROTECTED: (u8, u8, u8) = (SenseKey::DataProtect as u8, 0x27, 2);

/// A CDB of 10 bytes with an LBA and a length.
pub fn cdb10(code: u8, flags: u8, lba: u32, blocks: u16) -> Vec<u8> {
    [&[code, flags], &lba.to_be_bytes()[..], &[0], &blocks.to_be_bytes(), &[0]].concat()
}

/// A CDB of 12 bytes with an LBA and a length.
pub fn cdb12(code: u8, flags: u8, lba: u32, blocks: u32) -> Vec<u8> {
    [&[code, flags], &lba.to_be_bytes()[..], &blocks.to_be_bytes(), &[0, 0]].concat()
}

/// A CDB of 16 bytes with an LBA and a length.
pub fn cdb16(code: u8, flags: u8, lba: u64, blocks: u32) -> Vec<u8> {
    [&[code, flags], &lba.to_be_bytes()[..], &blocks.to_be_bytes(), &[0, 0]].concat()
}

/// A CDB of 32 bytes with a service action, flags in byte 10, an LBA and a length.
pub fn cdb32(action: u8, flags: u8, lba: u64, blocks: u32) -> Vec<u8> {
    let head = [0x7f, 0, 0, 0, 0, 0, 0, 0x18, 0, action, flags, 0];
    [&head[..], &lba.to_be_bytes(), &[0; 8], &blocks.to_be_bytes()].concat()
}

/// COMPARE AND WRITE.
pub fn swap(lba: u64, blocks: u8) -> Vec<u8> {
    [&[0x89, 0], &lba.to_be_bytes()[..], &[0, 0, 0, blocks, 0, 0]].concat()
}

/// Blocks 0 to 7 hold 1 to 8, the others zero.
pub fn numbered() -> Lun {
    let lun = Lun::new();
    for lba in 0..8_u8 {
        lun.good(&cdb10(0x2a, 0, u32::from(lba), 1), &lun.blocks(1, lba + 1));
    }
    lun
}

/// The first byte of each of these blocks.
pub fn numbers(lun: &Lun, lba: usize, n: usize) -> Vec<u8> {
    lun.medium(lba, n).chunks(512).map(|block| block[0]).collect()
}
