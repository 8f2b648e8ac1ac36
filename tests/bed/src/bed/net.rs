//! A network of a bed's own: a namespace, a bridge in it, a tap for each VM.
//!
//! Nothing leaves it and two beds never meet, so every bed uses the same addresses: the host's side is 10.77.0.1 and
//! fd77::1, guest N is 10.77.0.N and fd77::N (written in decimal). It ends when its bed does.

use crate::{Result, host};
use anyhow::{Context, anyhow};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// The host's address in a bed's network.
pub const HOST_IPV4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The host's address in a bed's network.
pub const HOST_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);

/// Lower numbers are left for the host.
const FIRST_GUEST: u8 = 11;

/// The network of one bed.
#[derive(Debug)]
pub struct Net {
    name: String,
    next_guest: AtomicU8,
}

/// A place for a VM in the network: a tap and the addresses that go with it.
#[derive(Debug, Clone)]
pub struct Guest {
    number: u8,
}

impl Guest {
    /// Its IPv4 address, in a /24.
    #[must_use]
    pub fn ipv4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.number)
    }

    /// Its IPv6 address, in a /64.
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Addr {
        // Written in decimal digits, so that both addresses end alike: 10.77.0.11 is fd77::11.
        let number = u16::from(self.number);
        let digits = (number / 100) * 0x100 + (number / 10 % 10) * 0x10 + number % 10;
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, digits)
    }

    /// The MAC address of its network card.
    #[must_use]
    pub fn mac(&self) -> String {
        format!("52:54:00:77:00:{:02x}", self.number)
    }

    /// The tap on the host's side.
    #[must_use]
    pub fn tap(&self) -> String {
        format!("tap{}", self.number)
    }
}

impl Net {
    /// Makes the namespace `name` with its bridge.
    pub(super) fn up(name: &str) -> Result<Net> {
        host::run(Command::new("ip").args(["netns", "add", name]))?;
        let net = Net { name: name.to_owned(), next_guest: AtomicU8::new(FIRST_GUEST) };
        net.ip("link set lo up")?;
        net.ip("link add br0 type bridge")?;
        net.ip(&format!("addr add {HOST_IPV4}/24 dev br0"))?;
        // Without nodad the address could not be bound for a second or two.
        net.ip(&format!("addr add {HOST_IPV6}/64 dev br0 nodad"))?;
        net.ip("link set br0 up")?;
        Ok(net)
    }

    /// Makes a tap for one more guest.
    ///
    /// # Errors
    /// When the tap cannot be made, or the addresses are used up.
    pub fn add_guest(&self) -> Result<Guest> {
        let number = self.next_guest.fetch_add(1, Ordering::Relaxed);
        if !(FIRST_GUEST..=250).contains(&number) {
            return Err(anyhow!("a bed has addresses for 240 guests, and they are used up"));
        }
        let guest = Guest { number };
        self.ip(&format!("tuntap add {} mode tap", guest.tap()))?;
        self.ip(&format!("link set {} master br0 up", guest.tap()))?;
        // Known neighbours, so that the first packet to a booting guest does not wait for the kernel's ARP timer.
        self.ip(&format!("neigh replace {} lladdr {} dev br0 nud permanent", guest.ipv4(), guest.mac()))?;
        self.ip(&format!("neigh replace {} lladdr {} dev br0 nud permanent", guest.ipv6(), guest.mac()))?;
        Ok(guest)
    }

    /// Sends packets for a subnet to a guest, which has it behind itself, and lets the host's side pass them on.
    ///
    /// # Errors
    /// When the subnet is none.
    pub fn route(&self, subnet: &str, guest: &Guest) -> Result<()> {
        self.ip(&format!("route replace {subnet} via {} dev br0", guest.ipv4()))?;
        host::run(self.command(Path::new("sysctl")).args(["-q", "-w", "net.ipv4.ip_forward=1"])).map(drop)
    }

    /// Pulls a guest's cable: packets in both directions are lost until [`Net::plug`]. Commands in the guest
    /// cannot be started meanwhile.
    ///
    /// # Errors
    /// When the tap is gone.
    pub fn unplug(&self, guest: &Guest) -> Result<()> {
        self.ip(&format!("link set {} nomaster", guest.tap()))
    }

    /// Puts a guest's cable back.
    ///
    /// # Errors
    /// When the tap is gone.
    pub fn plug(&self, guest: &Guest) -> Result<()> {
        self.ip(&format!("link set {} master br0", guest.tap()))
    }

    /// A host program that will run in this network. Its process id is that of the program itself.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs `work` on a thread that is inside this network; sockets opened there stay in it wherever they are used.
    ///
    /// # Errors
    /// When the network is gone. A panic in `work` goes on in the caller.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| self.join().map(|()| work()));
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into this network for good: for the threads of a runtime that lives in it.
    ///
    /// # Errors
    /// When the network is gone.
    pub fn join(&self) -> Result<()> {
        let path = self.path();
        let namespace = File::open(&path).with_context(|| format!("opening the network {}", path.display()))?;
        setns(namespace, CloneFlags::CLONE_NEWNET).context("entering the bed's network")
    }

    /// Connects to `address` from the host's side of this network.
    ///
    /// # Errors
    /// When nothing answers within `patience`.
    pub fn connect(&self, address: IpAddr, port: u16, patience: Duration) -> Result<TcpStream> {
        let address = SocketAddr::new(address, port);
        let stream = self.enter(|| TcpStream::connect_timeout(&address, patience))?;
        stream.with_context(|| format!("connecting to {address}"))
    }

    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    fn ip(&self, arguments: &str) -> Result<()> {
        let mut ip = Command::new("ip");
        ip.args(["-netns", &self.name]).args(arguments.split_whitespace());
        host::run(&mut ip).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::Guest;

    #[test]
    fn both_addresses_of_a_guest_end_alike() {
        let guest = Guest { number: 123 };
        assert_eq!(guest.ipv4().to_string(), "10.77.0.123");
        assert_eq!(guest.ipv6().to_string(), "fd77::123");
    }
}
