//! What to run in a guest: program, arguments, variables, input, patience. Plain data.

use std::path::Path;
use std::time::Duration;

/// How long a command may run when it does not say.
pub(super) const PATIENCE: Duration = Duration::from_secs(150);
/// What a guest's own shell would have.
const VARIABLES: [&str; 3] =
    ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"];

/// A command to run in a guest. A plain string is one for `/bin/sh -c`.
#[derive(Debug, Clone)]
pub struct GuestCommand {
    pub(super) arguments: Vec<String>,
    pub(super) variables: Vec<String>,
    pub(super) input: Vec<u8>,
    pub(super) patience: Duration,
}

impl GuestCommand {
    /// The program itself, without a shell.
    #[must_use]
    pub fn new(program: impl AsRef<Path>) -> GuestCommand {
        GuestCommand {
            arguments: vec![program.as_ref().to_string_lossy().into_owned()],
            variables: VARIABLES.map(str::to_owned).to_vec(),
            input: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// A line for `/bin/sh -c`.
    #[must_use]
    pub fn shell(line: &str) -> GuestCommand {
        GuestCommand::new("/bin/sh").args(["-c", line])
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> GuestCommand {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> GuestCommand {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> GuestCommand {
        self.variables.push(format!("{name}={value}"));
        self
    }

    /// What it reads from its standard input; nothing unless said.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> GuestCommand {
        self.input = input.into();
        self
    }

    /// How long it may run before it is killed and an error; 150 seconds unless said.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> GuestCommand {
        self.patience = patience;
        self
    }

    /// The command as a person would type it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.arguments.as_slice() {
            [shell, flag, line] if shell == "/bin/sh" && flag == "-c" => line.clone(),
            arguments => arguments.join(" "),
        }
    }
}

impl From<&str> for GuestCommand {
    fn from(line: &str) -> GuestCommand {
        GuestCommand::shell(line)
    }
}

impl From<String> for GuestCommand {
    fn from(line: String) -> GuestCommand {
        GuestCommand::shell(&line)
    }
}

impl From<&String> for GuestCommand {
    fn from(line: &String) -> GuestCommand {
        GuestCommand::shell(line)
    }
}
