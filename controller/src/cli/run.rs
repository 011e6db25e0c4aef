//! `flyball run`: the controller process.

use crate::{
    client::{self, ClientError, Clients},
    clock,
    lease::{self, ApiStore, Election, Timing, TimingError},
    observe::{
        cluster::{Cluster, DEFAULT_KINDS, ScaleKind},
        source::install_crypto_provider,
        sources::Sources,
    },
    reconcile::{Context, schedule},
    record::Recorder,
};
use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How the controller runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The controller's own namespace: its lease, and the Secrets that MetricSources name.
    #[arg(long, env = "POD_NAMESPACE", default_value = "flyball-system")]
    namespace: String,
    /// The name of the Lease that elects the leader.
    #[arg(long, default_value = "flyball")]
    lease_name: String,
    /// Who this process is in the Lease and in logs. Default: host name and a random suffix.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// The kinds that may be moved, GROUP/VERSION/KIND; may be given several times.
    #[arg(long = "scale-kind", value_name = "GROUP/VERSION/KIND", default_values = DEFAULT_KINDS)]
    scale_kinds: Vec<ScaleKind>,
}

/// Why the controller did not run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No connection.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The lease can't be held like this.
    #[error(transparent)]
    Timing(#[from] TimingError),
    /// The definitions are not installed.
    #[error("the API server does not serve {0}; install the definitions first: flyball crds | kubectl apply --server-side -f -")]
    NotInstalled(&'static str),
    /// A signal handler could not be set.
    #[error("signals can't be handled: {0}")]
    Signal(#[from] std::io::Error),
    /// A watch ended for good.
    #[error("a watch ended for good; restart the process")]
    Watch,
}

/// How long the first lists may take.
const FIRST_LISTS: Duration = Duration::from_secs(120);

/// Runs until a signal asks to end.
pub async fn run(args: Args, kubeconfig: Option<&Path>, context: Option<String>) -> Result<ExitCode, RunError> {
    install_crypto_provider();
    let clients = Clients::from_config(client::config(kubeconfig, context).await?).await?;
    clients.check().await?;
    installed(&clients).await?;
    let stop = CancellationToken::new();
    let signals = on_signal(stop.clone())?;
    let (cluster, woken) = Cluster::watch(&clients.read, &args.namespace, &args.scale_kinds).await;
    let ctx = Arc::new(Context {
        clients: clients.clone(),
        cluster,
        sources: Sources::default(),
        recorder: Recorder {},
        now: clock::now,
    });
    tokio::select! {
        ready = tokio::time::timeout(FIRST_LISTS, ctx.cluster.ready()) => match ready {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(RunError::Watch),
            Err(_) => warn!("the first lists are not in yet; is the API server slow, or a right missing?"),
        },
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    }
    let identity = args.identity.unwrap_or_else(lease::identity);
    let store = ApiStore::new(clients.lease.clone(), &args.namespace, args.lease_name);
    let election = Election::start(store, identity.clone(), Timing::default())?;
    info!(identity, version = env!("CARGO_PKG_VERSION"), "running");
    schedule::run(ctx, election.leadership(), woken, stop).await;
    // Only when no pass runs any more may another process take over.
    election.release().await;
    signals.abort();
    info!("ended");
    Ok(ExitCode::SUCCESS)
}

/// One list of one object each: an old or missing definition is told at once, not by a silent watch.
async fn installed(clients: &Clients) -> Result<(), RunError> {
    use kube::{Api, api::ListParams};
    let one = ListParams::default().limit(1);
    let policies: Api<flyball_crds::FeedbackPolicy> = Api::all(clients.read.clone());
    let changes: Api<flyball_crds::Change> = Api::all(clients.read.clone());
    let sources: Api<flyball_crds::MetricSource> = Api::all(clients.read.clone());
    policies.list(&one).await.map_err(|_| RunError::NotInstalled("FeedbackPolicy"))?;
    changes.list(&one).await.map_err(|_| RunError::NotInstalled("Change"))?;
    sources.list(&one).await.map_err(|_| RunError::NotInstalled("MetricSource"))?;
    Ok(())
}

fn on_signal(stop: CancellationToken) -> Result<tokio::task::JoinHandle<()>, std::io::Error> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::spawn(async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        info!("asked to end: finishing the passes under way");
        stop.cancel();
    }))
}
