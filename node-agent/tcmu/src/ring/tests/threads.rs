//! Agent and kernel in two threads over one memory: what one side published is whole for the other.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use crate::mock::{Config, Kernel, Request, Tag};
use crate::{Device, Entry, Reply, Ring, Ticket};

const COMMANDS: u32 = 5_000;
const DEPTH: usize = 24;

#[test]
fn two_threads_never_see_half_an_entry_or_half_a_response() {
    let mut kernel = Kernel::new(Config::default());
    let (device, ring) = kernel.device();
    let agent = thread::spawn(move || serve(&device, ring));
    let mut running: VecDeque<(u32, Tag)> = VecDeque::new();
    for number in 0..COMMANDS {
        if running.len() == DEPTH {
            check_oldest(&mut kernel, &mut running);
        }
        running.push_back((number, kernel.submit(request(number))));
    }
    while !running.is_empty() {
        check_oldest(&mut kernel, &mut running);
    }
    kernel.remove();
    assert_eq!(agent.join().unwrap(), COMMANDS);
}

fn request(number: u32) -> Request {
    let mut cdb = [0x88; 16];
    cdb[4..8].copy_from_slice(&number.to_be_bytes());
    cdb[12..].copy_from_slice(&number.to_be_bytes());
    Request::reading(&cdb, 64 + (number % 9000) as usize)
}

fn check_oldest(kernel: &mut Kernel, running: &mut VecDeque<(u32, Tag)>) {
    let Some((number, tag)) = running.pop_front() else { return };
    let completion = kernel.wait(tag, Duration::from_secs(20)).expect("an answer");
    let byte = number.to_be_bytes()[3];
    assert_eq!(completion.data.len(), 64 + (number % 9000) as usize);
    assert!(completion.data.iter().all(|b| *b == byte), "command {number}");
    assert_eq!((completion.status, completion.sense), (2, [byte; 96]));
}

/// Answers everything, in pairs swapped, until the device is removed; how many.
fn serve(device: &Device, mut ring: Ring) -> u32 {
    let mut answered = 0;
    let mut held: Option<(Ticket, u8)> = None;
    while device.wait(None).unwrap() && device.consume().is_ok() {
        while let Some(entry) = ring.next().unwrap() {
            let Entry::Command(mut command) = entry else { panic!("commands only") };
            assert_eq!(command.cdb[4..8], command.cdb[12..16]);
            let byte = command.cdb[7];
            command.data.fill(0, command.data.len(), byte);
            answered += 1;
            answer(&mut ring, command.ticket, byte);
            if let Some((ticket, byte)) = held.take() {
                answer(&mut ring, ticket, byte);
            }
            if let Some(Entry::Command(mut command)) = ring.next().unwrap() {
                let byte = command.cdb[7];
                command.data.fill(0, command.data.len(), byte);
                answered += 1;
                held = Some((command.ticket, byte));
            }
        }
        if let Some((ticket, byte)) = held.take() {
            answer(&mut ring, ticket, byte);
        }
        if ring.publish() {
            let _ = device.kick();
        }
    }
    answered
}

fn answer(ring: &mut Ring, ticket: Ticket, byte: u8) {
    let len = u32::MAX; // clipped to what was expected; makes a CHECK CONDITION carry its data
    ring.complete(ticket, &Reply { status: 2, sense: &[byte; 96], read_len: Some(len) });
}
