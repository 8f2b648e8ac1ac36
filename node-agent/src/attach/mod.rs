//! `lunette-node attach` and `detach`: asks the running agent for a LUN as a disk of this machine. CSI asks the same
//! desk.
//!
//! The agent's half finds the LUN on the board and hands the order to its worker, again and again while that may
//! help, until the client's patience ends. The client prints the disk's path as its last word.

mod desk;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

pub use desk::{Desk, Order, Outcome, Refusal, Request};

use crate::socket;
use crate::status::Board;

/// How long it is waited between two attempts.
const TRY_AGAIN: Duration = Duration::from_millis(250);
/// The longest that a client may have the agent try.
const LONGEST: Duration = Duration::from_secs(3600);

/// The agent's answer to the request `attach NAMESPACE/NAME SECONDS`, or `detach` so. `elsewhere` carries the order out
/// for a Lun that is not on the board.
pub async fn answer(
    order: Order,
    lun: &str,
    seconds: &str,
    (board, desk): (&Board, &Desk),
    elsewhere: impl Fn() -> BoxFuture<'static, Outcome> + Sync,
) -> Value {
    let Ok(seconds) = seconds.parse() else {
        return json!({ "error": format!("{seconds:?} is no number of seconds") });
    };
    let deadline = Instant::now() + Duration::from_secs(seconds).min(LONGEST);
    match patiently(lun, deadline, || attempt(order, lun, (board, desk), &elsewhere)).await {
        Ok(disk) => json!({ "disk": disk }),
        Err(Refusal::Refused(why) | Refusal::NotYet(why)) => json!({ "error": why }),
    }
}

/// Tries again while that may help, until the deadline.
///
/// # Errors
/// Why the last attempt came to nothing.
pub async fn patiently<T, F>(lun: &str, deadline: Instant, attempt: impl Fn() -> F) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, Refusal>>,
{
    loop {
        let why = match timeout_at(deadline, attempt()).await {
            Ok(Err(Refusal::NotYet(why))) => why,
            Ok(outcome) => return outcome,
            Err(_) => format!("Lun {lun} is busy with something that does not end: see `lunette-node status`"),
        };
        if Instant::now() + TRY_AGAIN > deadline {
            return Err(Refusal::NotYet(why));
        }
        sleep(TRY_AGAIN).await;
    }
}

async fn attempt(
    order: Order,
    lun: &str,
    (board, desk): (&Board, &Desk),
    elsewhere: &(impl Fn() -> BoxFuture<'static, Outcome> + Sync),
) -> Outcome {
    match uid(lun, board) {
        Some(uid) => desk.ask(&uid, order).await,
        None => elsewhere().await,
    }
}

fn uid(lun: &str, board: &Board) -> Option<String> {
    let (namespace, name) = lun.split_once('/').unwrap_or(("default", lun));
    let entries = board.entries().into_iter().map(|entry| entry.lun.metadata.clone());
    let mut found = entries.filter(|about| {
        about.namespace.as_deref().unwrap_or("default") == namespace && about.name.as_deref() == Some(name)
    });
    found.next()?.uid
}

/// Asks the agent on `socket` and prints what came of it.
///
/// # Errors
/// Why it was not done, and what to do.
pub async fn run(order: Order, socket: &Path, lun: &str, patience: Duration) -> anyhow::Result<()> {
    let word = match order {
        Order::Attach => "attach",
        Order::Detach => "detach",
    };
    let request = format!("{word} {lun} {}", patience.as_secs());
    let within = patience.min(LONGEST) + socket::ANSWER_WITHIN;
    let reply = socket::ask(socket, &request, within).await.with_context(|| format!("cannot {word} Lun {lun}"))?;
    println!("{}", told(order, lun, reply.get("disk").and_then(Value::as_str)));
    Ok(())
}

fn told(order: Order, lun: &str, disk: Option<&str>) -> String {
    match (order, disk) {
        (Order::Attach, Some(disk)) => format!("Lun {lun} is attached: {disk}"),
        (Order::Detach, Some(disk)) => format!("Lun {lun} is detached from {disk}"),
        (_, None) => format!("Lun {lun} is not attached"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use futures::FutureExt as _;
    use lunette_api::{Lun, LunStatus};

    use super::*;
    use crate::status::Entry;

    fn board() -> Board {
        let lun: Lun = serde_json::from_value(json!({
            "apiVersion": "lunette.io/v1alpha1", "kind": "Lun", "spec": {"pool": "files", "size": "1Mi"},
            "metadata": {"name": "db", "namespace": "prod", "uid": "u"},
        }))
        .unwrap();
        let board = Board::default();
        board.put("u", Entry { lun: Arc::new(lun), status: LunStatus::default() });
        board
    }

    fn nowhere() -> BoxFuture<'static, Outcome> {
        std::future::ready(Err(Refusal::NotYet("it is nowhere".to_owned()))).boxed()
    }

    #[tokio::test]
    async fn an_order_reaches_the_worker_of_the_lun_and_its_outcome_comes_back() {
        let (board, desk) = (board(), Desk::default());
        let mut orders = desk.open("u");
        let worker = async {
            let request = orders.recv().await.unwrap();
            assert_eq!(request.order, Order::Attach);
            request.answer(Ok(Some(PathBuf::from("/dev/sdb"))));
        };
        let (answer, ()) = tokio::join!(answer(Order::Attach, "prod/db", "60", (&board, &desk), nowhere), worker);
        assert_eq!(answer, json!({ "disk": "/dev/sdb" }));
    }

    #[tokio::test]
    async fn what_may_come_is_waited_for_and_what_needs_somebody_is_not() {
        let (board, desk) = (board(), Desk::default());
        let mut orders = desk.open("u");
        let worker = async {
            orders.recv().await.unwrap().answer(Err(Refusal::NotYet("coming".to_owned())));
            orders.recv().await.unwrap().answer(Err(Refusal::Refused("in use".to_owned())));
        };
        let (refused, ()) = tokio::join!(answer(Order::Detach, "prod/db", "60", (&board, &desk), nowhere), worker);
        assert_eq!(refused, json!({ "error": "in use" }));
        let never = answer(Order::Attach, "prod/other", "0", (&board, &desk), nowhere).await;
        assert_eq!(never, json!({ "error": "it is nowhere" }));
        let asked = answer(Order::Attach, "prod/db", "soon", (&board, &desk), nowhere).await;
        assert_eq!(asked, json!({ "error": "\"soon\" is no number of seconds" }));
    }

    #[tokio::test]
    async fn a_worker_that_is_gone_takes_no_orders() {
        let desk = Desk::default();
        drop(desk.open("u"));
        assert!(matches!(desk.ask("u", Order::Attach).await, Err(Refusal::NotYet(_))));
    }

    #[test]
    fn the_disk_is_the_last_word() {
        assert_eq!(told(Order::Attach, "prod/db", Some("/dev/sdb")), "Lun prod/db is attached: /dev/sdb");
        assert_eq!(told(Order::Detach, "prod/db", Some("/dev/sdb")), "Lun prod/db is detached from /dev/sdb");
        assert_eq!(told(Order::Detach, "prod/db", None), "Lun prod/db is not attached");
    }
}
