//! Reading PromQL: what is taken apart, what is refused, and that no text ends the process.

// Helpers outside #[test] may fail loudly too.
#![allow(clippy::unwrap_used, clippy::panic)]

use flyball_controller::promql::{self, Kept, MAX_BYTES, MAX_NESTING, MAX_OPERATORS, MAX_SELECTORS, PromqlError};
use flyball_core::{
    policy::{Comparator, Condition},
    time::Span,
};
use proptest::prelude::*;
use rstest::rstest;

fn error(text: &str) -> PromqlError {
    match promql::query(text) {
        Ok(query) => panic!("{text:?} was read: {query:?}"),
        Err(error) => error,
    }
}

/// Runs `check` on a stack as small as a worker thread's. An overflow aborts the whole test binary.
fn on_a_small_stack<T: Send + 'static>(check: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(check)
        .unwrap()
        .join()
        .unwrap()
}

#[test]
fn the_rule_as_people_write_it_is_a_threshold() {
    let rule = "rate(http_request_duration_seconds_sum[5m]) / rate(http_requests_total[5m]) > 0.5";
    let Condition::Threshold(threshold) = promql::condition(rule).unwrap() else {
        panic!("not a threshold")
    };
    assert_eq!(
        threshold.left.text,
        "rate(http_request_duration_seconds_sum[5m]) / rate(http_requests_total[5m])"
    );
    assert_eq!(threshold.comparator, Comparator::Greater);
    assert_eq!(threshold.right.get().to_string(), "0.5");
    assert_eq!(threshold.left.longest_range, Span::from_secs(300));
    let age = threshold.left.age.unwrap();
    assert!(
        age.starts_with("time() - min(label_replace(max(timestamp(http_request_duration_seconds_sum))"),
        "{age}"
    );
    promql::query(&age).unwrap();
}

#[rstest]
#[case("x > 0.5", "x", Comparator::Greater, 0.5)]
#[case("0.5 < x", "x", Comparator::Greater, 0.5)]
#[case("0.5 >= x", "x", Comparator::LessOrEqual, 0.5)]
#[case("((x >= -1))", "x", Comparator::GreaterOrEqual, -1.0)]
#[case("(a + b) != (2)", "(a + b)", Comparator::NotEqual, 2.0)]
#[case("a + b == 1e3", "a + b", Comparator::Equal, 1000.0)]
#[case("x > 60 * 60", "x", Comparator::Greater, 3600.0)]
#[case("2 < x < 5", "2 < x", Comparator::Less, 5.0)]
#[case("  x # > 1\n  < 2 # two", "x", Comparator::Less, 2.0)]
#[case("sum by (le) (x{a=\">\"}) > 1", "sum by (le) (x{a=\">\"})", Comparator::Greater, 1.0)]
#[case("max(x{a=~`\\d+`}) <= 1", "max(x{a=~`\\d+`})", Comparator::LessOrEqual, 1.0)]
fn comparisons_with_a_number(#[case] text: &str, #[case] left: &str, #[case] op: Comparator, #[case] right: f64) {
    let read = promql::comparison(text).unwrap();
    assert_eq!((read.left.text.as_str(), read.comparator), (left, op));
    assert!((read.right.get() - right).abs() < 1e-12, "{text}");
    assert!(matches!(promql::condition(text), Ok(Condition::Threshold(_))));
}

#[rstest]
#[case("x")]
#[case("a > b")]
#[case("x > bool 1")]
#[case("x > 1 and y > 1")]
#[case("absent(up{job=\"shop\"})")]
#[case("x > Inf")]
#[case("x > scalar(y)")]
#[case("-x")]
fn other_expressions_are_opaque_as_rules_and_refused_as_comparisons(#[case] text: &str) {
    assert!(matches!(promql::condition(text), Ok(Condition::Opaque(query)) if query.text == text));
    let refused = promql::comparison(text).unwrap_err();
    assert!(matches!(
        refused,
        PromqlError::NotAComparison(_) | PromqlError::Bool | PromqlError::NotFinite(_)
    ));
}

