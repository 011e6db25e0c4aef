//! Tools that would write the weights of a repository again, and how each is told to let them be.
//!
//! After a write of ours such a tool's entry in managedFields has no lists any more, so the marks that it leaves on its
//! objects count as well. Whether an Argo CD Application or a Flux Kustomization ignores the weights already stands in
//! those objects, which are not read.

use super::routes::again;
use crate::{
    cli::{
        doctor::finding::{Finding, Mark},
        screen::{plain, quoted},
    },
    observe::routes::{Form, Located, Row, table::CANARY_WEIGHT},
};
use flyball_core::policy::OnReset;
use kube::{ResourceExt, api::DynamicObject};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Who applies an object from a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tool {
    ArgoCd,
    Kustomization,
    HelmRelease,
    Helm,
    Kubectl,
}

/// By the managers of any of its fields, and by the marks on it.
fn tools(object: &DynamicObject) -> Vec<Tool> {
    let managers = object
        .managed_fields()
        .iter()
        .filter_map(|entry| entry.manager.as_deref());
    let managed = |prefixes: &[&str]| {
        let mut managers = managers.clone();
        managers.any(|manager| prefixes.iter().any(|prefix| manager.starts_with(prefix)))
    };
    let marked = |key: &str| object.labels().contains_key(key) || object.annotations().contains_key(key);
    let mut found = Vec::new();
    if managed(&["argocd-"]) || marked("argocd.argoproj.io/tracking-id") {
        found.push(Tool::ArgoCd);
    }
    if managed(&["kustomize-controller", "flux", "gotk"]) || marked("kustomize.toolkit.fluxcd.io/name") {
        found.push(Tool::Kustomization);
    }
    if managed(&["helm-controller"]) || marked("helm.toolkit.fluxcd.io/name") {
        found.push(Tool::HelmRelease);
    } else if marked("meta.helm.sh/release-name") {
        found.push(Tool::Helm);
    }
    // A tool of those above may leave it too.
    if found.is_empty() && marked(LAST_APPLIED) {
        found.push(Tool::Kubectl);
    }
    found
}

/// Judges who would reset the weights of a list.
pub fn judge(object: &DynamicObject, located: &Located, on_reset: OnReset) -> Vec<Finding> {
    let judged = tools(object).into_iter().map(|tool| match tool {
        Tool::ArgoCd => argo_cd(object, located, on_reset),
        Tool::Kustomization => kustomization(object, located, on_reset),
        Tool::HelmRelease => helm_release(object, located, on_reset),
        Tool::Helm => Finding::new(
            Mark::Warn,
            "GitOps",
            format!(
                "{} belongs to a release of Helm: an upgrade may write the chart's weights again; {}",
                called(object, located),
                again(on_reset)
            ),
            "write the base weights into the chart, so that an upgrade goes to a known state",
        ),
        Tool::Kubectl => Finding::new(
            Mark::Warn,
            "GitOps",
            format!(
                "{} was applied with kubectl: applying its file again writes the file's weights; {}",
                called(object, located),
                again(on_reset)
            ),
            "write the base weights into the file, or leave spec.rules out of it",
        ),
    });
    judged.collect()
}

fn called(object: &DynamicObject, located: &Located) -> String {
    plain(&format!("{}/{}", located.row.kind, object.name_any()))
}

/// The way to all weights of a kind, as jq has it.
fn jq(row: &Row) -> String {
    match &row.form {
        Form::List(form) => {
            let rules = form.rules.as_ref().map(|rules| format!(".{}[]", rules.path.join(".")));
            format!(
                "{}.{}[].{}",
                rules.unwrap_or_default(),
                form.list.join("."),
                form.weight
            )
        }
        Form::CanaryAnnotations => format!(".metadata.annotations[\"{CANARY_WEIGHT}\"]"),
    }
}

/// JSON pointers to the weights that are managed.
fn pointers(located: &Located) -> Vec<String> {
    let Form::List(form) = &located.row.form else {
        return vec![format!("/metadata/annotations/{}", CANARY_WEIGHT.replace('/', "~1"))];
    };
    let rule = form.rules.as_ref().zip(located.rule);
    let rule = rule.map_or_else(String::new, |(rules, index)| {
        format!("/{}/{index}", rules.path.join("/"))
    });
    let entries = located.entries.iter().filter(|entry| entry.managed);
    entries
        .map(|entry| format!("{rule}/{}/{}/{}", form.list.join("/"), entry.index, form.weight))
        .collect()
}

/// The field that is one whole for managedFields and for Argo CD.
fn whole(row: &Row) -> String {
    row.owned().join(".")
}

