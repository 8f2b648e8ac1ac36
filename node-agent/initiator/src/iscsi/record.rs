//! The node record: what open-iscsi is told of one target before a login.
//!
//! `iscsiadm` takes settings as arguments, which every user of the machine can read in the list of processes. So the
//! record is made by iscsiadm and its settings are written into its file, which is root's alone; the secret ones
//! are taken out again after the login. iscsid has them in memory, and after its restart from the kernel.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Answer, Commands, IscsiError};

/// A user's name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The secret.
    pub password: String,
}

/// What is proved at login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chap {
    /// By this machine.
    pub initiator: Login,
    /// By the target, with mutual CHAP.
    pub target: Option<Login>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with password ***", self.user)
    }
}

/// Settings that do not depend on the target: the disk is scanned for by us alone, nothing logs in by itself, and I/O waits
/// for an hour, not two minutes, for a target that does not answer, before it fails.
const ALWAYS: [(&str, &str); 5] = [
    ("node.startup", "manual"),
    ("node.conn[0].startup", "manual"),
    ("node.session.scan", "manual"),
    ("node.session.initial_login_retry_max", "2"),
    ("node.session.timeo.replacement_timeout", "3600"),
];

/// Where distributions keep the records.
const DATABASES: [&str; 2] = ["etc/iscsi/nodes", "var/lib/iscsi/nodes"];

/// iscsiadm(8): ISCSI_ERR_SESS_EXISTS, ISCSI_ERR_NO_OBJS_FOUND, ISCSI_ERR_LOGIN_AUTH_FAILED.
const EXISTS: i32 = 15;
const NOTHING_FOUND: i32 = 21;
const AUTHENTICATION: i32 = 24;

/// What open-iscsi knows of one target.
pub struct Record<'a> {
    host: &'a dyn Commands,
    target: String,
}

impl<'a> Record<'a> {
    /// Of this target.
    pub fn of(host: &'a dyn Commands, target: &str) -> Record<'a> {
        Record { host, target: target.to_owned() }
    }

    /// Makes the record and logs in.
    pub fn log_in(&self, portal: SocketAddr, chap: Option<&Chap>) -> Result<(), IscsiError> {
        let at = portal.to_string();
        self.told("make a record of", &self.run(&["-p", &at, "-o", "new"])?, &[])?;
        let secret = chap.map(secrets).unwrap_or_default();
        self.write(portal, ALWAYS.iter().map(|(name, value)| (*name, (*value).to_owned())).chain(secret.clone()))?;
        let login = self.run(&["-p", &at, "--login"]);
        let blank =
            secret.into_iter().filter(|(name, _)| name.contains(".password")).map(|(name, _)| (name, String::new()));
        self.write(portal, blank)?;
        let login = login?;
        if login.status == AUTHENTICATION {
            return Err(IscsiError::Refused { portal, target: self.target.clone() });
        }
        self.told("log in to", &login, &[EXISTS])
    }

    /// Ends one session.
    pub fn log_out(&self, session: u32) -> Result<(), IscsiError> {
        let answer = self.host.iscsiadm(&["-m", "session", "-r", &session.to_string(), "-u"])?;
        self.told("log out of", &answer, &[NOTHING_FOUND])
    }

    /// Removes the record.
    pub fn forget(&self) -> Result<(), IscsiError> {
        let answer = self.run(&["-o", "delete"])?;
        self.told("forget", &answer, &[NOTHING_FOUND])
    }

    fn run(&self, rest: &[&str]) -> Result<Answer, IscsiError> {
        self.host.iscsiadm(&[&["-m", "node", "-T", checked(&self.target)?], rest].concat())
    }

    fn told(&self, what: &'static str, answer: &Answer, harmless: &[i32]) -> Result<(), IscsiError> {
        if answer.status == 0 || harmless.contains(&answer.status) {
            return Ok(());
        }
        let said = answer.said.trim().to_owned();
        Err(IscsiError::Failed { what, target: self.target.clone(), status: answer.status, said })
    }

    fn write(
        &self,
        portal: SocketAddr,
        settings: impl Iterator<Item = (&'static str, String)>,
    ) -> Result<(), IscsiError> {
        let settings: Vec<_> = settings.collect();
        if settings.is_empty() {
            return Ok(());
        }
        for path in self.files(portal) {
            let old = fs::read_to_string(&path).map_err(|error| failed("read", &path, error))?;
            // In place: its directory is no place for a file of another name, which would be a record too.
            fs::write(&path, with(&old, &settings)).map_err(|error| failed("write", &path, error))?;
        }
        Ok(())
    }

    /// `TARGET/ADDRESS,PORT[,TPGT]`, a file, or a directory with a file for each interface.
    fn files(&self, portal: SocketAddr) -> Vec<PathBuf> {
        let directories = DATABASES.iter().map(|database| self.host.root().join(database).join(&self.target));
        let portals = directories.flat_map(|directory| entries(&directory)).filter(|path| is_of(path, portal));
        portals.flat_map(|path| if path.is_dir() { entries(&path) } else { vec![path] }).collect()
    }
}

fn failed(what: &'static str, path: &Path, error: std::io::Error) -> IscsiError {
    IscsiError::Io { what, path: path.to_owned(), error }
}

fn secrets(chap: &Chap) -> Vec<(&'static str, String)> {
    let Login { user, password } = chap.initiator.clone();
    let mut settings = vec![
        ("node.session.auth.authmethod", "CHAP".to_owned()),
        ("node.session.auth.username", user),
        ("node.session.auth.password", password),
    ];
    if let Some(Login { user, password }) = chap.target.clone() {
        settings.extend([("node.session.auth.username_in", user), ("node.session.auth.password_in", password)]);
    }
    settings
}

/// The record with these settings, one each line; an empty value means that there is none.
fn with(old: &str, settings: &[(&str, String)]) -> String {
    let is_set = |line: &str| settings.iter().any(|(name, _)| line.split('=').next().map(str::trim) == Some(*name));
    let mut lines: Vec<String> = old.lines().filter(|line| !is_set(line)).map(str::to_owned).collect();
    let end = lines.iter().rposition(|line| line.starts_with("# END")).unwrap_or(lines.len());
    let new = settings.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name} = {value}"));
    lines.splice(end..end, new);
    lines.join("\n") + "\n"
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).map(|listing| listing.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn is_of(path: &Path, portal: SocketAddr) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut parts = name.split(',');
    let address = parts.next().and_then(|text| text.trim_matches(['[', ']']).parse().ok());
    let port = parts.next().and_then(|text| text.parse().ok());
    (address, port) == (Some(portal.ip()), Some(portal.port()))
}

/// A target's name becomes an argument and a file's name: only what RFC 3722 allows gets through.
pub fn checked(target: &str) -> Result<&str, IscsiError> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b':');
    let kind = ["iqn.", "eui.", "naa."].iter().any(|kind| target.starts_with(kind));
    if kind && target.len() <= 223 && target.bytes().all(legal) {
        return Ok(target);
    }
    Err(IscsiError::BadTarget { given: target.to_owned() })
}
