//! The runtime lever.

use super::{Errors, names::is_label};
use crate::{
    observe::quantity,
    promql::{self, shorten},
};
use flyball_core::{
    bytes::Bytes,
    policy::{
        AgentQueries, BudgetScope, Comparator, FleetQueries, HeadroomBudget, Knob, KnobValue, Knobs, LimitFit, Query,
        RuntimeAction, RuntimeAim, TrialPlan, TrialSize, Verification,
    },
    time::Span,
};
use flyball_crds::{Action, ApprovalMode, Duration, GoKnobs, JavaKnobs, KnobSet, RuntimeLever, RuntimeTrial};

const DEFAULT_ACKNOWLEDGE: Span = Span::from_secs(90);
const DEFAULT_LEASE: Span = Span::from_secs(3600);
const MIN_LEASE: Span = Span::from_secs(60);
/// What an agent takes at most (agents/CONTRACT.md).
const MAX_LEASE: Span = Span::from_secs(604_800);
const DEFAULT_HOLD: Span = Span::from_secs(300);
/// Each change of a template is a rollout.
const DEFAULT_HOLD_OF_ENV: Span = Span::from_secs(1800);
const EXACTLY_ONE: &str = "takes exactly one of set, setPoint, budget, reclaim and env";
const DEFAULT_WINDOW: Span = Span::from_secs(300);
/// Over what the limit law looks back.
const ROOM_WINDOW: Span = Span::from_secs(3600);
const DEFAULT_RECLAIM: Span = Span::from_secs(600);
/// Below, collections cost more than the square-root law knows of; above, a live heap that grows is met too late.
const DEFAULT_GOGC: (i32, i32) = (50, 400);
/// Without an expression a trial waits for what the agents tell.
const DEFAULT_SETTLE: Span = Span::from_secs(30);
const DEFAULT_WITHIN: Span = Span::from_secs(120);
/// The names of 64 pods are put in place of each `$moved` and `$others`.
const MAX_TRIAL: usize = 2048;

/// What stands for the pods that are tried.
pub(crate) const MOVED: &str = "$moved";
/// What stands for those that are not.
pub(crate) const OTHERS: &str = "$others";

pub(super) fn read(
    path: &str,
    written: &Action,
    lever: &RuntimeLever,
    max_age: Option<Span>,
    verification: Result<Option<Verification>, ()>,
    errors: &mut Errors,
) -> Option<RuntimeAction> {
    if !is_label(&lever.container) {
        errors.add(
            format!("{path}.container"),
            format!(
                "{} is not the name of a container; write for example app",
                shorten(&lever.container)
            ),
        );
    }
    let gogc = gogc(path, lever, errors);
    let aim = aim(path, lever, gogc, errors);
    let acknowledge = errors.positive(
        &format!("{path}.acknowledge"),
        lever.acknowledge.as_ref(),
        DEFAULT_ACKNOWLEDGE,
    );
    let lease = errors.span(format!("{path}.lease"), lever.lease.as_ref(), DEFAULT_LEASE);
    if let Some(lease) = lease.filter(|lease| !(MIN_LEASE..=MAX_LEASE).contains(lease)) {
        errors.add(
            format!("{path}.lease"),
            format!("{lease} is not between {MIN_LEASE} and {MAX_LEASE}; write for example 1h"),
        );
    }
    let usual = if lever.env.is_some() {
        DEFAULT_HOLD_OF_ENV
    } else {
        DEFAULT_HOLD
    };
    let hold = errors.span(format!("{path}.hold"), lever.hold.as_ref(), usual);
    let verification = verification.ok();
    let trial = trial(path, lever, verification.as_ref().and_then(Option::as_ref), errors);
    let agents = agents(path, lever, max_age, errors);
    Some(RuntimeAction {
        name: written.name.clone(),
        when: written.when.clone(),
        container: lever.container.clone(),
        aim: aim?,
        trial: trial.ok()?,
        acknowledge: acknowledge?,
        lease: lease?,
        hold: hold?,
        gogc: gogc?,
        agents: agents?,
        verification: verification?,
        approval: written.approval == Some(ApprovalMode::Required),
    })
}