fn argo_cd(object: &DynamicObject, located: &Located, on_reset: OnReset) -> Finding {
    let row = located.row;
    Finding::new(
        Mark::Warn,
        "GitOps",
        format!(
            "Argo CD applies {}, and a sync writes the weights of Git again unless it ignores them; {}. With the lines below it copies the list as a whole from the live object (argo-cd#17694, #9678): later edits in Git inside of {} are then silently not applied",
            called(object, located),
            again(on_reset),
            whole(row)
        ),
        format!(
            "keep {} out of Git, or put the weighted rule into a route of its own, and add to the Application:",
            whole(row)
        ),
    )
    .with([
        "spec:".to_owned(),
        "  ignoreDifferences:".to_owned(),
        format!("  - group: {}", row.group),
        format!("    kind: {}", row.kind),
        format!("    name: {}", object.name_any()),
        "    jqPathExpressions:".to_owned(),
        format!("    - '{}'", jq(row)),
        "  syncPolicy:".to_owned(),
        "    syncOptions:".to_owned(),
        "    - RespectIgnoreDifferences=true".to_owned(),
    ])
}

/// Whether a mark on the object says so.
fn says(object: &DynamicObject, key: &str, values: &[&str]) -> bool {
    let found = object.annotations().get(key).or_else(|| object.labels().get(key));
    found.is_some_and(|found| values.iter().any(|value| found.eq_ignore_ascii_case(value)))
}

/// The rule that ignores the managed weights, indented for `spec`, as Flux has it in both of its controllers.
fn ignore(object: &DynamicObject, located: &Located, indent: &str) -> Vec<String> {
    let mut lines = vec![format!("{indent}ignore:"), format!("{indent}- paths:")];
    lines.extend(pointers(located).iter().map(|pointer| format!("{indent}  - {pointer}")));
    lines.push(format!(
        "{indent}  target: {{group: {}, kind: {}, name: {}}}",
        located.row.group,
        located.row.kind,
        object.name_any()
    ));
    lines
}

fn kustomization(object: &DynamicObject, located: &Located, on_reset: OnReset) -> Finding {
    let name = called(object, located);
    let disabled = says(object, "kustomize.toolkit.fluxcd.io/reconcile", &["disabled"]);
    if disabled || says(object, "kustomize.toolkit.fluxcd.io/ssa", &["IfNotPresent", "Ignore"]) {
        return Finding::ok("GitOps", format!("Flux leaves {name} as it is, by its annotation"));
    }
    let kubectl = format!(
        "kubectl annotate {} {} -n {} kustomize.toolkit.fluxcd.io/reconcile=disabled",
        quoted(&format!("{}.{}", located.row.kind.to_lowercase(), located.row.group)),
        quoted(&object.name_any()),
        quoted(&object.namespace().unwrap_or_default())
    );
    let mut lines = vec![
        "# In the Kustomization; the numbers are the places in the lists:".to_owned(),
        "spec:".to_owned(),
    ];
    lines.extend(ignore(object, located, "  "));
    lines.extend([
        "# Or on the route in Git, which is then only created and never edited from there:".to_owned(),
        "metadata:".to_owned(),
        "  annotations: {kustomize.toolkit.fluxcd.io/ssa: IfNotPresent}".to_owned(),
        "# Or in the cluster, for a time:".to_owned(),
        kubectl,
    ]);
    Finding::new(
        Mark::Warn,
        "GitOps",
        format!(
            "Flux applies {name}, and writes the weights of Git again unless it ignores them; {}",
            again(on_reset)
        ),
        "from kustomize-controller 1.9 on let the Kustomization ignore the weights; before, the route as a whole:",
    )
    .with(lines)
}

fn helm_release(object: &DynamicObject, located: &Located, on_reset: OnReset) -> Finding {
    let name = called(object, located);
    if says(object, "helm.toolkit.fluxcd.io/driftDetection", &["disabled"]) {
        return Finding::ok(
            "GitOps",
            format!(
                "Flux corrects no drift of {name}, by its annotation; an upgrade of the release writes it all the same"
            ),
        );
    }
    let mut lines = vec![
        "# In the HelmRelease; the numbers are the places in the lists:".to_owned(),
        "spec:".to_owned(),
        "  driftDetection:".to_owned(),
    ];
    lines.extend(ignore(object, located, "    "));
    Finding::new(
        Mark::Warn,
        "GitOps",
        format!(
            "Flux's helm-controller applies {name}: with driftDetection.mode enabled it writes the chart's weights again, and with each upgrade it does; {}",
            again(on_reset)
        ),
        "let the drift detection ignore the weights; an upgrade goes back to the chart's, so write the base there:",
    )
    .with(lines)
}
