//! The weights lever.

use super::{Errors, names::Names};
use crate::{
    observe::routes::{proxies, table},
    promql::{self, shorten},
};
use flyball_core::{
    policy::{
        AimdLaw, Backend, CapacityLaw, Ejection, FailoverLaw, OnIneffective, OnReset, Query, RouteList, RuleRef,
        ShareDeadline, Signal, Traffic, Verification, Weight, WeightLaw, WeightLimits, WeightStep, WeightsAction,
    },
    signal::Finite,
    time::Span,
};
use flyball_crds::{self as crds, Action, ApprovalMode, TargetRef, WeightedRoute, WeightsLever};
use std::collections::{BTreeMap, BTreeSet};

/// Where a policy does not say: gRFC A58, Envoy's outlier detection and slow start, and the simulation of the laws.
const DEFAULT_WINDOW: Span = Span::from_secs(60);
const DEFAULT_EXPIRY: Span = Span::from_secs(180);
const DEFAULT_EJECTION: Span = Span::from_secs(30);
const FIVE_MINUTES: Span = Span::from_secs(300);
const SHARE_AFTER_WINDOW: Span = Span::from_secs(5);
const SHARE_WITHIN: Span = Span::from_secs(120);

/// What stands around the lever in its policy.
pub(super) struct Around<'a> {
    pub target: &'a TargetRef,
    pub names: &'a Names<'a>,
    pub signals: &'a BTreeMap<String, Signal>,
    pub max_age: Option<Span>,
    /// `Err`: it is written, and wrong.
    pub verification: Result<Option<Verification>, ()>,
}

pub(super) fn read(
    path: &str,
    written: &Action,
    lever: &WeightsLever,
    around: Around<'_>,
    errors: &mut Errors,
) -> Option<WeightsAction> {
    let Around {
        target,
        names,
        signals,
        max_age,
        verification,
    } = around;
    let routes = routes(path, target, lever, errors);
    let backends = backends(path, lever, errors);
    let managed = backends.as_deref().unwrap_or_default();
    let traffic = traffic(path, lever, (&routes, managed), max_age, errors);
    let law = law(path, written, lever, names, errors);
    let longest = traffic.as_ref().map(|traffic| longest(traffic, law.as_ref(), signals));
    let limits = limits(path, lever, longest, errors);
    let share = share(path, lever, traffic.as_ref(), errors);
    let ejection = match (&lever.ejection, &law) {
        (Some(ejection), _) if ejection.disabled => Some(None),
        // Failover leaves a backend by its own thresholds.
        (None, Some(WeightLaw::Failover(_))) => Some(None),
        (written, _) => ejection(
            &format!("{path}.ejection"),
            &written.clone().unwrap_or_default(),
            errors,
        )
        .map(Some),
    };
    let on_reset = match lever.on_reset.unwrap_or_default() {
        crds::OnReset::Stop => {
            if lever.reapply_per_hour.is_some() {
                errors.add(
                    format!("{path}.reapplyPerHour"),
                    "is used only with onReset: Reapply; write that, or remove it",
                );
            }
            Some(OnReset::Stop)
        }
        crds::OnReset::Reapply => errors
            .within(
                format!("{path}.reapplyPerHour"),
                lever.reapply_per_hour.unwrap_or(3),
                1,
                60,
            )
            .map(|per_hour| OnReset::Reapply { per_hour }),
    };
    Some(WeightsAction {
        name: written.name.clone(),
        when: written.when.clone(),
        routes,
        backends: backends?,
        law: law.clone()?,
        limits: limits?,
        ejection: ejection?,
        traffic: traffic?,
        share: share?,
        verification: verification
            .ok()?
            .map(|verification| undone(verification, written, law.as_ref())),
        on_reset: on_reset?,
        approval: written.approval == Some(ApprovalMode::Required),
    })
}

