//! Whether the proxy tells of the traffic that a policy divides, and whether there is enough of it to be judged.

use super::finding::{Finding, Mark};
use crate::{
    cli::screen::{number, plain},
    observe::source::Source,
};
use flyball_core::{
    policy::{WeightLaw, Weights, WeightsAction},
    signal::{Quality, Reading},
    time::Timestamp,
    verify::share_tolerance,
};
use flyball_crds::ProxyMetrics;
use std::collections::BTreeMap;

/// What the proxy was asked, and answered.
pub struct Traffic {
    /// Requests per second by backend.
    pub requests: Reading,
    /// Those that failed.
    pub errors: Reading,
    /// Those that reach no backend; `None`: the proxy does not tell.
    pub unserved: Option<Reading>,
}

/// Asks the queries of an action as the controller does, and judges the answers.
pub async fn examine(
    source: &Source,
    action: &WeightsAction,
    proxy: Option<ProxyMetrics>,
    namespace: &str,
    weights: Option<&Weights>,
    now: Timestamp,
) -> Vec<Finding> {
    let asked = action.traffic.within(namespace);
    let read = async |query| source.read(query, asked.max_age, now).await;
    let unserved = async {
        match &asked.unserved {
            Some(query) => Some(read(query).await),
            None => None,
        }
    };
    let (requests, errors, unserved) = tokio::join!(read(&asked.requests), read(&asked.errors), unserved);
    let traffic = Traffic {
        requests,
        errors,
        unserved,
    };
    judge(action, proxy, weights, &traffic)
}

/// Judges the answers. `weights` are those of the route, where it was read.
pub fn judge(
    action: &WeightsAction,
    proxy: Option<ProxyMetrics>,
    weights: Option<&Weights>,
    traffic: &Traffic,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (subject, reading) = ("traffic.requests", &traffic.requests);
    match reading.quality() {
        Quality::Fresh => match by_backend(reading) {
            Ok(rates) => {
                findings.push(asked(action, weights, &rates));
                findings.extend(enough(action, &rates));
            }
            Err(why) => findings.push(Finding::new(
                Mark::Fail,
                subject,
                why,
                "aggregate with sum by (backend) (...)",
            )),
        },
        Quality::Missing => findings.push(Finding::new(
            Mark::Warn,
            subject,
            "no series: no backend was asked within the window, or the proxy tells of none; nothing is moved",
            switch_on(proxy),
        )),
        _ => findings.push(not_fresh(subject, reading)),
    }
    findings.push(match traffic.errors.quality() {
        Quality::Fresh => failing(action, traffic),
        // A proxy that answered nothing with 5xx has no such series.
        Quality::Missing => Finding::ok("traffic.errors", "no series, so no request failed"),
        _ => not_fresh("traffic.errors", &traffic.errors),
    });
    findings.extend(traffic.unserved.as_ref().map(|reading| unserved(reading, proxy)));
    findings
}

fn not_fresh(subject: &str, reading: &Reading) -> Finding {
    if reading.quality() == Quality::Error {
        return Finding::message(Mark::Fail, subject, reading.detail());
    }
    let said = format!("{}: {}", reading.quality(), reading.detail());
    let way_out = "see whether the proxy is scraped, and how often; until it is fresh nothing is taken from a backend";
    Finding::new(Mark::Warn, subject, said, way_out)
}

fn by_backend(reading: &Reading) -> Result<BTreeMap<&str, f64>, String> {
    let mut found = BTreeMap::new();
    for sample in reading.samples() {
        let Some(backend) = sample.labels.get("backend") else {
            return Err("a series without the label backend".to_owned());
        };
        if found.insert(backend.as_str(), sample.value).is_some() {
            return Err(format!("two series of backend {}", plain(backend)));
        }
    }
    Ok(found)
}

/// The requests of each backend. One that has weight and no requests is not where the proxy looks, or the query is wrong.
fn asked(action: &WeightsAction, weights: Option<&Weights>, rates: &BTreeMap<&str, f64>) -> Finding {
    let names = || action.backends.iter().map(|backend| backend.name.as_str());
    let rate = |name: &str| rates.get(name).copied().unwrap_or(0.0);
    let each: Vec<String> = names()
        .map(|name| format!("{} {}/s", plain(name), number(rate(name))))
        .collect();
    let strangers: Vec<&str> = rates
        .keys()
        .copied()
        .filter(|name| names().all(|known| known != *name))
        .collect();
    let idle: Vec<&str> = names()
        .filter(|name| rate(name) <= 0.0 && weights.is_some_and(|weights| weights.of(name).get() > 0))
        .collect();
    let said = each.join(", ");
    if !idle.is_empty() {
        return Finding::new(
            Mark::Warn,
            "traffic.requests",
            format!("{said}: {} has weight and no requests", plain(&idle.join(", "))),
            "compare its name in the proxy's series with that in weights.backends, and see whether it has ready endpoints",
        );
    }
    let beside = if strangers.is_empty() {
        String::new()
    } else {
        format!("; beside them {}", plain(&strangers.join(", ")))
    };
    Finding::ok("traffic.requests", said + &beside)
}

