//! Manifests of any bytes: objects, or a reason; never a panic.

use proptest::prelude::*;

use crate::source::manifests::parse::documents;

/// Good manifests, which a user then edits.
const GOOD: &str = "\
apiVersion: lunette.io/v1alpha1
kind: LunPool
metadata: {name: files}
spec: {directory: {path: /srv/pool}}
---
apiVersion: lunette.io/v1alpha1
kind: Lun
metadata: {name: db, namespace: prod}
spec:
  pool: files
  size: 1Gi
  blockSize: 4096
  initiators: [{iqn: 'iqn.2026-01.a:b', chapSecret: {name: chap}}]
  qos: {iops: 100, bytesPerSecond: 8Mi}
---
apiVersion: v1
kind: Secret
metadata: {name: chap, namespace: prod}
stringData: {username: client, password: sixteen-bytes-ok}
";

/// What to write over a part of the text.
fn scrap() -> impl Strategy<Value = String> {
    let words = vec![
        "",
        ":",
        "---\n",
        "- ",
        "{",
        "}",
        "[",
        "]",
        "\n",
        "  ",
        "'",
        "\"",
        "&a ",
        "*a",
        "<<: *a",
        "!!binary ",
        "null",
        "~",
        "-1",
        "1e999",
        "0x10",
        "9223372036854775808",
        "8Ei",
        "\u{0}",
        "\u{feff}",
        "%YAML 1.2",
        "kind: List\nitems:",
    ];
    prop_oneof![
        4 => prop::sample::select(words).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => (0..400_usize).prop_map(|depth| "[".repeat(depth)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_edited_is_understood_or_refused_with_a_reason(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..40_usize, scrap()), 0..6),
    ) {
        let mut text: Vec<char> = GOOD.chars().collect();
        for (at, len, scrap) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + len).min(text.len());
            text.splice(at..end, scrap.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(reason) = documents(&text) {
            prop_assert!(!reason.is_empty());
        }
    }

    #[test]
    fn any_text_is_understood_or_refused(text in any::<String>()) {
        let _ = documents(&text);
    }
}
