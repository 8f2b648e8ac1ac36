//! What can be asked of a running agent on its socket, and who answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt as _;
use serde_json::{Value, json};

use crate::args::Run;
use crate::attach::{self, Order};
use crate::node::{self, Context};
use crate::{handover, socket, status};

/// Answers whoever asks on this machine.
pub fn listen(run: &Run, context: &Arc<Context>) -> anyhow::Result<()> {
    let (context, locks) = (Arc::clone(context), run.locks());
    socket::listen(&run.socket(), move |request| answer(request, Arc::clone(&context), locks.clone()))
}

async fn answer(request: String, context: Arc<Context>, locks: PathBuf) -> Value {
    let words: Vec<&str> = request.split(' ').collect();
    let (order, lun, seconds) = match words[..] {
        ["status"] => return status::answer(&context.board),
        ["top"] => return status::answer_top(&context.board),
        ["agent"] => return json!({ "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION") }),
        ["upgrade", ref program @ ..] => return handover::start_successor(Path::new(&program.join(" "))),
        ["attach", lun, seconds] => (Order::Attach, lun, seconds),
        ["detach", lun, seconds] => (Order::Detach, lun, seconds),
        _ => return not_understood(&request),
    };
    let elsewhere = || {
        let (context, locks, lun) = (Arc::clone(&context), locks.clone(), lun.to_owned());
        async move { node::order_remote(&context, locks, order, &lun).await }.boxed()
    };
    attach::answer(order, lun, seconds, (&context.board, &context.desk), elsewhere).await
}

fn not_understood(request: &str) -> Value {
    json!({ "error": format!("unknown request {request:?}: this agent knows status, top, attach, detach, agent and upgrade") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_not_understood_is_said_to_be_so() {
        let reply = not_understood("reboot now");
        let said = "unknown request \"reboot now\": this agent knows status, top, attach, detach, agent and upgrade";
        assert_eq!(reply, json!({ "error": said }));
    }
}
