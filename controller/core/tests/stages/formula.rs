use crate::build::finite;
use flyball_core::{
    policy::{Formula, FormulaError},
    signal::Finite,
};
use rstest::rstest;
use std::collections::{BTreeMap, BTreeSet};

/// The signals that there are, with their values.
const SIGNALS: [(&str, f64); 5] = [
    ("rps", 450.0),
    ("queue", 60.0),
    ("zero", 0.0),
    ("debt", -2.5),
    ("max_load", 3.0),
];

fn parse(text: &str) -> Result<Formula, FormulaError> {
    let known: BTreeSet<String> = SIGNALS.iter().map(|(name, _)| (*name).to_owned()).collect();
    Formula::parse(text, &known)
}

fn value(text: &str) -> Result<Finite, FormulaError> {
    let signals: BTreeMap<&str, Finite> = SIGNALS.iter().map(|(name, number)| (*name, finite(*number))).collect();
    parse(text)?.value(&signals)
}

#[rstest]
#[case("rps", 450.0)]
// A whole number is one of the same kind.
#[case("rps / 100", 4.5)]
#[case("rps / 100.0", 4.5)]
#[case("1e2 + .5 - 2.5e-1", 100.25)]
#[case("7 / 2", 3.5)]
#[case("max(rps / 100, queue / 30)", 4.5)]
#[case("max(rps/100,queue/10)", 6.0)]
#[case("min(rps, queue, 5)", 5.0)]
#[case("min(rps)", 450.0)]
#[case("clamp(rps, 0, 100)", 100.0)]
#[case("clamp(debt, 0, 100)", 0.0)]
#[case("clamp(queue, 0, 100)", 60.0)]
// The bounds cross: the lower one counts.
#[case("clamp(queue, 80, 70)", 80.0)]
#[case("ceil(rps / 100)", 5.0)]
#[case("floor(rps / 100)", 4.0)]
#[case("abs(debt)", 2.5)]
#[case("-debt", 2.5)]
#[case("--debt", -2.5)]
#[case("2 - -3", 5.0)]
#[case("2 + 3 * 4", 14.0)]
#[case("( 2 + 3 ) * 4", 20.0)]
#[case("queue > 50 ? rps / 100 : 1", 4.5)]
#[case("queue >= 60 && !(rps < 400) ? 1 : 2", 1.0)]
#[case("queue != 60 || rps == 450 ? 1 : 2", 1.0)]
#[case("zero > 0 ? rps / zero : 0", 0.0)]
// A signal may be named like a function, or begin like one.
#[case("max_load + max (1,\n 2)", 5.0)]
// An infinity that a bound takes care of is one no more.
#[case("min(rps / zero, 9)", 9.0)]
fn a_formula_has_a_value(#[case] text: &str, #[case] expect: f64) {
    assert_eq!(value(text), Ok(finite(expect)), "{text}");
    assert_eq!(parse(text).unwrap().text(), text);
}

#[test]
fn a_formula_knows_its_signals() {
    let formula = parse("max(rps, queue) + rps").unwrap();
    assert_eq!(
        formula.signals().iter().map(String::as_str).collect::<Vec<_>>(),
        ["queue", "rps"]
    );
    assert!(parse("1 + 2").unwrap().signals().is_empty());
    assert_eq!(parse("rps").unwrap(), parse("rps").unwrap());
    assert_ne!(parse("rps").unwrap(), parse("queue").unwrap());
    assert_eq!(format!("{formula:?}"), "Formula(\"max(rps, queue) + rps\")");
}

#[rstest]
#[case("", "a value is missing at the end")]
#[case("   ", "a value is missing at the end")]
#[case("rps +", "a value is missing at the end")]
#[case("* rps", "a value is missing before *")]
#[case("rps + / 2", "a value is missing before /")]
#[case("(rps", "a ) is missing at the end")]
#[case("rps)", "a ) closes nothing")]
#[case("()", "a value is missing before )")]
#[case("(rps + )", "a value is missing before )")]
#[case("rps queue", "an operator is missing before queue")]
#[case("rps 2", "an operator is missing before 2")]
#[case("2 (3)", "an operator is missing before (")]
#[case("rps, queue", "a comma stands outside of a function")]
#[case("(rps, queue)", "a comma stands outside of a function")]
#[case("max(rps,)", "a value is missing before )")]
#[case("max(,rps)", "a value is missing before a comma")]
#[case("max()", "max takes at least 1, and 0 are given")]
#[case("clamp(rps, 1)", "clamp takes 3, and 2 are given")]
#[case("abs(rps, 1)", "abs takes 1, and 2 are given")]
#[case("5m", "5m is no number")]
#[case("1u", "1u is no number")]
#[case("0x10", "0x10 is no number")]
#[case("1.", "1. is no number")]
#[case("1.2.3", "1.2.3 is no number")]
#[case("1e", "1e is no number")]
#[case(".", ". is no number")]
#[case("rps % 2", "% is not defined")]
#[case("rps = 2", "write ==")]
#[case("rps // 2", "a value is missing before /")]
#[case("rps == == 2", "a value is missing before ==")]
#[case("'a'", "has no meaning in a formula")]
#[case("[1, 2][0]", "has no meaning in a formula")]
#[case("{1: 2}", "has no meaning in a formula")]
#[case("rps.size()", "an operator is missing before .size")]
#[case("[rps].map(x, x)", "has no meaning")]
#[case("rps ? 1", "")]
#[case("rps : 1", "")]
#[case("rps ~ 1", "'~' has no meaning")]
#[case("\u{1f600}", "has no meaning")]
fn what_is_no_formula_says_why(#[case] text: &str, #[case] part: &str) {
    let error = parse(text).unwrap_err();
    assert!(matches!(error, FormulaError::Syntax(_)), "{text}: {error:?}");
    let message = error.to_string();
    assert!(
        message.contains(part) && message.contains("write for example"),
        "{text}: {message}"
    );
}

