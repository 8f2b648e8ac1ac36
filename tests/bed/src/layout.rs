//! Where the bed finds the checkout and where it keeps what it made.
//!
//! Everything that set-up makes lies under one cache directory (`target/bed`, or `LUNETTE_BED_CACHE`), so that
//! removing that directory is all it takes to start from nothing. Nothing outside it is ever written, but for the
//! Debian packages that set-up installs. The checkout's own programs are built by others; where is known here.

use crate::Result;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// The environment variable that moves the cache directory.
pub const CACHE_VARIABLE: &str = "LUNETTE_BED_CACHE";

/// The environment variable that names another folder of programs to try than the release build.
pub const PROGRAMS_VARIABLE: &str = "LUNETTE_BINARIES";

/// The directories of a checkout that the bed works with.
#[derive(Debug, Clone)]
pub struct Layout {
    checkout: PathBuf,
    cache: PathBuf,
}

impl Layout {
    /// Finds the checkout that the current directory lies in.
    ///
    /// # Errors
    /// When no directory from the current one upwards holds `tests/tools`, or the cache cannot be made.
    pub fn find() -> Result<Layout> {
        let here = std::env::current_dir().context("reading the current directory")?;
        let Some(checkout) = here.ancestors().find(|dir| dir.join("tests/tools/go.mod").exists()) else {
            bail!("{} is not inside a Lunette checkout: change into one and run this again", here.display());
        };
        let cache = std::env::var_os(CACHE_VARIABLE).map_or_else(|| checkout.join("target/bed"), PathBuf::from);
        std::fs::create_dir_all(&cache).with_context(|| format!("making the cache directory {}", cache.display()))?;
        let cache = cache.canonicalize().with_context(|| format!("resolving {}", cache.display()))?;
        Ok(Layout { checkout: checkout.to_path_buf(), cache })
    }

    /// The root of the checkout.
    #[must_use]
    pub fn checkout(&self) -> &Path {
        &self.checkout
    }

    /// Where set-up keeps what it made.
    #[must_use]
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// The Go modules that pin the programs to build.
    #[must_use]
    pub fn tools(&self) -> PathBuf {
        self.checkout.join("tests/tools")
    }

    /// Where container images are built, and kept.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.cache.join("images")
    }

    /// A program of this checkout's: of the release build, or of the folder that [`PROGRAMS_VARIABLE`] names.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        let folder = std::env::var_os(PROGRAMS_VARIABLE).map(PathBuf::from);
        folder.unwrap_or_else(|| self.checkout.join("target/release")).join(name)
    }

    /// One folder for each running bed.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.cache.join("runs")
    }

    /// The logs of beds that are gone.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.cache.join("logs")
    }
}
