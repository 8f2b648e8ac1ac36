//! Representations of data (ROD) and the tokens that stand for them (SPC-5 5.17.6).
//!
//! A token stands for ranges as they are when it is made. Nothing is copied for that: the first write to
//! one of the ranges revokes the token (ROD type point in time copy, change vulnerable). Tokens are of this
//! unit alone, hold 256 bits that nobody can guess, end after some time without use, and die with the
//! process.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::asc::Asc;
use crate::attach::identification;
use crate::copy::list;
use crate::range_lock::Watch;
use crate::{BlockSize, ByteRange, Identity, Sense, asc};

/// Bytes of a token.
pub const TOKEN: usize = 512;
/// ROD types.
pub const CHANGE_VULNERABLE: u32 = 0x0080_0001;
/// Any point in time copy: the device server chooses.
pub const ANY_POINT_IN_TIME: u32 = 0x0080_ffff;
/// The well-known token of zeroes.
pub const BLOCK_ZERO: u32 = 0xffff_0001;

/// Tokens alive at a time.
const MAX_TOKENS: usize = 64;
/// ROD TOKEN LENGTH: the bytes behind that field.
const TOKEN_LENGTH: u16 = 0x01f8;
/// Where the secret part of a token begins, behind what SPC gives a meaning to.
const SECRET_AT: usize = 256;
const SECRET: usize = 32;

/// The tokens of one logical unit.
#[derive(Default)]
pub struct Tokens {
    alive: RefCell<Vec<Token>>,
    next: Cell<u64>,
}

struct Token {
    bytes: Rc<[u8]>,
    rod: Rc<Rod>,
    timeout: Duration,
    used: Instant,
}

/// What a token stands for.
#[derive(Debug)]
pub struct Rod {
    /// The ranges, in order.
    pub ranges: Vec<ByteRange>,
    watch: Rc<Watch>,
}

impl Rod {
    /// Ranges that are watched.
    pub fn new(ranges: Vec<ByteRange>, watch: Rc<Watch>) -> Self {
        Self { ranges, watch }
    }

    /// Bytes that it stands for.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|range| range.len).sum()
    }

    /// Refuses it once something was written to its ranges.
    pub fn check(&self) -> Result<(), Sense> {
        if self.watch.is_disturbed() { Err(Sense::illegal(asc::TOKEN_REVOKED)) } else { Ok(()) }
    }
}

impl Token {
    fn is_expired(&self, now: Instant) -> bool {
        now.duration_since(self.used) >= self.timeout
    }
}

impl Tokens {
    /// Makes a token; nothing where there are too many.
    pub fn create(
        &self,
        (id, block): (&Identity, BlockSize),
        rod: Rod,
        timeout: Duration,
        now: Instant,
    ) -> Option<Rc<[u8]>> {
        let mut alive = self.alive.borrow_mut();
        alive.retain(|token| !token.is_expired(now) && token.rod.check().is_ok());
        if alive.len() >= MAX_TOKENS {
            return None;
        }
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let bytes: Rc<[u8]> = render(number, id, block, rod.len()).into();
        alive.push(Token { bytes: Rc::clone(&bytes), rod: Rc::new(rod), timeout, used: now });
        Some(bytes)
    }

    /// What a token of this unit stands for; its time without use begins anew.
    ///
    /// # Errors
    /// Why it stands for nothing.
    pub fn find(&self, (id, block): (&Identity, BlockSize), given: &[u8], now: Instant) -> Result<Rc<Rod>, Sense> {
        let refuse = |code: Asc| Err(Sense::illegal(code));
        if given.get(16..48) != Some(&creator(id, block)[..]) {
            return refuse(asc::REMOTE_TOKEN_NOT_SUPPORTED);
        }
        let mut alive = self.alive.borrow_mut();
        let Some(at) = alive.iter().position(|token| token.bytes[8..16] == given[8..16]) else {
            return refuse(asc::TOKEN_UNKNOWN);
        };
        if !is_same(&alive[at].bytes, given) {
            return refuse(asc::TOKEN_CORRUPT);
        }
        if alive[at].is_expired(now) {
            alive.remove(at);
            return refuse(asc::TOKEN_EXPIRED);
        }
        if let Err(revoked) = alive[at].rod.check() {
            alive.remove(at);
            return Err(revoked);
        }
        alive[at].used = now;
        Ok(Rc::clone(&alive[at].rod))
    }

