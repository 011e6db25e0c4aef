//! `flyball release`: a policy gives the replicas back, and they stay as they are; or a runtime's knobs, which go
//! back to boot values.
//!
//! The policy is suspended, what is under way is closed, the autoscaler from which the field was taken is
//! made again from its kept manifest, and only then forgotten. Each step is found again by what is
//! there, so a release that was cut short is finished by running it again.

mod fence;
mod knobs;
mod lines;
pub mod one;
pub mod standing;

use super::{
    args::LeaseArgs,
    fetch::{self, Connection, Scope},
    screen::{plain, show},
    write::ActError,
};
use crate::lease::Timing;
use flyball_crds::FeedbackPolicy;
use kube::{ResourceExt, api::ListParams};
use one::Released;
use std::{path::Path, process::ExitCode, time::Duration};

/// What is given back.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The policy.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    policy: Option<String>,
    /// The namespace; without it the one of the kubeconfig's context.
    #[arg(short, long)]
    namespace: Option<String>,
    /// All policies of the namespace.
    #[arg(long)]
    all: bool,
    /// With --all: of all namespaces.
    #[arg(short = 'A', long, requires = "all", conflicts_with = "namespace")]
    all_namespaces: bool,
    /// How long a controller may take to close what is under way, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Make an autoscaler again that will take replicas away at once, because its maximum is lower.
    #[arg(long)]
    allow_dip: bool,
    #[command(flatten)]
    lease: LeaseArgs,
}

/// How a release is done.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The namespace of the controller.
    pub controllers: String,
    /// The name of its lease.
    pub lease: String,
    /// Whether replicas may be taken away.
    pub allow_dip: bool,
    /// How patiently.
    pub patience: Patience,
}

/// How patiently something is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For so long.
    pub limit: Duration,
    /// Looking so often.
    pub poll: Duration,
    /// The times of an election, where no controller leads.
    pub timing: Timing,
}

/// Runs the command. The exit code is 1 if anything was not given back.
pub async fn run(args: Args, kubeconfig: Option<&Path>, context: Option<String>) -> Result<ExitCode, ActError> {
    let connection = fetch::connect(kubeconfig, context).await?;
    let namespace = args.namespace.as_deref().unwrap_or(&connection.namespace);
    let wanted = Wanted {
        controllers: args.lease.namespace_of_controller,
        lease: args.lease.lease_name,
        allow_dip: args.allow_dip,
        patience: Patience {
            limit: Duration::from_secs(args.timeout),
            poll: Duration::from_secs(1),
            timing: Timing::default(),
        },
    };
    let policies = match &args.policy {
        Some(policy) => vec![(namespace.to_owned(), policy.clone())],
        None if args.all_namespaces => all(&connection, Scope::All).await?,
        None => all(&connection, Scope::Namespace(namespace)).await?,
    };
    if policies.is_empty() {
        show("There is no policy to release.\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let failed = release(&connection, &wanted, &policies, |line| Ok(show(line)?)).await?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// All policies, by namespace and name.
async fn all(connection: &Connection, scope: Scope<'_>) -> Result<Vec<(String, String)>, ActError> {
    let kind = fetch::resource::<FeedbackPolicy>();
    let policies = fetch::list(&connection.clients.read, scope, &kind, ListParams::default()).await?;
    let named = |policy: &kube::api::DynamicObject| (policy.namespace().unwrap_or_default(), policy.name_any());
    Ok(policies.iter().map(named).collect())
}

/// Gives the fields of these policies back, with a line for each. Returns how many failed.
///
/// Of several all are suspended before the first is waited for, so that none begins a change meanwhile.
pub async fn release(
    connection: &Connection,
    wanted: &Wanted,
    policies: &[(String, String)],
    tell: impl Fn(&str) -> Result<(), ActError>,
) -> Result<usize, ActError> {
    if policies.len() > 1 {
        for (namespace, name) in policies {
            // What can't be suspended is said below.
            let _ = suspend(connection, namespace, name).await;
        }
    }
    let mut failed = 0;
    for (namespace, name) in policies {
        let title = plain(&format!("{namespace}/{name}"));
        match one::release(connection, wanted, namespace, name).await {
            Ok(Released { said, next }) => {
                tell(&format!("{title}: {said}\n"))?;
                for command in next {
                    tell(&format!("    {command}\n"))?;
                }
            }
            Err(error) => {
                failed += 1;
                tell(&format!("{title}: NOT released: {error}\n"))?;
            }
        }
    }
    Ok(failed)
}

/// Suspends a policy that holds its field; the others are left as they are.
async fn suspend(connection: &Connection, namespace: &str, name: &str) -> Result<(), ActError> {
    let facts = super::takeover::facts::read(connection, namespace, name).await?;
    let open = one::open(connection, namespace, name).await?;
    if one::holds(&facts, &open) {
        one::suspend(connection, namespace, name).await?;
    }
    Ok(())
}
