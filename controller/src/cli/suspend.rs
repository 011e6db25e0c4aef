//! `flyball suspend` and `flyball resume`: whether a policy may write at all.

use super::{
    args::PolicyArgs,
    fetch::{self, Connection, ReadError},
    moves::Moved,
    screen::{quoted, show},
    write::{self, ActError, Edited},
};
use flyball_crds::{FeedbackPolicy, Mode};
use serde_json::{Value, json};
use std::{path::Path, process::ExitCode};

/// Runs `flyball suspend`.
pub async fn suspend(
    args: PolicyArgs,
    kubeconfig: Option<&Path>,
    context: Option<String>,
) -> Result<ExitCode, ActError> {
    run(args, true, kubeconfig, context).await
}

/// Runs `flyball resume`.
pub async fn resume(
    args: PolicyArgs,
    kubeconfig: Option<&Path>,
    context: Option<String>,
) -> Result<ExitCode, ActError> {
    run(args, false, kubeconfig, context).await
}

async fn run(
    args: PolicyArgs,
    suspended: bool,
    kubeconfig: Option<&Path>,
    context: Option<String>,
) -> Result<ExitCode, ActError> {
    let connection = fetch::connect(kubeconfig, context).await?;
    let namespace = args.namespace.as_deref().unwrap_or(&connection.namespace);
    show(&set(&connection, namespace, &args.policy, suspended).await?)?;
    Ok(ExitCode::SUCCESS)
}

/// Suspends a policy or lets it go on, and says what that means.
pub async fn set(connection: &Connection, namespace: &str, name: &str, suspended: bool) -> Result<String, ActError> {
    let decide = |policy: &FeedbackPolicy| {
        // Absent, as whoever wrote the policy without it has it.
        let value = if suspended { json!(true) } else { Value::Null };
        Ok((policy.spec.suspend != suspended).then(|| json!({"spec": {"suspend": value}})))
    };
    let Edited { object, changed } = edit_policy(connection, namespace, name, decide).await?;
    let place = format!("{} -n {}", quoted(name), quoted(namespace));
    if !changed {
        let state = if suspended { "suspended" } else { "not suspended" };
        return Ok(format!("{namespace}/{name} is {state} already.\n"));
    }
    if suspended {
        let under_way = object
            .status
            .as_ref()
            .and_then(|status| status.change.as_ref())
            .map_or_else(String::new, |change| {
                format!(" The Change {change}, if it is still open, is cut short; a roll-back is finished.")
            });
        let starts = object.spec.actions.iter().filter_map(|action| action.runtime.as_ref());
        let starts = starts.clone().any(|lever| lever.env.is_some());
        let lease = object.spec.actions.iter().find_map(|action| action.runtime.as_ref());
        let lease = lease.map(|lever| lever.lease.as_ref().map_or("1h", |lease| &lease.0));
        let stay = match (Moved::by(&object.spec), lease) {
            (Moved::Weights, _) => "the weights stay as they are".to_owned(),
            (Moved::Knobs, _) if starts => "the pod template stays as it is".to_owned(),
            (Moved::Knobs, lease) => format!(
                "no lease is renewed, so within {} each process has its boot values again (flyball release takes the knobs out for good)",
                lease.unwrap_or("1h")
            ),
            (Moved::Replicas | Moved::Pod, _) => "the number of replicas stays as it is".to_owned(),
        };
        return Ok(format!(
            "{namespace}/{name} is suspended: it begins no change, and {stay}.{under_way}\n\
             To go on: flyball resume {place}\n"
        ));
    }
    Ok(match object.spec.mode {
        Mode::Enforce => format!("{namespace}/{name} goes on. To follow it: flyball get {place} --watch\n"),
        mode => {
            format!("{namespace}/{name} goes on. Its mode is {mode:?}, so it writes nothing: flyball explain {place}\n")
        }
    })
}

/// Edits a policy by what is found of it.
pub(super) async fn edit_policy(
    connection: &Connection,
    namespace: &str,
    name: &str,
    decide: impl FnMut(&FeedbackPolicy) -> Result<Option<Value>, ActError>,
) -> Result<Edited<FeedbackPolicy>, ActError> {
    write::edit(connection, namespace, name, || no_policy(namespace, name), decide).await
}

/// There is no such policy.
pub(super) fn no_policy(namespace: &str, name: &str) -> ActError {
    ActError::Read(ReadError::NoPolicy {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
    })
}
