//! PromQL for metrics that an adapter knows by a name. What the name stands for is written in the
//! adapter's own rules, so this is a guess by the names that its rules usually make.

use flyball_crds::TargetRef;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// What an adapter calls a rate.
const RATE: &str = "_per_second";
/// Over how long a rate is computed, as the adapter's usual rules do.
const RANGE: &str = "2m";

/// A selector under construction.
#[derive(Clone, Debug, Default)]
pub struct Matchers(Vec<String>);

impl Matchers {
    /// Those of the namespace, where it is known.
    pub fn of(namespace: Option<&str>) -> Self {
        let mut matchers = Self::default();
        if let Some(namespace) = namespace {
            matchers.is("namespace", namespace);
        }
        matchers
    }

    /// The label has this value.
    pub fn is(&mut self, label: &str, value: &str) {
        self.0.push(format!("{}={}", name(label), text(value)));
    }

    /// The pods of a workload, by their names.
    pub fn pods_of(&mut self, target: &TargetRef) {
        let end = match target.kind.as_str() {
            "Deployment" => "-[a-z0-9]+-[a-z0-9]{5}",
            "StatefulSet" => "-[0-9]+",
            _ => "-.+",
        };
        let pattern = format!("{}{end}", literal(&target.name));
        self.0.push(format!("pod=~{}", text(&pattern)));
    }

    /// What a metric's selector asks for. Returns the labels whose names Prometheus can't have.
    pub fn select(&mut self, selector: Option<&LabelSelector>) -> Vec<String> {
        let Some(selector) = selector else { return Vec::new() };
        let mut renamed = Vec::new();
        let mut known = |label: &str| {
            let new = name(label);
            if new != label {
                renamed.push(label.to_owned());
            }
            new
        };
        for (label, value) in selector.match_labels.iter().flatten() {
            self.0.push(format!("{}={}", known(label), text(value)));
        }
        for asked in selector.match_expressions.iter().flatten() {
            let values = asked.values.iter().flatten().map(|value| literal(value));
            let values = text(&values.collect::<Vec<_>>().join("|"));
            let label = known(&asked.key);
            self.0.push(match asked.operator.as_str() {
                "In" => format!("{label}=~{values}"),
                "NotIn" => format!("{label}!~{values}"),
                "Exists" => format!("{label}!=\"\""),
                _ => format!("{label}=\"\""),
            });
        }
        renamed
    }

    /// The metric as an adapter would ask it, added up as `sum` says.
    pub fn ask(&self, metric: &str, sum: &str) -> String {
        let rate = metric.strip_suffix(RATE).filter(|rest| !rest.is_empty());
        let series = self.series(&rate.map_or_else(|| metric.to_owned(), |rest| format!("{rest}_total")));
        match rate {
            Some(_) => format!("{sum} (rate({series}[{RANGE}]))"),
            None => format!("{sum} ({series})"),
        }
        .replace("sum (", "sum(")
    }

    /// The selector of a metric.
    pub fn series(&self, metric: &str) -> String {
        let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
        let inner = |c: char| first(c) || c.is_ascii_digit();
        let mut matchers = self.0.clone();
        if metric.starts_with(first) && metric.chars().all(inner) {
            if matchers.is_empty() {
                return metric.to_owned();
            }
            return format!("{metric}{{{}}}", matchers.join(", "));
        }
        matchers.insert(0, format!("__name__={}", text(metric)));
        format!("{{{}}}", matchers.join(", "))
    }
}

/// A label as Prometheus can have it.
fn name(label: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' };
    let mut name: String = label.chars().map(word).collect();
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// A string of PromQL.
fn text(value: &str) -> String {
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// A value within a pattern, where it stands for itself.
fn literal(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for character in value.chars() {
        if "\\.+*?()|[]{}^$".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql;
    use serde_json::json;

    fn target(kind: &str, name: &str) -> TargetRef {
        TargetRef {
            api_version: "apps/v1".to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn metrics_become_queries_that_can_be_asked() {
        let check = |matchers: &Matchers, metric: &str, sum: &str, expect: &str| {
            let query = matchers.ask(metric, sum);
            assert_eq!(query, expect);
            assert!(promql::query(&query).is_ok(), "{query}");
        };
        let mut web = Matchers::of(Some("shop"));
        web.pods_of(&target("Deployment", "web.v2"));
        check(
            &web,
            "http_requests_per_second",
            "sum by (pod)",
            r#"sum by (pod) (rate(http_requests_total{namespace="shop", pod=~"web\\.v2-[a-z0-9]+-[a-z0-9]{5}"}[2m]))"#,
        );
        let mut db = Matchers::of(None);
        db.pods_of(&target("StatefulSet", "db"));
        check(
            &db,
            "open_connections",
            "sum by (pod)",
            r#"sum by (pod) (open_connections{pod=~"db-[0-9]+"})"#,
        );
        check(&Matchers::of(None), "queue_length", "sum", "sum(queue_length)");
        check(
            &Matchers::of(None),
            "pubsub.googleapis.com|subscription|num",
            "sum",
            r#"sum({__name__="pubsub.googleapis.com|subscription|num"})"#,
        );
    }

    #[test]
    fn selectors_become_matchers() {
        let selector = json!({
            "matchLabels": {"queue": "a\"b", "app.kubernetes.io/name": "x"},
            "matchExpressions": [
                {"key": "zone", "operator": "In", "values": ["a.1", "b"]},
                {"key": "tier", "operator": "NotIn", "values": ["test"]},
                {"key": "live", "operator": "Exists"},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        });
        let selector: LabelSelector = serde_json::from_value(selector).unwrap_or_default();
        let mut matchers = Matchers::default();
        assert_eq!(matchers.select(Some(&selector)), ["app.kubernetes.io/name"]);
        let query = matchers.ask("m", "sum");
        assert_eq!(
            query,
            r#"sum(m{app_kubernetes_io_name="x", queue="a\"b", zone=~"a\\.1|b", tier!~"test", live!="", old=""})"#
        );
        assert!(promql::query(&query).is_ok(), "{query}");
    }
}
