//! The weights as the route has them now.

use crate::{
    cli::fetch::{self, Connection, Scope},
    observe::{cluster::ScaleKind, routes::locate},
    validate,
};
use flyball_core::policy::{Weights, WeightsAction};
use flyball_crds::FeedbackPolicy;
use kube::discovery;

/// The weights of the first list of a policy that moves weights; `None` for another, or for one that is not valid.
pub(super) async fn weights(
    connection: &Connection,
    namespace: &str,
    policy: &FeedbackPolicy,
) -> Option<Result<Weights, String>> {
    let valid = validate::policy(&policy.spec).ok()?;
    Some(read(connection, namespace, valid.weights.first()?).await)
}

async fn read(connection: &Connection, namespace: &str, action: &WeightsAction) -> Result<Weights, String> {
    let list = action.routes.first().ok_or("the action names no route")?;
    let kind = ScaleKind {
        api_version: list.api_version.clone(),
        kind: list.kind.clone(),
    };
    let client = &connection.clients.read;
    let (resource, _) = discovery::pinned_kind(client, &kind.gvk())
        .await
        .map_err(|_| format!("the API server does not serve {kind}"))?;
    // Another name would be another path.
    if !validate::is_subdomain(&list.name) {
        return Err(format!("{:?} is no name of an object", list.name));
    }
    let object = fetch::get(client, Scope::Namespace(namespace), &resource, &list.name)
        .await
        .map_err(|error| error.to_string())?;
    let object =
        object.ok_or_else(|| format!("{} {} does not exist in namespace {namespace}", list.kind, list.name))?;
    let located = locate(&object, list, &action.backends).map_err(|error| error.to_string())?;
    Ok(located.weights())
}