#[rstest]
#[case("load", "load")]
#[case("rps + max", "max")]
#[case("true ? 1 : 2", "true")]
#[case("rps in queue", "in")]
#[case("size(rps)", "size()")]
#[case("double(rps)", "double()")]
#[case("has(rps)", "has()")]
#[case("r\u{e9}s", "r\u{e9}s")]
fn what_is_unknown_is_named(#[case] text: &str, #[case] name: &str) {
    // `in` stands where an operator belongs.
    match parse(text).unwrap_err() {
        FormulaError::Unknown(unknown) => assert_eq!(unknown, name),
        FormulaError::Syntax(message) => assert!(message.contains(name), "{message}"),
        other => panic!("{text}: {other:?}"),
    }
}

#[rstest]
// Said at once, without any data.
#[case("rps > 1", "gives false, which is no number")]
#[case("rps + (queue > 1)", "a condition and a number are mixed")]
#[case("rps && queue ? 1 : 2", "a condition and a number are mixed")]
#[case("!rps", "a condition and a number are mixed")]
#[case("rps ? 1 : 2", "a condition and a number are mixed")]
#[case("max(rps > 1, 2)", "max: it takes numbers, and a condition is none")]
#[case("abs(rps > 1)", "a condition and a number are mixed")]
fn conditions_are_no_numbers(#[case] text: &str, #[case] part: &str) {
    let message = parse(text).unwrap_err().to_string();
    assert!(message.contains(part), "{text}: {message}");
}

#[rstest]
#[case("rps / zero", "inf")]
#[case("-rps / zero", "-inf")]
#[case("zero / zero", "NaN")]
// No number hides that one of them is none.
#[case("max(zero / zero, 5)", "NaN")]
#[case("max(5, zero / zero, 6)", "NaN")]
#[case("min(5, zero / zero)", "NaN")]
#[case("clamp(zero / zero, 1, 2)", "NaN")]
#[case("clamp(1, zero / zero, 2)", "NaN")]
#[case("1e308 * 10", "inf")]
fn what_is_not_finite_is_no_number(#[case] text: &str, #[case] what: &str) {
    let error = value(text).unwrap_err();
    assert_eq!(error, FormulaError::NotFinite(what.to_owned()), "{text}");
    assert!(error.to_string().contains("guard divisions"));
}

#[test]
fn a_signal_without_a_number_is_an_error() {
    let formula = parse("rps + queue").unwrap();
    let error = formula.value(&BTreeMap::from([("rps", finite(1.0))])).unwrap_err();
    assert!(
        matches!(&error, FormulaError::Evaluation(what) if what.contains("queue")),
        "{error:?}"
    );
}

/// Parses and computes on a stack as small as that of a worker of the controller.
fn on_a_small_stack(text: String) -> Result<Finite, FormulaError> {
    let run = move || value(&text);
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap()
}

#[test]
fn no_text_exhausts_the_stack() {
    let repeated = |part: &str| part.repeat(1024 / part.len());
    for part in [
        "(",
        ")",
        "[",
        "{",
        "-",
        "!",
        "!-",
        "rps?",
        "rps>1?rps:",
        "rps+",
        "max(",
        "abs(",
        ",",
        "rps.",
        "rps ",
        "1",
        ".",
        "\"",
        "'",
        "?",
        ":",
        "rps>1?(",
        "-(",
        "!(",
        "rps*(",
        "\n",
        "a",
        "%",
        "\\",
        "/*",
        "//",
        "&&",
        "rps&&",
    ] {
        let error = on_a_small_stack(repeated(part)).unwrap_err();
        assert!(!error.to_string().is_empty(), "{part}");
        // And closed, where that makes it whole.
        let _ = on_a_small_stack(repeated(part) + "rps");
    }
    let nested = |open: &str, depth: usize, close: &str| open.repeat(depth) + "1" + &close.repeat(depth);
    for (open, close) in [("(", ")"), ("abs(", ")"), ("-(", ")"), ("rps>1?(", "):1"), ("1+(", ")")] {
        assert!(on_a_small_stack(nested(open, 32, close)).is_ok(), "{open}");
        assert_eq!(
            on_a_small_stack(nested(open, 33, close)),
            Err(FormulaError::TooLarge),
            "{open}"
        );
    }
    for part in ["1+", "1*", "1-", "-", "rps>1?1:"] {
        let most = 128 / part.matches(['+', '*', '-', '>', '?', ':']).count();
        assert!(on_a_small_stack(part.repeat(most) + "1").is_ok(), "{part}");
        assert_eq!(
            on_a_small_stack(part.repeat(most + 1) + "1"),
            Err(FormulaError::TooLarge),
            "{part}"
        );
    }
    assert_eq!(on_a_small_stack("1".repeat(1025)), Err(FormulaError::TooLarge));
    assert_eq!(on_a_small_stack("(".repeat(1 << 20)), Err(FormulaError::TooLarge));
}
