//! From why a call failed to a gRPC code: the one table.
//!
//! Every call has its own error enum, whose variants say what went wrong in words; each variant belongs to
//! one [`Kind`], and each kind has one code. The codes decide what the sidecars do: after `ABORTED`,
//! `DEADLINE_EXCEEDED`, `UNAVAILABLE` and `RESOURCE_EXHAUSTED` the provisioner takes a call as perhaps still
//! going on and makes it again, even if nobody wants its outcome any more; after every other it takes it as
//! over, and makes a volume anew or lets go of it.

use tonic::{Code, Status};

/// What kind of failure it is, by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The call is wrong: something is missing in it, unknown or impossible.
    Invalid,
    /// The volume or the node does not exist.
    NotFound,
    /// There is one of that name, and it is another.
    Exists,
    /// Another call is at it, or the list has changed under the token.
    Busy,
    /// It would be wrong in the present state, which somebody has to change.
    Precondition,
    /// No such size can be had.
    OutOfRange,
    /// Not for this caller.
    Forbidden,
    /// The cluster does not answer, or nothing can serve the volume now.
    Unavailable,
    /// It goes on, and the caller's time is up.
    Deadline,
    /// Something that should not be.
    Internal,
}

impl Kind {
    /// Its code.
    pub fn code(self) -> Code {
        match self {
            Self::Invalid => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::Exists => Code::AlreadyExists,
            Self::Busy => Code::Aborted,
            Self::Precondition => Code::FailedPrecondition,
            Self::OutOfRange => Code::OutOfRange,
            Self::Forbidden => Code::PermissionDenied,
            Self::Unavailable => Code::Unavailable,
            Self::Deadline => Code::DeadlineExceeded,
            Self::Internal => Code::Internal,
        }
    }
}

/// An error of a call.
pub trait Failure: std::error::Error {
    /// What kind it is.
    fn kind(&self) -> Kind;
}

/// The answer to a call that failed; the log has it too.
pub fn answer(call: &'static str, failure: &dyn Failure) -> Status {
    let (code, message) = (failure.kind().code(), failure.to_string());
    match failure.kind() {
        Kind::Internal | Kind::Unavailable | Kind::Deadline => tracing::warn!(call, ?code, "{message}"),
        _ => tracing::info!(call, ?code, "{message}"),
    }
    Status::new(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 10] = [
        Kind::Invalid,
        Kind::NotFound,
        Kind::Exists,
        Kind::Busy,
        Kind::Precondition,
        Kind::OutOfRange,
        Kind::Forbidden,
        Kind::Unavailable,
        Kind::Deadline,
        Kind::Internal,
    ];

    /// What a code makes the provisioner do (external-provisioner, `checkError`).
    #[derive(Debug, PartialEq, Eq)]
    enum Provisioner {
        /// The call may still be going on: it is made again.
        GoesOn,
        /// The call is over.
        Over,
        /// Never an answer of ours.
        Unused,
    }

    fn provisioner(code: Code) -> Provisioner {
        match code {
            Code::Aborted | Code::Unavailable | Code::DeadlineExceeded => Provisioner::GoesOn,
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::PermissionDenied
            | Code::Internal => Provisioner::Over,
            // Said by gRPC itself, or wrong for us: a volume that no node has room for is OUT_OF_RANGE, since
            // after RESOURCE_EXHAUSTED the provisioner would ask for ever.
            Code::Ok
            | Code::Unimplemented
            | Code::Cancelled
            | Code::Unknown
            | Code::ResourceExhausted
            | Code::DataLoss
            | Code::Unauthenticated => Provisioner::Unused,
        }
    }

    #[test]
    fn every_code_is_the_answer_to_one_kind_or_to_none() {
        for number in 0..17 {
            let code = Code::from_i32(number);
            assert_eq!(code as i32, number);
            let kinds = KINDS.iter().filter(|kind| kind.code() == code).count();
            let unused = provisioner(code) == Provisioner::Unused;
            assert_eq!(kinds, usize::from(!unused), "{code:?}");
        }
    }

    #[test]
    fn what_may_be_going_on_is_asked_for_again_and_nothing_else() {
        for kind in KINDS {
            let goes_on = matches!(kind, Kind::Busy | Kind::Unavailable | Kind::Deadline);
            assert_eq!(provisioner(kind.code()) == Provisioner::GoesOn, goes_on, "{kind:?}");
        }
    }
}