#[rstest]
#[case("vector(1)", None)]
#[case("time()", None)]
#[case("absent(x)", None)]
#[case("absent({job=\"a\"})", None)]
#[case("up", Some("time() - (max(timestamp(up)))"))]
#[case("up offset 5m", Some("time() - (max(timestamp(up)))"))]
#[case(
    "{__name__=\"up\",job=~\"a|b\"}",
    Some("time() - (max(timestamp({__name__=\"up\",job=~\"a|b\"})))")
)]
#[case(
    "rate(x[5m])",
    Some("time() - (max(timestamp(x)) or 0 * max(count_over_time(x[5m])) + time() - 300)")
)]
#[case(
    "max_over_time(rate(x{a=\"q\\\"\"}[5m])[1h:])",
    Some(
        "time() - (max(timestamp(x{a=\"q\\\"\"})) or 0 * max(count_over_time(x{a=\"q\\\"\"}[1h5m])) + time() - 3900)"
    )
)]
#[case(
    "b / (a + b)",
    Some(
        "time() - min(label_replace(max(timestamp(a)), \"q\", \"0\", \"\", \"\") or label_replace(max(timestamp(b)), \"q\", \"1\", \"\", \"\"))"
    )
)]
#[case(
    "{\"http.requests\"}",
    Some("time() - (max(timestamp({__name__=\"http.requests\"})))")
)]
#[case(
    "x{job=\"a\" or job=\"b\"}",
    Some("time() - (max(timestamp(x{job=\"a\" or job=\"b\"})))")
)]
fn the_age_of_the_samples_is_one_query(#[case] text: &str, #[case] age: Option<&str>) {
    let read = promql::query(text).unwrap();
    assert_eq!(read.age.as_deref(), age);
    if let Some(age) = age {
        promql::query(age).unwrap();
    }
}

#[rstest]
#[case("x", 0)]
#[case("x offset 1h", 3600)]
#[case("rate(x[5m] offset 10m) + rate(y[12m])", 900)]
#[case("max_over_time(rate(x[5m])[30m:1m] offset 1m)", 36 * 60)]
#[case("quantile_over_time(0.9, x[600])", 600)]
fn the_longest_range_counts_offsets_and_subqueries(#[case] text: &str, #[case] seconds: u64) {
    assert_eq!(
        promql::query(text).unwrap().longest_range,
        Span::from_secs(seconds),
        "{text}"
    );
}

#[rstest]
#[case("", "empty")]
#[case(" \n # nothing", "empty")]
#[case("rate(up[$__interval])", "write the value itself, for a range for example 5m")]
#[case("rate(up[$__rate_interval])", "$__rate_interval")]
#[case("up{job=\"$job\"}", "$job")]
#[case("up{job=~\"${job:regex}\"}", "${job:regex}")]
#[case("{{ .Values.query }}", "{{ .Values.query }}")]
#[case("up{job=\"{{ $labels.job }}\"}", "{{ $labels.job }}")]
#[case("$threshold < up", "column 1")]
#[case("sum(", "'(' at column 4 is never closed")]
#[case("sum(up))", "unexpected \")\" at column 8")]
#[case("up{a=\"b}", "'\"' at column 6 is never closed")]
#[case("up up", "unexpected \"up\" at column 4")]
#[case("sum(up) bye (job)", "unexpected \"bye\" at column 9")]
#[case("up +", "ends too early; something is missing after \"+\"")]
#[case("a +\n* b", "unexpected \"*\" at line 2, column 1")]
#[case("up & up", "unexpected \"&\" at column 4")]
#[case("rate(up)", "give it a range, for example [5m], at column 1")]
#[case("rate(a[5m]) + sum(rate(b))", "for example [5m], at column 19")]
#[case("1 + foo(up)", "unknown function with name 'foo'; correct the name, at column 5")]
#[case("{a=~\".*\"}", "name the metric")]
#[case("count({job=\"a\"})", "the selector `{job=\"a\"}` may match several metrics")]
#[case("{__name__=~\"a|b\"}", "name one metric in each selector, for example up{job=")]
#[case("scalar(x) > 1", "without scalar(...)")]
#[case("up[5m]", "range vector")]
#[case("\"text\"", "string")]
#[case("rate(up[31d])", "longer than 30d")]
#[case("rate(x[99999999999y])", "longer than the 365d")]
#[case("rate(x[99999999999y5m])", "longer than the 365d")]
#[case("rate(x[1e300])", "longer than 30d")]
#[case("rate(x[0s])", "duration of zero")]
#[case("rate(x[5m1h])", "is not a duration")]
#[case("x offset 91d", "longer than 90d")]
#[case("x offset -5m", "asks for the future; remove the sign")]
#[case("x @ 1609746000", "never changes its value")]
#[case("max_over_time(up[1d:1s])", "86400 points, at most 11000")]
#[case("max_over_time(up[30d:])", "43200 points")]
#[case("max_over_time(max_over_time(up[1h:10s])[1h:10s])", "129600 points")]
#[case("up{a=~\"(\\\\w{50}){50}\"}", "too large once compiled")]
fn what_is_refused_says_where_and_the_way_out(#[case] text: &str, #[case] part: &str) {
    let message = error(text).to_string();
    assert!(message.contains(part), "{text:?}: {message}");
    assert!(!message.contains('\n') && message.len() < 300, "{message}");
}