fn gogc(path: &str, lever: &RuntimeLever, errors: &mut Errors) -> Option<(u64, u64)> {
    let bounds = lever.gogc.clone().unwrap_or_default();
    let (least, most) = DEFAULT_GOGC;
    let least = errors.within(format!("{path}.gogc.min"), bounds.min.unwrap_or(least), 1, 1000)?;
    let most = errors.within(format!("{path}.gogc.max"), bounds.max.unwrap_or(most), 1, 1000)?;
    if least > most {
        errors.add(
            format!("{path}.gogc.min"),
            format!("{least} is above gogc.max, which is {most}; lower it"),
        );
        return None;
    }
    Some((least.into(), most.into()))
}

fn aim(path: &str, lever: &RuntimeLever, gogc: Option<(u64, u64)>, errors: &mut Errors) -> Option<RuntimeAim> {
    let lever_path = path;
    if let Some(written) = &lever.env {
        let others = [
            lever.set.is_some(),
            lever.set_point.is_some(),
            lever.budget.is_some(),
            lever.reclaim.is_some(),
        ];
        if others.contains(&true) {
            errors.add(path, EXACTLY_ONE);
            return None;
        }
        return super::start_options::read(&format!("{path}.env"), written, errors).map(RuntimeAim::Env);
    }
    match (&lever.set, &lever.set_point, &lever.budget, &lever.reclaim) {
        (Some(set), None, None, None) => {
            let path = format!("{path}.set");
            let knobs = match &set.go {
                Some(go) if is_auto(go) && go.gogc.is_none() => Vec::new(),
                _ => knobs(&path, set, errors)?,
            };
            let knobs = errors.take(path.clone(), Knobs::new(knobs))?;
            let (least, most) = gogc?;
            if let Some(wanted) = knobs.number(Knob::Gogc)
                && !(least..=most).contains(&wanted)
            {
                errors.add(
                    format!("{path}.go.gogc"),
                    format!(
                        "{wanted} is not between gogc.min, {least}, and gogc.max, {most}; write another, or widen those"
                    ),
                );
                return None;
            }
            if set.go.as_ref().is_some_and(is_auto) {
                let queries = room(lever_path, lever, errors)?;
                return Some(RuntimeAim::Fit(Box::new(LimitFit { knobs, queries })));
            }
            Some(RuntimeAim::Set(knobs))
        }
        (None, Some(point), None, None) => {
            let path = format!("{path}.setPoint.resident");
            let resident = bytes(&path, &point.resident, errors)?;
            let (least, most) = gogc?;
            let number = KnobValue::Number;
            let knobs = [
                (Knob::Resident, number(resident)),
                (Knob::GogcMin, number(least)),
                (Knob::GogcMax, number(most)),
            ];
            errors.take(path, Knobs::new(knobs)).map(RuntimeAim::Set)
        }
        (None, None, Some(written), None) => {
            let headroom = bytes(&format!("{path}.budget.headroom"), &written.headroom, errors)?;
            let window = errors.positive(
                &format!("{path}.budget.window"),
                written.window.as_ref(),
                DEFAULT_WINDOW,
            )?;
            Some(RuntimeAim::Budget(Box::new(HeadroomBudget {
                headroom: Bytes::saturating(headroom),
                scope: match written.scope.unwrap_or_default() {
                    flyball_crds::BudgetScope::Namespace => BudgetScope::Namespace,
                    flyball_crds::BudgetScope::Node => BudgetScope::Node,
                },
                queries: fleet(path, lever, window, errors)?,
            })))
        }
        (None, None, None, Some(reclaim)) => {
            let path = format!("{path}.reclaim.every");
            let every = errors.positive(&path, reclaim.every.as_ref(), DEFAULT_RECLAIM)?;
            Some(RuntimeAim::Reclaim { every })
        }
        _ => {
            errors.add(path, EXACTLY_ONE);
            None
        }
    }
}

