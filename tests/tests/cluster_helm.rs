//! The chart, installed by the real helm: the image that would be published, in real pods with the rights that the chart
//! gives. One scenario at a time, and nothing beside it: its controller takes up every policy that there is.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "cluster_helm/drain.rs"]
mod drain;
#[path = "cluster_helm/serving.rs"]
mod serving;
#[path = "cluster_helm/versions.rs"]
mod versions;

use flyball_crds::{Change, FeedbackPolicy, MetricSource, Phase};
use flyball_tests::{
    bed::{bed, eventually_within},
    demo::report::audit,
    helm::{Release, chart, client_of, policy, reachable, testbed, world},
    world::{condition, phase_of},
};
use k8s_openapi::{
    api::{
        core::v1::{Namespace, Secret},
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a scenario waits for what must come. It is no measure of speed.
const PATIENCE: Duration = Duration::from_secs(120);

/// For `cargo test`. nextest, which has a process for each, is told in .config/nextest.toml.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_of_one_namespace_uses_what_an_administrator_installed() {
    let Some(bed) = bed().await else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(release) = Release::new(&bed).await else {
        return;
    };
    let world = world(&bed, "helm").await;
    let said = release.install(&[]);
    assert!(said.contains("flyball doctor --namespace-of-controller"), "{said}");

    // By the cluster's own role `edit`, to which the chart adds.
    let alice = client_of(&bed, "alice");
    world
        .create(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "alice"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}],
        }))
        .await;
    let hers: Api<FeedbackPolicy> = Api::namespaced(alice.clone(), &world.namespace);
    eventually_within(PATIENCE, "she may make policies", async || {
        hers.create(&PostParams::default(), &policy(&world)).await.ok()
    })
    .await;
    world.prometheus.value("latency", 0.9);
    let first = world.phase(1, Phase::Verifying).await;
    assert_eq!((first.spec.before, first.spec.after), (2, 3));
    world.prometheus.value("latency", 0.3);
    // She sees the journal, and that her change was kept.
    let journals: Api<Change> = Api::namespaced(alice.clone(), &world.namespace);
    eventually_within(PATIENCE, "she reads that it is committed", async || {
        let changes = journals.list(&ListParams::default()).await.unwrap().items;
        changes
            .iter()
            .any(|change| phase_of(change) == Phase::Committed)
            .then_some(())
    })
    .await;
    assert_eq!(world.replicas("Deployment", "web").await, 3);

    // What is not hers is refused.
    let forbidden = |what: &str, answer: Result<(), kube::Error>| match answer {
        Err(kube::Error::Api(status)) if status.code == 403 => {}
        other => panic!("{what}: {other:?}"),
    };
    let all: Api<MetricSource> = Api::all(alice.clone());
    forbidden("sources", all.list(&ListParams::default()).await.map(drop));
    let secrets: Api<Secret> = Api::namespaced(alice.clone(), &release.namespace);
    forbidden("credentials", secrets.list(&ListParams::default()).await.map(drop));
    let elsewhere: Api<FeedbackPolicy> = Api::namespaced(alice.clone(), "default");
    forbidden(
        "another namespace",
        elsewhere
            .create(&PostParams::default(), &policy(&world))
            .await
            .map(drop),
    );
    forbidden(
        "a journal",
        journals
            .delete(&first.name_any(), &DeleteParams::default())
            .await
            .map(drop),
    );

    // The pod of `helm test` has what a controller needs, and says so.
    release.tested(&release.name);
    // And is told what is missing.
    let role = ["patch", "clusterrole", &release.name, "--type=json", "--patch"];
    let patch = r#"[{"op": "replace", "path": "/rules", "value": []}]"#;
    release.command("kubectl", &[&role[..], &[patch]].concat()).unwrap();
    let told = release.helm(&["test", &release.name, "--logs", "--timeout", "1m"]);
    let told = told.unwrap_err();
    assert!(
        told.contains("it can't keep its journal, so it writes nothing"),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_that_only_observes_has_no_right_to_write_and_does_not_try_to() {
    let Some(bed) = bed().await else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(release) = Release::new(&bed).await else {
        return;
    };
    let world = world(&bed, "observe").await;
    release.install(&["observeOnly=true"]);
    let user = release.user(&release.name);
    assert_eq!(release.writes(&user, None).await, Vec::<String>::new());
    assert!(
        release.may(&user, "list", ("apps", "deployments"), None).await,
        "the review itself works"
    );
    let report = release.doctor();
    let mut lines = report.lines();
    let given = lines.any(|line| line.contains(&release.name) && line.contains("may do all that is needed"));
    assert!(given, "{report}");

    world.apply(&serde_json::to_value(policy(&world)).unwrap()).await;
    world.prometheus.value("latency", 0.9);
    world
        .policy("web", "what it would do", |policy| {
            let (_, _, message) = condition(policy, "Ready")?;
            let said = message.contains("only observes");
            (said && policy.status.as_ref()?.doing.contains("2 -> 3")).then_some(())
        })
        .await;
    assert_eq!(world.replicas("Deployment", "web").await, 2);
    // By the API server's own log: nothing but its own objects was written, or tried to be.
    let log = testbed().join("logs/audit.log");
    let writes = audit::Count::of(&audit::read(&log, &user)).writes;
    let own = [
        "feedbackpolicies/status",
        "metricsources/status",
        "changes",
        "changes/status",
        "events",
    ];
    assert!(
        writes.keys().any(|what| what.ends_with("feedbackpolicies/status")),
        "{writes:?}"
    );
    for what in writes.keys() {
        let (_, resource) = what.split_once(' ').unwrap();
        assert!(own.contains(&resource), "{writes:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_for_one_namespace_has_no_right_beyond_it() {
    let Some(bed) = bed().await else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(release) = Release::new(&bed).await else {
        return;
    };
    let (shop, other) = (world(&bed, "shop").await, world(&bed, "other").await);
    let url = shop.prometheus.at(reachable(&bed).await).await;
    release.install(&[
        &format!("watchNamespaces={{{}}}", shop.namespace),
        &format!("sources.{}.url={url}", shop.namespace),
        "admissionPolicies.enabled=false",
        "rbac.aggregateRoles=false",
    ]);
    let user = release.user(&format!("{}-{}", release.name, shop.namespace));
    assert!(
        release
            .may(&user, "update", ("apps", "deployments/scale"), Some(&shop.namespace))
            .await
    );
    for namespace in [None, Some(other.namespace.as_str()), Some("default")] {
        assert_eq!(release.writes(&user, namespace).await, Vec::<String>::new());
        assert!(!release.may(&user, "list", ("", "pods"), namespace).await);
    }
    assert!(!release.may(&user, "list", ("flyball.dev", "metricsources"), None).await);
    let roles: Api<ClusterRole> = Api::all(bed.client.clone());
    let owned = ListParams::default().labels(&format!("app.kubernetes.io/instance={}", release.name));
    assert!(roles.list(&owned).await.unwrap().items.is_empty());

    // With a source of the chart's values, and no other: a MetricSource of this name would be another.
    Api::<MetricSource>::all(bed.client.clone())
        .delete(&shop.namespace, &DeleteParams::default())
        .await
        .unwrap();
    for world in [&shop, &other] {
        world.apply(&serde_json::to_value(policy(world)).unwrap()).await;
        world.prometheus.value("latency", 0.9);
    }
    shop.phase(1, Phase::Verifying).await;
    release.tested(&format!("{}-{}", release.name, shop.namespace));
    assert_eq!(other.replicas("Deployment", "web").await, 2);
    assert!(other.changes().await.is_empty());
}

/// What a controller that is gone left open is carried on by the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_survives_an_upgrade_and_an_uninstallation_with_the_controller_dead() {
    let Some(bed) = bed().await else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(release) = Release::new(&bed).await else {
        return;
    };
    let world = world(&bed, "upgrade").await;
    let mut written = serde_json::to_value(policy(&world)).unwrap();
    // Long enough for pods to come and go in between.
    written["spec"]["actions"][0]["verify"]["within"] = json!("5m");
    release.install(&[]);
    world.apply(&written).await;
    world.prometheus.value("latency", 0.9);
    let open = world.phase(1, Phase::Verifying).await;

    // Other pods, in the middle of it.
    release.install(&["podAnnotations.again=yes"]);
    assert_eq!(world.phase(1, Phase::Verifying).await.uid(), open.uid());

    // Dead: its image is not to be had.
    let chart = chart();
    let broken = [
        "upgrade",
        &release.name,
        chart.to_str().unwrap(),
        "--reuse-values",
        "--set",
        "image.tag=nowhere",
    ];
    release.helm(&broken).unwrap_or_else(|error| panic!("{error}"));
    let pods = |words: &[&str]| release.command("kubectl", &[&["--namespace", &release.namespace], words].concat());
    pods(&[
        "delete",
        "pods",
        "--now",
        "--selector",
        "app.kubernetes.io/name=flyball",
    ])
    .unwrap();
    let began = Instant::now();
    release
        // Nothing runs from an image that is not to be had, the pod that drains neither.
        .helm(&["uninstall", &release.name, "--no-hooks", "--wait", "--timeout", "1m"])
        .unwrap_or_else(|error| panic!("{error}"));
    println!("uninstalled after {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(world.replicas("Deployment", "web").await, 3, "it stays as it is");
    let left = world.phase(1, Phase::Verifying).await;
    assert!(left.finalizers().is_empty(), "nothing waits for a controller");

    // The next installation finds its journal, and ends it.
    release.install(&[]);
    world.prometheus.value("latency", 0.3);
    let closed = world.phase(1, Phase::Committed).await;
    assert_eq!(closed.uid(), open.uid());
    assert_eq!(world.replicas("Deployment", "web").await, 3);
    let namespaces: Api<Namespace> = Api::all(bed.client.clone());
    assert!(namespaces.get(&release.namespace).await.is_ok());
}

/// The definitions outlive the release that brought them, and with them every policy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_definitions_stay_when_their_release_goes() {
    let Some(bed) = bed().await else { return };
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(release) = Release::new(&bed).await else {
        return;
    };
    let world = world(&bed, "keep").await;
    // Those of the bed become its own.
    release.install_chart(&chart(), &["image.tag=dev", "replicas=1", "crds.enabled=true"]);
    let definitions: Api<CustomResourceDefinition> = Api::all(bed.client.clone());
    let names = ["feedbackpolicies", "metricsources", "changes"].map(|plural| format!("{plural}.flyball.dev"));
    let mut before = Vec::new();
    for name in &names {
        let one = definitions.get(name).await.unwrap();
        assert_eq!(one.annotations()["meta.helm.sh/release-name"], release.name);
        before.push(one.uid());
    }
    world.apply(&serde_json::to_value(policy(&world)).unwrap()).await;
    let policies: Api<FeedbackPolicy> = Api::namespaced(bed.client.clone(), &world.namespace);
    let written = policies.get("web").await.unwrap();

    release
        .helm(&["uninstall", &release.name, "--wait", "--timeout", "1m"])
        .unwrap_or_else(|error| panic!("{error}"));
    for (name, uid) in names.iter().zip(before) {
        let one = definitions.get(name).await.unwrap();
        assert_eq!((one.uid(), one.metadata.deletion_timestamp), (uid, None), "{name}");
    }
    assert_eq!(policies.get("web").await.unwrap().uid(), written.uid());
}