/// A law that goes by small steps does not reach its end with the first one. Taking each back that has not done
/// so yet would begin anew forever.
fn undone(verification: Verification, written: &Action, law: Option<&WeightLaw>) -> Verification {
    let says = written
        .verify
        .as_ref()
        .is_some_and(|verify| verify.on_ineffective.is_some());
    match law {
        Some(WeightLaw::Capacity(_) | WeightLaw::Aimd(_)) if !says => Verification {
            on_ineffective: OnIneffective::Hold,
            ..verification
        },
        _ => verification,
    }
}

fn routes(path: &str, target: &TargetRef, lever: &WeightsLever, errors: &mut Errors) -> Vec<RouteList> {
    let first = WeightedRoute {
        api_version: target.api_version.clone(),
        kind: target.kind.clone(),
        name: target.name.clone(),
        rule: lever.rule.clone(),
        rule_index: lever.rule_index,
    };
    errors.at_most(&format!("{path}.also"), lever.also.len(), 7);
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (index, route) in std::iter::once(&first).chain(&lever.also).enumerate() {
        let (own, place) = if index == 0 {
            ("spec.targetRef".to_owned(), path.to_owned())
        } else {
            let own = format!("{path}.also[{}]", index - 1);
            (own.clone(), own)
        };
        if table::Row::of(&route.api_version, &route.kind).is_none() {
            errors.add(
                format!("{own}.kind"),
                format!(
                    "{} {} has no list of weights that Flyball knows; it knows {}",
                    shorten(&route.api_version),
                    shorten(&route.kind),
                    known()
                ),
            );
        }
        if index > 0 && !super::is_subdomain(&route.name) {
            errors.add(
                format!("{own}.name"),
                format!(
                    "{} is not the name of an object; write lower-case letters, digits, dashes and dots",
                    shorten(&route.name)
                ),
            );
        }
        if !seen.insert((route.kind.clone(), route.name.clone())) {
            errors.add(
                own.clone(),
                format!(
                    "{} {} is listed twice; one list of a route is moved by one policy",
                    shorten(&route.kind),
                    shorten(&route.name)
                ),
            );
        }
        let rule = match (&route.rule, route.rule_index) {
            (Some(_), Some(_)) => {
                errors.add(
                    format!("{place}.ruleIndex"),
                    "and rule can't both be given; keep the name",
                );
                continue;
            }
            (Some(name), None) => RuleRef::Name(name.clone()),
            (None, Some(index)) => match errors.within(format!("{place}.ruleIndex"), index, 0, 15) {
                Some(index) => RuleRef::Index(index),
                None => continue,
            },
            (None, None) => RuleRef::Only,
        };
        found.push(RouteList {
            api_version: route.api_version.clone(),
            kind: route.kind.clone(),
            name: route.name.clone(),
            rule,
        });
    }
    found
}

/// The kinds that are known, for an error.
fn known() -> String {
    let names: Vec<String> = table::TABLE.iter().map(table::Row::name).collect();
    names.join(", ")
}

fn backends(path: &str, lever: &WeightsLever, errors: &mut Errors) -> Option<Vec<Backend>> {
    let path = format!("{path}.backends");
    let number = lever.backends.len();
    if !(2..=16).contains(&number) {
        errors.add(
            &path,
            format!("{number} backends; weights move between 2 and 16, list those of the route that are to be managed"),
        );
        return None;
    }
    super::names::unique(
        |index| format!("{path}[{index}].name"),
        "backends",
        lever.backends.iter().map(|backend| backend.name.as_str()),
        errors,
    );
    let mut found = Vec::new();
    for (index, backend) in lever.backends.iter().enumerate() {
        let weight = Weight::new(backend.weight.into());
        if weight.is_none() {
            errors.add(
                format!("{path}[{index}].weight"),
                format!("{} is not between 0 and {}", backend.weight, Weight::MAX),
            );
        }
        found.push(Backend {
            name: backend.name.clone(),
            base: weight?,
        });
    }
    let total: u64 = found.iter().map(|backend| u64::from(backend.base.get())).sum();
    if total == 0 {
        errors.add(
            &path,
            "all weights are 0, and nothing would be served; give one of them more",
        );
        return None;
    }
    Some(found)
}

