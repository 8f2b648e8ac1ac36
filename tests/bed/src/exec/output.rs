//! What a command printed and how it ended, with the two questions a test asks of it: did it succeed, was it refused.

use crate::{Result, host};
use anyhow::{anyhow, bail};

/// What a command printed, and how it ended.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// As a shell has it: 0 is success, 128 and above a signal.
    pub status: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    pub(crate) shown: String,
}

impl Output {
    /// Of a command shown as `shown`, for programs that were run some other way.
    #[must_use]
    pub fn of(shown: &str, output: &std::process::Output) -> Output {
        Output {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            shown: shown.to_owned(),
        }
    }

    /// Whether the status is 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// The standard output without the white space around it.
    ///
    /// # Errors
    /// When the status is not 0: the message shows the command and what it printed.
    pub fn ok(&self) -> Result<String> {
        if self.success() {
            return Ok(self.stdout.trim().to_owned());
        }
        Err(anyhow!("`{}` ended with status {}:\n{}", self.shown, self.status, host::tail(&self.printed(), 30)))
    }

    /// The standard error without the white space around it.
    ///
    /// # Errors
    /// When the status is 0: the command was expected to fail.
    pub fn refused(&self) -> Result<String> {
        if self.success() {
            bail!("`{}` succeeded where it should be refused:\n{}", self.shown, host::tail(&self.printed(), 30));
        }
        Ok(self.stderr.trim().to_owned())
    }

    /// Standard output and standard error, one after the other.
    #[must_use]
    pub fn printed(&self) -> String {
        let gap = if self.stdout.is_empty() || self.stdout.ends_with('\n') { "" } else { "\n" };
        format!("{}{gap}{}", self.stdout, self.stderr)
    }
}
