//! Manifests: text that is understood, or refused with a reason.

/// Any text; what is no text is one with marks in place of it.
pub fn play(bytes: &[u8]) {
    if let Err(reason) = lunette_node::check_manifests(&String::from_utf8_lossy(bytes)) {
        assert!(!reason.is_empty());
    }
}
