//! `flyball explain POLICY`: why the target has the replicas or the weights it has, and what to do next.

mod next;
mod page;
pub mod report;
mod route;

pub use next::{Step, next};
pub use page::page;
pub use report::explanation;

use super::{
    fetch::{self, Controller, ReadError},
    output::{Output, written},
    screen::{Style, show},
};
use flyball_core::{policy::Weights, time::Timestamp};
use flyball_crds::{Change, FeedbackPolicy};
use kube::ResourceExt;
use std::{path::Path, process::ExitCode};

/// Which policy to explain.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The policy.
    policy: String,
    /// The namespace; without it the one of the kubeconfig's context.
    #[arg(short, long)]
    namespace: Option<String>,
    /// The namespace in which the controller runs.
    #[arg(long, value_name = "NAMESPACE", default_value = "flyball-system")]
    namespace_of_controller: String,
    /// The name of the controller's Lease.
    #[arg(long, default_value = "flyball")]
    lease_name: String,
    /// A page for people, or an object.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Everything that an explanation rests on.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The policy.
    pub policy: FeedbackPolicy,
    /// Its Changes.
    pub changes: Vec<Change>,
    /// What the lease tells of the controller.
    pub controller: Controller,
    /// Where the lease is, as `namespace/name`.
    pub lease: String,
    /// The weights that the route has, or why they are not known; `None`: the policy moves none.
    pub route: Option<Result<Weights, String>>,
    /// Now.
    pub now: Timestamp,
}

impl Facts {
    /// The Changes that are still open; where there is none, the newest, and if that is a record that
    /// was never written, the newest that was.
    fn shown(&self) -> Vec<&Change> {
        let open: Vec<&Change> = self
            .changes
            .iter()
            .filter(|change| crate::observe::is_open(change))
            .collect();
        if !open.is_empty() {
            return open;
        }
        let mut changes: Vec<&Change> = self.changes.iter().collect();
        changes.sort_by_key(|change| super::get::tree::newest_first(change));
        let written = changes.iter().position(|change| change.spec.sequence > 0);
        match (changes.first(), written) {
            (Some(first), Some(index)) if index > 0 => vec![first, changes[index]],
            (first, _) => first.into_iter().copied().collect(),
        }
    }

    /// The generation that no controller has looked at yet.
    fn unseen(&self) -> Option<i64> {
        let observed = self
            .policy
            .status
            .as_ref()
            .and_then(|status| status.observed_generation);
        self.policy
            .metadata
            .generation
            .filter(|generation| observed != Some(*generation))
    }

    /// Name and namespace as kubectl takes them.
    fn on_command_line(&self) -> String {
        format!(
            "{} -n {}",
            self.policy.name_any(),
            self.policy.namespace().unwrap_or_default()
        )
    }
}

/// Runs the command.
pub async fn run(args: Args, kubeconfig: Option<&Path>, context: Option<String>) -> Result<ExitCode, ReadError> {
    let connection = fetch::connect(kubeconfig, context).await?;
    let namespace = args.namespace.as_deref().unwrap_or(&connection.namespace);
    let (policy, lease) = tokio::join!(
        fetch::policy(&connection, namespace, &args.policy),
        fetch::lease(
            &connection.clients.read,
            &args.namespace_of_controller,
            &args.lease_name
        ),
    );
    let (policy, changes) = policy?;
    let now = connection.now();
    let controller = match lease {
        Ok(lease) => fetch::controller(lease.as_ref(), now),
        Err(error) => Controller::Unknown(error.to_string()),
    };
    let lease = format!("{}/{}", args.namespace_of_controller, args.lease_name);
    let route = route::weights(&connection, namespace, &policy).await;
    let facts = Facts {
        policy,
        changes,
        controller,
        lease,
        route,
        now,
    };
    show(&match args.output {
        Output::Table => page(&facts, Style::of_stdout(false)),
        output => written(&explanation(&facts), output, true),
    })?;
    Ok(ExitCode::SUCCESS)
}
