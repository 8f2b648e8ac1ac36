//! Data that is not the medium's: replies cut to an ALLOCATION LENGTH, and parameter lists.
//!
//! Both rules stand here once. A reply's buffer is zeroed behind the reply, always: it may hold bytes
//! of an earlier command.

use lunette_iobuf::DataBuf;

use crate::{Outcome, Sense, asc};

/// Puts `reply` into the Data-In buffer, cut to the allocation length (SPC-5 4.2.5.6).
pub fn deliver(mut data: DataBuf, reply: &[u8], allocation: u32) -> Outcome {
    let allowed = usize::try_from(allocation).unwrap_or(usize::MAX).min(reply.len());
    let copied = data.copy_in(0, &reply[..allowed]);
    finish_data_in(&mut data, copied)
}

/// GOOD for a buffer of which the first `valid` bytes were filled; zeroes the others.
pub fn finish_data_in(data: &mut DataBuf, valid: usize) -> Outcome {
    if valid >= data.len() {
        return Outcome::good();
    }
    data.fill(valid, data.len() - valid, 0);
    Outcome::short(u32::try_from(valid).unwrap_or(u32::MAX))
}

/// GOOD for a command without data: nothing that a confused initiator asked for is stale.
pub fn finish_without_data(mut data: DataBuf) -> Outcome {
    data.fill(0, data.len(), 0);
    Outcome::good()
}

/// Copies a parameter list of `len` bytes out of the Data-Out buffer.
///
/// # Errors
/// INVALID FIELD IN COMMAND INFORMATION UNIT where the initiator sent less than its CDB says, as LIO's
/// core answers for its own backstores (`target_cmd_size_check`).
pub fn parameter_list(data: &DataBuf, len: u32) -> Result<Vec<u8>, Sense> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if data.len() < len {
        return Err(Sense::illegal(asc::INVALID_FIELD_IN_COMMAND_IU));
    }
    let mut list = vec![0; len];
    data.copy_out(0, &mut list);
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stale(len: usize) -> DataBuf {
        DataBuf::from_slice(&vec![0xee; len])
    }

    #[test]
    fn a_reply_is_cut_to_the_shorter_of_allocation_and_buffer() {
        assert_eq!(deliver(stale(4), b"abcdef", 6), Outcome::good());
        assert_eq!(deliver(stale(4), b"abcdef", 3), Outcome::short(3));
        assert_eq!(deliver(stale(9), b"abcdef", 255), Outcome::short(6));
        assert_eq!(deliver(stale(9), b"abcdef", 0), Outcome::short(0));
        assert_eq!(deliver(DataBuf::empty(), b"abcdef", 6), Outcome::good());
    }

    #[test]
    fn a_parameter_list_must_have_been_sent_in_full() {
        assert_eq!(parameter_list(&stale(4), 3), Ok(vec![0xee; 3]));
        let short = parameter_list(&stale(4), 5);
        assert_eq!(short.map_err(|s| s.asc), Err(asc::INVALID_FIELD_IN_COMMAND_IU));
    }
}
