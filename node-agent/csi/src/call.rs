//! A program's call and its end, as data: who says what to run is not who runs it.

/// A program, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Call {
    /// This program with these arguments.
    pub fn new(program: &'static str, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { program, arguments: arguments.into_iter().map(Into::into).collect() }
    }
}

/// How a program ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status; -1 if a signal ended it.
    pub status: i32,
    /// The end of what it printed, its errors last.
    pub said: String,
}
