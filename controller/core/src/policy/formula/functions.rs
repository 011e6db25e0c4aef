//! The functions of a formula.

use cel::{Context, ExecutionError, Value, extractors::Arguments};
use std::sync::LazyLock;

/// A function's name, and how many numbers it takes: at least, and at most.
pub(super) const FUNCTIONS: [(&str, usize, usize); 6] = [
    ("min", 1, usize::MAX),
    ("max", 1, usize::MAX),
    ("clamp", 3, 3),
    ("ceil", 1, 1),
    ("floor", 1, 1),
    ("abs", 1, 1),
];

/// CEL's operators and these functions. Making it costs a hundred times what an evaluation does.
pub(super) static CONTEXT: LazyLock<Context<'static, 'static>> = LazyLock::new(|| {
    let mut context = Context::default();
    let added = [
        context.add_function("min", |arguments: Arguments| fold("min", &arguments, f64::min)),
        context.add_function("max", |arguments: Arguments| fold("max", &arguments, f64::max)),
        context.add_function("clamp", clamp),
        context.add_function("ceil", f64::ceil),
        context.add_function("floor", f64::floor),
        context.add_function("abs", f64::abs),
    ];
    // None of the names is CEL's own; a test calls each function.
    debug_assert!(added.iter().all(Result::is_ok));
    context
});

/// The smallest or largest of the numbers. Other than Rust's, what is no number wins: a quotient 0 / 0
/// must not vanish behind a number that looks like an answer.
fn fold(name: &str, Arguments(values): &Arguments, pick: impl Fn(f64, f64) -> f64) -> Result<f64, ExecutionError> {
    let mut best = None;
    for value in values.iter() {
        let Value::Float(number) = value else {
            return Err(ExecutionError::function_error(
                name,
                "it takes numbers, and a condition is none",
            ));
        };
        best = Some(match best {
            Some(best) if f64::is_nan(best) || number.is_nan() => f64::NAN,
            Some(best) => pick(best, *number),
            None => *number,
        });
    }
    best.ok_or_else(|| ExecutionError::function_error(name, "it takes at least one number"))
}

/// Where the bounds cross the lower one counts: it is the one that asks for more.
fn clamp(number: f64, low: f64, high: f64) -> f64 {
    if number.is_nan() || low.is_nan() || high.is_nan() {
        return f64::NAN;
    }
    number.min(high).max(low)
}
