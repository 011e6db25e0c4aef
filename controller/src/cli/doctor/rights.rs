//! Rights: those that this report needs, and those of the controller's service account.

use super::finding::{Finding, Mark, Section};
use crate::{
    cli::fetch::{self, Connection, ReadError, Scope},
    client::{READ_LIMIT, chain, within},
    observe::cluster::ScaleKind,
};
use futures::{StreamExt, stream};
use k8s_openapi::api::{
    apps::v1::Deployment,
    authorization::v1::{
        ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
        SubjectAccessReviewSpec,
    },
    core::v1::ServiceAccount,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use tokio::time::Instant;

/// How many questions are under way at once.
const QUESTIONS: usize = 8;
/// The label by which the controller's Deployment is found.
const LABEL: &str = "app.kubernetes.io/name=flyball";

/// A right to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Such as `list`.
    pub verb: &'static str,
    /// The API group; empty for the core.
    pub group: String,
    /// The resource, with its subresource behind a slash.
    pub resource: String,
    /// The namespace; `None`: in all.
    pub namespace: Option<String>,
    /// What can't be done without it.
    pub without: &'static str,
}

impl Right {
    fn new(verb: &'static str, group: &str, resource: &str, namespace: Option<&str>, without: &'static str) -> Self {
        Self {
            verb,
            group: group.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.map(ToOwned::to_owned),
            without,
        }
    }

    /// The right as `kubectl auth can-i` takes it.
    pub fn on_command_line(&self) -> String {
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        let subresource = if subresource.is_empty() { String::new() } else { format!(" --subresource {subresource}") };
        let place = self.namespace.as_ref().map_or_else(|| " -A".to_owned(), |namespace| format!(" -n {namespace}"));
        format!("{} {resource}{group}{subresource}{place}", self.verb)
    }

    fn attributes(&self) -> ResourceAttributes {
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        ResourceAttributes {
            verb: Some(self.verb.to_owned()),
            group: Some(self.group.clone()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()).filter(|name| !name.is_empty()),
            namespace: self.namespace.clone(),
            ..ResourceAttributes::default()
        }
    }
}

/// What this report reads.
pub fn of_the_report(namespace: Option<&str>, controllers: &str, kinds: &[ScaleKind]) -> Vec<Right> {
    let right = |verb, group: &str, resource: &str, without| Right::new(verb, group, resource, namespace, without);
    let own = Some(controllers);
    let mut rights = vec![
        right("list", "flyball.dev", "feedbackpolicies", "no policy is looked at"),
        right("list", "flyball.dev", "changes", "open Changes are not looked at"),
        Right::new("list", "flyball.dev", "metricsources", None, "no source is looked at"),
        Right::new("get", "apiextensions.k8s.io", "customresourcedefinitions", None, "the definitions are not compared"),
        Right::new("get", "coordination.k8s.io", "leases", own, "it is not known whether a controller runs"),
        Right::new("get", "", "secrets", own, "sources with credentials are not asked"),
        right("list", "autoscaling", "horizontalpodautoscalers", "other owners of a target may be missed"),
        right("list", "", "pods", "the time that pods take to be ready is guessed"),
    ];
    rights.extend(kinds.iter().map(|kind| {
        let (group, plural) = of_kind(kind);
        right("get", &group, &plural, "the targets of this kind are not looked at")
    }));
    rights
}