/// A quantity of memory in bytes.
pub(super) fn bytes(path: &str, written: &str, errors: &mut Errors) -> Option<u64> {
    let milli = quantity::milli(written).and_then(|milli| u64::try_from(milli).ok());
    let bytes = milli.map(|milli| milli.div_ceil(1000)).filter(|bytes| *bytes > 0);
    if bytes.is_none() {
        errors.add(
            path,
            format!("{} is no amount of memory; write for example 900Mi", shorten(written)),
        );
    }
    bytes
}

fn knobs(path: &str, set: &KnobSet, errors: &mut Errors) -> Option<Vec<(Knob, KnobValue)>> {
    let number = |number: i32| u64::try_from(number).map(KnobValue::Number);
    match (&set.go, &set.java, &set.node, &set.python) {
        (Some(go), None, None, None) => of_go(&format!("{path}.go"), go, errors),
        (None, Some(java), None, None) => of_java(&format!("{path}.java"), java, errors),
        (None, None, Some(node), None) => {
            let percent = errors.take(
                format!("{path}.node.heapGrowingPercent"),
                number(node.heap_growing_percent),
            )?;
            Some(vec![(Knob::HeapGrowingPercent, percent)])
        }
        (None, None, None, Some(python)) => {
            let numbers: Vec<u64> = python
                .thresholds
                .iter()
                .filter_map(|n| u64::try_from(*n).ok())
                .collect();
            let Ok(three) = <[u64; 3]>::try_from(numbers) else {
                errors.add(
                    format!("{path}.python.thresholds"),
                    "takes three numbers, one for each generation; write for example [5000, 20, 20]",
                );
                return None;
            };
            Some(vec![(Knob::GcThresholds, KnobValue::Three(three))])
        }
        _ => {
            errors.add(path, "takes the knobs of exactly one of go, java, node and python");
            None
        }
    }
}

/// The word for a soft limit by the limit law.
const AUTO: &str = "auto";

fn is_auto(go: &GoKnobs) -> bool {
    go.memory_limit.as_deref() == Some(AUTO)
}

fn of_go(path: &str, go: &GoKnobs, errors: &mut Errors) -> Option<Vec<(Knob, KnobValue)>> {
    let mut knobs = Vec::new();
    if let Some(gogc) = go.gogc {
        let gogc = errors.within(format!("{path}.gogc"), gogc, 1, 1000)?;
        knobs.push((Knob::Gogc, KnobValue::Number(gogc.into())));
    }
    match go.memory_limit.as_deref() {
        None | Some(AUTO) => {}
        Some("none") => knobs.push((Knob::MemoryLimit, KnobValue::Unlimited)),
        Some(limit) => {
            let limit = bytes(&format!("{path}.memoryLimit"), limit, errors)?;
            knobs.push((Knob::MemoryLimit, KnobValue::Number(limit)));
        }
    }
    named(path, knobs, errors)
}

fn of_java(path: &str, java: &JavaKnobs, errors: &mut Errors) -> Option<Vec<(Knob, KnobValue)>> {
    let mut knobs = Vec::new();
    if let Some(size) = &java.soft_max_heap_size {
        let size = bytes(&format!("{path}.softMaxHeapSize"), size, errors)?;
        knobs.push((Knob::SoftMaxHeap, KnobValue::Number(size)));
    }
    if let Some(interval) = &java.g1_periodic_gc_interval {
        let path = format!("{path}.g1PeriodicGCInterval");
        let interval = errors.span(path, Some(interval), Span::ZERO)?;
        knobs.push((Knob::G1PeriodicInterval, KnobValue::Number(interval.as_millis())));
    }
    for (knob, ratio, name) in [
        (Knob::MinHeapFree, java.min_heap_free_ratio, "minHeapFreeRatio"),
        (Knob::MaxHeapFree, java.max_heap_free_ratio, "maxHeapFreeRatio"),
    ] {
        if let Some(ratio) = ratio {
            let ratio = errors.within(format!("{path}.{name}"), ratio, 0, 100)?;
            knobs.push((knob, KnobValue::Number(ratio.into())));
        }
    }
    named(path, knobs, errors)
}

