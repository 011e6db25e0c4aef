//! The kinds of routes, one row each. A new kind is a new row.

use flyball_core::policy::Weight;

/// Keys that lead from an object, or from a part of it, to a field.
pub type Path = &'static [&'static str];

/// A kind of object with weighted backends.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// The API group.
    pub group: &'static str,
    /// The versions in which the fields are as said here; the first is preferred.
    pub versions: &'static [&'static str],
    /// The kind.
    pub kind: &'static str,
    /// Where the weights are.
    pub form: Form,
    /// Whether weights that Flyball wrote were seen to move real traffic. The others are held against the
    /// definitions of their kinds alone.
    pub data_plane: bool,
}

/// Where an object has its weights.
#[derive(Debug, PartialEq, Eq)]
pub enum Form {
    /// In a list of backends.
    List(ListForm),
    /// In the annotations of an Ingress of ingress-nginx: the share of its own Service; the other backend gets
    /// the rest.
    CanaryAnnotations,
}

/// A list of backends with a weight each.
#[derive(Debug, PartialEq, Eq)]
pub struct ListForm {
    /// Its rules; `None`: an object has one list.
    pub rules: Option<Rules>,
    /// From a rule, or from the object, to the list.
    pub list: Path,
    /// From an entry to the name of its backend.
    pub name: Path,
    /// From an entry to what is written behind the name and a slash, where it is there: a subset.
    pub subset: Option<Path>,
    /// From an entry to what else tells it from another; a write holds on to those that are there.
    pub identity: &'static [Path],
    /// The key of an entry's weight.
    pub weight: &'static str,
    /// What an absent weight stands for.
    pub absent: u32,
    /// The largest weight; the smallest is 0 in every kind.
    pub max: u32,
    /// What the weights of a list should add up to.
    pub sum: Option<u32>,
    /// The key of an entry that gets copies of requests and no share of them, where it is true.
    pub mirror: Option<&'static str>,
}

/// The rules of an object, each with a list.
#[derive(Debug, PartialEq, Eq)]
pub struct Rules {
    /// From the object to them.
    pub path: Path,
    /// The key of a rule's name; `None`: rules have no names.
    pub name: Option<&'static str>,
    /// The key of what a rule matches, by which a nameless one is known again.
    pub matches: &'static str,
    /// How many an object may have.
    pub most: usize,
}

/// The most backends of a list, as Gateway API has it.
pub const MAX_BACKENDS: usize = 16;
/// The most rules of an object where its kind names no bound of its own.
const MANY_RULES: usize = 256;

/// Every kind that is known.
pub static TABLE: [Row; 7] = [
    // Gateway API 1.6.3, config/crd/standard: rules and backendRefs at most 16 and atomic, weight int32 from 0
    // to 1000000, default 1. The parent may be a Gateway or, with Linkerd and other meshes (GAMMA), a Service.
    Row {
        group: "gateway.networking.k8s.io",
        versions: &["v1", "v1beta1"],
        kind: "HTTPRoute",
        form: Form::List(GATEWAY_API),
        data_plane: true,
    },
    Row {
        group: "gateway.networking.k8s.io",
        versions: &["v1"],
        kind: "GRPCRoute",
        form: Form::List(GATEWAY_API),
        data_plane: false,
    },
    // Linkerd's own kind, older than its support of the one above (charts/linkerd-crds/templates/policy/
    // httproute.yaml): the same, but its rules have no names. v1alpha1 and v1beta1 have no weights.
    Row {
        group: "policy.linkerd.io",
        versions: &["v1beta3", "v1beta2"],
        kind: "HTTPRoute",
        form: Form::List(ListForm {
            rules: Some(Rules {
                path: &["spec", "rules"],
                name: None,
                matches: "matches",
                most: 16,
            }),
            ..GATEWAY_API
        }),
        data_plane: false,
    },
    // Traefik 3.7.13: weight from 0, no upper bound in the definition; 1 where it is absent
    // (pkg/provider/kubernetes/crd/kubernetes_http.go, buildServicesLB).
    Row {
        group: "traefik.io",
        versions: &["v1alpha1"],
        kind: "TraefikService",
        form: Form::List(ListForm {
            rules: None,
            list: &["spec", "weighted", "services"],
            name: &["name"],
            subset: None,
            identity: &[&["kind"], &["namespace"], &["port"]],
            weight: "weight",
            absent: 1,
            max: Weight::MAX,
            sum: None,
            mirror: None,
        }),
        data_plane: false,
    },
    // Istio 1.32 API (networking/v1alpha3/virtual_service.proto): weight is an int32, so an absent one is 0, which
    // gets nothing; a destination that is alone gets everything whatever its weight, but two are needed here.
    // A share is the weight by the sum of all. Only a sum of 0 and negative weights are refused today
    // (pkg/config/validation), but releases of earlier years demanded a sum of 100, and 100 is what people
    // write; so 100 is kept.
    Row {
        group: "networking.istio.io",
        versions: &["v1", "v1beta1", "v1alpha3"],
        kind: "VirtualService",
        form: Form::List(ListForm {
            rules: Some(Rules {
                path: &["spec", "http"],
                name: Some("name"),
                matches: "match",
                most: MANY_RULES,
            }),
            list: &["route"],
            name: &["destination", "host"],
            subset: Some(&["destination", "subset"]),
            identity: &[&["destination", "port", "number"]],
            weight: "weight",
            absent: 0,
            max: Weight::MAX,
            sum: Some(100),
            mirror: None,
        }),
        data_plane: false,
    },
    // Contour 1.33.8, examples/contour/01-crds.yaml: weight from 0, no upper bound; absent is 0. Where all are 0
    // Contour spreads evenly (internal/envoy/v3/route.go, weightedClusters). A mirror's weight is a percentage of
    // copies.
    Row {
        group: "projectcontour.io",
        versions: &["v1"],
        kind: "HTTPProxy",
        form: Form::List(ListForm {
            rules: Some(Rules {
                path: &["spec", "routes"],
                name: None,
                matches: "conditions",
                most: MANY_RULES,
            }),
            list: &["services"],
            name: &["name"],
            subset: None,
            identity: &[&["port"], &["protocol"]],
            weight: "weight",
            absent: 0,
            max: Weight::MAX,
            sum: None,
            mirror: Some("mirror"),
        }),
        data_plane: false,
    },
    Row {
        group: "networking.k8s.io",
        versions: &["v1"],
        kind: "Ingress",
        form: Form::CanaryAnnotations,
        data_plane: false,
    },
];

