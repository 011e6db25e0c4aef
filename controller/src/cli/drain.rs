//! `flyball drain`: ends what is open, before an installation goes or loses its rights to write.
//!
//! It presses the red button with a word that has open Changes cut short, and waits. A controller that leads hears it; where
//! none does, this process stands for election like any other, so that a dead installation is drained, too.

use super::{
    fetch::{self, Connection, Scope},
    freeze::{self, Cut, Pressed},
    run,
    screen::{plain, quoted, show},
    write::{self, ActError},
};
use crate::observe::is_open;
use flyball_core::time::Span;
use flyball_crds::Change;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Resource, ResourceExt, api::ListParams};
use std::{path::Path, process::ExitCode, time::Duration};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often the open Changes are listed.
const EVERY: Duration = Duration::from_secs(1);
/// For how long there must be none. Whoever read the button just before it was pressed has sent what it had to send by then.
const QUIET: Duration = Duration::from_secs(5);

/// How an installation is drained.
#[derive(Debug, clap::Args)]
pub struct DrainArgs {
    /// How long to wait for the end of what is open.
    #[arg(long, value_name = "DURATION", default_value = "90s", value_parser = timeout)]
    timeout: Span,
    /// Why, for whoever finds it frozen.
    #[arg(long, value_name = "TEXT", default_value = "it is drained", value_parser = freeze::reason)]
    reason: String,
    /// The labels of the controller's pods. Once none of them is there any more the button is gone as well, so that whatever is installed
    /// next is not frozen. Without it: it stays pressed, until flyball unfreeze.
    #[arg(long, value_name = "SELECTOR")]
    until_gone: Option<String>,
    /// Leave what could not be ended in time to the next installation, which goes on with it, and end with exit code 0.
    #[arg(long)]
    or_leave: bool,
    #[command(flatten)]
    run: run::Args,
}

fn timeout(text: &str) -> Result<Span, String> {
    text.parse::<Span>()
        .map_err(|error| format!("{error}; write for example 90s"))
}

/// Runs `flyball drain`.
pub async fn drain(args: DrainArgs, kubeconfig: Option<&Path>, context: Option<String>) -> Result<ExitCode, ActError> {
    let connection = fetch::connect(kubeconfig, context.clone()).await?;
    let own = args.run.namespace().to_owned();
    let scope = args.run.scope().map(str::to_owned);
    let scope = scope.as_deref().map_or(Scope::Cluster, Scope::Namespace);
    let (owners, goes) = match &args.until_gone {
        Some(selector) => (pods(&connection, &own, selector).await?, true),
        None => (Vec::new(), false),
    };
    let alone = owners.is_empty();
    let pressed = freeze::press_to_cut(
        &connection,
        &own,
        Cut {
            reason: &args.reason,
            owners,
        },
    )
    .await?;
    let left = end(&connection, scope, args.timeout, args.run, (kubeconfig, context)).await;
    // With nobody there who could begin anything it has done what it is for; what is left open is not to stay frozen.
    let done = matches!(&left, Ok(left) if left.is_empty());
    // Somebody else's button goes on holding everything, but not cutting short what a later installation finds.
    if matches!(pressed, Pressed::Before) || goes && (alone || !done) {
        freeze::let_go(&connection, &own, &pressed).await?;
    }
    let left = left?;
    if left.is_empty() {
        show(&drained(&own, &pressed, goes))?;
        return Ok(ExitCode::SUCCESS);
    }
    let names = left.join(", ");
    if args.or_leave {
        show(&format!(
            "Not ended in {}, and left to the next installation: {names}\n",
            args.timeout
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    Err(ActError::Refused(format!(
        "after {} still open: {names}; see why with: flyball get -A; to go on without: flyball drain --or-leave",
        args.timeout
    )))
}

fn drained(own: &str, pressed: &Pressed, goes: bool) -> String {
    let stays = match pressed {
        _ if goes => String::new(),
        Pressed::Before => " It was frozen before, and stays so.".to_owned(),
        Pressed::Now(_) => format!(
            " It stays frozen; to go on: flyball unfreeze --namespace-of-controller {}",
            quoted(own)
        ),
    };
    format!("Nothing is open.{stays}\n")
}

/// Waits until nothing is open, and returns what still is when the time is over.
async fn end(
    connection: &Connection,
    scope: Scope<'_>,
    timeout: Span,
    args: run::Args,
    (kubeconfig, context): (Option<&Path>, Option<String>),
) -> Result<Vec<String>, ActError> {
    let deadline = Instant::now() + Duration::from_millis(timeout.as_millis());
    let left = quiet(connection, scope, deadline.min(Instant::now() + QUIET)).await?;
    if left.is_empty() {
        return Ok(left);
    }
    let stop = CancellationToken::new();
    let controller = run::until(stop.clone(), args, kubeconfig, context);
    let waiting = async {
        let left = tokio::select! {
            left = quiet(connection, scope, deadline) => left,
            () = stop.cancelled() => open(connection, scope).await,
        };
        stop.cancel();
        left
    };
    let (ran, left) = tokio::join!(controller, waiting);
    if let Err(error) = ran {
        // The one that leads may have done it all the same.
        warn!(%error, "no controller could be run from here");
    }
    left
}

/// Waits until nothing was open for a while, or until the deadline; returns what was open last.
async fn quiet(connection: &Connection, scope: Scope<'_>, deadline: Instant) -> Result<Vec<String>, ActError> {
    let mut since = None;
    loop {
        let left = open(connection, scope).await?;
        let now = Instant::now();
        if left.is_empty() {
            let since = *since.get_or_insert(now);
            if now >= since + QUIET {
                return Ok(left);
            }
        } else {
            since = None;
        }
        if now >= deadline {
            return Ok(left);
        }
        sleep(EVERY).await;
    }
}

/// The names of the Changes that may still write their targets. One that can't be read may.
async fn open(connection: &Connection, scope: Scope<'_>) -> Result<Vec<String>, ActError> {
    let kind = fetch::resource::<Change>();
    let all = fetch::list(&connection.clients.read, scope, &kind, ListParams::default()).await?;
    let open = all
        .iter()
        .filter(|object| write::parsed::<Change>(object).map_or(true, |change| is_open(&change)));
    Ok(open.map(|object| plain(&fetch::title(object))).collect())
}

/// The pods with which the button goes.
async fn pods(connection: &Connection, namespace: &str, selector: &str) -> Result<Vec<OwnerReference>, ActError> {
    let kind = fetch::resource::<Pod>();
    let limits = ListParams::default().labels(selector);
    let found = fetch::list(&connection.clients.read, Scope::Namespace(namespace), &kind, limits).await?;
    let going = |pod: &&kube::api::DynamicObject| pod.metadata.deletion_timestamp.is_none();
    let owner = |pod: &kube::api::DynamicObject| OwnerReference {
        api_version: Pod::api_version(&()).into_owned(),
        kind: Pod::kind(&()).into_owned(),
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        ..OwnerReference::default()
    };
    Ok(found.iter().filter(going).map(owner).collect())
}
