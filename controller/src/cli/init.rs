//! `flyball init`: drafts a policy in mode Recommend for a workload, from what is there.
//!
//! Reading and drafting are apart: [`draft::draft`] is a pure function of what was read. What can't be read is said in
//! the draft, and the rest is drafted all the same.

pub mod draft;
pub mod prometheus;

use super::{
    doctor::settle,
    fetch::{self, Connection, ReadError, Scope},
    import::Autoscaler,
    screen::{quoted, show},
    takeover::facts::{horizontal, others},
    write::{self, ActError, Place, refuse},
};
use crate::{
    observe::{
        credentials::Secrets,
        source::{self, Source},
    },
    prometheus_rule::{self, PrometheusRule},
    promql,
    validate::is_subdomain,
};
use draft::{Alert, Facts};
use flyball_crds::{FeedbackPolicy, MetricSource, MetricSourceSpec, ResourceName, TargetRef};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::Service,
};
use kube::{
    ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
};
use prometheus::{Server, Way};
use serde_json::Value;
use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What to draft a policy for, and where it goes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// The workload: NAME, deployment/NAME or statefulset/NAME; without it the only one of the namespace.
    pub target: Option<String>,
    /// The namespace; without it the one of the kubeconfig's context.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// Ask Prometheus here, from this machine, instead of through the API server.
    #[arg(long, value_name = "URL")]
    pub prometheus: Option<String>,
    /// The MetricSource that the policy is to ask.
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Write the policy into this file, which must not be there yet.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Create the policy, too, if the API server takes it in a dry run. It is in mode Recommend and writes nothing.
    #[arg(long)]
    pub apply: bool,
}

