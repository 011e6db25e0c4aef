//! Asks the API server for rights, and the controller's Deployment for what it may move.

use super::{
    Answer, Place, Right, judge, of_the_controller, of_the_controllers_agents, of_the_controllers_reviews,
    of_the_controllers_routes, of_the_controllers_view, of_the_report,
};
use crate::{
    cli::{
        doctor::finding::{Finding, Mark, Section},
        fetch::{self, Connection, ReadError, Scope},
        write,
    },
    client::{CallError, READ_LIMIT, within},
    observe::cluster::ScaleKind,
};
use futures::{StreamExt, stream};
use k8s_openapi::api::{
    apps::v1::Deployment,
    authorization::v1::{
        ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
        SubjectAccessReviewSpec, SubjectAccessReviewStatus,
    },
    core::v1::ServiceAccount,
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use tokio::time::Instant;

/// How many questions are under way at once.
const QUESTIONS: usize = 8;
/// The label by which the controller's Deployment is found.
const LABEL: &str = "app.kubernetes.io/name=flyball";
/// The service account of an installation that does not say.
const ACCOUNT: &str = "flyball";
/// Its Lease.
const LEASE: &str = "flyball";
/// Where its own objects are, which it writes also where it only observes.
const OWN_GROUPS: [&str; 3] = ["flyball.dev", "coordination.k8s.io", "events.k8s.io"];

/// A lever, as the chart's `rbac.levers` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lever {
    /// Numbers of replicas.
    Replicas,
    /// Weights of backends.
    Weights,
    /// Knobs of runtimes.
    Runtime,
}

/// Whom it lets read its metrics.
const REVIEW_GROUPS: [&str; 2] = ["authentication.k8s.io", "authorization.k8s.io"];

/// The controller as its Deployment describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Installation {
    /// Its service account.
    pub account: Option<String>,
    /// The kinds it may move, where its arguments say so.
    pub kinds: Vec<ScaleKind>,
    /// The namespace that it looks at; `None`: all.
    pub scope: Option<String>,
    /// The name of its Lease, where its arguments say so.
    pub lease: Option<String>,
    /// It writes no target.
    pub observes: bool,
    /// Its sources are in a file, so that it reads no MetricSource.
    pub sources: bool,
    /// It has no right to move these, on purpose.
    pub without: Vec<Lever>,
    /// It asks who may read its metrics.
    pub reviews: bool,
}

impl Installation {
    /// Reads it from the Deployment of the controller.
    pub fn of(deployment: &Deployment) -> Self {
        let Some(pod) = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()) else {
            return Self::default();
        };
        let words = pod
            .containers
            .iter()
            .flat_map(|container| container.command.iter().chain(&container.args));
        let words: Vec<&str> = words.flatten().map(String::as_str).collect();
        Self {
            account: pod.service_account_name.clone(),
            ..Self::of_words(&words)
        }
    }

    /// Reads it from the words with which a controller is started.
    pub fn of_words(words: &[&str]) -> Self {
        let values = |flag: &str| {
            let glued = format!("{flag}=");
            let glued = words.iter().filter_map(|word| word.strip_prefix(&*glued));
            let apart = words.windows(2).filter(|pair| pair[0] == flag).map(|pair| pair[1]);
            glued.chain(apart).map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        Self {
            account: None,
            kinds: values("--scale-kind")
                .iter()
                .filter_map(|kind| kind.parse().ok())
                .collect(),
            scope: values("--watch-namespace").pop(),
            lease: values("--lease-name").pop(),
            observes: words.contains(&"--observe-only"),
            reviews: words.contains(&"--metrics-authorization"),
            sources: !values("--sources-file").is_empty(),
            without: Vec::new(),
        }
    }

    /// The name of its Lease.
    pub fn lease(&self) -> &str {
        self.lease.as_deref().unwrap_or(LEASE)
    }

    /// Whether it needs a right: what is left out on purpose is not missing.
    pub fn needs(&self, right: &Right) -> bool {
        if REVIEW_GROUPS.contains(&&*right.group) {
            return self.reviews;
        }
        let reads = ["get", "list", "watch"].contains(&right.verb);
        let own = OWN_GROUPS.contains(&&*right.group);
        let of_sources = right.group == "flyball.dev" && right.resource.starts_with("metricsources");
        let writes = !self.observes && !self.without(right);
        (reads || own || writes) && !(of_sources && self.sources)
    }

    /// Whether a right to write is of levers alone that it does without.
    fn without(&self, right: &Right) -> bool {
        let of: &[Lever] = match &*right.resource {
            "pods" => &[Lever::Runtime],
            resource if resource.ends_with("/scale") => &[Lever::Replicas],
            _ if self
                .kinds
                .iter()
                .any(|kind| super::of_kind(kind) == (right.group.clone(), right.resource.clone())) =>
            {
                // Both stamp the workload.
                &[Lever::Replicas, Lever::Runtime]
            }
            _ => &[Lever::Weights],
        };
        of.iter().all(|lever| self.without.contains(lever))
    }
}

/// Finds the controller's Deployment by its label. That there is none says little: it may run elsewhere.
pub async fn installation(connection: &Connection, namespace: &str) -> Installation {
    let limits = ListParams::default().labels(LABEL);
    let kind = fetch::resource::<Deployment>();
    let found = fetch::list(&connection.clients.read, Scope::Namespace(namespace), &kind, limits).await;
    let (deployments, _): (Vec<Deployment>, _) = fetch::parse(&found.unwrap_or_default());
    let read = deployments.iter().map(Installation::of);
    read.into_iter()
        .find(|found| *found != Installation::default())
        .unwrap_or_default()
}