fn named(path: &str, knobs: Vec<(Knob, KnobValue)>, errors: &mut Errors) -> Option<Vec<(Knob, KnobValue)>> {
    if knobs.is_empty() {
        errors.add(path, "names no knob; leave the action out to have boot values");
        return None;
    }
    Some(knobs)
}

/// The trial with its own times, or those of the verification. `Err`: it is written, and wrong.
fn trial(
    path: &str,
    lever: &RuntimeLever,
    verification: Option<&Verification>,
    errors: &mut Errors,
) -> Result<Option<TrialPlan>, ()> {
    let path = format!("{path}.trial");
    if lever.env.is_some() {
        if lever.trial.is_some() {
            errors.add(
                path,
                "is for processes that run; env is rolled out as the workload says, remove it",
            );
            return Err(());
        }
        return Ok(None);
    }
    let trial: RuntimeTrial = lever.trial.clone().unwrap_or_default();
    if trial.disabled {
        return Ok(None);
    }
    let size = match (trial.pods, trial.percent) {
        (Some(_), Some(_)) => {
            errors.add(path.clone(), "takes pods or percent, not both; remove one");
            None
        }
        (None, Some(percent)) => errors
            .within(format!("{path}.percent"), percent, 1, 50)
            .map(TrialSize::Percent),
        (pods, None) => errors
            .within(format!("{path}.pods"), pods.unwrap_or(1), 1, 64)
            .map(TrialSize::Pods),
    };
    let default = |of: fn(&Verification) -> Span, default| verification.map_or(default, of);
    let settle = default(|verification| verification.settle, DEFAULT_SETTLE);
    let within = default(|verification| verification.within, DEFAULT_WITHIN);
    let settle = errors.span(format!("{path}.settle"), trial.settle.as_ref(), settle);
    let within = errors.span(format!("{path}.within"), trial.within.as_ref(), within);
    if let (Some(settle), Some(within)) = (settle, within)
        && settle >= within
    {
        errors.add(
            format!("{path}.within"),
            format!("{within} is not longer than settle, which is {settle}; lengthen within"),
        );
    }
    if let (Some(expr), Some(settle)) = (&trial.expr, settle) {
        compared(&format!("{path}.expr"), expr, settle, errors).ok_or(())?;
    }
    Ok(Some(TrialPlan {
        size: size.ok_or(())?,
        expr: trial.expr,
        settle: settle.ok_or(())?,
        within: within.ok_or(())?,
    }))
}

/// Whether an expression can be asked once pods' names stand in it.
fn compared(path: &str, expr: &str, settle: Span, errors: &mut Errors) -> Option<()> {
    if expr.len() > MAX_TRIAL {
        errors.add(
            path,
            format!("has {} bytes, at most {MAX_TRIAL} are allowed; shorten it", expr.len()),
        );
        return None;
    }
    if !expr.contains(MOVED) {
        errors.add(
            path,
            "has no $moved, so it says nothing of the pods that are tried; write for example pod=~\"$moved\"",
        );
        return None;
    }
    let sample = named_pods(expr, &["web-1".to_owned()], &["web-2".to_owned()]);
    let condition = errors.expression(path, promql::comparison(&sample))?;
    if matches!(condition.comparator, Comparator::Equal | Comparator::NotEqual) {
        errors.add(
            path,
            "compares for equality, which measured numbers never keep; use < or >",
        );
        return None;
    }
    let range = condition.left.longest_range;
    if settle < range {
        errors.add(
            path,
            format!("has a range of {range}, and settle is {settle}: samples from before the trial would be judged; lengthen trial.settle"),
        );
        return None;
    }
    Some(())
}