#[test]
fn dollars_and_braces_that_are_no_variables_pass() {
    for text in [
        "up{a=~\"^x$\"}",
        "up{a=~\"(a|b$)c\"}",
        "up{a=\"{{id}}\"}",
        "up{path=~\"/v1/{id}/x\"}",
        "label_replace(up, \"a\", \"$1\", \"b\", \"(.*)\")",
    ] {
        promql::query(text).unwrap();
    }
}

#[test]
fn control_and_direction_characters_are_escaped() {
    for text in [
        "up \u{1b}[31m",
        "up{a=~\"\u{202e}(\\\\w{500}){50}\"}",
        "rate(up[5m\u{7f}])",
        "up \u{202e}",
    ] {
        let message = error(text).to_string();
        assert!(
            message.chars().all(|c| !c.is_control() && c != '\u{202e}'),
            "{message:?}"
        );
    }
}

#[test]
fn the_number_of_selectors_is_bounded() {
    let all = |n: usize| (0..n).map(|i| format!("m{i}")).collect::<Vec<_>>().join(" + ");
    promql::query(&promql::query(&all(MAX_SELECTORS)).unwrap().age.unwrap()).unwrap();
    assert_eq!(
        error(&all(MAX_SELECTORS + 1)),
        PromqlError::TooManySelectors(MAX_SELECTORS + 1)
    );
}

#[test]
fn length_nesting_and_operators_are_bounded() {
    assert_eq!(error(&"x".repeat(MAX_BYTES + 1)), PromqlError::TooLong(MAX_BYTES + 1));
    assert!(matches!(error(&"-".repeat(3_900)), PromqlError::TooDeep(_)));
    assert!(matches!(error(&"(".repeat(4_000)), PromqlError::TooDeep(_)));
    assert!(matches!(error(&"abs(".repeat(1_000)), PromqlError::TooDeep(_)));
    let chain = |n: usize| format!("up{}", "+up".repeat(n));
    assert!(matches!(
        error(&chain(MAX_OPERATORS + 1)),
        PromqlError::TooManyOperators(_)
    ));
    let message = error("x offset").to_string();
    assert!(message.contains("expected duration"), "{message}");
}

/// The shapes that overflowed the parser's stack, as long as the scan lets them become.
#[rstest]
#[case("-", "up", "", MAX_NESTING)]
#[case("+", "up", "", MAX_NESTING)]
#[case("(", "up", ")", MAX_NESTING)]
#[case("abs(", "up", ")", MAX_NESTING)]
#[case("-(", "up", ")", MAX_NESTING - 1)]
#[case("1-abs(", "up", ")", MAX_NESTING)]
#[case("sum by(a)(", "up", ")", MAX_NESTING)]
#[case("max_over_time(", "up", "[1m:])", MAX_NESTING - 1)]
#[case("up+", "up", "", MAX_OPERATORS)]
#[case("up^", "up", "", MAX_OPERATORS)]
#[case("up or ", "up", "", MAX_OPERATORS)]
#[case("up>", "up", "", MAX_OPERATORS)]
#[case("1-(2+up*", "up", ")", MAX_NESTING)]
fn the_longest_chains_that_pass_are_parsed(
    #[case] before: &str,
    #[case] inner: &str,
    #[case] after: &str,
    #[case] longest: usize,
) {
    let of = |n: usize| before.repeat(n) + inner + &after.repeat(n);
    let accepted = of(longest);
    let read = on_a_small_stack(move || promql::condition(&accepted));
    assert!(read.is_ok(), "{read:?}");
    let refused = error(&of(longest + 2));
    assert!(
        matches!(refused, PromqlError::TooDeep(_) | PromqlError::TooManyOperators(_)),
        "{refused:?}"
    );
}

