//! `lunette-node status`: asks the running agent over its socket, and prints what it says.

mod board;
mod steps;
mod table;
mod top;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::ValueEnum;
use lunette_api::{Lun, LunSnapshot};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use board::{Board, Entry};
pub use steps::{StepEnd, Steps};
#[cfg(test)]
pub use top::Sample;
pub use top::{Format as TopFormat, How, answer as answer_top, top};

use crate::socket;

/// How `status` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A `v1` List of the Luns and snapshots, as the API would show them.
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
    #[serde(default)]
    snapshots: Vec<LunSnapshot>,
    notices: Vec<String>,
}

/// The agent's answer to the request `status`.
pub fn answer(board: &Board) -> Value {
    let luns = board.entries().into_iter().map(whole).collect();
    let answer = Answer { luns, snapshots: board.snapshots(), notices: board.notices() };
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
    let reply = socket::ask(&socket, "status", socket::ANSWER_WITHIN).await?;
    let answer: Answer =
        serde_json::from_value(reply).context("the agent's answer is not understood: is it of this version?")?;
    match format {
        Some(Format::Json) => println!("{}", serde_json::to_string_pretty(&list(&answer))?),
        Some(Format::Yaml) => print!("{}", serde_saphyr::to_string(&list(&answer))?),
        Some(Format::Wide) => print!("{}{}", table::wide(&answer.luns), table::snapshots(&answer.snapshots)),
        None => print!("{}{}", table::narrow(&answer.luns), table::snapshots(&answer.snapshots)),
    }
    for notice in &answer.notices {
        eprintln!("{notice}");
    }
    Ok(())
}

/// A `v1` List, as `kubectl get -o json` prints.
fn list(answer: &Answer) -> Value {
    let luns = answer.luns.iter().map(|lun| json!(lun));
    let items: Vec<Value> = luns.chain(answer.snapshots.iter().map(|snapshot| json!(snapshot))).collect();
    json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": items })
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
        let luns = vec![whole(Entry { lun: Arc::new(lun), status })];
        let shown = list(&Answer { luns, snapshots: Vec::new(), notices: Vec::new() });
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

    #[test]
    fn notices_come_with_the_luns() {
        let board = Board::default();
        board.set_notices(vec!["a.yaml: is odd".to_owned()]);
        let said: Answer = serde_json::from_value(answer(&board)).unwrap();
        assert_eq!((said.luns.len(), said.notices), (0, vec!["a.yaml: is odd".to_owned()]));
    }
}
