//! What an errno of a data operation means to a caller: the one table of this room.

use lunette_backend::{IoError, IoErrorKind};
use nix::errno::Errno;

/// Whether an operation moved data out of or into the storage, as far as its errors differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// The error of an operation that the kernel ended with `errno`.
pub(crate) fn io_error(errno: Errno, direction: Direction) -> IoError {
    IoError::new(kind(errno, direction), std::io::Error::from(errno))
}

fn kind(errno: Errno, direction: Direction) -> IoErrorKind {
    match errno {
        Errno::ENOSPC | Errno::EDQUOT => IoErrorKind::NoSpace,
        Errno::EROFS => IoErrorKind::ReadOnly,
        Errno::EOPNOTSUPP | Errno::ENOSYS => IoErrorKind::Unsupported,
        Errno::EAGAIN | Errno::ENOMEM | Errno::ENOBUFS => IoErrorKind::Busy,
        Errno::ESTALE
        | Errno::ENODEV
        | Errno::ENXIO
        | Errno::ENOLINK
        | Errno::ENOTCONN
        | Errno::ETIMEDOUT
        | Errno::EHOSTDOWN
        | Errno::EHOSTUNREACH => IoErrorKind::Unreachable,
        Errno::EFBIG => IoErrorKind::OutOfRange,
        // Our own mistakes: a buffer that is not mapped, a closed descriptor, an alignment not kept.
        Errno::EFAULT | Errno::EBADF | Errno::EINVAL => IoErrorKind::Internal,
        _ if direction == Direction::In => IoErrorKind::MediumRead,
        _ => IoErrorKind::MediumWrite,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_not_a_broken_one() {
        assert_eq!(kind(Errno::ENOSPC, Direction::Out), IoErrorKind::NoSpace);
        assert_eq!(kind(Errno::EDQUOT, Direction::Out), IoErrorKind::NoSpace);
        assert_eq!(kind(Errno::EIO, Direction::Out), IoErrorKind::MediumWrite);
        assert_eq!(kind(Errno::EIO, Direction::In), IoErrorKind::MediumRead);
    }

    #[test]
    fn unmapped_memory_is_our_fault_not_the_mediums() {
        assert_eq!(kind(Errno::EFAULT, Direction::In), IoErrorKind::Internal);
        assert_eq!(kind(Errno::EFAULT, Direction::Out), IoErrorKind::Internal);
    }
}