/// Whether one change can be told from none by the requests of a window.
#[allow(clippy::cast_precision_loss)] // Milliseconds of at most a year.
fn enough(action: &WeightsAction, rates: &BTreeMap<&str, f64>) -> Option<Finding> {
    let window = action.traffic.window;
    let all: f64 = action
        .backends
        .iter()
        .filter_map(|backend| rates.get(backend.name.as_str()))
        .sum();
    let requests = all * (window.as_millis() as f64 / 1000.0);
    // The move that is to be seen: of the largest base share, where a share is known worst when it is a half.
    let most = action
        .backends
        .iter()
        .filter_map(|backend| action.base().share(&backend.name))
        .fold(0.0, f64::max);
    let moved = match &action.law {
        WeightLaw::Capacity(_) | WeightLaw::Aimd(_) => most * action.limits.most_step.get(),
        WeightLaw::Step(law) => f64::from(law.points) / 100.0,
        WeightLaw::Failover(_) => return None,
    };
    let tolerance = share_tolerance(most, requests);
    if requests > 0.0 && tolerance < moved {
        return None;
    }
    Some(Finding::new(
        Mark::Warn,
        "traffic.requests",
        format!(
            "{} requests in {window}: a share of {} is known to {}, and a change moves {} at most, so none can be verified",
            number(requests.floor()),
            number(most),
            number((tolerance.min(1.0) * 1000.0).round() / 1000.0),
            number((moved * 1000.0).round() / 1000.0)
        ),
        "widen traffic.window, or let more move at a time",
    ))
}

fn failing(action: &WeightsAction, traffic: &Traffic) -> Finding {
    let (requests, errors) = match (by_backend(&traffic.requests), by_backend(&traffic.errors)) {
        (Ok(requests), Ok(errors)) => (requests, errors),
        (_, Err(why)) => {
            return Finding::new(
                Mark::Fail,
                "traffic.errors",
                why,
                "aggregate with sum by (backend) (...)",
            );
        }
        (Err(_), Ok(errors)) => (BTreeMap::new(), errors),
    };
    let part = |name: &str| {
        let failed = errors.get(name).copied().unwrap_or(0.0);
        let asked = requests.get(name).copied().filter(|asked| *asked > 0.0)?;
        Some(failed / asked)
    };
    let each = action.backends.iter().filter_map(|backend| {
        let percent = part(&backend.name)? * 100.0;
        Some(format!(
            "{} {} %",
            plain(&backend.name),
            number((percent * 10.0).round() / 10.0)
        ))
    });
    let each: Vec<String> = each.collect();
    Finding::ok("traffic.errors", format!("fail now: {}", each.join(", ")))
}

fn unserved(reading: &Reading, proxy: Option<ProxyMetrics>) -> Finding {
    let subject = "traffic.unserved";
    match (reading.quality(), reading.number()) {
        (Quality::Fresh, Ok(rate)) if rate.get() > 0.0 => Finding::new(
            Mark::Warn,
            subject,
            format!("{} requests a second reach no backend", number(rate.get())),
            "see which of the Services has no ready endpoint: kubectl get endpointslices",
        ),
        (Quality::Fresh, Ok(_)) => Finding::ok(subject, "every request reaches a backend"),
        (Quality::Fresh, Err(error)) => Finding::message(Mark::Fail, subject, &error.to_string()),
        (Quality::Missing, _) => Finding::new(
            Mark::Warn,
            subject,
            "no series, so a backend without any ready endpoint is not found",
            if proxy == Some(ProxyMetrics::Traefik) {
                "run Traefik with --metrics.prometheus.addrouterslabels (addRoutersLabels), which is off by default"
            } else {
                "compare its metrics and labels with those the server has"
            },
        ),
        _ => not_fresh(subject, reading),
    }
}

/// What makes a proxy tell of its backends.
const fn switch_on(proxy: Option<ProxyMetrics>) -> &'static str {
    match proxy {
        Some(ProxyMetrics::Traefik) => {
            "send a request; if that does not help run Traefik with --metrics.prometheus.addserviceslabels (addServicesLabels), and have Prometheus scrape it"
        }
        Some(ProxyMetrics::Envoy) => {
            "send a request; with Envoy Gateway set mergeBackends in its EnvoyProxy, or write requests and errors of your own: its clusters else name no Service"
        }
        Some(ProxyMetrics::Istio) => {
            "send a request from within the mesh: what counts are the reports of the source's proxy (reporter=\"source\")"
        }
        Some(ProxyMetrics::Linkerd) => {
            "send a request from a meshed pod: what counts are the outbound metrics of its proxy"
        }
        Some(ProxyMetrics::IngressNginx) => {
            "send a request; if that does not help run ingress-nginx with --enable-metrics, and have Prometheus scrape it"
        }
        Some(ProxyMetrics::Haproxy) => {
            "send a request; if that does not help switch HAProxy's own exporter on, with a backend for each Service"
        }
        None => "compare its metrics and labels with those the server has",
    }
}
