//! The verification of one Change: frozen when the Change is made, so that an edit of its policy
//! does not change what an open transaction is judged by.

use super::{Errors, FieldError, verification};
use crate::promql;
use flyball_core::{
    policy::{Comparison, Demand, OnError, OnInconclusive, OnIneffective, Policy, Shape, Signal, Verification},
    signal::Finite,
    time::Span,
    verify::Baseline,
};
use flyball_crds::{self as crds, ChangeVerification, Duration};

/// The demand's name in a frozen verification, where only its expression is kept.
const DEMAND: &str = "demand";

/// What a Change is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct FrozenVerification {
    /// The conditions. Its demand, if any, has the name of [`FrozenVerification::demand`].
    pub verification: Verification,
    /// The demand as a signal that can be asked.
    pub demand: Option<Signal>,
    /// The MetricSource that is asked.
    pub source: String,
    /// What was measured when the Change was proposed.
    pub baseline: Baseline,
}

/// Freezes a policy's verification into a Change.
pub fn freeze(verification: &Verification, policy: &Policy, source: &str, baseline: &Baseline) -> ChangeVerification {
    let duration = |span: Span| Duration::new(span.to_string());
    let demand = verification.demand.as_ref();
    let signal = demand.and_then(|demand| policy.signals.get(&demand.signal));
    ChangeVerification {
        expr: written(&verification.condition),
        settle: duration(verification.settle),
        within: duration(verification.within),
        source: source.to_owned(),
        max_age: duration(verification.max_age),
        demand_expr: signal.map(|signal| signal.query.text.clone()),
        demand_max_age: signal.map(|signal| duration(signal.max_age)),
        demand_tolerance_percent: demand.map_or(0, |demand| percent(demand.tolerance)),
        on_inconclusive: match verification.on_inconclusive {
            OnInconclusive::Hold => crds::OnInconclusive::Hold,
            OnInconclusive::RollBack => crds::OnInconclusive::RollBack,
        },
        on_ineffective: match verification.on_ineffective {
            OnIneffective::Hold => crds::OnIneffective::Hold,
            OnIneffective::RollBack => crds::OnIneffective::RollBack,
        },
        latch: duration(verification.latch),
        // JSON has neither NaN nor infinities.
        baseline_value: baseline.value.filter(|value| value.is_finite()),
        baseline_demand: baseline.demand.map(Finite::get),
    }
}

/// Reads back what [`freeze`] wrote.
pub fn comparison_of_change(frozen: &ChangeVerification) -> Result<FrozenVerification, Vec<FieldError>> {
    let mut errors = Errors::default();
    let read = thaw(frozen, &mut errors);
    match read {
        Some(read) if errors.0.is_empty() => Ok(read),
        _ => Err(errors.0),
    }
}

fn thaw(frozen: &ChangeVerification, errors: &mut Errors) -> Option<FrozenVerification> {
    let path = |field: &str| format!("spec.verification.{field}");
    let mut span = |field, text| errors.span(path(field), Some(text), Span::ZERO);
    let settle = span("settle", &frozen.settle);
    let within = span("within", &frozen.within);
    let max_age = span("maxAge", &frozen.max_age);
    let demand_max_age = span(
        "demandMaxAge",
        frozen.demand_max_age.as_ref().unwrap_or(&frozen.max_age),
    );
    let latch = span("latch", &frozen.latch);
    let condition = errors.expression(path("expr"), promql::comparison(&frozen.expr));
    let demand = match &frozen.demand_expr {
        Some(text) => {
            let query = errors.expression(path("demandExpr"), promql::query(text));
            let tolerance =
                verification::tolerance(&path("demandTolerancePercent"), frozen.demand_tolerance_percent, errors);
            let signal = Signal {
                name: DEMAND.to_owned(),
                query: query?,
                shape: Shape::Number,
                max_age: demand_max_age?,
                on_error: OnError::HoldDown,
            };
            Some((signal, tolerance?))
        }
        None => None,
    };
    let (demand, tolerance) = demand.map_or((None, None), |(signal, tolerance)| {
        let name = signal.name.clone();
        (
            Some(signal),
            Some(Demand {
                signal: name,
                tolerance,
            }),
        )
    });
    let verification = Verification {
        settle: settle?,
        within: within?,
        condition: condition?,
        max_age: max_age?,
        demand: tolerance,
        on_inconclusive: verification::on_inconclusive(frozen.on_inconclusive),
        on_ineffective: verification::on_ineffective(frozen.on_ineffective),
        latch: latch?,
    };
    let baseline = Baseline {
        value: frozen.baseline_value,
        demand: frozen.baseline_demand.and_then(Finite::new),
    };
    Some(FrozenVerification {
        verification,
        demand,
        source: frozen.source.clone(),
        baseline,
    })
}

/// A comparison as one expression.
pub(super) fn written(comparison: &Comparison) -> String {
    let left = &comparison.left.text;
    // A comment would swallow what follows it on its line.
    let end = if left.contains('#') { "\n" } else { " " };
    let number = comparison.right.get();
    let plain = number.to_string();
    let number = if plain.len() > 24 { format!("{number:e}") } else { plain };
    format!("{left}{end}{} {number}", comparison.comparator)
}

#[allow(clippy::cast_possible_truncation)] // Validation made it from a whole number of percent.
fn percent(tolerance: Finite) -> i32 {
    (tolerance.get() * 100.0).round() as i32
}
