//! `lunette-node status`: asks the running agent over a local socket, and prints what it says.
//!
//! One request a connection: a word and a newline from the client, one JSON document back.

mod board;
mod table;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use lunette_api::Lun;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

pub use board::{Board, Entry};

/// How long an agent that is there may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest request.
const LONGEST_REQUEST: u64 = 256;

/// How `status` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A `v1` List of the Luns, as the API would show them.
    Json,
    /// The same as YAML.
    Yaml,
    /// The table with more columns, and every condition.
    Wide,
}

/// What the agent says.
#[derive(Serialize, Deserialize)]
struct Answer {
    luns: Vec<Lun>,
    notices: Vec<String>,
}

/// Answers on `socket`, in a directory that is there, for as long as the process lives.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen(socket: &Path, board: Arc<Board>) -> anyhow::Result<()> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != ErrorKind::NotFound => bail!("cannot replace {}: {error}", socket.display()),
        _ => {}
    }
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(timeout(ANSWER_WITHIN, answer(stream, Arc::clone(&board))))),
                // The process is short of descriptors for the moment.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    });
    Ok(())
}

async fn answer(stream: UnixStream, board: Arc<Board>) {
    let (read, mut write) = stream.into_split();
    let mut request = String::new();
    let asked = BufReader::new(read.take(LONGEST_REQUEST)).read_line(&mut request).await;
    let reply = match request.trim() {
        "status" if asked.is_ok() => status(&board),
        other => json!({ "error": format!("unknown request {other:?}: this agent knows status") }),
    };
    // A client that went away needs no answer.
    let _ = write.write_all(reply.to_string().as_bytes()).await;
}

fn status(board: &Board) -> Value {
    let luns = board.entries().into_iter().map(whole).collect();
    let answer = Answer { luns, notices: board.notices() };
    serde_json::to_value(answer).unwrap_or_else(|error| json!({ "error": error.to_string() }))
}

fn whole(entry: Entry) -> Lun {
    Lun { status: Some(entry.status), ..Arc::unwrap_or_clone(entry.lun) }
}

/// Asks the agent on `socket` and prints.
///
/// # Errors
/// When no agent answers.
pub async fn show(socket: PathBuf, format: Option<Format>) -> anyhow::Result<()> {
    let answer = timeout(ANSWER_WITHIN, ask(&socket)).await;
    let answer =
        answer.map_err(|_| anyhow::anyhow!("the agent on {} does not answer: see its log", socket.display()))??;
    match format {
        Some(Format::Json) => println!("{}", serde_json::to_string_pretty(&list(&answer.luns))?),
        Some(Format::Yaml) => print!("{}", serde_saphyr::to_string(&list(&answer.luns))?),
        Some(Format::Wide) => print!("{}", table::wide(&answer.luns)),
        None => print!("{}", table::narrow(&answer.luns)),
    }
    for notice in &answer.notices {
        eprintln!("{notice}");
    }
    Ok(())
}

async fn ask(socket: &Path) -> anyhow::Result<Answer> {
    let mut stream = UnixStream::connect(socket).await.with_context(|| {
        format!("no agent answers on {}: is `lunette-node serve` running, and are you root?", socket.display())
    })?;
    stream.write_all(b"status\n").await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    let reply: Value =
        serde_json::from_slice(&reply).context("the agent's answer is not understood: is it of this version?")?;
    if let Some(error) = reply.get("error") {
        bail!("the agent says: {error}");
    }
    serde_json::from_value(reply).context("the agent's answer is not understood: is it of this version?")
}

/// A `v1` List, as `kubectl get -o json` prints.
fn list(luns: &[Lun]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": luns })
}

#[cfg(test)]
mod tests {
    use lunette_api::{LunStatus, Target};

    use super::*;

    #[test]
    fn json_is_a_list_as_the_api_would_show_it() {
        let lun: Lun = serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun",
            "metadata": {"name": "db", "namespace": "prod"}, "spec": {"pool": "files", "size": "10Gi"},
        }))
        .unwrap();
        let target = Target { iqn: Some("iqn.t".to_owned()), lun: Some(0), portals: vec!["[fd00::1]:3260".to_owned()] };
        let status = LunStatus { target: Some(target), wwid: Some("naa.6".to_owned()), ..LunStatus::default() };
        let shown = list(&[whole(Entry { lun: Arc::new(lun), status })]);
        for (pointer, value) in [
            ("/apiVersion", json!("v1")),
            ("/kind", json!("List")),
            ("/items/0/apiVersion", json!("lunette.io/v1alpha1")),
            ("/items/0/kind", json!("Lun")),
            ("/items/0/metadata/name", json!("db")),
            ("/items/0/spec/size", json!("10Gi")),
            ("/items/0/status/target/iqn", json!("iqn.t")),
            ("/items/0/status/target/portals/0", json!("[fd00::1]:3260")),
            ("/items/0/status/wwid", json!("naa.6")),
        ] {
            assert_eq!(shown.pointer(pointer), Some(&value), "{pointer}");
        }
    }

    #[tokio::test]
    async fn only_root_may_ask_and_what_is_not_understood_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("node.sock");
        let board = Arc::new(Board::default());
        board.set_notices(vec!["a.yaml: is odd".to_owned()]);
        // What a dead agent left behind is no obstacle.
        fs::write(&socket, "").unwrap();
        listen(&socket, board).unwrap();
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        let answer = ask(&socket).await.unwrap();
        assert_eq!((answer.luns.len(), answer.notices), (0, vec!["a.yaml: is odd".to_owned()]));
        let mut stream = UnixStream::connect(&socket).await.unwrap();
        stream.write_all(b"reboot\n").await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert_eq!(reply, r#"{"error":"unknown request \"reboot\": this agent knows status"}"#);
    }
}
