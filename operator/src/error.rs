//! Why a reconcile failed, by what should be done about it.

use thiserror::Error;

/// Why a reconcile failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The stored object does not fit the types: only its author can mend it.
    #[error("{object} cannot be read as it is stored: {reason}; correct it with `kubectl edit`")]
    Malformed {
        /// Kind and name.
        object: String,
        /// What the deserialiser says.
        reason: String,
    },
    /// The API server refused, or did not answer.
    #[error("cannot {action}: {source}")]
    Api {
        /// What was being done, and to what.
        action: String,
        /// Why it failed.
        source: Box<kube::Error>,
    },
}

/// What kind of failure it is: how long to wait before the next attempt depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Nothing helps but an edit.
    Malformed,
    /// Someone else wrote meanwhile; read again.
    Conflict,
    /// RBAC or an admission policy says no.
    Forbidden,
    /// The API server takes the request for wrong.
    Refused,
    /// The API server is not there or is overloaded.
    Unavailable,
}

impl ErrorKind {
    /// Every kind, for the metrics.
    pub const ALL: [Self; 5] = [Self::Malformed, Self::Conflict, Self::Forbidden, Self::Refused, Self::Unavailable];

    /// The kind's name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Conflict => "conflict",
            Self::Forbidden => "forbidden",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Error {
    /// Says what was being done when the API call failed.
    pub fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source: Box::new(source) }
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. } => ErrorKind::Malformed,
            Self::Api { source, .. } => kind_of(source),
        }
    }

    /// Whether the object is gone, so that there is nothing left to do.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Api { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 404))
    }
}

fn kind_of(error: &kube::Error) -> ErrorKind {
    let kube::Error::Api(status) = error else { return ErrorKind::Unavailable };
    match status.code {
        409 => ErrorKind::Conflict,
        401 | 403 => ErrorKind::Forbidden,
        408 | 429 | 500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Refused,
    }
}