/// What the controller does. `scope` is the namespace that it looks at; `None`: all.
pub fn of_the_controller(namespace: &str, scope: Option<&str>, kinds: &[ScaleKind], keda: bool) -> Vec<Right> {
    let own = Some(namespace);
    let mut rights = Vec::new();
    let mut add = |verbs: &[&'static str], group: &str, resource: &str, place: Option<&str>, without| {
        rights.extend(verbs.iter().map(|verb| Right::new(verb, group, resource, place, without)));
    };
    add(&["list", "watch"], "flyball.dev", "feedbackpolicies", scope, "it sees no policy");
    add(&["patch"], "flyball.dev", "feedbackpolicies/status", scope, "it can't say what it does");
    add(&["list", "watch"], "flyball.dev", "metricsources", None, "it has no source to ask");
    add(&["patch"], "flyball.dev", "metricsources/status", None, "it can't say which sources answer");
    add(&["list", "watch", "create"], "flyball.dev", "changes", scope, "it can't keep its journal, so it writes nothing");
    add(&["update"], "flyball.dev", "changes/status", scope, "it can't close a Change");
    add(&["delete"], "flyball.dev", "changes", scope, "old Changes are never removed");
    add(&["list", "watch"], "autoscaling", "horizontalpodautoscalers", scope, "it may fight with an autoscaler");
    if keda {
        add(&["list", "watch"], "keda.sh", "scaledobjects", scope, "it may fight with KEDA");
    }
    add(&["list", "watch"], "", "secrets", own, "sources with credentials can't be asked");
    add(&["get", "create", "update"], "coordination.k8s.io", "leases", own, "it never leads, so it decides nothing");
    add(&["create"], "events.k8s.io", "events", scope, "its Events are lost");
    for kind in kinds {
        let (group, plural) = of_kind(kind);
        add(&["list", "watch"], &group, &plural, scope, "it does not see the targets of this kind");
        add(&["patch"], &group, &plural, scope, "it can't stamp a target, so it can't end a Change");
        add(&["update"], &group, &format!("{plural}/scale"), scope, "it can't move the targets of this kind");
    }
    rights
}

/// Group and resource of a kind, as kinds are usually named.
fn of_kind(kind: &ScaleKind) -> (String, String) {
    let group = kind.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let resource = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk(group, "", &kind.kind));
    (group.to_owned(), resource.plural)
}

/// Judges rights and whether they are given: one line where all are, else one for each that is not.
pub fn judge(subject: &str, missing: Mark, answers: &[(Right, Result<bool, String>)], way_out: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (right, given) in answers {
        let line = right.on_command_line();
        match given {
            Ok(true) => {}
            Ok(false) => findings.push(Finding::new(
                missing,
                subject,
                format!("may not {line}: {}", right.without),
                way_out.replace("{right}", &line),
            )),
            Err(error) => {
                findings.push(Finding::new(Mark::Skip, subject, format!("not known whether it may {line}: {error}"), ""));
                // The next ones would say the same.
                break;
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(subject, format!("all {} rights that are needed are given", answers.len())));
    }
    findings
}

/// The controller as its Deployment describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installation {
    /// Its service account.
    pub account: Option<String>,
    /// The kinds it may move, where its arguments say so.
    pub kinds: Vec<ScaleKind>,
    /// The namespace that it looks at; `None`: all.
    pub scope: Option<String>,
}

impl Installation {
    /// Reads it from the Deployment of the controller.
    pub fn of(deployment: &Deployment) -> Self {
        let Some(pod) = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()) else {
            return Self::default();
        };
        let arguments: Vec<&String> =
            pod.containers.iter().flat_map(|container| container.args.iter().chain(&container.command).flatten()).collect();
        let values = |flag: &str| {
            let glued = format!("{flag}=");
            let glued = arguments.iter().filter_map(|argument| argument.strip_prefix(&*glued));
            let apart = arguments.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1].as_str());
            glued.chain(apart).map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let kinds = values("--scale-kind").iter().filter_map(|kind| kind.parse().ok()).collect();
        let scope = values("--watch-namespace").pop();
        Self { account: pod.service_account_name.clone(), kinds, scope }
    }
}

/// Finds the controller's Deployment by its label. That there is none says little: it may run elsewhere.
pub async fn installation(connection: &Connection, namespace: &str) -> Installation {
    let limits = ListParams::default().labels(LABEL);
    let kind = fetch::resource::<Deployment>();
    let found = fetch::list(&connection.clients.read, Scope::Namespace(namespace), &kind, limits).await;
    let (deployments, _): (Vec<Deployment>, _) = fetch::parse(&found.unwrap_or_default());
    deployments.iter().map(Installation::of).find(|found| *found != Installation::default()).unwrap_or_default()
}

