//! `lunette-node serve`: the steps from a command line to a serving node, and back.

mod machine;
mod requests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use lunette_api::identity::IQN_PREFIX;
use lunette_csi_service::socket::Socket;
use lunette_initiator::Machine;
use lunette_lio::{IqnPrefix, Preflight, Real};
use nix::fcntl::Flock;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::args::Serve;
use crate::attach::Desk;
use crate::handover::{self, Baton, Offers, Served, Succession, When};
use crate::lun::Kernel;
use crate::node::{Context, Node};
use crate::source::{Kubernetes, Manifests, Presence, Source, View};
use crate::status::Board;
use crate::{check, csi, metrics, node, reservations};

use machine::{NotTheAgent, node_name, only_agent, raise_open_files};

/// How long asking for an API server's address may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// How long what is wanted may take to be known before we ask to succeed another agent.
const KNOWN_WITHIN: Duration = Duration::from_secs(60);

/// How long one who stands by lets pass between two attempts to reach an agent.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Serves until told to stop, or until a successor serves.
///
/// # Errors
/// What keeps the agent from starting, and what to do.
pub async fn serve(args: Serve) -> anyhow::Result<()> {
    let lock = match only_agent(&args.run.lock()) {
        Ok(lock) => Some(lock),
        Err(NotTheAgent::Another(process)) if args.succeed || args.stand_by => {
            tracing::info!(process, "another agent serves this machine; making ready to take its place");
            None
        }
        Err(error) => return Err(error.into()),
    };
    raise_open_files();
    check::load_modules();
    reservations::prepare();
    let agent = Agent::prepare(args).await?;
    match lock {
        Some(lock) => agent.lead(lock).await,
        None if agent.args.succeed => agent.succeed().await,
        None => agent.stand_by().await,
    }
}

/// An agent that is ready and not yet the one of this machine.
struct Agent {
    args: Serve,
    context: Arc<Context>,
    client: Option<kube::Client>,
    views: watch::Receiver<View>,
    served: mpsc::UnboundedReceiver<Served>,
}

impl Agent {
    async fn prepare(args: Serve) -> anyhow::Result<Self> {
        let node = node_name(args.node.as_deref())?;
        let (source, client) = source(&args, &node).await?;
        let (told, served) = mpsc::unbounded_channel();
        let context = Arc::new(context(&args, node, source, told)?);
        let (sender, views) = watch::channel(View::default());
        follow(&context, sender);
        Ok(Self { args, context, client, views, served })
    }

    /// Is the agent from the start.
    async fn lead(mut self, lock: Flock<File>) -> anyhow::Result<()> {
        // Nobody waits to hear.
        self.served.close();
        let (offers, successors) = handover::offers();
        let sockets = self.open(offers)?;
        sweep(&self.context).await;
        let node = Node::new(Arc::clone(&self.context), successors).run(self.views.clone(), stop_signal()?);
        end(lock, sockets, node.await).await
    }

    /// Becomes the agent in place of the one that runs.
    async fn succeed(mut self) -> anyhow::Result<()> {
        self.know_what_is_wanted().await?;
        let refused = "the other agent was not asked to hand over, or refuses: it serves on";
        let succession = Succession::ask(&self.args.run.succession(), When::Now).await.context(refused)?;
        self.take_over(succession).await
    }

