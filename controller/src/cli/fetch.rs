//! What the reading commands ask of the API server. Every list is read object by object, so that one
//! that is damaged, or newer than this program, hides none of the others.

use crate::{
    client::{self, CallError, CallKind, ClientError, Clients, READ_LIMIT, START_LIMIT, within},
    clock,
    observe::freeze::Frozen,
    validate::is_subdomain,
};
use flyball_core::time::{Span, Timestamp};
use flyball_crds::{Change, FREEZE_NAME, FeedbackPolicy, POLICY_LABEL};
use http::header::DATE;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::ConfigMap};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    client::Body,
};
use serde::de::DeserializeOwned;
use std::{io, path::Path};
use tokio::time::Instant;

/// How many objects are asked for at once.
const PAGE: u32 = 500;
/// A difference of clocks below this is not told from the way of the answer.
const SKEW: i64 = 2_000;

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No connection.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The definitions are not installed.
    #[error(
        "the API server does not serve {0}; install the definitions: flyball crds | kubectl apply --server-side -f -"
    )]
    NotServed(String),
    /// A right is missing.
    #[error("no right to {what}; ask for it, and try it with: kubectl auth can-i {verb} {resource}{flags}")]
    Forbidden {
        /// What was tried.
        what: String,
        /// Its verb.
        verb: &'static str,
        /// Its resource.
        resource: String,
        /// Where, as kubectl takes it.
        flags: String,
    },
    /// There is no such policy.
    #[error("there is no FeedbackPolicy {name:?} in namespace {namespace}; see all of them with: flyball get -A")]
    NoPolicy {
        /// Its name.
        name: String,
        /// Where it was looked for.
        namespace: String,
    },
    /// This program can't read the object.
    #[error("{0} can't be read by this version; use the flyball of the installed definitions, see: flyball doctor")]
    Unreadable(String),
    /// Another error.
    #[error("{what} failed: {reason}; see what works with: flyball doctor")]
    Failed {
        /// What was tried.
        what: String,
        /// What happened.
        reason: String,
    },
    /// The output could not be written.
    #[error("the output can't be written: {0}; see where it goes")]
    Write(#[from] io::Error),
}

/// Where something is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// In all namespaces.
    All,
    /// Where there are no namespaces: the kind has none.
    Cluster,
    /// In this one.
    Namespace(&'a str),
}

impl<'a> Scope<'a> {
    /// In the namespace that is named, or else in all.
    pub fn of(namespace: Option<&'a str>) -> Self {
        namespace.map_or(Self::All, Self::Namespace)
    }

