//! Rights: those that this report needs, and those of the controller's service account.

mod ask;

pub(in crate::cli) use ask::mine;
pub use ask::{Installation, Lever, examine, installation};

use super::finding::{Finding, Mark};
use crate::observe::cluster::ScaleKind;
use flyball_crds::FREEZE_NAME;

/// Where a right is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a kind without namespaces.
    Cluster,
    /// In all namespaces.
    All,
    /// In this one.
    In(String),
}

impl Place {
    /// In the namespace that is named, or else in all.
    pub fn of(namespace: Option<&str>) -> Self {
        namespace.map_or(Self::All, |namespace| Self::In(namespace.to_owned()))
    }
}

/// A right to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Such as `list`.
    pub verb: &'static str,
    /// The API group; empty for the core.
    pub group: String,
    /// The resource, with its subresource behind a slash.
    pub resource: String,
    /// The one object it is needed on; `None`: on all. A role may give it by name, and then it is not
    /// given on all.
    pub name: Option<String>,
    /// Where.
    pub place: Place,
    /// What can't be done without it.
    pub without: &'static str,
}

/// A list of rights under construction.
#[derive(Default)]
struct Rights(Vec<Right>);

impl Rights {
    fn add(&mut self, verbs: &[&'static str], (group, resource): (&str, &str), place: &Place, without: &'static str) {
        self.0.extend(verbs.iter().map(|verb| Right {
            verb,
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: None,
            place: place.clone(),
            without,
        }));
    }

    /// On one object alone.
    fn add_named(
        &mut self,
        verbs: &[&'static str],
        (group, resource): (&str, &str),
        name: &str,
        place: &Place,
        without: &'static str,
    ) {
        let from = self.0.len();
        self.add(verbs, (group, resource), place, without);
        for right in self.0.iter_mut().skip(from) {
            right.name = Some(name.to_owned());
        }
    }
}

/// What this report reads. `kinds` are those of targets, `routes` those whose weights are moved; `lease` is the name of the controller's Lease.
pub fn of_the_report(
    namespace: Option<&str>,
    controllers: &str,
    (kinds, routes): (&[ScaleKind], &[ScaleKind]),
    lease: &str,
) -> Vec<Right> {
    let (scope, own, cluster) = (&Place::of(namespace), &Place::of(Some(controllers)), &Place::Cluster);
    let (group, mut rights) = ("flyball.dev", Rights::default());
    rights.add(&["list"], (group, "feedbackpolicies"), scope, "no policy is looked at");
    rights.add(&["list"], (group, "changes"), scope, "open Changes are not looked at");
    rights.add(&["list"], (group, "metricsources"), cluster, "no source is looked at");
    let definitions = ("apiextensions.k8s.io", "customresourcedefinitions");
    rights.add(&["get"], definitions, cluster, "the definitions are not compared");
    let leases = ("coordination.k8s.io", "leases");
    rights.add_named(
        &["get"],
        leases,
        lease,
        own,
        "it is not known whether a controller runs",
    );
    rights.add_named(
        &["get"],
        ("", "configmaps"),
        FREEZE_NAME,
        own,
        "it is not known whether the installation is frozen",
    );
    rights.add(&["get"], ("", "secrets"), own, "sources with credentials are not asked");
    let autoscalers = ("autoscaling", "horizontalpodautoscalers");
    rights.add(&["list"], autoscalers, scope, "other owners of a target may be missed");
    rights.add(
        &["list"],
        ("", "pods"),
        scope,
        "the time that pods take to be ready is guessed",
    );
    for kind in kinds {
        let (group, plural) = of_kind(kind);
        rights.add(
            &["get"],
            (&group, &plural),
            scope,
            "the targets of this kind are not looked at",
        );
    }
    for kind in routes {
        let (group, plural) = of_kind(kind);
        let unseen = "the routes of this kind are not looked at";
        rights.add(&["get"], (&group, &plural), scope, unseen);
    }
    rights.0
}

/// What the controller does. `scope` is the namespace that it looks at; `None`: all. `lease` is the
/// name of its Lease.
pub fn of_the_controller(
    namespace: &str,
    scope: Option<&str>,
    kinds: &[ScaleKind],
    keda: bool,
    lease: &str,
) -> Vec<Right> {
    let (scope, own, cluster) = (&Place::of(scope), &Place::of(Some(namespace)), &Place::Cluster);
    let (group, mut rights) = ("flyball.dev", Rights::default());
    rights.add(
        &["list", "watch"],
        (group, "feedbackpolicies"),
        scope,
        "it sees no policy",
    );
    rights.add(
        &["patch"],
        (group, "feedbackpolicies/status"),
        scope,
        "it can't say what it does",
    );
    rights.add(
        &["list", "watch"],
        (group, "metricsources"),
        cluster,
        "it has no source to ask",
    );
    rights.add(
        &["patch"],
        (group, "metricsources/status"),
        cluster,
        "it can't say which sources answer",
    );
    let journal = "it can't keep its journal, so it writes nothing";
    rights.add(&["list", "watch", "create"], (group, "changes"), scope, journal);
    rights.add(&["update"], (group, "changes/status"), scope, "it can't close a Change");
    rights.add(&["delete"], (group, "changes"), scope, "old Changes are never removed");
    let autoscalers = ("autoscaling", "horizontalpodautoscalers");
    rights.add(
        &["list", "watch"],
        autoscalers,
        scope,
        "it may fight with an autoscaler",
    );
    if keda {
        rights.add(
            &["list", "watch"],
            ("keda.sh", "scaledobjects"),
            scope,
            "it may fight with KEDA",
        );
    }
    rights.add(
        &["list", "watch"],
        ("", "secrets"),
        own,
        "sources with credentials can't be asked",
    );
    rights.add_named(
        &["list", "watch"],
        ("", "configmaps"),
        FREEZE_NAME,
        own,
        "it can't see whether the installation is frozen, so it makes no change",
    );
    let leases = ("coordination.k8s.io", "leases");
    rights.add_named(
        &["get", "update"],
        leases,
        lease,
        own,
        "it never leads, so it decides nothing",
    );
    // Roles can't limit a creation to a name.
    rights.add(
        &["create"],
        leases,
        own,
        "a lease that is missing stays so, and nobody leads",
    );
    rights.add(&["create"], ("events.k8s.io", "events"), scope, "its Events are lost");
    for kind in kinds {
        let (group, plural) = of_kind(kind);
        rights.add(
            &["list", "watch"],
            (&group, &plural),
            scope,
            "it does not see the targets of this kind",
        );
        rights.add(
            &["patch"],
            (&group, &plural),
            scope,
            "it can't stamp a target, so it can't end a Change",
        );
        let scale = format!("{plural}/scale");
        rights.add(
            &["update"],
            (&group, &scale),
            scope,
            "it can't move the targets of this kind",
        );
    }
    rights.0
}

/// What the controller does with the routes whose weights policies move; nothing where there is none.
pub fn of_the_controllers_routes(scope: Option<&str>, kinds: &[ScaleKind]) -> Vec<Right> {
    let (place, mut rights) = (&Place::of(scope), Rights::default());
    for kind in kinds {
        let (group, plural) = of_kind(kind);
        let unseen = "it does not see the routes of this kind";
        rights.add(&["get", "list", "watch"], (&group, &plural), place, unseen);
        let unmoved = "it can't move the weights of this kind, nor stamp a route";
        rights.add(&["patch"], (&group, &plural), place, unmoved);
    }
    if !kinds.is_empty() {
        let slices = ("discovery.k8s.io", "endpointslices");
        let unknown = "a backend without a ready endpoint is not found, nor when one is ready again";
        rights.add(&["list"], slices, place, unknown);
    }
    rights.0
}

/// What the controller writes for the agents of policies that move a runtime's knobs; nothing where there is none.
pub fn of_the_controllers_agents(scope: Option<&str>, any: bool) -> Vec<Right> {
    let mut rights = Rights::default();
    if any {
        let unlined = "no pod gets the line that its agent reads, so no knob moves and leases run out";
        rights.add(&["patch"], ("", "pods"), &Place::of(scope), unlined);
    }
    rights.0
}

/// What the controller asks of whoever wants its metrics, where not everybody may have them.
pub fn of_the_controllers_reviews() -> Vec<Right> {
    let (cluster, mut rights) = (&Place::Cluster, Rights::default());
    let closed = "nobody may read its metrics";
    rights.add(&["create"], ("authentication.k8s.io", "tokenreviews"), cluster, closed);
    rights.add(
        &["create"],
        ("authorization.k8s.io", "subjectaccessreviews"),
        cluster,
        closed,
    );
    rights.0
}

/// What the controller looks at where it may. Without it a decision rests on less, and says so.
pub fn of_the_controllers_view(scope: Option<&str>, kinds: &[ScaleKind]) -> Vec<Right> {
    let (place, cluster, mut rights) = (&Place::of(scope), &Place::Cluster, Rights::default());
    let uncounted = "pods are not counted, and metrics for each pod say nothing";
    rights.add(&["list", "watch"], ("", "pods"), place, uncounted);
    rights.add(&["list", "watch"], ("apps", "replicasets"), place, uncounted);
    let metrics = ("metrics.k8s.io", "pods");
    rights.add(&["list"], metrics, place, "what pods use is not known");
    let template = "the next pod is judged by the template, without what admission fills in";
    rights.add(&["get"], ("", "pods"), place, template);
    for kind in kinds {
        let (group, plural) = of_kind(kind);
        let unknown = "what the next pod asks for is not known where there is none yet";
        rights.add(&["get"], (&group, &plural), place, unknown);
    }
    let rules = (crate::prometheus_rule::GROUP, crate::prometheus_rule::PLURAL);
    let held = "a policy with a prometheusRuleRef decides nothing";
    rights.add(&["list", "watch"], rules, place, held);
    let quota = "increases look at no quota";
    rights.add(&["list"], ("", "resourcequotas"), place, quota);
    rights.add(&["list"], ("", "limitranges"), place, quota);
    let budgets = ("policy", "poddisruptionbudgets");
    rights.add(&["list"], budgets, place, "decreases look at no disruption budget");
    let unpaused = "a namespace can't be paused by its annotation";
    match scope {
        None => rights.add(&["get", "list", "watch"], ("", "namespaces"), cluster, unpaused),
        Some(name) => rights.add_named(&["get"], ("", "namespaces"), name, place, unpaused),
    }
    if scope.is_none() {
        let nodes = "increases look for no room on nodes";
        rights.add(&["list", "watch"], ("", "nodes"), cluster, nodes);
    }
    rights.0
}

/// Group and resource of a kind, as kinds are usually named.
pub(in crate::cli) fn of_kind(kind: &ScaleKind) -> (String, String) {
    let group = kind.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let kind = kube::api::GroupVersionKind::gvk(group, "", &kind.kind);
    (group.to_owned(), kube::api::ApiResource::from_gvk(&kind).plural)
}

/// Whether a right is given, or why that is not known.
pub type Answer = (Right, Result<bool, String>);

/// Judges rights: one line where all are given, else one for what can't be done without them.
pub fn judge(subject: &str, missing: Mark, answers: &[Answer], way_out: &str) -> Vec<Finding> {
    // Where one question is refused, so are the others.
    if let Some((_, Err(error))) = answers.iter().find(|(_, given)| given.is_err()) {
        let said = format!("it is not known what {subject} may do: {error}");
        return vec![Finding::new(
            Mark::Skip,
            subject,
            said,
            "ask somebody who may create access reviews",
        )];
    }
    let lacking: Vec<&Right> = answers
        .iter()
        .filter(|(_, given)| *given == Ok(false))
        .map(|(right, _)| right)
        .collect();
    let together = |one: &&Right, other: &&Right| {
        (&one.group, &one.resource, &one.name, &one.place, one.without)
            == (&other.group, &other.resource, &other.name, &other.place, other.without)
    };
    let findings: Vec<Finding> = lacking
        .chunk_by(together)
        .filter_map(|rights| Some((rights.first()?, rights)))
        .map(|(first, rights)| {
            let verbs: Vec<&str> = rights.iter().map(|right| right.verb).collect();
            let said = format!("may not {} {}: {}", verbs.join(", "), what(first), first.without);
            Finding::new(missing, subject, said, way_out)
        })
        .collect();
    if findings.is_empty() {
        let said = format!("may do all that is needed ({} rights)", answers.len());
        return vec![Finding::ok(subject, said)];
    }
    findings
}

pub(in crate::cli) fn what(right: &Right) -> String {
    let group = if right.group.is_empty() {
        String::new()
    } else {
        format!(" of {}", right.group)
    };
    let place = match &right.place {
        Place::Cluster => String::new(),
        Place::All => " in all namespaces".to_owned(),
        Place::In(namespace) => format!(" in namespace {namespace}"),
    };
    let name = right
        .name
        .as_deref()
        .map(|name| format!(" named {name}"))
        .unwrap_or_default();
    format!("{}{group}{name}{place}", right.resource)
}
