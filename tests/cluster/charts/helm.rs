//! Helm, with a home of its own, and the charts of this checkout.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use lunette_bed::{Bed, ControlPlane, Output, Result, host};
use serde_json::Value;

use super::super::site::SYSTEM;

/// Helm in a bed.
pub struct Helm<'a> {
    bed: &'a Bed,
    kubeconfig: Option<PathBuf>,
}

impl<'a> Helm<'a> {
    /// Helm that reaches no cluster: it lints and renders.
    pub fn alone(bed: &'a Bed) -> Helm<'a> {
        Helm { bed, kubeconfig: None }
    }

    /// Helm as an administrator of a cluster.
    pub fn of(bed: &'a Bed, plane: &ControlPlane) -> Helm<'a> {
        Helm { bed, kubeconfig: Some(plane.admin_kubeconfig()) }
    }

    /// Runs it, in the namespace of Lunette.
    pub fn run<'b>(&self, arguments: impl IntoIterator<Item = &'b str>) -> Result<Output> {
        let arguments: Vec<&str> = arguments.into_iter().collect();
        let mut helm = self.command()?;
        let output = host::capture(helm.args(&arguments), b"")?;
        Ok(Output::of(&format!("helm {}", arguments.join(" ")), &output))
    }

    /// What the chart renders to with a values file, for the namespace of Lunette; hooks too.
    pub fn render(&self, values: Option<&Path>) -> Result<String> {
        let chart = self.chart("lunette");
        let values = values.map(|path| path.display().to_string());
        let mut arguments = vec!["template", "lunette", chart.as_str()];
        arguments.extend(values.iter().flat_map(|path| ["--values", path.as_str()]));
        Ok(format!("{}\n", self.run(arguments)?.ok()?))
    }

    /// The folder of a chart.
    pub fn chart(&self, name: &str) -> String {
        self.checkout().join("charts").join(name).display().to_string()
    }

    /// The values files that come with the chart, by their name, in order; with one for no values at all.
    pub fn values(&self) -> Result<Vec<(String, Option<PathBuf>)>> {
        let folder = self.checkout().join("charts/lunette/ci");
        let mut found = vec![("default".to_owned(), None)];
        for entry in std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let path = entry?.path();
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            if let Some(name) = file.strip_suffix("-values.yaml") {
                found.push((name.to_owned(), Some(path)));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The root of the checkout.
    pub fn checkout(&self) -> &Path {
        self.bed.ground().layout().checkout()
    }

    fn command(&self) -> Result<Command> {
        let home = self.bed.folder().join("helm");
        let mut helm = self.bed.command(self.bed.ground().program("helm")?);
        helm.current_dir(self.checkout()).args(["--namespace", SYSTEM]);
        for (variable, folder) in
            [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
        {
            helm.env(variable, home.join(folder));
        }
        match &self.kubeconfig {
            Some(kubeconfig) => helm.env("KUBECONFIG", kubeconfig),
            None => helm.env("KUBECONFIG", "/dev/null"),
        };
        Ok(helm)
    }
}

/// The documents of a stream of YAML, each without what is around it.
pub fn documents(yaml: &str) -> Vec<&str> {
    yaml.split("\n---\n")
        .map(|document| document.trim_start_matches("---\n").trim())
        .filter(|d| !d.is_empty())
        .collect()
}

/// The kind that a document says it is.
pub fn kind(document: &str) -> &str {
    document.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap_or_default()
}

/// A document as kubectl understands it.
pub fn parsed(plane: &ControlPlane, document: &str) -> Result<Value> {
    let dry = ["create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-"];
    let printed = plane.kubectl_with_input(dry, document)?.ok()?;
    serde_json::from_str(&printed).context("reading what kubectl printed")
}