fn traffic(
    path: &str,
    lever: &WeightsLever,
    (routes, backends): (&[RouteList], &[Backend]),
    max_age: Option<Span>,
    errors: &mut Errors,
) -> Option<Traffic> {
    let path = format!("{path}.traffic");
    let written = &lever.traffic;
    let window = errors.positive(&format!("{path}.window"), written.window.as_ref(), DEFAULT_WINDOW)?;
    let own = written.max_age.as_ref();
    let max_age = match own {
        Some(_) => errors.positive(&format!("{path}.maxAge"), own, Span::ZERO),
        None => max_age,
    };
    let (requests, failed, unserved) = match (&written.proxy, &written.requests, &written.errors) {
        (Some(proxy), None, None) => {
            let proxy = proxy_of(*proxy);
            let (requests, failed) = proxies::queries(proxy, Traffic::NAMESPACE, routes, backends, window);
            (
                requests,
                failed,
                proxies::unserved(proxy, Traffic::NAMESPACE, routes, window),
            )
        }
        (None, Some(requests), Some(failed)) => (requests.clone(), failed.clone(), written.unserved.clone()),
        _ => {
            errors.add(
                path,
                "takes proxy, or both of requests and errors; write for example proxy: Traefik",
            );
            return None;
        }
    };
    let requests = errors.expression(format!("{path}.requests"), promql::query(&requests));
    let failed = errors.expression(format!("{path}.errors"), promql::query(&failed));
    let unserved = match unserved {
        Some(unserved) => Some(errors.expression(format!("{path}.unserved"), promql::query(&unserved))?),
        None => None,
    };
    if let Some(requests) = requests.as_ref().filter(|query| query.longest_range > window) {
        errors.add(
            format!("{path}.window"),
            format!(
                "{window} is shorter than the {} that requests looks back; write that",
                requests.longest_range
            ),
        );
    }
    Some(Traffic {
        requests: requests?,
        errors: failed?,
        unserved,
        window,
        max_age: max_age?,
    })
}

fn proxy_of(written: crds::ProxyMetrics) -> proxies::Proxy {
    match written {
        crds::ProxyMetrics::Traefik => proxies::Proxy::Traefik,
        crds::ProxyMetrics::Envoy => proxies::Proxy::Envoy,
        crds::ProxyMetrics::Istio => proxies::Proxy::Istio,
        crds::ProxyMetrics::Linkerd => proxies::Proxy::Linkerd,
        crds::ProxyMetrics::IngressNginx => proxies::Proxy::IngressNginx,
        crds::ProxyMetrics::Haproxy => proxies::Proxy::Haproxy,
    }
}

