//! What the controller's account may do, right by right.

use super::server::{ACCOUNT, Server, eventually};
use flyball_tests::rights::Right;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::{Api, api::PostParams};
use rstest::rstest;

#[rstest]
#[case("get", "flyball.dev", "feedbackpolicies", "", true)]
#[case("watch", "flyball.dev", "changes", "", true)]
#[case("create", "flyball.dev", "changes", "", true)]
#[case("update", "flyball.dev", "changes", "", false)]
#[case("update", "flyball.dev", "changes/status", "", true)]
#[case("delete", "flyball.dev", "changes", "", true)]
#[case("deletecollection", "flyball.dev", "changes", "", false)]
#[case("update", "flyball.dev", "feedbackpolicies", "", false)]
#[case("patch", "flyball.dev", "feedbackpolicies/status", "", true)]
#[case("update", "flyball.dev", "metricsources", "", false)]
#[case("patch", "flyball.dev", "metricsources/status", "", true)]
#[case("patch", "apps", "deployments", "", true)]
#[case("update", "apps", "deployments", "", false)]
#[case("create", "apps", "deployments", "", false)]
#[case("delete", "apps", "statefulsets", "", false)]
#[case("update", "apps", "deployments/scale", "", true)]
#[case("patch", "apps", "deployments/scale", "", false)]
#[case("patch", "apps", "deployments/status", "", false)]
#[case("update", "apps", "replicasets/scale", "", false)]
#[case("list", "autoscaling", "horizontalpodautoscalers", "", true)]
#[case("patch", "autoscaling", "horizontalpodautoscalers", "", false)]
#[case("list", "keda.sh", "scaledobjects", "", true)]
#[case("watch", "monitoring.coreos.com", "prometheusrules", "", true)]
#[case("patch", "monitoring.coreos.com", "prometheusrules", "", false)]
#[case("list", "", "pods", "", true)]
#[case("delete", "", "pods", "", false)]
#[case("patch", "", "pods", "", true)]
#[case("update", "", "pods", "", false)]
#[case("patch", "", "pods/status", "", false)]
#[case("patch", "", "pods/resize", "", true)]
#[case("update", "", "pods/resize", "", false)]
#[case("create", "", "pods/eviction", "", true)]
#[case("watch", "apps", "replicasets", "", true)]
#[case("patch", "apps", "replicasets", "", false)]
#[case("list", "metrics.k8s.io", "pods", "", true)]
#[case("watch", "", "nodes", "", true)]
#[case("patch", "", "nodes", "", false)]
#[case("get", "", "namespaces", "", true)]
#[case("watch", "", "namespaces", "", true)]
#[case("patch", "", "namespaces", "", false)]
#[case("list", "", "resourcequotas", "", true)]
#[case("list", "", "limitranges", "", true)]
#[case("list", "policy", "poddisruptionbudgets", "", true)]
#[case("update", "policy", "poddisruptionbudgets", "", false)]
#[case("list", "", "secrets", "", false)]
#[case("list", "", "secrets", "flyball-system", true)]
#[case("create", "", "secrets", "flyball-system", false)]
#[case("list", "", "configmaps", "flyball-system", false)]
#[case("create", "events.k8s.io", "events", "", true)]
#[case("delete", "events.k8s.io", "events", "", false)]
#[case("update", "coordination.k8s.io", "leases/flyball", "flyball-system", true)]
#[case("update", "coordination.k8s.io", "leases/other", "flyball-system", false)]
#[case("update", "coordination.k8s.io", "leases/flyball", "kube-system", false)]
#[case("create", "coordination.k8s.io", "leases", "kube-system", false)]
#[case("escalate", "rbac.authorization.k8s.io", "clusterroles", "", false)]
#[case("update", "admissionregistration.k8s.io", "validatingadmissionpolicies", "", false)]
#[tokio::test]
async fn the_account_may(
    #[case] verb: &str,
    #[case] group: &str,
    #[case] resource: &str,
    #[case] namespace: &str,
    #[case] expect: bool,
) {
    let Some(server) = Server::connect().await else { return };
    // A lease is named behind the slash, and has no subresource.
    let (resource, name) = match resource.split_once('/') {
        Some(("leases", name)) => ("leases", Some(name)),
        _ => (resource, None),
    };
    let right = Right {
        verb,
        group,
        resource,
        name,
        namespace,
    };
    let review = right.of(ACCOUNT);
    let reviews: Api<SubjectAccessReview> = Api::all(server.admin.clone());
    let ask = async || {
        reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap()
            .status
            .unwrap()
            .allowed
    };
    if expect {
        eventually(&format!("it may {verb} {resource}"), async || ask().await.then_some(())).await;
    } else {
        assert!(!ask().await, "it must not {verb} {resource}");
    }
    server.done().await;
}