    /// Waits until the one that runs is told to stop, or is gone, and becomes the agent then. It stands by for as long as
    /// that takes, and before it knows what is wanted too: then it is no successor yet, but one who is there when the
    /// other agent dies.
    async fn stand_by(mut self) -> anyhow::Result<()> {
        let (mut stop, mut ready) = (stop_signal()?, false);
        loop {
            let begun = tokio::select! {
                begun = self.wait_for_its_end(&mut ready) => begun?,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            if let Some(succession) = begun {
                return self.take_over(succession).await;
            }
            match only_agent(&self.args.run.lock()) {
                Ok(lock) => return self.lead(lock).await,
                Err(NotTheAgent::Another(_)) => sleep(ASK_AGAIN).await,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The hand-over, when the one that runs begins it. `None`: it is time to look whether there still is one.
    async fn wait_for_its_end(&mut self, ready: &mut bool) -> anyhow::Result<Option<Succession>> {
        if !*ready {
            let Ok(known) = timeout(ASK_AGAIN, self.views.changed()).await else { return Ok(None) };
            known.context("what is to be served is not known any more: this one ends, and the other serves on")?;
            self.foresee().await;
            tracing::info!("standing by: the other agent hands over when it is told to stop");
            *ready = true;
        }
        let begun = Succession::ask(&self.args.run.succession(), When::AtItsEnd).await;
        Ok(begun.inspect_err(|lost| tracing::debug!(%lost, "nobody to succeed")).ok())
    }

    async fn know_what_is_wanted(&mut self) -> anyhow::Result<()> {
        let known = timeout(KNOWN_WITHIN, self.views.changed()).await;
        anyhow::ensure!(
            matches!(known, Ok(Ok(()))),
            "what is to be served has not been known for {} s (see the log: is the API server away?): the other agent \
             serves on",
            KNOWN_WITHIN.as_secs()
        );
        self.foresee().await;
        Ok(())
    }

    /// Looks at what the kernel has of what is wanted, while another agent serves it.
    async fn foresee(&self) {
        let view = self.views.borrow().clone();
        node::foresee(&self.context, &view).await;
    }

    /// Takes LUN by LUN over from an agent that hands over.
    async fn take_over(mut self, succession: Succession) -> anyhow::Result<()> {
        let (shown, view) = watch::channel(View::default());
        let (offers, successors) = handover::offers();
        let stop = stop_signal()?;
        let mut node = tokio::spawn(Node::new(Arc::clone(&self.context), successors).run(view, stop));
        // On failure this process ends at once, and what it held is free for the one that takes it back.
        let lost = "the other agent has taken everything back, or is gone: this one ends";
        tokio::select! {
            succeeded = succession.run(&mut self.views, &shown, &mut self.served) => succeeded.context(lost)?,
            _ = &mut node => bail!("told to stop before the other agent had handed over: it serves on"),
        }
        self.served.close();
        let lock = only_agent(&self.args.run.lock())?;
        let sockets = self.open(offers)?;
        let mut views = self.views.clone();
        tokio::spawn(async move {
            loop {
                shown.send_replace(views.borrow_and_update().clone());
                if views.changed().await.is_err() {
                    return;
                }
            }
        });
        end(lock, sockets, node.await?).await
    }

    /// Answers on the agent's sockets and tells the world that we are there. The kubelet takes us for gone when those
    /// that are returned are.
    fn open(&self, offers: Offers) -> anyhow::Result<Vec<Socket>> {
        requests::listen(&self.args.run, &self.context)?;
        handover::listen(&self.args.run.succession(), offers)?;
        tracing::info!(node = self.context.node, portals = %list(&self.args), "serving");
        if let Some(address) = self.args.listen {
            let exporter = metrics::Exporter::new(Arc::clone(&self.context), self.views.clone());
            tokio::spawn(metrics::listen(address, Arc::new(exporter)));
        }
        if let Some(client) = self.client.clone() {
            announce(&self.context, client, &self.args, self.views.clone());
            tokio::spawn(node::let_go_of_lost(Arc::clone(&self.context), self.args.run.locks()));
        }
        let sockets = csi::serve(&self.args.csi, &self.context, &self.args.run, self.views.clone())?;
        handover::tell_ready();
        Ok(sockets)
    }
}

/// Ends, and lets the successor know, if there is one, that it is the agent.
async fn end(lock: Flock<File>, sockets: Vec<Socket>, successor: Option<Baton>) -> anyhow::Result<()> {
    drop(lock);
    let Some(baton) = successor else {
        tracing::info!("stopped; the rings stay, and initiators wait for the next agent");
        return Ok(());
    };
    // It puts its own in their place.
    sockets.into_iter().for_each(Socket::leave);
    let version = baton.pass().await.context("the successor has gone after all was handed over: start an agent")?;
    tracing::info!(version, "the successor is the agent now; this one ends");
    Ok(())
}

async fn source(args: &Serve, node: &str) -> anyhow::Result<(Source, Option<kube::Client>)> {
    if let Some(directory) = &args.manifests {
        let directory = absolute(directory)?;
        return Ok((Source::Manifests(Manifests::new(directory, node.to_owned(), &args.state_dir)?), None));
    }
    let advice =
        "no API server is configured: give --manifests DIR to serve without one, or run in a pod, or set KUBECONFIG";
    let connect = tokio::time::timeout(CONNECT_WITHIN, kube::Client::try_default());
    let client = connect.await.context(advice)?.context(advice)?;
    let api = Kubernetes::new(client.clone(), node.to_owned(), &args.state_dir);
    Ok((Source::Kubernetes(api), Some(client)))
}

fn absolute(directory: &Path) -> anyhow::Result<PathBuf> {
    let path = std::path::absolute(directory)?;
    match fs::metadata(&path) {
        Ok(about) if about.is_dir() => Ok(path),
        Ok(_) => bail!("{} is not a directory: --manifests names a directory of YAML files", path.display()),
        Err(error) => bail!("{} cannot be read ({error}): make it, or name another with --manifests", path.display()),
    }
}

fn context(
    args: &Serve,
    node: String,
    source: Source,
    served: mpsc::UnboundedSender<Served>,
) -> anyhow::Result<Context> {
    Ok(Context {
        node,
        portals: args.portals.clone(),
        configfs: Arc::new(Real::default()),
        preflight: Preflight::here(),
        prefix: IqnPrefix::parse(IQN_PREFIX)?,
        kernel: Kernel::here(),
        source,
        board: Arc::new(Board::default()),
        pausers: node::Pausers::default(),
        foresight: node::Foresight::default(),
        desk: Arc::new(Desk::default()),
        machine: Machine::here(),
        state_dir: args.state_dir.clone(),
        run_dir: args.run.run_dir.clone(),
        served,
    })
}

/// Removes what an earlier agent began and did not finish, and no LUN may ask for. Before any LUN is made, since
/// it may be in the making afterwards.
async fn sweep(context: &Context) {
    let configfs = Arc::clone(&context.configfs);
    let swept = tokio::task::spawn_blocking(move || {
        let steps = lunette_lio::abandoned(configfs.as_ref())?;
        // What cannot be removed is in nobody's way.
        let _ = lunette_lio::apply(configfs.as_ref(), &steps, |_, _| {});
        Ok::<_, lunette_lio::ReadError>(())
    });
    if let Ok(Err(error)) = swept.await {
        tracing::warn!(%error, "cannot look for what earlier attempts left");
    }
}

fn follow(context: &Arc<Context>, views: watch::Sender<View>) {
    let context = Arc::clone(context);
    tokio::spawn(async move {
        match &context.source {
            Source::Kubernetes(api) => api.follow(&views).await,
            Source::Manifests(manifests) => manifests.follow(&views, &context.board).await,
        }
    });
}

fn announce(context: &Context, client: kube::Client, args: &Serve, views: watch::Receiver<View>) {
    let portals = args.portals.iter().map(ToString::to_string).collect();
    let presence = Presence::new(client, context.node.clone(), args.namespace.clone(), portals);
    tokio::spawn(async move { presence.keep(views).await });
}

fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (stop, stopped) = watch::channel(false);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
    });
    Ok(stopped)
}

fn list(args: &Serve) -> String {
    args.portals.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    /// An agent whose source says nothing; whoever holds the other end may have it say something.
    fn without_a_view(run_dir: &Path) -> (Agent, watch::Sender<View>) {
        let manifests = run_dir.display().to_string();
        let words = ["lunette-node", "serve", "--stand-by", "--node", "here", "--portal", "127.0.0.1"];
        let line =
            words.into_iter().chain(["--manifests", &manifests, "--run-dir", &manifests, "--state-dir", &manifests]);
        let Command::Serve(args) = Cli::parse_from(line).command else { panic!("the line says serve") };
        let source = Source::Manifests(Manifests::new(run_dir.to_owned(), "here".to_owned(), run_dir).unwrap());
        let (told, served) = mpsc::unbounded_channel();
        let context = Arc::new(context(&args, "here".to_owned(), source, told).unwrap());
        let (sender, views) = watch::channel(View::default());
        (Agent { args, context, client: None, views, served }, sender)
    }

    #[tokio::test]
    async fn one_who_stands_by_goes_on_while_it_does_not_know_what_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let (mut agent, source) = without_a_view(dir.path());
        let mut ready = false;
        for _ in 0..3 {
            assert!(matches!(agent.wait_for_its_end(&mut ready).await, Ok(None)));
            assert!(!ready, "it cannot be handed over to yet");
        }
        source.send_replace(View::default());
        assert!(matches!(agent.wait_for_its_end(&mut ready).await, Ok(None)), "nobody is there to succeed");
        assert!(ready);
    }
}