/// Looks at both. `namespace` is the one that the report is about, `controllers` the controller's own, `routes` the
/// kinds of routes whose weights policies move, `agents` whether any moves a runtime's knobs.
pub async fn examine(
    connection: &Connection,
    namespace: Option<&str>,
    controllers: &str,
    installation: &Installation,
    keda: bool,
    (routes, agents): (&[ScaleKind], bool),
) -> Section {
    let kinds = (installation.kinds.as_slice(), routes);
    let rights = of_the_report(namespace, controllers, kinds, installation.lease());
    let own = mine(connection, rights).await;
    let way_out = "ask an administrator for it; what needs it is skipped here";
    let mut findings = judge("you", Mark::Warn, &own, way_out);
    findings.extend(of_account(connection, controllers, installation, keda, (routes, agents)).await);
    Section {
        title: "Rights".to_owned(),
        findings,
    }
}

async fn of_account(
    connection: &Connection,
    namespace: &str,
    installation: &Installation,
    keda: bool,
    (routes, agents): (&[ScaleKind], bool),
) -> Vec<Finding> {
    let account = installation.account.as_deref().unwrap_or(ACCOUNT);
    // It may ask about itself, and rarely about accounts.
    let itself = write::who(connection)
        .await
        .is_ok_and(|user| user == user_of(namespace, account));
    let kind = fetch::resource::<ServiceAccount>();
    let found = if itself {
        Ok(true)
    } else {
        let found = fetch::get(&connection.clients.read, Scope::Namespace(namespace), &kind, account).await;
        found.map(|found| found.is_some())
    };
    let ask = async |rights| {
        if itself {
            mine(connection, rights).await
        } else {
            theirs(connection, namespace, account, rights).await
        }
    };
    match found {
        Ok(true) => {
            let mut rights = of_the_controller(
                namespace,
                installation.scope.as_deref(),
                &installation.kinds,
                keda,
                installation.lease(),
            );
            rights.extend(of_the_controllers_routes(installation.scope.as_deref(), routes));
            rights.extend(of_the_controllers_agents(installation.scope.as_deref(), agents));
            rights.extend(of_the_controllers_reviews());
            rights.retain(|right| installation.needs(right));
            let answers = ask(rights).await;
            let way_out = format!("give it to ServiceAccount {account} of namespace {namespace}, as the chart does");
            let mut findings = judge(account, Mark::Fail, &answers, &way_out);
            let view = of_the_controllers_view(installation.scope.as_deref(), &installation.kinds);
            let view = judge(account, Mark::Warn, &ask(view).await, &way_out);
            findings.extend(view.into_iter().filter(|finding| finding.mark == Mark::Warn));
            findings
        }
        Ok(false) => vec![Finding::new(
            Mark::Skip,
            "controller",
            format!("there is no ServiceAccount {account} in namespace {namespace}"),
            "name the one it runs as with --service-account; a controller outside of the cluster has none",
        )],
        Err(ReadError::Forbidden { what, .. }) => {
            let way_out = "ask somebody who may to run: flyball doctor";
            vec![Finding::new(
                Mark::Skip,
                "controller",
                format!("no right to {what}"),
                way_out,
            )]
        }
        Err(error) => vec![Finding::message(Mark::Skip, "controller", &error.to_string())],
    }
}

impl Right {
    /// The right as a review asks for it.
    pub fn attributes(&self) -> ResourceAttributes {
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        ResourceAttributes {
            verb: Some(self.verb.to_owned()),
            group: Some(self.group.clone()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()).filter(|name| !name.is_empty()),
            name: self.name.clone(),
            namespace: match &self.place {
                Place::In(namespace) => Some(namespace.clone()),
                Place::All | Place::Cluster => None,
            },
            ..ResourceAttributes::default()
        }
    }
}

/// Asks whether we have these rights. A review is an answer that is asked for by POST; nothing is stored.
pub(in crate::cli) async fn mine(connection: &Connection, rights: Vec<Right>) -> Vec<Answer> {
    let api: &Api<SelfSubjectAccessReview> = &Api::all(connection.clients.write.clone());
    let ask = |right: Right| async move {
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(right.attributes()),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview {
            spec,
            ..SelfSubjectAccessReview::default()
        };
        let answer = within(Instant::now() + READ_LIMIT, api.create(&PostParams::default(), &review)).await;
        (right, given(answer.map(|review| review.status)))
    };
    stream::iter(rights).map(ask).buffered(QUESTIONS).collect().await
}

/// Asks whether a service account has these rights.
async fn theirs(connection: &Connection, namespace: &str, account: &str, rights: Vec<Right>) -> Vec<Answer> {
    let api: &Api<SubjectAccessReview> = &Api::all(connection.clients.write.clone());
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    let subject = &SubjectAccessReviewSpec {
        user: Some(user_of(namespace, account)),
        groups: Some(groups.to_vec()),
        ..SubjectAccessReviewSpec::default()
    };
    let ask = |right: Right| async move {
        let spec = SubjectAccessReviewSpec {
            resource_attributes: Some(right.attributes()),
            ..subject.clone()
        };
        let review = SubjectAccessReview {
            spec,
            ..SubjectAccessReview::default()
        };
        let answer = within(Instant::now() + READ_LIMIT, api.create(&PostParams::default(), &review)).await;
        (right, given(answer.map(|review| review.status)))
    };
    stream::iter(rights).map(ask).buffered(QUESTIONS).collect().await
}

/// How the API server names a service account.
fn user_of(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

fn given(answer: Result<Option<SubjectAccessReviewStatus>, CallError>) -> Result<bool, String> {
    let status = answer.map_err(|error| error.to_string())?;
    Ok(status.is_some_and(|status| status.allowed))
}
