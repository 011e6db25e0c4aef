//! `flyball run`: the controller process.

use super::check::{self, FileError};
use crate::{
    client::{self, CallError, CallKind, ClientError, Clients},
    clock,
    evidence::{self, Evidence, StoreError},
    lease::{self, ApiStore, Election, Store, Timing, TimingError},
    logging::{self, LogFormat, LoggingError},
    metrics::Metrics,
    observe::{
        Asks,
        cluster::{Cluster, DEFAULT_KINDS, ScaleKind, within},
        source::{
            addresses::{Addresses, Network},
            install_crypto_provider,
        },
        sources::Sources,
    },
    reconcile::{Context, budget::Budget, schedule},
    record::{
        Recorder,
        cloudevents::{CloudEvents, Receivers, SinkError},
        events::Events,
    },
    server::{
        self, Health, Policies, ServerError, Told,
        access::Access,
        tls::{Certificate, TlsError},
        webhook::{TokenFile, Webhook, WebhookError},
    },
    signals::End,
};
use clap::builder::NonEmptyStringValueParser;
use k8s_openapi::api::coordination::v1::Lease;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// How the controller runs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The controller's own namespace: its lease, and the Secrets that a MetricSource names.
    #[arg(long, env = "POD_NAMESPACE", default_value = "flyball-system", value_parser = NonEmptyStringValueParser::new())]
    namespace: String,
    /// Look at policies and workloads of this namespace only, for an installation whose rights end
    /// there. Default: all namespaces.
    #[arg(long, value_name = "NAMESPACE", value_parser = NonEmptyStringValueParser::new())]
    watch_namespace: Option<String>,
    /// Read the MetricSources from this file, and none from the cluster: for an installation whose rights end with a namespace, since
    /// they have none. YAML, as `kubectl apply` takes them. Read once, when the process starts.
    #[arg(long, value_name = "FILE")]
    sources_file: Option<PathBuf>,
    /// The name of the Lease that elects the leader.
    #[arg(long, default_value = "flyball", value_parser = NonEmptyStringValueParser::new())]
    lease_name: String,
    /// Where /metrics, /healthz, /readyz and /debug/state are served.
    #[arg(long, default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Serve them by TLS alone, with the certificates in this file, PEM: the server's own first, then those of its authorities. The files are
    /// looked at every ten seconds, and what is new in them is shown from then on.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// The key of that certificate, PEM, without a pass phrase.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    tls_private_key_file: Option<PathBuf>,
    /// Serve /metrics only to whoever sends a bearer token that the API server knows, of somebody who may `get` the URL /metrics. Needs TLS,
    /// or the token could be read on its way, and the right to create tokenreviews and subjectaccessreviews.
    #[arg(long, requires = "tls_cert_file")]
    metrics_authorization: bool,
    /// The form of the logs, which go to standard error. What is logged: `FLYBALL_LOG`, default info.
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Who this process is in the Lease and in logs. It must be another one with each start, or a
    /// process takes its dead predecessor's lease for its own. Default: the pod's name (`POD_NAME`) or
    /// the host's, and a random suffix.
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    identity: Option<String>,
    /// The most replicas that all policies together may take away within a minute. Default: no limit.
    #[arg(long, value_name = "REPLICAS", value_parser = clap::value_parser!(u32).range(1..))]
    max_removed_per_minute: Option<u32>,
    /// No autoscaler adds nodes: an increase is clamped to what fits on the present ones.
    #[arg(long)]
    fixed_nodes: bool,
    /// Take Alertmanager's webhook at /api/v1/alertmanager, from whoever sends the bearer token in this file: an
    /// alert wakes the policies with a rule of its name. The file is read again with each request.
    #[arg(long, value_name = "FILE")]
    webhook_token_file: Option<PathBuf>,
    /// Send events to other systems, too: CloudEvents over HTTP, to this URL.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    cloudevents_url: Option<String>,
    /// The bearer token that is sent with them. The file is read again with each request.
    #[arg(long, value_name = "FILE", requires = "cloudevents_url")]
    cloudevents_token_file: Option<PathBuf>,
    /// What they, and those for receivers that policies name, say that they come from: a URI or a path, such as /clusters/production.
    #[arg(long, value_name = "SOURCE", default_value = "/flyball")]
    cloudevents_source: String,
    /// Declare the receivers of events that policies may name in spec.notifications: a file of EventReceivers, YAML. Read once, when
    /// the process starts; the tokens they name, Secrets in the controller's own namespace, count as they are.
    #[arg(long, value_name = "FILE")]
    receivers_file: Option<PathBuf>,
    /// Keep evidence (profiles and recordings that policies take from pods) in this folder, which is made if it is not there. Without this and
    /// --evidence-url none is taken.
    #[arg(long, value_name = "FOLDER", conflicts_with = "evidence_url")]
    evidence_dir: Option<PathBuf>,
    /// Keep evidence in this bucket of an S3-compatible store. Endpoint and credentials are read from the environment:
    /// `AWS_ENDPOINT`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and the others of that kind.
    #[arg(long, value_name = "s3://BUCKET/PREFIX", value_parser = NonEmptyStringValueParser::new())]
    evidence_url: Option<String>,
    /// Ask nothing but these networks: sources, their token endpoints, their Alertmanagers, and whoever takes CloudEvents. Separated by
    /// commas, such as `10.0.0.0/8,fd00::/8`. Default: all addresses. Link-local ones and those where clouds serve credentials are never
    /// asked.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    allow_addresses: Vec<Network>,
    /// Ask nothing in these networks, even where they are allowed.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    deny_addresses: Vec<Network>,
    /// Write no target, whatever the mode of a policy says: Enforce recommends. For an installation without the right to write any.
    #[arg(long)]
    observe_only: bool,
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
    #[error(
        "the API server does not serve {0}; install the definitions first: flyball crds | kubectl apply --server-side -f -"
    )]
    NotInstalled(&'static str),
    /// The objects of a kind can't be read.
    #[error("{kind} can't be listed: {error}; see what works with: flyball doctor")]
    NotListed {
        /// The kind.
        kind: &'static str,
        /// Why.
        error: CallError,
    },
    /// The address is not to be had.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Its certificate can't be shown.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Alerts can't be taken.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// The sources or receivers of a file can't be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Events can't be sent to others.
    #[error(transparent)]
    CloudEvents(#[from] SinkError),
    /// Evidence can't be kept.
    #[error(transparent)]
    Evidence(#[from] StoreError),
    /// The logs can't be written.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// A signal handler could not be set.
    #[error("signals can't be handled: {0}")]
    Signal(#[from] std::io::Error),
    /// Some of what a decision rests on could not be read.
    #[error(
        "after {limit} s there is still no list of {0}; nothing is decided without it: see the log for the reason, and flyball doctor for the rights",
        limit = FIRST_LISTS.as_secs()
    )]
    NotRead(String),
    /// A watch ended for good.
    #[error("a watch ended for good; restart the process")]
    Watch,
}

/// How long the first lists may take.
const FIRST_LISTS: Duration = Duration::from_secs(120);

impl Args {
    /// The controller's own namespace.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The only namespace that it looks at, if there is only one.
    pub(super) fn scope(&self) -> Option<&str> {
        self.watch_namespace.as_deref()
    }
}

/// Runs until a signal asks to end.
pub async fn run(args: Args, kubeconfig: Option<&Path>, context: Option<String>) -> Result<ExitCode, RunError> {
    until(CancellationToken::new(), args, kubeconfig, context).await
}

/// The same, until `stop` is cancelled; a signal cancels it, too.
pub(super) async fn until(
    stop: CancellationToken,
    args: Args,
    kubeconfig: Option<&Path>,
    context: Option<String>,
) -> Result<ExitCode, RunError> {
    install_crypto_provider();
    let logging = logging::init(args.log_format)?;
    let certificate = args
        .tls_cert_file
        .zip(args.tls_private_key_file)
        .map(|(certificate, key)| Certificate::new(certificate, key))
        .transpose()?;
    let token = args.webhook_token_file.map(TokenFile::new).transpose()?;
    let addresses = Addresses::new(args.allow_addresses, args.deny_addresses);
    let declared = args.receivers_file.as_deref().map(check::receivers).transpose()?;
    let own = args.cloudevents_url.as_deref();
    let own = own.map(|url| (url, args.cloudevents_token_file.as_deref()));
    let receivers = Receivers::among(own, &declared.unwrap_or_default(), &args.cloudevents_source, &addresses)?;
    let receivers = Arc::new(receivers);
    let evidence = evidence(args.evidence_dir.as_deref(), args.evidence_url.as_deref())?;
    let clients = Clients::from_config(client::config(kubeconfig, context).await?).await?;
    clients.check().await?;
    let scope = args.watch_namespace.as_deref();
    let written = args.sources_file.as_deref().map(check::sources).transpose()?;
    installed(&clients, scope, written.is_none()).await?;
    let identity = args.identity.unwrap_or_else(lease::identity);
    let metrics = Arc::new(Metrics::new());
    let (events, publisher) = Events::new(clients.write.clone(), &identity, Arc::clone(&metrics));
    let recorder = Recorder {
        metrics,
        events,
        health: Arc::new(Health::default()),
        policies: Arc::new(Policies::default()),
    };
    let listener = server::bind(args.listen).await?;
    let listening = listener.local_addr()?;
    let signals = on_signal(stop.clone())?;
    let (cluster, wake, woken) = Cluster::watch(&clients.read, &args.namespace, scope, &args.scale_kinds, written);
    let (policies, secrets) = (cluster.policies.clone(), &cluster.secrets);
    let (cloud, senders) = CloudEvents::new(&receivers, policies, secrets, &recorder.metrics);
    let ctx = Arc::new(Context {
        clients: clients.clone(),
        cluster,
        sources: Sources::new(addresses, Arc::clone(&recorder.metrics)),
        // Sent once, like a write: the next pass asks again, and this one would only wait.
        asks: Asks::new(clients.write.clone(), args.fixed_nodes),
        recorder: recorder.clone(),
        receivers,
        evidence,
        budget: Budget::new(args.max_removed_per_minute),
        observe_only: args.observe_only,
        now: clock::now,
    });
    tokio::select! {
        ready = tokio::time::timeout(FIRST_LISTS, ctx.cluster.ready()) => match ready {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(RunError::Watch),
            // Without a list an autoscaler is not seen, and an open Change or its policy is taken for gone.
            Err(_) => return Err(RunError::NotRead(ctx.cluster.waiting().join(", "))),
        },
        () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
    }
    let store = ApiStore::new(clients.lease.clone(), &args.namespace, args.lease_name);
    let store = Reaching {
        store,
        health: Arc::clone(&recorder.health),
    };
    let election = Election::start(store, identity.clone(), Timing::default())?;
    recorder.health.synced();
    let access = args
        .metrics_authorization
        .then(|| Arc::new(Access::new(clients.write.clone(), Arc::clone(&recorder.metrics))));
    if let Some(certificate) = &certificate {
        tokio::spawn(Arc::clone(certificate).follow(Arc::clone(&recorder.metrics), stop.clone()));
    }
    let told = Told {
        metrics: recorder.metrics,
        health: recorder.health,
        policies: recorder.policies,
        leadership: election.leadership(),
        identity: identity.clone(),
        logs: Some(logging.pipe()),
        webhook: token.map(|token| Webhook {
            token,
            policies: ctx.cluster.policies.clone(),
            wake,
            leadership: election.leadership(),
            limits: Arc::default(),
        }),
        access,
    };
    let publishing = tokio::spawn(publisher.and(Some(cloud)).run(stop.clone()));
    let mut sending = JoinSet::new();
    for sender in senders {
        sending.spawn(sender.run(stop.clone()));
    }
    let serving = tokio::spawn(server::serve(listener, certificate, told, stop.clone()));
    info!(identity, version = env!("CARGO_PKG_VERSION"), %listening, "running");
    schedule::run(ctx, election.leadership(), woken, stop).await;
    // Only when no pass runs any more may another process take over.
    election.release().await;
    signals.abort();
    publishing.await.unwrap_or_default();
    while sending.join_next().await.is_some() {}
    serving.await.unwrap_or(Ok(()))?;
    info!("ended");
    Ok(ExitCode::SUCCESS)
}

/// Where evidence is kept, if anywhere.
fn evidence(folder: Option<&Path>, url: Option<&str>) -> Result<Evidence, StoreError> {
    match (folder, url) {
        (Some(folder), _) => evidence::Store::folder(folder).and_then(Evidence::new),
        (None, Some(url)) => evidence::Store::s3(url).and_then(Evidence::new),
        (None, None) => Ok(Evidence::none()),
    }
}

/// One list of one object each: an old or missing definition is told at once, not by a silent watch.
async fn installed(clients: &Clients, scope: Option<&str>, with_sources: bool) -> Result<(), RunError> {
    use kube::{Api, api::ListParams, core::DeserializeGuard};
    let one = ListParams::default().limit(1);
    // One object that can't be read is no reason not to run.
    let policies: Api<DeserializeGuard<flyball_crds::FeedbackPolicy>> = within(&clients.read, scope);
    let changes: Api<DeserializeGuard<flyball_crds::Change>> = within(&clients.read, scope);
    let sources: Api<DeserializeGuard<flyball_crds::MetricSource>> = Api::all(clients.read.clone());
    policies
        .list(&one)
        .await
        .map_err(|error| unlisted("FeedbackPolicy", error))?;
    changes.list(&one).await.map_err(|error| unlisted("Change", error))?;
    if with_sources {
        sources
            .list(&one)
            .await
            .map_err(|error| unlisted("MetricSource", error))?;
    }
    Ok(())
}

/// A kind without a definition is answered with 404. That it can't be listed may have other reasons.
fn unlisted(kind: &'static str, error: kube::Error) -> RunError {
    let error = CallError::from(error);
    match error.kind() {
        CallKind::NotFound => RunError::NotInstalled(kind),
        _ => RunError::NotListed { kind, error },
    }
}

/// A lease whose every answer shows that the API server is there, so that nothing else has to ask.
struct Reaching<S> {
    store: S,
    health: Arc<Health>,
}

impl<S: Store> Reaching<S> {
    fn noted<T>(&self, answer: kube::Result<T>) -> kube::Result<T> {
        if matches!(&answer, Ok(_) | Err(kube::Error::Api(_))) {
            self.health.reached();
        }
        answer
    }
}

impl<S: Store> Store for Reaching<S> {
    async fn get(&self) -> kube::Result<Option<Lease>> {
        self.noted(self.store.get().await)
    }
    async fn create(&self, lease: &Lease) -> kube::Result<Lease> {
        self.noted(self.store.create(lease).await)
    }
    async fn replace(&self, lease: &Lease) -> kube::Result<Lease> {
        self.noted(self.store.replace(lease).await)
    }
}

fn on_signal(stop: CancellationToken) -> Result<tokio::task::JoinHandle<()>, std::io::Error> {
    let mut end = End::listen()?;
    Ok(tokio::spawn(async move {
        end.asked().await;
        info!("asked to end: finishing the passes under way");
        stop.cancel();
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args as _;

    fn parse(words: &[&str]) -> Result<Option<String>, clap::Error> {
        let command = Args::augment_args(clap::Command::new("run").no_binary_name(true));
        let matches = command.try_get_matches_from(words)?;
        Ok(matches.get_one::<String>("identity").cloned())
    }

    #[test]
    fn only_a_missing_definition_is_one() {
        let said = |code, message: &str| {
            let status = kube::core::Status::failure(message, "Some").with_code(code);
            unlisted("Change", kube::Error::Api(status.boxed())).to_string()
        };
        let missing = said(404, "the server could not find the requested resource");
        assert!(
            missing.contains("does not serve Change; install the definitions"),
            "{missing}"
        );
        assert_eq!(
            said(403, "changes is forbidden"),
            "Change can't be listed: changes is forbidden; see what works with: flyball doctor"
        );
    }

    /// A pod's variables are the same for each process that its container ever runs.
    #[test]
    fn no_variable_is_the_identity_of_several_processes() {
        let command = Args::augment_args(clap::Command::new("run"));
        let argument = command.get_arguments().find(|argument| argument.get_id() == "identity");
        assert_eq!(argument.map(clap::Arg::get_env), Some(None));
    }

    /// A path with an empty namespace is one of all namespaces.
    #[test]
    fn nothing_is_named_by_an_empty_text() {
        for word in ["--namespace=", "--watch-namespace=", "--lease-name="] {
            assert!(parse(&[word]).is_err(), "{word}");
            assert!(parse(&[&format!("{word}one")]).is_ok(), "{word}");
        }
    }

    /// A token that is sent in clear is somebody else's soon.
    #[test]
    fn the_metrics_are_authorized_by_tls_alone() {
        assert!(parse(&["--metrics-authorization"]).is_err());
        assert!(parse(&["--tls-cert-file=tls.crt"]).is_err());
        assert!(parse(&["--tls-private-key-file=tls.key"]).is_err());
        let pair = ["--tls-cert-file=tls.crt", "--tls-private-key-file=tls.key"];
        assert!(parse(&pair).is_ok());
        assert!(parse(&[pair[0], pair[1], "--metrics-authorization"]).is_ok());
    }

    #[test]
    fn networks_are_lists_and_a_wrong_one_is_told_with_the_way_out() {
        let networks = |words: &[&str]| {
            let command = Args::augment_args(clap::Command::new("run").no_binary_name(true));
            let matches = command.try_get_matches_from(words)?;
            let networks = matches.get_many::<Network>("allow_addresses").into_iter().flatten();
            Ok(networks.map(ToString::to_string).collect::<Vec<_>>())
        };
        let none = networks(&[]).map_err(|error: clap::Error| error.to_string());
        assert_eq!(none, Ok(Vec::new()));
        let two = networks(&[
            "--allow-addresses=10.0.0.0/8,fd00::/8",
            "--allow-addresses",
            "192.0.2.7",
        ]);
        assert_eq!(
            two.map_err(|error| error.to_string()),
            Ok(vec![
                "10.0.0.0/8".to_owned(),
                "fd00::/8".to_owned(),
                "192.0.2.7/32".to_owned()
            ])
        );
        let wrong = networks(&["--deny-addresses=10.1.0.0/8"])
            .expect_err("bits")
            .to_string();
        assert!(
            wrong.contains("--deny-addresses") && wrong.contains("write 10.0.0.0/8"),
            "{wrong}"
        );
    }

    #[test]
    fn an_identity_that_is_given_stays_and_is_not_empty() {
        assert_eq!(parse(&["--identity", "one"]).ok(), Some(Some("one".to_owned())));
        assert_eq!(parse(&[]).ok(), Some(None));
        // An empty holder is nobody.
        assert!(parse(&["--identity="]).is_err());
    }
}