fn law(path: &str, written: &Action, lever: &WeightsLever, names: &Names, errors: &mut Errors) -> Option<WeightLaw> {
    let fraction = |value: f64| value > 0.0 && value <= 1.0;
    match (&lever.capacity, &lever.step, &lever.failover, &lever.aimd) {
        (Some(capacity), None, None, None) => {
            let path = format!("{path}.capacity");
            let known = names.per_backend(&format!("{path}.utilisation"), &capacity.utilisation, errors);
            let penalty = errors.number(
                format!("{path}.penalty"),
                capacity.penalty.unwrap_or(1.0),
                |value| (0.0..=1000.0).contains(&value),
                "between 0 and 1000; write for example 1",
            );
            let smoothing = errors.number(
                format!("{path}.smoothing"),
                capacity.smoothing.unwrap_or(0.5),
                fraction,
                "above 0 and at most 1; write for example 0.5",
            );
            known?;
            Some(WeightLaw::Capacity(CapacityLaw {
                utilisation: capacity.utilisation.clone(),
                penalty: penalty?,
                smoothing: smoothing?,
            }))
        }
        (None, Some(step), None, None) => {
            if written.when.is_empty() {
                errors.add(
                    format!("{}.when", path.trim_end_matches(".weights")),
                    "is empty, and a step is driven by rules; name one of spec.rules",
                );
            }
            let path = format!("{path}.step");
            let points = errors.within(format!("{path}.points"), step.points, 1, 100);
            let after = errors.span(format!("{path}.after"), step.after.as_ref(), FIVE_MINUTES);
            Some(WeightLaw::Step(WeightStep {
                ignores_silenced: step.silenced == Some(crds::Silenced::Ignore),
                points: points?,
                label: step.label.clone().unwrap_or_else(|| "backend".to_owned()),
                after: after?,
            }))
        }
        (None, None, Some(failover), None) => failover_law(&format!("{path}.failover"), failover, errors),
        (None, None, None, Some(aimd)) => {
            let path = format!("{path}.aimd");
            let known = names.per_backend(&format!("{path}.signal"), &aimd.signal, errors);
            let above = errors.number(format!("{path}.above"), aimd.above, |_| true, "a finite number");
            let factor = errors.number(
                format!("{path}.factor"),
                aimd.factor.unwrap_or(0.7),
                |value| value > 0.0 && value < 1.0,
                "above 0 and below 1; write for example 0.7",
            );
            let points = errors.within(format!("{path}.points"), aimd.points.unwrap_or(2), 1, 100);
            known?;
            Some(WeightLaw::Aimd(AimdLaw {
                signal: aimd.signal.clone(),
                above: above?,
                factor: factor?,
                points: points?,
            }))
        }
        (None, None, None, None) => {
            errors.add(path, "has none of capacity, step, failover and aimd; write one of them");
            None
        }
        _ => {
            errors.add(path, "has more than one of capacity, step, failover and aimd; keep one");
            None
        }
    }
}

fn failover_law(path: &str, written: &crds::Failover, errors: &mut Errors) -> Option<WeightLaw> {
    let bad = percent(
        format!("{path}.badAbovePercent"),
        written.bad_above_percent.unwrap_or(10.0),
        errors,
    );
    let good = percent(
        format!("{path}.goodBelowPercent"),
        written.good_below_percent.unwrap_or(1.0),
        errors,
    );
    if let (Some(bad), Some(good)) = (bad, good)
        && good > bad
    {
        errors.add(
            format!("{path}.goodBelowPercent"),
            "is above badAbovePercent, so a backend could serve well and badly at once; lower it",
        );
    }
    let span = |field: &str, text: &Option<crds::Duration>, default, errors: &mut Errors| {
        errors.span(format!("{path}.{field}"), text.as_ref(), default)
    };
    let leave_after = span("leaveAfter", &written.leave_after, Span::from_secs(30), errors);
    let return_after = span("returnAfter", &written.return_after, FIVE_MINUTES, errors);
    let return_over = span("returnOver", &written.return_over, FIVE_MINUTES, errors);
    Some(WeightLaw::Failover(FailoverLaw {
        bad_above: bad?,
        good_below: good?,
        leave_after: leave_after?,
        return_after: return_after?,
        return_over: return_over?,
    }))
}

fn ejection(path: &str, written: &crds::Ejection, errors: &mut Errors) -> Option<Ejection> {
    let above = percent(
        format!("{path}.errorsAbovePercent"),
        written.errors_above_percent.unwrap_or(50.0),
        errors,
    );
    let least = errors.within(
        format!("{path}.leastRequests"),
        written.least_requests.unwrap_or(20),
        1,
        100_000,
    );
    let base = errors.positive(&format!("{path}.base"), written.base.as_ref(), DEFAULT_EJECTION);
    let longest = errors.positive(&format!("{path}.longest"), written.longest.as_ref(), FIVE_MINUTES);
    if let (Some(base), Some(longest)) = (base, longest)
        && longest < base
    {
        errors.add(
            format!("{path}.longest"),
            format!("{longest} is shorter than base, which is {base}; lengthen it"),
        );
    }
    let over = errors.span(format!("{path}.returnOver"), written.return_over.as_ref(), FIVE_MINUTES);
    let panic = errors.within(
        format!("{path}.panicAbovePercent"),
        written.panic_above_percent.unwrap_or(50),
        1,
        100,
    );
    Some(Ejection {
        errors_above: above?,
        least_requests: least?,
        base: base?,
        longest: longest?,
        return_over: over?,
        panic_above: Finite::new(f64::from(panic?) / 100.0)?,
    })
}