    /// Forgets a token.
    pub fn delete(&self, rod: &Rc<Rod>) {
        self.alive.borrow_mut().retain(|token| !Rc::ptr_eq(&token.rod, rod));
    }
}

/// Compares without telling by its duration how much is right.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// A token's bytes (SPC-5 table 106): type, length, number, creator, bytes represented, and our secret.
fn render(number: u64, id: &Identity, block: BlockSize, represented: u64) -> Vec<u8> {
    let mut token = CHANGE_VULNERABLE.to_be_bytes().to_vec();
    token.extend([0; 2]);
    token.extend(TOKEN_LENGTH.to_be_bytes());
    token.extend(number.to_be_bytes());
    token.extend(creator(id, block));
    token.extend(u128::from(represented).to_be_bytes());
    token.resize(SECRET_AT, 0);
    token.extend(secret());
    token.resize(TOKEN, 0);
    token
}

/// The unit as an identification CSCD descriptor.
fn creator(id: &Identity, block: BlockSize) -> Vec<u8> {
    let mut cscd = vec![list::IDENTIFICATION, 0, 0, 0];
    cscd.extend(identification::naa(id));
    cscd.resize(28, 0);
    cscd.extend(block.bytes().to_be_bytes());
    cscd
}

/// Bytes from a keyed hash (SipHash) whose keys the system's random numbers seeded, each under another key.
fn secret() -> [u8; SECRET] {
    let mut secret = [0; SECRET];
    for (i, part) in secret.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&RandomState::new().hash_one(i).to_be_bytes());
    }
    secret
}

/// The type of a token that was given.
///
/// # Errors
/// INVALID TOKEN LENGTH where it is none.
pub fn token_type(given: &[u8]) -> Result<u32, Sense> {
    match *given {
        [a, b, c, d, _, _, high, low, ..]
            if u16::from_be_bytes([high, low]) == TOKEN_LENGTH && given.len() == TOKEN =>
        {
            Ok(u32::from_be_bytes([a, b, c, d]))
        }
        _ => Err(Sense::illegal(asc::INVALID_TOKEN_LENGTH)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range_lock::RangeLock;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn unit() -> (Identity, BlockSize) {
        (Identity::new([0x60; 16], "serial"), BlockSize::new(512))
    }

    fn rod() -> Rod {
        let ranges = vec![ByteRange { at: 0, len: 1024 }];
        Rod::new(ranges.clone(), RangeLock::new().watch(ranges))
    }

    #[test]
    fn a_token_ends_after_some_time_without_use() {
        let (tokens, (id, block), start) = (Tokens::default(), unit(), Instant::now());
        let token = tokens.create((&id, block), rod(), TIMEOUT, start).unwrap();
        let find = |after: u32| tokens.find((&id, block), &token, start + TIMEOUT * after / 2).map(|rod| rod.len());
        assert_eq!((find(1), find(2)), (Ok(1024), Ok(1024)), "use keeps it alive");
        assert_eq!(find(4).map_err(|sense| sense.asc), Err(asc::TOKEN_EXPIRED));
        assert_eq!(find(4).map_err(|sense| sense.asc), Err(asc::TOKEN_UNKNOWN));
    }

    #[test]
    fn tokens_at_a_time_are_bounded_and_expired_ones_make_room() {
        let (tokens, (id, block), start) = (Tokens::default(), unit(), Instant::now());
        let create = |now| tokens.create((&id, block), rod(), TIMEOUT, now);
        assert!((0..MAX_TOKENS).all(|_| create(start).is_some()));
        assert!(create(start).is_none());
        assert!(create(start + TIMEOUT).is_some());
    }

    #[test]
    fn no_two_tokens_share_their_secret() {
        let (tokens, (id, block), start) = (Tokens::default(), unit(), Instant::now());
        let secret =
            || tokens.create((&id, block), rod(), TIMEOUT, start).unwrap()[SECRET_AT..SECRET_AT + SECRET].to_vec();
        let (a, b) = (secret(), secret());
        assert_ne!(a, b);
        assert!([a, b].iter().all(|secret| secret.chunks(8).all(|part| part != [0; 8])));
    }
}