/// The expression with pods' names in it, as regular expressions that match nothing else.
pub(crate) fn named_pods(expr: &str, moved: &[String], others: &[String]) -> String {
    // A name has letters, digits, dashes and dots, and stands in a text between quotes.
    let any = |pods: &[String]| pods.join("|").replace('.', "\\\\.");
    expr.replace(MOVED, &any(moved)).replace(OTHERS, &any(others))
}

/// The label matchers of the agents' metrics; the namespace stands in them as [`AgentQueries::NAMESPACE`].
pub(crate) fn matchers(lever: &RuntimeLever) -> String {
    match lever.matchers.as_deref().unwrap_or_default() {
        "" => format!("namespace=\"{}\"", AgentQueries::NAMESPACE),
        more => format!("namespace=\"{}\",{more}", AgentQueries::NAMESPACE),
    }
}

/// What is asked of all agents of the namespace that share a budget, by pod.
fn fleet(path: &str, lever: &RuntimeLever, window: Span, errors: &mut Errors) -> Option<FleetQueries> {
    let matchers = matchers(lever);
    let path = format!("{path}.matchers");
    let now = |name: &str| format!("max by (pod) (flyball_agent_{name}{{{matchers}}})");
    let rate = |name: &str| format!("sum by (pod) (rate(flyball_agent_{name}{{{matchers}}}[{window}]))");
    let mut ask = |text: String| -> Option<Query> { errors.expression(path.clone(), promql::query(&text)) };
    Some(FleetQueries {
        allocation: ask(rate("alloc_bytes_total"))?,
        gc_cpu: ask(rate("gc_cpu_seconds_total"))?,
        cycles: ask(rate("gc_cycles_total"))?,
        live: ask(now("heap_live_bytes"))?,
        roots: ask(now("gc_roots_bytes"))?,
        limit: ask(now("container_limit_bytes"))?,
        unmanaged: ask(now("unmanaged_bytes"))?,
    })
}

/// The same where the limit law asks: what a quiet minute does not show counts, so the live heap and the memory that the
/// runtime does not manage are the most, and nearly the most, of the window.
fn room(path: &str, lever: &RuntimeLever, errors: &mut Errors) -> Option<FleetQueries> {
    let matchers = matchers(lever);
    let asked = fleet(path, lever, DEFAULT_WINDOW, errors)?;
    let path = format!("{path}.matchers");
    let mut over = |function: &str, name: &str| {
        let range = format!("flyball_agent_{name}{{{matchers}}}[{ROOM_WINDOW}]");
        let text = format!("max by (pod) ({function}{range}))");
        errors.expression(path.clone(), promql::query(&text))
    };
    Some(FleetQueries {
        live: over("max_over_time(", "heap_live_bytes")?,
        unmanaged: over("quantile_over_time(0.99, ", "unmanaged_bytes")?,
        ..asked
    })
}

/// What is asked of the agents of the policy's namespace, by pod.
fn agents(path: &str, lever: &RuntimeLever, max_age: Option<Span>, errors: &mut Errors) -> Option<AgentQueries> {
    let matchers = matchers(lever);
    let path = format!("{path}.matchers");
    let by_pod = |name: &str| format!("max by (pod) (flyball_agent_{name}{{{matchers}}})");
    let mut ask = |text: String| -> Option<Query> { errors.expression(path.clone(), promql::query(&text)) };
    Some(AgentQueries {
        applied: ask(by_pod("applied_generation"))?,
        breaker: ask(by_pod("breaker_state"))?,
        live: ask(by_pod("heap_live_bytes"))?,
        limit: ask(by_pod("container_limit_bytes"))?,
        beside: ask(format!("{} - {}", by_pod("resident_bytes"), by_pod("heap_alloc_bytes")))?,
        max_age: max_age?,
    })
}

/// How a span is written down.
pub(crate) fn written(span: Span) -> Duration {
    Duration::new(span.to_string())
}
