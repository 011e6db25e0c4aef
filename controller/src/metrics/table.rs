//! The table of all metrics: what the documentation prints and what `/metrics` says as help.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets.
    Histogram,
    /// Labels alone.
    Info,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doc {
    /// Its name, as Prometheus keeps it; of a histogram, without `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Doc {
    Doc {
        name,
        kind: Kind::Counter,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Doc {
    Doc {
        name,
        kind: Kind::Gauge,
        labels,
        help,
    }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Doc {
    Doc {
        name,
        kind: Kind::Histogram,
        labels,
        help,
    }
}

/// All metrics of the controller, in the order in which they are exposed.
pub const METRICS: &[Doc] = &[
    Doc {
        name: "flyball_build_info",
        kind: Kind::Info,
        labels: &["version"],
        help: "The version that runs",
    },
    gauge(
        "flyball_leader",
        &[],
        "1 while this process may write, 0 while it stands by",
    ),
    gauge("flyball_policies", &["mode"], "How many valid policies there are"),
    counter(
        "flyball_evaluations_total",
        &["namespace", "policy", "outcome"],
        "Passes over a policy: complete, incomplete (a reading was not fresh) or invalid (the policy is wrong)",
    ),
    histogram(
        "flyball_evaluation_duration_seconds",
        &[],
        "How long a pass over a policy took",
    ),
    histogram(
        "flyball_evaluation_lag_seconds",
        &[],
        "How much later than scheduled a pass began",
    ),
    gauge(
        "flyball_alerts",
        &["namespace", "policy", "alert", "state"],
        "How many alerts of a rule are pending or firing",
    ),
    gauge(
        "flyball_signal_quality",
        &["namespace", "policy", "signal", "quality"],
        "1 for the quality of a signal's last reading; the other qualities are absent",
    ),
    gauge(
        "flyball_signal_value",
        &["namespace", "policy", "signal"],
        "The last value of a rule's worst series, by what it compares with, or of a signal's largest; absent where none is known",
    ),
    gauge(
        "flyball_rule_threshold",
        &["namespace", "policy", "alert"],
        "The number with which a rule compares",
    ),
    counter(
        "flyball_proposals_total",
        &["namespace", "policy", "action", "direction"],
        "Changes that an action wanted, before any check",
    ),
    counter(
        "flyball_check_refusals_total",
        &["check"],
        "Proposals that a check refused",
    ),
    counter(
        "flyball_changes_total",
        &["namespace", "policy", "outcome"],
        "Changes that were closed, by how they ended",
    ),
    histogram(
        "flyball_change_duration_seconds",
        &["outcome"],
        "From a Change's proposal to its end",
    ),
    gauge("flyball_open_changes", &[], "Changes that may still write their target"),
    gauge(
        "flyball_open_change_age_seconds",
        &[],
        "How long ago the oldest of these was proposed; 0 where there is none",
    ),
    histogram(
        "flyball_apply_lag_seconds",
        &[],
        "From when a change was due to when the API server accepted its write",
    ),
    histogram(
        "flyball_query_duration_seconds",
        &["source"],
        "How long a query of a source took",
    ),
    counter(
        "flyball_query_errors_total",
        &["source", "kind"],
        "Queries without an answer, by kind: refused (the server does not take the expression) or error",
    ),
    gauge(
        "flyball_source_circuit_state",
        &["source", "state"],
        "1 for the state of a source's circuit breaker, closed, open or half_open; the other states are absent",
    ),
    counter(
        "flyball_namespace_queries_total",
        &["namespace", "source", "result"],
        "Queries of a namespace's policies by result: answered, failed, costly (it cost the source too much), or not asked for want of a place (busy, namespace_busy), by namespace_rate, or by a circuit breaker (namespace_circuit, circuit)",
    ),
    counter(
        "flyball_namespace_query_wait_seconds_total",
        &["namespace", "source"],
        "How long these queries waited for their turn and for a place",
    ),
    gauge(
        "flyball_namespace_circuit_state",
        &["namespace", "source", "state"],
        "1 for the state of a namespace's own circuit breaker at a source, closed, open or half_open; the other states are absent",
    ),
    gauge(
        "flyball_replicas_desired",
        &["namespace", "policy", "action"],
        "The replicas that an action asks for",
    ),
    gauge(
        "flyball_replicas_current",
        &["namespace", "policy", "action"],
        "The replicas that an action's target has",
    ),
    gauge(
        "flyball_weight_desired",
        &["namespace", "policy", "action", "backend"],
        "The share of the managed traffic that an action asks for, from 0 to 1, by the weights",
    ),
    gauge(
        "flyball_weight_current",
        &["namespace", "policy", "action", "backend"],
        "The share of the managed traffic that the weights of an action's route give, from 0 to 1",
    ),
    gauge(
        "flyball_weight_base",
        &["namespace", "policy", "action", "backend"],
        "The share of the managed traffic while nothing is wrong, from 0 to 1, by the base weights",
    ),
    gauge(
        "flyball_backends_out",
        &["namespace", "policy", "action"],
        "Backends that were taken out and have no traffic",
    ),
    counter(
        "flyball_weight_changes_total",
        &["namespace", "policy", "action", "why"],
        "Changes of weights that were begun, by why: Law, Ejection, Return or Reapply",
    ),
    gauge(
        "flyball_runtime_pods",
        &["namespace", "policy", "state"],
        "Pods whose knobs are moved: ready, and given (those that have the line they are to have)",
    ),
    counter(
        "flyball_runtime_lines_total",
        &["namespace", "policy", "what"],
        "Writes of lines to pods: changed, renewed (a lease) or failed",
    ),
    counter(
        "flyball_alerts_posted_total",
        &["namespace", "policy", "result"],
        "Alerts posted to Alertmanager, by result: ok or error",
    ),
    gauge(
        "flyball_watermark_level",
        &["namespace", "policy", "watermark"],
        "The level of the fullest container or node of a memory watermark: 0 normal, 1 warning, 2 high, 3 emergency",
    ),
    gauge(
        "flyball_watermark_ratio",
        &["namespace", "policy", "watermark"],
        "How full that is, from 0 to 1",
    ),
    counter(
        "flyball_api_requests_total",
        &["verb", "result"],
        "Writes to the API server and what became of them",
    ),
    counter(
        "flyball_ownership_conflicts_total",
        &["namespace", "policy"],
        "How often another writer was found to own, or to have changed, the field of a policy's target",
    ),
    counter(
        "flyball_events_dropped_total",
        &[],
        "Events that were not published: the queue was full, or the API server refused them",
    ),
    counter(
        "flyball_cloudevents_total",
        &["receiver", "result"],
        "Events for other systems, by receiver (default: that of --cloudevents-url) and result: ok, error (not taken, however often it was tried) or dropped (the queue was full)",
    ),
    counter(
        "flyball_log_lines_dropped_total",
        &[],
        "Log lines that were not written because nobody read the output",
    ),
    counter(
        "flyball_metrics_requests_total",
        &["result"],
        "Requests for these metrics where --metrics-authorization is set: allowed, unauthenticated, forbidden, limited (too many unknown tokens) or unavailable (the API server could not be asked)",
    ),
    counter(
        "flyball_certificate_reloads_total",
        &["result"],
        "Times the files of the server's certificate were read anew: taken, or failed, each time while the one before is shown",
    ),
    gauge("process_resident_memory_bytes", &[], "Resident memory"),
    counter("process_cpu_seconds_total", &[], "User and system time"),
    gauge(
        "process_start_time_seconds",
        &[],
        "When the process began, since the epoch",
    ),
];

/// The row of `name`; an unknown name has an empty one, which a test would find.
pub(super) fn doc(name: &'static str) -> Doc {
    METRICS
        .iter()
        .find(|doc| doc.name == name)
        .copied()
        .unwrap_or_else(|| gauge(name, &[], ""))
}
