//! Which Debian this is, and which mirror the machine takes it from: read at run time, never written into the project.

use crate::{Result, host};
use anyhow::{Context, bail};
use std::process::Command;

/// The code name of the running Debian: `bookworm`.
pub fn codename() -> Result<String> {
    let release = std::fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let name = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let name = name.context("/etc/os-release names no VERSION_CODENAME: is this a Debian machine?")?;
    Ok(name.trim_matches('"').to_owned())
}

/// The mirror from which the machine takes the main suite of its release.
pub fn of_the_machine() -> Result<String> {
    let mut targets = Command::new("apt-get");
    targets.args([
        "indextargets",
        "--format",
        "$(RELEASE) $(CODENAME) $(COMPONENT) $(REPO_URI)",
        "Created-By: Packages",
    ]);
    let listing = host::run(&mut targets)?;
    let Some(mirror) = mirror_in(&listing, &codename()?) else {
        bail!("the machine's apt sources name no mirror for Debian {}: add one and try again", codename()?);
    };
    Ok(mirror)
}

fn mirror_in(listing: &str, codename: &str) -> Option<String> {
    listing.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[release, name, "main", uri] = words.as_slice() else { return None };
        (release == codename || name == codename).then(|| uri.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::mirror_in;

    const LISTING: &str = "bookworm-security bookworm-security main http://mirror.example/security/
bookworm bookworm contrib http://mirror.example/other/
oldstable bookworm main http://mirror.example/debian/
";

    #[test]
    fn the_mirror_is_that_of_the_release_itself_not_of_its_updates() {
        assert_eq!(mirror_in(LISTING, "bookworm").as_deref(), Some("http://mirror.example/debian/"));
        assert_eq!(mirror_in(LISTING, "trixie"), None);
    }
}