/// Runs the command.
pub async fn run(args: Args, kubeconfig: Option<&Path>, context: Option<String>) -> Result<ExitCode, ActError> {
    source::install_crypto_provider();
    let connection = fetch::connect(kubeconfig, context).await?;
    let namespace = args.namespace.clone().unwrap_or_else(|| connection.namespace.clone());
    let facts = read(&connection, &namespace, &args).await?;
    let draft = draft::draft(&facts);
    let text = draft.print();
    match &args.file {
        None => show(&text)?,
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).open(path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
            if let Err(error) = written {
                let name = path.to_string_lossy().escape_debug().to_string();
                return refuse(format!(
                    "{name} can't be written: {error}; name a file that is not there yet"
                ));
            }
        }
    }
    if args.apply {
        let object = draft
            .object()
            .map_err(|error| ActError::Refused(format!("the draft is no object: {error}")))?;
        apply(&connection, &namespace, &object).await?;
        let name = quoted(&draft.name);
        eprintln!("flyball: FeedbackPolicy {namespace}/{name} was created; see: flyball explain {name} -n {namespace}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Creates the policy, first without storing it.
pub async fn apply(connection: &Connection, namespace: &str, object: &DynamicObject) -> Result<(), ActError> {
    let place = Place::of::<FeedbackPolicy>(namespace);
    for dry_run in [true, false] {
        if write::create_or_try(connection, &place, object, dry_run)
            .await?
            .is_none()
        {
            let name = object.name_any();
            return refuse(format!(
                "there is a FeedbackPolicy {namespace}/{name} already, and nothing was changed; see: flyball explain {name} -n {namespace}"
            ));
        }
    }
    Ok(())
}

/// Reads what a draft rests on. Only the workload itself must be readable.
pub async fn read(connection: &Connection, namespace: &str, args: &Args) -> Result<Facts, ActError> {
    let (resource, object) = workload(connection, namespace, args.target.as_deref()).await?;
    let target = TargetRef {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
        name: object.name_any(),
    };
    let mut notes = Vec::new();
    let autoscaler = autoscaler(connection, namespace, &target, &mut notes).await?;
    let alerts = alerts(connection, namespace, &target.name, &mut notes).await;
    let found = server(connection, namespace, args, &mut notes).await?;
    let source = match &args.source {
        Some(name) => Some(name.clone()),
        None => source_of(connection, found.as_ref(), &mut notes).await,
    };
    let load = match way(connection, found, args)? {
        None => None,
        Some(way) => match way.load(namespace, &target.name, connection.now()).await {
            Ok(None) => {
                notes.push(
                    "Prometheus has no histogram of seconds with the workload's namespace and name in its labels"
                        .to_owned(),
                );
                None
            }
            Ok(load) => load,
            Err(error) => {
                notes.push(format!("Prometheus could not be asked: {error}"));
                None
            }
        },
    };
    Ok(Facts {
        namespace: namespace.to_owned(),
        replicas: replicas(&object),
        requested: requested(&object),
        readiness: settle::read(connection, namespace, &target.name, &resource, &object).await,
        target,
        autoscaler,
        alerts,
        load,
        source,
        notes,
    })
}

/// The HorizontalPodAutoscaler on the workload. A ScaledObject is another command's; where those can't be read, the one that
/// KEDA made tells of its own.
async fn autoscaler(
    connection: &Connection,
    namespace: &str,
    target: &TargetRef,
    notes: &mut Vec<String>,
) -> Result<Option<HorizontalPodAutoscaler>, ActError> {
    let (scaled, hpa) = match others(connection, namespace, target).await {
        Ok(others) => {
            let made = others.iter().find(|other| other.autoscaler == Autoscaler::ScaledObject);
            let scaled = made.map(|made| made.object.name_any());
            (scaled, others.into_iter().next().map(|other| other.object))
        }
        Err(error) => {
            notes.push(format!(
                "whether another autoscaler scales the workload is not known: {error}"
            ));
            let found = horizontal(connection, namespace, target).await.unwrap_or_default();
            let mut owners = found.iter().flat_map(ResourceExt::owner_references);
            let scaled = owners.find(|owner| owner.kind == "ScaledObject");
            (scaled.map(|owner| owner.name.clone()), found.into_iter().next())
        }
    };
    if let Some(name) = scaled {
        return refuse(format!(
            "ScaledObject {name} scales this workload; draft from that: flyball import scaledobject {name} -n {namespace}"
        ));
    }
    Ok(hpa.and_then(|object| object.try_parse::<HorizontalPodAutoscaler>().ok()))
}

/// The workload that is meant.
async fn workload(
    connection: &Connection,
    namespace: &str,
    asked: Option<&str>,
) -> Result<(ApiResource, DynamicObject), ActError> {
    let kinds = [fetch::resource::<Deployment>(), fetch::resource::<StatefulSet>()];
    let (kind, name) = match asked.map(|asked| asked.split_once('/').unwrap_or(("", asked))) {
        None => (None, None),
        Some(("", name)) => (None, Some(name)),
        Some((kind, name)) => (Some(kind.to_lowercase()), Some(name)),
    };
    let short = |resource: &ApiResource| if resource.kind == "Deployment" { "deploy" } else { "sts" };
    let meant = |resource: &&ApiResource| {
        kind.as_ref().is_none_or(|kind| {
            [
                resource.kind.to_lowercase().as_str(),
                resource.plural.as_str(),
                short(resource),
            ]
            .contains(&kind.as_str())
        })
    };
    let mut found = Vec::new();
    for resource in kinds.iter().filter(meant) {
        let (client, scope) = (&connection.clients.read, Scope::Namespace(namespace));
        let objects = match name {
            Some(name) if !is_subdomain(name) => Vec::new(),
            Some(name) => fetch::get(client, scope, resource, name).await?.into_iter().collect(),
            None => fetch::list(client, scope, resource, ListParams::default()).await?,
        };
        found.extend(objects.into_iter().map(|object| (resource.clone(), object)));
    }
    if found.len() == 1 {
        return Ok(found.remove(0));
    }
    let names: Vec<String> = found
        .iter()
        .take(20)
        .map(|(resource, object)| format!("{}/{}", resource.kind.to_lowercase(), object.name_any()))
        .collect();
    match (found.is_empty(), asked) {
        (true, asked) => refuse(format!(
            "there is no {} in namespace {}; see: kubectl get deployments,statefulsets -n {}",
            asked.map_or_else(
                || "Deployment or StatefulSet".to_owned(),
                |asked| format!("workload {asked:?}")
            ),
            quoted(namespace),
            quoted(namespace)
        )),
        (false, _) => refuse(format!("name one of the workloads: {}", names.join(", "))),
    }
}

fn replicas(object: &DynamicObject) -> i32 {
    let replicas = object.data.pointer("/spec/replicas").and_then(Value::as_i64);
    replicas.and_then(|replicas| i32::try_from(replicas).ok()).unwrap_or(1)
}

/// The resources that all containers request.
fn requested(object: &DynamicObject) -> Vec<ResourceName> {
    let containers = object
        .data
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    let all = |name: &str| {
        containers.is_some_and(|containers| {
            let path = format!("/resources/requests/{name}");
            !containers.is_empty() && containers.iter().all(|container| container.pointer(&path).is_some())
        })
    };
    let known = [("cpu", ResourceName::Cpu), ("memory", ResourceName::Memory)];
    known
        .into_iter()
        .filter(|(name, _)| all(name))
        .map(|(_, known)| known)
        .collect()
}

/// The alerts of the namespace's PrometheusRules that name the workload. Of one name there must be one rule.
async fn alerts(connection: &Connection, namespace: &str, workload: &str, notes: &mut Vec<String>) -> Vec<Alert> {
    let kind = prometheus_rule::resource();
    match fetch::list_if_served(&connection.clients.read, Scope::Namespace(namespace), &kind).await {
        Ok(objects) => {
            let read = |object: &DynamicObject| PrometheusRule::read(&object.name_any(), object.data.get("spec"));
            of_rules(objects.iter().map(read), namespace, workload)
        }
        Err(error) => {
            notes.push(format!("PrometheusRules were not looked at: {error}"));
            Vec::new()
        }
    }
}

/// The alerts in these objects that name the workload.
pub fn of_rules(objects: impl Iterator<Item = PrometheusRule>, namespace: &str, workload: &str) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for object in objects {
        for group in object.groups.iter().flatten() {
            for rule in &group.rules {
                let Ok(known) = &rule.rule else { continue };
                let about = promql::shape(&known.expr)
                    .is_ok_and(|shape| prometheus::concerns(&shape.equal, namespace, workload));
                let once = group.rules.iter().filter(|other| other.alert == rule.alert).count() == 1;
                if about && once {
                    alerts.push(Alert {
                        object: object.name.clone(),
                        group: group.name.clone(),
                        rule: known.clone(),
                    });
                }
            }
        }
    }
    alerts
}

/// Where Prometheus is. Without the right to list the Services of all namespaces only this one's are looked at.
async fn server(
    connection: &Connection,
    namespace: &str,
    args: &Args,
    notes: &mut Vec<String>,
) -> Result<Option<Server>, ActError> {
    if args.prometheus.is_some() {
        return Ok(None);
    }
    let (client, kind) = (&connection.clients.read, fetch::resource::<Service>());
    let listed = match fetch::list(client, Scope::All, &kind, ListParams::default()).await {
        Err(ReadError::Forbidden { .. }) => {
            notes.push(
                "Prometheus was looked for in this namespace only, for the Services of others may not be listed; name it \
                 with --prometheus URL"
                    .to_owned(),
            );
            fetch::list(client, Scope::Namespace(namespace), &kind, ListParams::default()).await
        }
        listed => listed,
    };
    let services = match listed {
        Ok(objects) => fetch::parse::<Service>(&objects).0,
        Err(error) => {
            notes.push(format!(
                "Services were not looked at, so Prometheus was not found: {error}"
            ));
            return Ok(None);
        }
    };
    let mut found = prometheus::find(&services).into_iter();
    let first = found.next();
    match &first {
        None => notes.push("no Service has the labels of a known Prometheus; name it with --prometheus URL".to_owned()),
        Some(server) => {
            let others = found.len();
            let more = if others == 0 {
                String::new()
            } else {
                format!("; {others} more were found, so see that it is the right one")
            };
            notes.push(format!("{} was asked at {}{more}", server.product, server.url()));
        }
    }
    Ok(first)
}

fn way<'a>(connection: &'a Connection, found: Option<Server>, args: &Args) -> Result<Option<Way<'a>>, ActError> {
    let Some(url) = &args.prometheus else {
        return Ok(found.map(|server| Way::Proxy(connection, server)));
    };
    let spec = MetricSourceSpec {
        url: url.clone(),
        ..MetricSourceSpec::default()
    };
    match Source::new("--prometheus", &spec, &Secrets::default()) {
        Ok(source) => Ok(Some(Way::Direct(Box::new(source)))),
        Err(error) => refuse(format!("--prometheus: {error}")),
    }
}

/// The MetricSource of that server: the one with its address, or else the only one.
async fn source_of(connection: &Connection, found: Option<&Server>, notes: &mut Vec<String>) -> Option<String> {
    let kind = fetch::resource::<MetricSource>();
    let listed = fetch::list(&connection.clients.read, Scope::Cluster, &kind, ListParams::default()).await;
    let sources: Vec<MetricSource> = match listed {
        Ok(objects) => fetch::parse(&objects).0,
        Err(error) => {
            notes.push(format!("MetricSources were not looked at: {error}"));
            return None;
        }
    };
    let at = |source: &&MetricSource| {
        found.is_some_and(|server| {
            let host = format!("://{}.{}", server.service, server.namespace);
            let rest = source.spec.url.split_once(&host).map(|(_, rest)| rest);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ':', '/']))
        })
    };
    if let Some(source) = sources.iter().find(at) {
        return Some(source.name_any());
    }
    if let [only] = sources.as_slice() {
        return Some(only.name_any());
    }
    if let (true, Some(server)) = (sources.is_empty(), found) {
        notes.push(format!(
            "there is no MetricSource yet; the cluster's operator makes one, with spec: {{url: {:?}}}",
            server.url()
        ));
    }
    None
}
