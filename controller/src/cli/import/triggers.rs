//! KEDA's triggers, one by one.

use super::{draft::Draft, keda::Trigger, quantity};
use crate::schedule::{Cron, zone};
use flyball_crds::{MetricTarget, ResourceName, ResourceOf, Schedule};

/// What a trigger tells of whether there is anything to do.
pub(super) struct Activity {
    /// The signal's name.
    pub signal: String,
    /// Its expression.
    pub expr: String,
    /// Above this there is.
    pub activation: f64,
}

/// What became of a trigger.
pub(super) enum Became {
    /// A signal, and a metric unless a formula has it.
    Signal(Activity),
    /// A schedule.
    Schedule,
    /// A metric that is not there without pods.
    Resource,
    /// Nothing; a note says so.
    Nothing,
}

/// Translates a trigger. With a formula over the triggers none of those with a name has a target of
/// its own.
pub(super) fn translate(draft: &mut Draft, index: usize, trigger: &Trigger, formula: bool) -> Became {
    match trigger.kind.as_str() {
        "prometheus" => prometheus(draft, index, trigger, formula),
        "cron" => cron(draft, index, trigger),
        "cpu" | "memory" => resource(draft, trigger),
        _ => {
            other(draft, index, trigger);
            Became::Nothing
        }
    }
}

fn prometheus(draft: &mut Draft, index: usize, trigger: &Trigger, formula: bool) -> Became {
    let Some(query) = trigger.option("query") else {
        left_out(draft, index, trigger, "has no query");
        return Became::Nothing;
    };
    let name = trigger.name.clone().unwrap_or_else(|| format!("prometheus_{index}"));
    let signal = draft.signal(&name, &query, false);
    of_source(draft, trigger);
    let ignores = trigger.option("ignoreNullValues").is_none_or(|text| text != "false");
    if ignores && !query.contains("vector(0)") {
        let path = draft.last_signal("expr");
        draft.note(
            path,
            "KEDA reads no data, NaN and infinity as 0 here (ignoreNullValues). Flyball never does: without data nothing \
             is taken away. Where absence does mean 0, write (QUERY) or vector(0)",
        );
    }
    if !formula {
        let threshold = trigger.option("threshold").and_then(|text| text.parse().ok());
        match threshold.filter(|threshold: &f64| *threshold > 0.0 && threshold.is_finite()) {
            Some(threshold) => draft.metric(&signal, target(trigger.metric_type.as_deref(), threshold)),
            None => left_out(draft, index, trigger, "has no threshold above 0"),
        }
    }
    let activation = activation(draft, trigger.option("activationThreshold").as_deref());
    Became::Signal(Activity {
        signal,
        expr: query,
        activation,
    })
}

/// A target of one number.
pub(super) fn target(kind: Option<&str>, number: f64) -> MetricTarget {
    if kind == Some("Value") {
        MetricTarget {
            value: Some(number),
            ..MetricTarget::default()
        }
    } else {
        MetricTarget {
            average_value: Some(number),
            ..MetricTarget::default()
        }
    }
}

/// The number above which a workload is active.
pub(super) fn activation(draft: &mut Draft, written: Option<&str>) -> f64 {
    let Some(text) = written else { return 0.0 };
    match text.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => number,
        _ => {
            draft.note(
                Draft::lever("zero.activation"),
                format!("{text} is no number of 0 or more; it is 0 now"),
            );
            0.0
        }
    }
}

/// Where and how a query is asked is the MetricSource's.
fn of_source(draft: &mut Draft, trigger: &Trigger) {
    let path = draft.last_signal("expr");
    if let Some(url) = trigger.option("serverAddress") {
        let text = format!("KEDA asks {url}; the MetricSource must ask the same server (spec.url)");
        if !draft.notes.iter().any(|note| note.text == text) {
            draft.note("spec.sourceRef.name", text);
        }
    }
    for (option, field) in [
        ("customHeaders", "spec.headers"),
        ("authModes", "spec.auth"),
        ("queryParameters", "spec.url"),
        ("namespace", "a matcher namespace=\"...\" in the query"),
        ("unsafeSsl", "spec.tls.ca"),
    ] {
        if let Some(value) = trigger.option(option) {
            draft.note(
                path.clone(),
                format!("{option} {value:?} is not taken over; for MetricSources that is {field}"),
            );
        }
    }
    if trigger.authentication_ref.is_some() {
        draft.note(
            path,
            "its authenticationRef is not taken over; a MetricSource names Secrets in spec.auth and spec.tls",
        );
    }
}