    fn api(self, client: &Client, resource: &ApiResource) -> Api<DynamicObject> {
        match self {
            Self::All | Self::Cluster => Api::all_with(client.clone(), resource),
            Self::Namespace(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        }
    }

    fn flags(self) -> String {
        match self {
            Self::All => " --all-namespaces".to_owned(),
            Self::Cluster => String::new(),
            Self::Namespace(namespace) => format!(" --namespace {namespace}"),
        }
    }

    fn words(self) -> String {
        match self {
            Self::All => " in all namespaces".to_owned(),
            Self::Cluster => String::new(),
            Self::Namespace(namespace) => format!(" in namespace {namespace}"),
        }
    }
}

/// A connection, with what is known of it.
pub struct Connection {
    /// The clients.
    pub clients: Clients,
    /// The namespace of the kubeconfig's context.
    pub namespace: String,
    /// The API server's address.
    pub url: String,
    /// The API server's version.
    pub version: k8s_openapi::apimachinery::pkg::version::Info,
    /// How far this machine's clock is ahead of the API server's, in milliseconds.
    pub ahead: Option<i64>,
}

impl Connection {
    /// Now, by the API server's clock where this machine's differs.
    pub fn now(&self) -> Timestamp {
        let ahead = self.ahead.filter(|ahead| ahead.abs() > SKEW).unwrap_or(0);
        Timestamp::from_millis(clock::now().as_millis().saturating_sub(ahead))
    }
}

/// Connects, and makes sure that the API server answers.
pub async fn connect(kubeconfig: Option<&Path>, context: Option<String>) -> Result<Connection, ClientError> {
    let config = client::config(kubeconfig, context).await?;
    let (namespace, url) = (config.default_namespace.clone(), config.cluster_url.to_string());
    let clients = Clients::from_config(config).await?;
    let version = clients.check().await?;
    let ahead = ahead(&clients.write).await;
    Ok(Connection {
        clients,
        namespace,
        url,
        version,
        ahead,
    })
}

/// How far our clock is ahead. The server tells whole seconds, so half of one is taken as passed.
async fn ahead(client: &Client) -> Option<i64> {
    let request = http::Request::get("/version").body(Body::empty()).ok()?;
    let sent = clock::now();
    let answer = within(Instant::now() + START_LIMIT, client.send(request)).await.ok()?;
    let theirs = answer.headers().get(DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(theirs).ok()?.timestamp().as_millisecond() + 500;
    let ours = i64::midpoint(sent.as_millis(), clock::now().as_millis());
    Some(ours - theirs)
}

/// All objects of a kind, as the API server has them. `limits` may narrow them down.
pub async fn list(
    client: &Client,
    scope: Scope<'_>,
    resource: &ApiResource,
    limits: ListParams,
) -> Result<Vec<DynamicObject>, ReadError> {
    let api = scope.api(client, resource);
    let (mut objects, mut page) = (Vec::new(), limits.limit(PAGE));
    loop {
        let answer = within(Instant::now() + READ_LIMIT, api.list(&page)).await;
        let mut answer = answer.map_err(|error| refused(&error, "list", resource, scope))?;
        for object in &mut answer.items {
            // The server leaves out of a list's items what the list says itself.
            object.types.get_or_insert_with(|| kube::api::TypeMeta {
                api_version: resource.api_version.clone(),
                kind: resource.kind.clone(),
            });
        }
        objects.append(&mut answer.items);
        match answer.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

/// All objects of a kind that a cluster may lack: none where it does. Without the right the API server refuses before it looks
/// whether there is such a kind, so discovery is asked, which everybody may.
pub async fn list_if_served(
    client: &Client,
    scope: Scope<'_>,
    resource: &ApiResource,
) -> Result<Vec<DynamicObject>, ReadError> {
    match list(client, scope, resource, ListParams::default()).await {
        Err(ReadError::NotServed(_)) => Ok(Vec::new()),
        Err(error @ ReadError::Forbidden { .. }) => {
            let kinds = client.list_api_group_resources(&resource.api_version);
            let served = match within(Instant::now() + READ_LIMIT, kinds).await {
                Ok(kinds) => kinds.resources.iter().any(|kind| kind.name == resource.plural),
                Err(error) => error.kind() != CallKind::NotFound,
            };
            if served { Err(error) } else { Ok(Vec::new()) }
        }
        listed => listed,
    }
}

/// One object, if there is one.
pub async fn get(
    client: &Client,
    scope: Scope<'_>,
    resource: &ApiResource,
    name: &str,
) -> Result<Option<DynamicObject>, ReadError> {
    let api = scope.api(client, resource);
    match within(Instant::now() + READ_LIMIT, api.get(name)).await {
        Ok(object) => Ok(Some(object)),
        // Without a name in the answer it is the kind that is not there.
        Err(CallError::Api(kube::Error::Api(status))) if status.code == 404 && status.details.is_some() => Ok(None),
        Err(error) => Err(refused(&error, "get", resource, scope)),
    }
}

pub(super) fn refused(error: &CallError, verb: &'static str, resource: &ApiResource, scope: Scope<'_>) -> ReadError {
    let flags = scope.flags();
    let what = format!("{verb} {}{}", resource.plural, scope.words());
    match error.kind() {
        CallKind::NotFound => ReadError::NotServed(resource.kind.clone()),
        CallKind::Forbidden => {
            let group = if resource.group.is_empty() {
                String::new()
            } else {
                format!(".{}", resource.group)
            };
            ReadError::Forbidden {
                what,
                verb,
                resource: format!("{}{group}", resource.plural),
                flags,
            }
        }
        _ => ReadError::Failed {
            what,
            reason: error.to_string(),
        },
    }
}

/// The objects that can be read, and the names of those that can't.
pub fn parse<K>(objects: &[DynamicObject]) -> (Vec<K>, Vec<String>)
where
    K: Resource + DeserializeOwned,
{
    let (mut parsed, mut unreadable) = (Vec::new(), Vec::new());
    for object in objects {
        match object.clone().try_parse() {
            Ok(read) => parsed.push(read),
            Err(_) => unreadable.push(title(object)),
        }
    }
    (parsed, unreadable)
}

/// Kind, namespace and name.
pub fn title(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("object", |types| &types.kind);
    let namespace = object
        .namespace()
        .map(|namespace| format!("{namespace}/"))
        .unwrap_or_default();
    format!("{kind} {namespace}{}", object.name_any())
}

/// The resource of one of our own kinds.
pub fn resource<K: Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

/// Narrows Changes down to one policy's. A label holds at most 63 characters, so this may be too many.
pub fn of_policy(name: &str) -> ListParams {
    ListParams::default().labels(&format!("{POLICY_LABEL}={}", label(name)))
}

/// A policy's name as the label of its Changes holds it.
pub fn label(name: &str) -> String {
    let name: String = name.chars().take(63).collect();
    name.trim_end_matches(['-', '.']).to_owned()
}

/// One policy, with its Changes.
pub async fn policy(
    connection: &Connection,
    namespace: &str,
    name: &str,
) -> Result<(FeedbackPolicy, Vec<Change>), ReadError> {
    let missing = || ReadError::NoPolicy {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
    };
    if !is_subdomain(name) {
        return Err(missing());
    }
    let (client, scope) = (&connection.clients.read, Scope::Namespace(namespace));
    let kind = resource::<FeedbackPolicy>();
    let object = get(client, scope, &kind, name).await?.ok_or_else(missing)?;
    let policy = object
        .clone()
        .try_parse()
        .map_err(|_| ReadError::Unreadable(title(&object)))?;
    let changes = list(client, scope, &resource::<Change>(), of_policy(name)).await?;
    let (mut changes, _): (Vec<Change>, _) = parse(&changes);
    changes.retain(|change| change.spec.policy.name == name);
    Ok((policy, changes))
}

/// What the lease tells of the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Controller {
    /// A process holds the lease and renews it.
    Leads {
        /// Who.
        holder: String,
        /// How long ago it was renewed.
        renewed: Span,
    },
    /// The lease has an owner that does not renew it any more.
    Silent {
        /// Who.
        holder: String,
        /// How long ago it was renewed.
        renewed: Span,
    },
    /// Nobody holds the lease: the last process gave it back.
    Vacant,
    /// There is no lease: no controller ever ran there.
    Missing,
    /// The lease could not be read.
    Unknown(String),
}

/// Reads a lease. Whoever holds it may be as late as it lasts.
pub fn controller(lease: Option<&Lease>, now: Timestamp) -> Controller {
    let Some(spec) = lease.and_then(|lease| lease.spec.as_ref()) else {
        return Controller::Missing;
    };
    let holder = spec.holder_identity.clone().unwrap_or_default();
    let renewed = spec.renew_time.as_ref().map(clock::from_micro_time);
    let lasts = u64::try_from(spec.lease_duration_seconds.unwrap_or(15)).unwrap_or(15);
    match (holder.is_empty(), renewed) {
        (true, _) => Controller::Vacant,
        (false, Some(at)) if now.since(at) <= Span::from_secs(lasts) => Controller::Leads {
            holder,
            renewed: now.since(at),
        },
        (false, at) => Controller::Silent {
            holder,
            renewed: at.map_or(Span::MAX, |at| now.since(at)),
        },
    }
}

/// Whether the installation whose controller runs in `namespace` is frozen.
pub async fn freeze(client: &Client, namespace: &str) -> Result<Option<Frozen>, ReadError> {
    let map = get(
        client,
        Scope::Namespace(namespace),
        &resource::<ConfigMap>(),
        FREEZE_NAME,
    )
    .await?;
    // Whatever is in it, it is there.
    Ok(map.map(|map| {
        map.try_parse()
            .map_or_else(|_| Frozen::default(), |map| Frozen::of(&map))
    }))
}

/// The lease of the controller in `namespace`.
pub async fn lease(client: &Client, namespace: &str, name: &str) -> Result<Option<Lease>, ReadError> {
    let object = get(client, Scope::Namespace(namespace), &resource::<Lease>(), name).await?;
    Ok(object.and_then(|object| object.try_parse().ok()))
}