/// The deepest trees: every level of brackets with as many operators as are left.
#[test]
fn the_deepest_trees_that_pass_are_parsed() {
    for (before, after) in [
        ("1-(up+-up*", ")"),
        ("up^(up^-abs(", "))"),
        ("up-max_over_time((up+", ")[1m:])"),
    ] {
        let levels = (MAX_NESTING - 1) / before.matches('(').count();
        let mut text = before.repeat(levels) + "up" + &after.repeat(levels);
        assert!(promql::query(&text).is_ok(), "{:?}", promql::query(&text));
        while text.len() < MAX_BYTES - 6 {
            let longer = format!("up-{text}");
            if matches!(promql::query(&longer), Err(PromqlError::TooManyOperators(_))) {
                break;
            }
            text = longer;
        }
        let read = on_a_small_stack(move || promql::condition(&text));
        assert!(read.is_ok(), "{read:?}");
    }
}

#[test]
fn what_an_answer_can_carry() {
    let kept = |text: &str| promql::shape(text).unwrap().kept;
    let only = |labels: &[&str]| Kept::Only(labels.iter().map(ToString::to_string).collect());
    assert_eq!(kept("up"), Kept::Any);
    assert_eq!(kept("sum(up) > 1"), only(&[]));
    assert_eq!(kept("2 * sum by (job, pod) (rate(x[5m])) / 3"), only(&["job", "pod"]));
    assert_eq!(kept("sum by (job) (a) / sum by (job) (b)"), only(&["job"]));
    assert_eq!(kept("a / on (pod) b"), only(&["pod"]));
    assert!(!kept("sum without (pod) (x)").has("pod"));
    assert_eq!(kept("topk(3, x)"), Kept::Any);
    let shape = promql::shape("rate(x[5m]) / rate(y{job=\"a\"}[2m])").unwrap();
    assert_eq!(shape.unscoped, ["x"]);
    assert_eq!(shape.shortest_range, Some(Span::from_secs(120)));
}

fn fragment() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        "up",
        "x{a=\"b\"}",
        "rate(x[5m])",
        "(",
        ")",
        "[5m]",
        "[5m:1m]",
        "{",
        "}",
        "-",
        "+",
        " or ",
        " and ",
        "^",
        ">",
        " bool ",
        "==",
        "sum(",
        "sum by (a) (",
        "abs(",
        "max_over_time(",
        "1",
        "1e400",
        "0x1F",
        "Inf",
        "\"",
        "'",
        "`",
        "\\",
        ",",
        " offset ",
        "5m",
        "@",
        "#",
        "\n",
        " on (a) ",
        " group_left ",
        "label_replace(",
        "=~",
        "$__interval",
        "é",
        "::",
        "[",
        "]",
        "0.5",
        ".",
        "atan2",
        "fill(",
        "vector(",
        "time()",
        "\u{0}",
        "by",
        "without",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_text_aborts_or_panics(parts in proptest::collection::vec((fragment(), 1usize..80), 0..30)) {
        let text: String = parts.iter().map(|(part, times)| part.repeat(*times)).collect();
        on_a_small_stack(move || drop((promql::query(&text), promql::comparison(&text), promql::shape(&text))));
    }

    #[test]
    fn no_bytes_abort_or_panic(text in ".{0,200}") {
        on_a_small_stack(move || drop((promql::query(&text), promql::condition(&text))));
    }

    #[test]
    fn what_is_read_reads_back(parts in proptest::collection::vec(fragment(), 1..8)) {
        let text = parts.concat();
        if let Ok(query) = promql::query(&text) {
            prop_assert_eq!(&promql::query(&query.text).unwrap(), &query);
            if let Some(age) = &query.age {
                prop_assert!(promql::query(age).is_ok(), "{}", age);
            }
        }
        if let Ok(Condition::Threshold(threshold)) = promql::condition(&text) {
            prop_assert_eq!(&promql::query(&threshold.left.text).unwrap(), &threshold.left);
        }
    }

    #[test]
    fn label_values_survive_the_age_query(value in "\\PC{1,20}") {
        // Written raw, so that nothing in the value is an escape.
        prop_assume!(!value.contains('`') && !value.contains(['$', '{']));
        let age = promql::query(&format!("x{{a=`{value}`}}")).unwrap().age.unwrap();
        let again = promql::query(&age).unwrap().age.unwrap();
        let matcher = |query: &str| query.split("{a=").nth(1).and_then(|rest| rest.split("})").next()).map(str::to_owned);
        prop_assert_eq!(matcher(&again), matcher(&age));
    }
}
