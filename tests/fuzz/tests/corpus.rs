//! What the fuzzers found worth keeping, and what once broke something, played again.

use std::fs;
use std::path::Path;

use lunette_fuzz::GAMES;

#[test]
fn every_input_that_was_kept_is_played_to_its_end() {
    for (name, play) in GAMES.iter().copied() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let inputs = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut played = 0;
        for input in inputs {
            let path = input.expect("a directory that can be read").path();
            // Shown only if the test fails: the last line is the culprit.
            println!("{}", path.display());
            play(&fs::read(&path).expect("a file that can be read"));
            played += 1;
        }
        assert!(played > 0, "{} is empty", folder.display());
    }
}
