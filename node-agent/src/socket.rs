//! The agent's local socket: one request a connection, a line from the client, one JSON document back.
//!
//! Root's alone. Knows no request; whoever listens says how they are answered.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

/// How long either side may take for what takes no time.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// The longest request, in bytes: a word and a path.
const LONGEST_REQUEST: u64 = 4096 + 64;

/// Has `answer` answer each request on `socket`, in a directory that is there, for as long as the process lives.
/// How long an answer takes is its own affair.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen<F>(socket: &Path, answer: impl Fn(String) -> F + Clone + Send + 'static) -> anyhow::Result<()>
where
    F: Future<Output = Value> + Send + 'static,
{
    accept(socket, move |stream| serve(stream, answer.clone()))
}

/// Has `attend` see to each connection on `socket`, for as long as the process lives.
///
/// # Errors
/// When the socket cannot be made.
pub fn accept<F>(socket: &Path, attend: impl Fn(UnixStream) -> F + Send + 'static) -> anyhow::Result<()>
where
    F: Future<Output: Send> + Send + 'static,
{
    match fs::remove_file(socket) {
        Err(error) if error.kind() != ErrorKind::NotFound => bail!("cannot replace {}: {error}", socket.display()),
        _ => {}
    }
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(attend(stream))),
                // The process is short of descriptors for the moment.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    });
    Ok(())
}

async fn serve<F: Future<Output = Value>>(stream: UnixStream, answer: impl Fn(String) -> F) {
    let (read, mut write) = stream.into_split();
    let mut request = String::new();
    let asked = timeout(ANSWER_WITHIN, BufReader::new(read.take(LONGEST_REQUEST)).read_line(&mut request)).await;
    if !matches!(asked, Ok(Ok(_))) {
        return;
    }
    // One that was cut off would be another request.
    let reply = match request.strip_suffix('\n') {
        Some(request) => answer(request.trim().to_owned()).await,
        None => json!({ "error": format!("a request is one line of at most {LONGEST_REQUEST} bytes") }),
    };
    // A client that went away needs no answer.
    let _ = timeout(ANSWER_WITHIN, write.write_all(reply.to_string().as_bytes())).await;
}

/// Asks the agent on `socket`.
///
/// # Errors
/// When no agent answers in time, or it answers with an error.
pub async fn ask(socket: &Path, request: &str, within: Duration) -> anyhow::Result<Value> {
    let answer = timeout(within, exchange(socket, request)).await;
    let reply = answer.map_err(|_| anyhow!("the agent on {} does not answer: see its log", socket.display()))??;
    let reply: Value =
        serde_json::from_slice(&reply).context("the agent's answer is not understood: is it of this version?")?;
    match reply.get("error") {
        Some(error) => bail!("the agent says: {}", error.as_str().unwrap_or("nothing that can be understood")),
        None => Ok(reply),
    }
}

async fn exchange(socket: &Path, request: &str) -> anyhow::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).await.with_context(|| {
        format!("no agent answers on {}: is `lunette-node serve` running, and are you root?", socket.display())
    })?;
    stream.write_all(format!("{request}\n").as_bytes()).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    Ok(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_root_may_ask_and_an_error_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("node.sock");
        // What a dead agent left behind is no obstacle.
        fs::write(&socket, "").unwrap();
        listen(&socket, |request| async move {
            if request == "no" { json!({ "error": "I do not" }) } else { json!({ "heard": request }) }
        })
        .unwrap();
        assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ask(&socket, "a b", ANSWER_WITHIN).await.unwrap(), json!({ "heard": "a b" }));
        assert_eq!(ask(&socket, "no", ANSWER_WITHIN).await.unwrap_err().to_string(), "the agent says: I do not");
    }

    #[tokio::test]
    async fn a_request_that_is_cut_off_is_not_taken_for_a_shorter_one() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("node.sock");
        listen(&socket, |request| async move { json!({ "heard": request.len() }) }).unwrap();
        let path = format!("upgrade /{}", "x".repeat(4000));
        assert_eq!(ask(&socket, &path, ANSWER_WITHIN).await.unwrap(), json!({ "heard": path.len() }));
        assert!(ask(&socket, &"x".repeat(10_000), ANSWER_WITHIN).await.is_err());
    }

    #[tokio::test]
    async fn an_absent_agent_is_said_to_be_absent() {
        let dir = tempfile::tempdir().unwrap();
        let error = ask(&dir.path().join("node.sock"), "status", ANSWER_WITHIN).await.unwrap_err();
        assert!(error.to_string().ends_with("is `lunette-node serve` running, and are you root?"), "{error}");
    }
}