/// The longest range of what decides: the traffic, and the signals that the law reads.
fn longest(traffic: &Traffic, law: Option<&WeightLaw>, signals: &BTreeMap<String, Signal>) -> Span {
    let read = match law {
        Some(WeightLaw::Capacity(capacity)) => Some(&capacity.utilisation),
        Some(WeightLaw::Aimd(aimd)) => Some(&aimd.signal),
        _ => None,
    };
    let read = read.and_then(|name| signals.get(name));
    let ranges = [&traffic.requests, &traffic.errors]
        .into_iter()
        .chain(read.map(|signal| &signal.query));
    ranges
        .map(|query: &Query| query.longest_range)
        .max()
        .unwrap_or(Span::ZERO)
        .max(traffic.window)
}

fn limits(path: &str, lever: &WeightsLever, longest: Option<Span>, errors: &mut Errors) -> Option<WeightLimits> {
    let path = format!("{path}.limits");
    let written = lever.limits.clone().unwrap_or_default();
    let floor = errors.within(format!("{path}.floorPercent"), written.floor_percent.unwrap_or(2), 1, 5);
    let step = errors.within(
        format!("{path}.stepPercent"),
        written.step_percent.unwrap_or(20),
        1,
        100,
    );
    let dead = errors.within(
        format!("{path}.deadBandPercent"),
        written.dead_band_percent.unwrap_or(5),
        0,
        50,
    );
    let expiry = errors.positive(&format!("{path}.expiry"), written.expiry.as_ref(), DEFAULT_EXPIRY);
    let longest = longest?;
    let hold = errors.span(format!("{path}.hold"), written.hold.as_ref(), longest)?;
    if hold < longest {
        errors.add(
            format!("{path}.hold"),
            format!(
                "{hold} is shorter than the longest range of what the law reads, which is {longest}: it would answer to its own past and oscillate; write at least that"
            ),
        );
        return None;
    }
    let part = |percent: u32| Finite::new(f64::from(percent) / 100.0);
    Some(WeightLimits {
        floor: part(floor?)?,
        most_step: part(step?)?,
        dead_band: part(dead?)?,
        hold,
        expiry: expiry?,
    })
}

fn share(path: &str, lever: &WeightsLever, traffic: Option<&Traffic>, errors: &mut Errors) -> Option<ShareDeadline> {
    let path = format!("{path}.share");
    let window = traffic?.window;
    let written = lever.share.clone().unwrap_or_default();
    let settle = errors.span(
        format!("{path}.settle"),
        written.settle.as_ref(),
        window + SHARE_AFTER_WINDOW,
    )?;
    let within = errors.span(format!("{path}.within"), written.within.as_ref(), settle + SHARE_WITHIN)?;
    if settle < window {
        errors.add(
            format!("{path}.settle"),
            format!("{settle} is shorter than traffic.window, so requests from before the change would be counted; write at least {window}"),
        );
        return None;
    }
    if within <= settle {
        errors.add(
            format!("{path}.within"),
            format!(
                "{within} is not longer than settle, which is {settle}; nothing could be judged in between, lengthen it"
            ),
        );
        return None;
    }
    Some(ShareDeadline { settle, within })
}

/// A percentage, as a fraction.
fn percent(path: String, value: f64, errors: &mut Errors) -> Option<Finite> {
    let what = "between 0 and 100; write for example 10";
    let percent = errors.number(path, value, |value| (0.0..=100.0).contains(&value), what)?;
    Finite::new(percent.get() / 100.0)
}