fn cron(draft: &mut Draft, index: usize, trigger: &Trigger) -> Became {
    let (Some(start), Some(end)) = (trigger.option("start"), trigger.option("end")) else {
        left_out(draft, index, trigger, "has no start or no end");
        return Became::Nothing;
    };
    for text in [&start, &end] {
        if let Err(error) = Cron::read(text) {
            left_out(draft, index, trigger, &format!("names a time that {error}"));
            return Became::Nothing;
        }
    }
    let time_zone = trigger.option("timezone");
    if let Some(error) = time_zone.as_ref().and_then(|name| zone(name).err()) {
        left_out(draft, index, trigger, &format!("names a time zone that {error}"));
        return Became::Nothing;
    }
    let replicas = trigger
        .option("desiredReplicas")
        .and_then(|text| text.parse::<i32>().ok());
    let Some(replicas) = replicas.filter(|replicas| *replicas > 0) else {
        left_out(draft, index, trigger, "asks for no replicas");
        return Became::Nothing;
    };
    let max = draft.replicas.max;
    if replicas > max {
        let path = Draft::lever(&format!("schedules[{}].replicas", draft.replicas.schedules.len()));
        draft.note(path, format!("{replicas} is above max; it is {max} now"));
    }
    let name = trigger.name.clone().unwrap_or_else(|| format!("cron-{index}"));
    draft.replicas.schedules.push(Schedule {
        name,
        start,
        end,
        time_zone,
        replicas: replicas.min(max),
    });
    Became::Schedule
}

fn resource(draft: &mut Draft, trigger: &Trigger) -> Became {
    let name = if trigger.kind == "cpu" {
        ResourceName::Cpu
    } else {
        ResourceName::Memory
    };
    // Before it had a field of its own, the type stood among the options.
    let kind = trigger.metric_type.clone().or_else(|| trigger.option("type"));
    let value = trigger.option("value").unwrap_or_default();
    let target = if kind.as_deref().unwrap_or("Utilization") == "Utilization" {
        let percent = value.parse().ok().filter(|percent| (1..=10_000).contains(percent));
        percent.map(|percent| MetricTarget {
            utilization: Some(percent),
            ..MetricTarget::default()
        })
    } else {
        let number = quantity::number(&value).filter(|number| *number > 0.0);
        number.map(|number| MetricTarget {
            average_value: Some(number),
            ..MetricTarget::default()
        })
    };
    match target {
        Some(target) => {
            let of = ResourceOf {
                name,
                container: trigger.option("containerName"),
            };
            draft.resource(&trigger.kind, of, target);
        }
        None => draft.note(
            Draft::lever("metrics"),
            format!(
                "the trigger {} has the value {value:?}, which can't be read, and is left out",
                trigger.kind
            ),
        ),
    }
    Became::Resource
}

fn left_out(draft: &mut Draft, index: usize, trigger: &Trigger, why: &str) {
    let text = format!("trigger {index} ({}) {why} and is left out", trigger.kind);
    draft.note(Draft::lever("metrics"), text);
}

/// What has no equivalent can often be asked of an exporter.
fn other(draft: &mut Draft, index: usize, trigger: &Trigger) {
    let option = |key: &str| trigger.option(key).unwrap_or_else(|| "...".to_owned());
    let or = |key: &str, default: &str| trigger.option(key).unwrap_or_else(|| default.to_owned());
    let hint = match trigger.kind.as_str() {
        "kafka" | "apache-kafka" => Some((
            "kafka-exporter",
            format!(
                "sum(kafka_consumergroup_lag{{consumergroup={:?}, topic={:?}}})",
                option("consumerGroup"),
                option("topic")
            ),
            or("lagThreshold", "10"),
        )),
        "rabbitmq" => Some((
            "RabbitMQ's own Prometheus plugin",
            format!("sum(rabbitmq_queue_messages_ready{{queue={:?}}})", option("queueName")),
            or("value", "20"),
        )),
        "redis" => Some((
            "redis_exporter with --check-keys",
            format!("sum(redis_key_size{{key={:?}}})", option("listName")),
            or("listLength", "5"),
        )),
        _ => None,
    };
    let kind = &trigger.kind;
    let way_out = match hint {
        Some((exporter, query, value)) => {
            format!("with {exporter} a signal could be {query}, with averageValue {value}")
        }
        None => "let an exporter tell Prometheus what it counts, and add a signal and a metric of that".to_owned(),
    };
    draft.note(
        Draft::lever("metrics"),
        format!("trigger {index} of type {kind:?} has no equivalent and is left out; {way_out}"),
    );
}
