//! Events on objects, as `kubectl describe` shows them: one when something changes, none while it stays.
//!
//! An event that cannot be written is logged and forgotten: no work waits for it.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use lunette_api::OPERATOR_MANAGER;

/// Longest note that the API takes, in bytes.
const LONGEST: usize = 1024;

/// Writes events in the operator's name.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

/// Whether an event needs anybody's attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// As it should be.
    Normal,
    /// Someone should look.
    Warning,
}

impl Events {
    /// Events of this instance of the operator.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter = Reporter { controller: OPERATOR_MANAGER.to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Writes one event about an object.
    pub async fn publish(&self, about: &ObjectReference, weight: Weight, reason: &str, action: &str, note: &str) {
        let type_ = match weight {
            Weight::Normal => EventType::Normal,
            Weight::Warning => EventType::Warning,
        };
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(cut(note).to_owned()),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            let object = about.name.as_deref().unwrap_or_default();
            tracing::warn!(object, reason, %error, "cannot write an event");
        }
    }
}

fn cut(note: &str) -> &str {
    let mut end = note.len().min(LONGEST);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    &note[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ü".repeat(600);
        assert_eq!(cut(&long).len(), 1024);
        assert_eq!(cut(&format!("a{long}")).len(), 1023);
    }
}
