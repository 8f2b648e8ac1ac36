//! Where a logical unit is on this machine: host, channel, target and LUN, as the kernel's SCSI layer counts them.

use std::fmt;
use std::str::FromStr;

/// A SCSI address, `HOST:CHANNEL:TARGET:LUN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The number of the SCSI host.
    pub host: u32,
    /// The channel of that host.
    pub channel: u32,
    /// The target on that channel.
    pub target: u32,
    /// The logical unit number.
    pub lun: u64,
}

/// A text that is no SCSI address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no SCSI address: write HOST:CHANNEL:TARGET:LUN in numbers, such as 2:0:1:0")]
pub struct BadAddress {
    /// The refused text.
    pub given: String,
}

impl FromStr for Address {
    type Err = BadAddress;
    fn from_str(text: &str) -> Result<Address, BadAddress> {
        let bad = || BadAddress { given: text.to_owned() };
        let parts: Vec<&str> = text.split(':').collect();
        let [host, channel, target, lun] = parts[..] else { return Err(bad()) };
        let number = |part: &str| part.parse::<u32>().map_err(|_| bad());
        Ok(Address {
            host: number(host)?,
            channel: number(channel)?,
            target: number(target)?,
            lun: lun.parse().map_err(|_| bad())?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.host, self.channel, self.target, self.lun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_four_numbers() {
        let address = Address { host: 2, channel: 0, target: 1, lun: 0 };
        assert_eq!("2:0:1:0".parse(), Ok(address));
        assert_eq!(address.to_string(), "2:0:1:0");
        for bad in ["", "2:0:1", "2:0:1:0:0", "a:0:1:0", "2:0:-1:0"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