/// Asks whether we have these rights.
async fn mine(connection: &Connection, rights: Vec<Right>) -> Vec<(Right, Result<bool, String>)> {
    // A review is an answer that is asked for by POST; nothing is stored.
    let api: &Api<SelfSubjectAccessReview> = &Api::all(connection.clients.write.clone());
    let ask = |right: Right| async move {
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(right.attributes()), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        let answer = within(Instant::now() + READ_LIMIT, api.create(&PostParams::default(), &review)).await;
        let given = answer.map(|review| review.status.is_some_and(|status| status.allowed)).map_err(|error| chain(&error));
        (right, given)
    };
    stream::iter(rights).map(ask).buffered(QUESTIONS).collect().await
}

/// Asks whether a service account has these rights.
async fn theirs(
    connection: &Connection,
    namespace: &str,
    account: &str,
    rights: Vec<Right>,
) -> Vec<(Right, Result<bool, String>)> {
    let api: &Api<SubjectAccessReview> = &Api::all(connection.clients.write.clone());
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    let spec = &SubjectAccessReviewSpec {
        user: Some(format!("system:serviceaccount:{namespace}:{account}")),
        groups: Some(groups.to_vec()),
        ..Default::default()
    };
    let ask = |right: Right| async move {
        let spec = SubjectAccessReviewSpec { resource_attributes: Some(right.attributes()), ..spec.clone() };
        let review = SubjectAccessReview { spec, ..Default::default() };
        let answer = within(Instant::now() + READ_LIMIT, api.create(&PostParams::default(), &review)).await;
        let given = answer.map(|review| review.status.is_some_and(|status| status.allowed)).map_err(|error| chain(&error));
        (right, given)
    };
    stream::iter(rights).map(ask).buffered(QUESTIONS).collect().await
}

/// Looks at both. `namespace` is the one that the report is about, `controllers` the controller's own.
pub async fn examine(
    connection: &Connection,
    namespace: Option<&str>,
    controllers: &str,
    installation: &Installation,
    keda: bool,
) -> Section {
    let own = mine(connection, of_the_report(namespace, controllers, &installation.kinds)).await;
    let mut findings = judge("yours", Mark::Warn, &own, "ask for it, and try it with: kubectl auth can-i {right}");
    findings.extend(of_account(connection, controllers, installation, keda).await);
    Section { title: "Rights".to_owned(), findings }
}

async fn of_account(
    connection: &Connection,
    namespace: &str,
    installation: &Installation,
    keda: bool,
) -> Vec<Finding> {
    let account = installation.account.as_deref().unwrap_or("flyball");
    let kind = fetch::resource::<ServiceAccount>();
    match fetch::get(&connection.clients.read, Scope::Namespace(namespace), &kind, account).await {
        Ok(Some(found)) => {
            let rights = of_the_controller(namespace, installation.scope.as_deref(), &installation.kinds, keda);
            let answers = theirs(connection, namespace, account, rights).await;
            let way_out = format!(
                "grant it, and try it with: kubectl auth can-i {{right}} --as system:serviceaccount:{namespace}:{account}"
            );
            judge(&format!("{}'s", found.name_any()), Mark::Fail, &answers, &way_out)
        }
        Ok(None) => vec![Finding::new(
            Mark::Skip,
            "controller's",
            format!("there is no ServiceAccount {account} in namespace {namespace}"),
            "name the one it runs as with --service-account; a controller outside of the cluster has none",
        )],
        Err(error @ ReadError::Forbidden { .. }) => vec![Finding::unread("controller's", &error)],
        Err(error) => vec![Finding::message(Mark::Skip, "controller's", &error.to_string())],
    }
}
