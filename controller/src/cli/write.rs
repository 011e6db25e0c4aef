//! What the writing commands send: each request once, and with the version it was decided on.

use super::{
    fetch::{self, Connection, ReadError, Scope, title},
    screen::{plain, show},
};
use crate::client::{CallError, CallKind, ClientError, WRITE_LIMIT, chain, within};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::io::{self, BufRead, IsTerminal};
use tokio::time::Instant;

/// The field manager of what people write through this program.
pub const MANAGER: &str = "flyball-cli";
/// How often an edit is decided anew when somebody else wrote the object in between. The controller
/// writes the status of a policy whenever something happens.
const ROUNDS: usize = 8;

/// Why a command was not carried out, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// Something could not be read, or a right is missing.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It makes no sense as things are; the text says what to do instead.
    #[error("{0}")]
    Refused(String),
    /// Somebody else writes the object all the time, or wrote it last.
    #[error("{0} was written by somebody else meanwhile, and nothing was changed; run the command again")]
    Conflict(String),
    /// The API server does not take it.
    #[error("{what} was refused: {reason}; see what works with: flyball doctor")]
    Rejected {
        /// What was tried.
        what: String,
        /// The server's words.
        reason: String,
    },
    /// Nobody knows whether it was done.
    #[error("{what} may or may not have been done: {reason}; run the command again, it goes on from what it finds")]
    Unknown {
        /// What was tried.
        what: String,
        /// What happened.
        reason: String,
    },
}

impl From<ClientError> for ActError {
    fn from(error: ClientError) -> Self {
        Self::Read(error.into())
    }
}

impl From<io::Error> for ActError {
    fn from(error: io::Error) -> Self {
        Self::Read(error.into())
    }
}

/// A refusal with its way out.
pub fn refuse<T>(message: impl Into<String>) -> Result<T, ActError> {
    Err(ActError::Refused(message.into()))
}

/// Asks a question on the terminal. Where there is none, nobody can agree.
pub fn confirmed(question: &str) -> Result<bool, ActError> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return refuse("nothing was done: there is no terminal to ask on; run the command again with --yes");
    }
    show(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Where an object is written.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Its kind.
    pub resource: ApiResource,
    /// Its namespace; empty for a kind that has none.
    pub namespace: &'a str,
}

impl<'a> Place<'a> {
    /// Where objects of one of the typed kinds are.
    pub fn of<K: Resource<DynamicType = ()>>(namespace: &'a str) -> Self {
        Self {
            resource: fetch::resource::<K>(),
            namespace,
        }
    }

    fn api(&self, connection: &Connection) -> Api<DynamicObject> {
        let client = connection.clients.write.clone();
        if self.namespace.is_empty() {
            return Api::all_with(client, &self.resource);
        }
        Api::namespaced_with(client, self.namespace, &self.resource)
    }

    fn named(&self, name: &str) -> String {
        if self.namespace.is_empty() {
            return format!("{} {}", self.resource.kind, plain(name));
        }
        format!("{} {}/{}", self.resource.kind, self.namespace, plain(name))
    }

    fn scope(&self) -> Scope<'a> {
        if self.namespace.is_empty() {
            Scope::Cluster
        } else {
            Scope::Namespace(self.namespace)
        }
    }

    fn failed(&self, verb: &'static str, name: &str, error: &CallError) -> ActError {
        let what = format!("{verb} {}", self.named(name));
        let reason = chain(error);
        match error.kind() {
            CallKind::Conflict => ActError::Conflict(self.named(name)),
            // RBAC and admission both answer 403; only the former speaks of what a user can't do.
            CallKind::Forbidden if reason.contains(" cannot ") => {
                fetch::refused(error, verb, &self.resource, self.scope()).into()
            }
            CallKind::ServerError | CallKind::Lost => ActError::Unknown { what, reason },
            _ => ActError::Rejected { what, reason },
        }
    }
}

/// Changes an object as a merge patch says, if it is still as it was read.
pub async fn patch(
    connection: &Connection,
    place: &Place<'_>,
    read: &DynamicObject,
    changes: &Value,
) -> Result<DynamicObject, ActError> {
    let mut body = changes.clone();
    let condition = json!({"uid": read.uid(), "resourceVersion": read.resource_version()});
    json_patch::merge(&mut body, &json!({ "metadata": condition }));
    let (api, name) = (place.api(connection), read.name_any());
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let body = Patch::Merge(&body);
    let request = api.patch(&name, &parameters, &body);
    within(Instant::now() + WRITE_LIMIT, request)
        .await
        .map_err(|error| place.failed("patch", &name, &error))
}