const GATEWAY_API: ListForm = ListForm {
    rules: Some(Rules {
        path: &["spec", "rules"],
        name: Some("name"),
        matches: "matches",
        most: 16,
    }),
    list: &["backendRefs"],
    name: &["name"],
    subset: None,
    identity: &[&["group"], &["kind"], &["namespace"], &["port"]],
    weight: "weight",
    absent: 1,
    max: Weight::MAX,
    sum: None,
    mirror: None,
};

impl Row {
    /// The row of a kind, such as `gateway.networking.k8s.io/v1` and `HTTPRoute`; `None` also for a version that
    /// is not among its own.
    pub fn of(api_version: &str, kind: &str) -> Option<&'static Self> {
        let (group, version) = api_version.split_once('/')?;
        let mut rows = TABLE.iter();
        rows.find(|row| row.group == group && row.kind == kind && row.versions.contains(&version))
    }

    /// The kind in its preferred version, such as `gateway.networking.k8s.io/v1/HTTPRoute`.
    pub fn name(&self) -> String {
        let version = self.versions.first().unwrap_or(&"v1");
        format!("{}/{version}/{}", self.group, self.kind)
    }

    /// From the object to what is owned as a whole when a weight is written: its rules, its only list or the
    /// annotation. The lists of all kinds here are atomic.
    pub fn owned(&self) -> Path {
        match &self.form {
            Form::List(form) => form.rules.as_ref().map_or(form.list, |rules| rules.path),
            Form::CanaryAnnotations => &["metadata", "annotations", CANARY_WEIGHT],
        }
    }
}

/// Says that an Ingress is another one's canary (ingress-nginx).
pub const CANARY: &str = "nginx.ingress.kubernetes.io/canary";
/// How much of [`CANARY_WEIGHT_TOTAL`] goes to the canary; absent is 0.
pub const CANARY_WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
/// What [`CANARY_WEIGHT`] is a part of. Default 100; what is less counts as 100 (rootfs/etc/nginx/lua/balancer.lua).
pub const CANARY_WEIGHT_TOTAL: &str = "nginx.ingress.kubernetes.io/canary-weight-total";
/// Its default and its least value.
pub const CANARY_TOTAL: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_in_the_versions_it_is_known_in() {
        let check = |api_version, kind, expect: Option<&str>| {
            let found = Row::of(api_version, kind).map(Row::name);
            assert_eq!(found.as_deref(), expect, "{api_version} {kind}");
        };
        let route = Some("gateway.networking.k8s.io/v1/HTTPRoute");
        check("gateway.networking.k8s.io/v1", "HTTPRoute", route);
        check("gateway.networking.k8s.io/v1beta1", "HTTPRoute", route);
        check("gateway.networking.k8s.io/v1alpha2", "HTTPRoute", None);
        check("gateway.networking.k8s.io/v1", "TCPRoute", None);
        check(
            "gateway.networking.k8s.io/v1",
            "GRPCRoute",
            Some("gateway.networking.k8s.io/v1/GRPCRoute"),
        );
        check(
            "policy.linkerd.io/v1beta2",
            "HTTPRoute",
            Some("policy.linkerd.io/v1beta3/HTTPRoute"),
        );
        check("policy.linkerd.io/v1beta1", "HTTPRoute", None);
        check("v1", "Ingress", None);
        check("", "", None);
    }

    #[test]
    fn rows_differ_and_only_what_was_seen_is_said_to_be() {
        for (index, row) in TABLE.iter().enumerate() {
            assert!(!row.versions.is_empty());
            let others = TABLE.iter().skip(index + 1);
            for other in others {
                assert_ne!((row.group, row.kind), (other.group, other.kind));
            }
            assert_eq!(
                row.data_plane,
                row.name() == "gateway.networking.k8s.io/v1/HTTPRoute",
                "{}",
                row.name()
            );
        }
    }
}