/// Creates an object. `None`: there is one of this name.
pub async fn create(
    connection: &Connection,
    place: &Place<'_>,
    object: &DynamicObject,
) -> Result<Option<DynamicObject>, ActError> {
    create_or_try(connection, place, object, false).await
}

/// As [`create`]; with `dry_run` the API server checks and admits the object, and stores nothing.
pub async fn create_or_try(
    connection: &Connection,
    place: &Place<'_>,
    object: &DynamicObject,
    dry_run: bool,
) -> Result<Option<DynamicObject>, ActError> {
    let (api, name) = (place.api(connection), object.name_any());
    let parameters = PostParams {
        dry_run,
        field_manager: Some(MANAGER.to_owned()),
    };
    match within(Instant::now() + WRITE_LIMIT, api.create(&parameters, object)).await {
        Ok(created) => Ok(Some(created)),
        Err(error) if error.kind() == CallKind::Conflict => Ok(None),
        Err(error) => Err(place.failed("create", &name, &error)),
    }
}

/// Deletes an object, if it is still as it was read. That it is gone already is no error.
pub async fn delete(connection: &Connection, place: &Place<'_>, read: &DynamicObject) -> Result<(), ActError> {
    let (api, name) = (place.api(connection), read.name_any());
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: read.uid(),
            resource_version: read.resource_version(),
        }),
        ..DeleteParams::default()
    };
    match within(Instant::now() + WRITE_LIMIT, api.delete(&name, &parameters)).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == CallKind::NotFound => Ok(()),
        Err(error) => Err(place.failed("delete", &name, &error)),
    }
}

/// Edits an object as `decide` says of what it finds, and decides anew as long as somebody else was
/// faster. `None` from `decide`: it is as it should be already.
pub async fn edit<K>(
    connection: &Connection,
    namespace: &str,
    name: &str,
    missing: impl Fn() -> ActError,
    mut decide: impl FnMut(&K) -> Result<Option<Value>, ActError>,
) -> Result<Edited<K>, ActError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let place = Place::of::<K>(namespace);
    for _ in 0..ROUNDS {
        let object = object::<K>(connection, namespace, name).await?.ok_or_else(&missing)?;
        let read = parsed::<K>(&object)?;
        let Some(changes) = decide(&read)? else {
            return Ok(Edited {
                object: read,
                changed: false,
            });
        };
        match patch(connection, &place, &object, &changes).await {
            Ok(object) => {
                return Ok(Edited {
                    object: parsed(&object)?,
                    changed: true,
                });
            }
            Err(ActError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ActError::Conflict(place.named(name)))
}

/// An object behind an edit.
#[derive(Debug)]
pub struct Edited<K> {
    /// The object as it is now.
    pub object: K,
    /// Whether anything was written.
    pub changed: bool,
}

/// An object as the API server has it. What can't be a name is not asked for.
pub async fn object<K: Resource<DynamicType = ()>>(
    connection: &Connection,
    namespace: &str,
    name: &str,
) -> Result<Option<DynamicObject>, ActError> {
    if !crate::validate::is_subdomain(name) {
        return Ok(None);
    }
    let kind = fetch::resource::<K>();
    let read = fetch::get(&connection.clients.read, Scope::Namespace(namespace), &kind, name).await;
    Ok(read?)
}

/// Reads an object as its type.
pub fn parsed<K: Resource + DeserializeOwned>(object: &DynamicObject) -> Result<K, ActError> {
    let unreadable = |_| ReadError::Unreadable(title(object)).into();
    object.clone().try_parse().map_err(unreadable)
}

/// Who we are to the API server.
pub async fn who(connection: &Connection) -> Result<String, ActError> {
    let api: Api<SelfSubjectReview> = Api::all(connection.clients.write.clone());
    let parameters = PostParams::default();
    let review = SelfSubjectReview::default();
    // A review is an answer that is asked for by POST; nothing is stored.
    let answer = within(Instant::now() + WRITE_LIMIT, api.create(&parameters, &review)).await;
    let user = answer.map(|review| {
        let info = review.status.and_then(|status| status.user_info);
        info.and_then(|info| info.username).filter(|name| !name.is_empty())
    });
    match user {
        Ok(Some(name)) => Ok(name),
        Ok(None) => refuse("the API server does not say who you are; log in with a name: kubectl auth whoami"),
        Err(error) => refuse(format!(
            "the API server does not say who you are: {}; see what it says to: kubectl auth whoami",
            chain(&error)
        )),
    }
}
