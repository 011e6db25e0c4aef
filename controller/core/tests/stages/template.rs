use crate::build::labels;
use flyball_core::evaluate::{TemplateError, expand, parse};
use rstest::rstest;

/// Expands for a series with `job="web"` and `owner="été"`.
fn check(text: &str, value: f64, expect: &str) {
    let series = labels(&[
        ("__name__", "latency"),
        ("job", "web"),
        ("owner", "été_x"),
        ("_1", "one"),
    ]);
    let template = parse(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(expand(&template, &series, value), expect, "{text}");
    assert_eq!(template.source(), text);
}

#[test]
fn values_and_labels_are_put_in() {
    check("", 0.5, "");
    check("plain text } }} {", 0.5, "plain text } }} {");
    check("{{ $value }}", 0.5, "0.5");
    check(
        "{{$value}}/{{.Value}}/{{   .Value\t}}/{{\n$value\n}}",
        0.5,
        "0.5/0.5/0.5/0.5",
    );
    check(
        "{{ $labels.job }} {{ .Labels.job }} {{ $labels._1 }}",
        0.5,
        "web web one",
    );
    check("{{ $labels.__name__ }}", 0.5, "latency");
    check("<{{ $labels.absent }}>", 0.5, "<>");
    check("{{ \"a\\\"}}b\" }}{{ `c\\n` }}", 0.5, "a\"}}bc\\n");
    check("a \n {{- $value -}} \t b", 0.5, "a0.5b");
    check("a {{- $value }} {{ $value -}} b", 0.5, "a0.5 0.5b");
}

// What Go's fmt prints for %v.
#[rstest]
#[case(0.0, "0")]
#[case(-0.0, "-0")]
#[case(1.0, "1")]
#[case(0.1 + 0.2, "0.30000000000000004")]
#[case(100_000.0, "100000")]
#[case(999_999.5, "999999.5")]
#[case(1_000_000.0, "1e+06")]
#[case(123_456_789.0, "1.23456789e+08")]
#[case(1e21, "1e+21")]
#[case(0.0001, "0.0001")]
#[case(0.000_015, "1.5e-05")]
#[case(5e-324, "5e-324")]
#[case(f64::MAX, "1.7976931348623157e+308")]
#[case(f64::INFINITY, "+Inf")]
#[case(f64::NEG_INFINITY, "-Inf")]
#[case(f64::NAN, "NaN")]
fn values_print_as_in_go(#[case] value: f64, #[case] expect: &str) {
    check("{{ $value }}", value, expect);
}

#[rstest]
// Prometheus' own tests of its template functions.
#[case("humanize", &[(0.0, "0"), (1.0, "1"), (1_234_567.0, "1.235M"), (0.12, "120m"), (-1.0, "-1")])]
#[case("humanize", &[(9_223_372_036_854_775_807.0, "9.223E"), (f64::INFINITY, "+Inf"), (f64::NAN, "NaN")])]
#[case("humanize1024", &[(0.0, "0"), (1.0, "1"), (1_048_576.0, "1Mi"), (0.12, "0.12"), (1_234_567.0, "1.177Mi")])]
#[case("humanizeDuration", &[(0.0, "0s"), (1.0, "1s"), (60.0, "1m 0s"), (3600.0, "1h 0m 0s")])]
#[case("humanizeDuration", &[(90_000.0, "1d 1h 0m 0s"), (-183_845.0, "-2d 3h 4m 5s"), (899.99, "14m 59s")])]
#[case("humanizeDuration", &[(0.1, "100ms"), (0.0001, "100us"), (0.12345, "123.5ms"), (60.5, "1m 0s")])]
#[case("humanizeDuration", &[(1.2345, "1.234s"), (12.345, "12.35s"), (f64::NEG_INFINITY, "-Inf")])]
#[case("humanizePercentage", &[(-0.22222, "-22.22%"), (0.0, "0%"), (0.123_456_7, "12.35%"), (1.23456, "123.5%")])]
#[case("humanizePercentage", &[(1_234_567.0, "1.235e+08%")])]
// Go's fmt.
#[case("printf \"%.2f\"", &[(0.5, "0.50"), (1e6, "1000000.00"), (f64::INFINITY, "+Inf"), (2.25, "2.25")])]
#[case("printf \"%.1f\"", &[(2.25, "2.2"), (0.25, "0.2"), (0.35, "0.3")])]
#[case("printf \"%.0f|%f|%e|%g|%v|%.3g\"", &[])]
#[case("printf \"%8.2f|\"", &[(3.25, "    3.25|"), (-3.25, "   -3.25|")])]
#[case("printf \"%-8.2f|\"", &[(3.25, "3.25    |")])]
#[case("printf \"%08.2f|\"", &[(-3.25, "-0003.25|"), (f64::INFINITY, "    +Inf|")])]
#[case("printf \"%+.1f\"", &[(3.25, "+3.2"), (-3.25, "-3.2"), (f64::NAN, "+NaN")])]
#[case("printf \"%e\"", &[(1.0, "1.000000e+00"), (123_456_789.0, "1.234568e+08")])]
#[case("printf \"%.3g\"", &[(1234.0, "1.23e+03"), (100.0, "100"), (0.000_123_45, "0.000123")])]
#[case("printf \"%v is 100%%\"", &[(0.5, "0.5 is 100%")])]
fn numbers_are_formatted_as_in_go(#[case] function: &str, #[case] cases: &[(f64, &str)]) {
    for (value, expect) in cases {
        check(&format!("{{{{ {function} $value }}}}"), *value, expect);
        check(&format!("{{{{ $value | {function} }}}}"), *value, expect);
    }
}

#[test]
fn texts_are_formatted_as_in_go() {
    check(
        "{{ $labels.job | toUpper }} {{ toLower \"ABC\" }} {{ $labels.owner|toUpper }}",
        0.0,
        "WEB abc ÉTÉ_X",
    );
    check(
        "{{ title \"aa bb CC\" }} {{ $labels.owner | title }}",
        0.0,
        "Aa Bb CC Été_x",
    );
    check(
        "{{ title \"a-b it's foo.bar 1st a..b _x y,z\" }}",
        0.0,
        "A-B It's Foo.bar 1St A..B _X Y,Z",
    );
    check(
        "{{ printf \"%s|%5s|%-5s|%.2s\" $labels.job \"ab\" \"cd\" $labels.owner }}",
        0.0,
        "web|   ab|cd   |ét",
    );
    check("{{ printf \"%s: %.1f\\n\" $labels.job $value }}", 0.5, "web: 0.5\n");
    check("{{ $labels.job | printf \"%v %s\" $value }}", 0.5, "0.5 web");
    check(
        "{{ $value | humanizePercentage | toUpper | printf \"<%s>\" }}",
        1e9,
        "<1E+11%>",
    );
}

/// The text is refused, and the error names the placeholder and contains each part.
fn refused(text: &str, placeholder: &str, parts: &[&str]) {
    let error = match parse(text) {
        Ok(template) => panic!("{text} was accepted as {template:?}"),
        Err(error) => error.to_string(),
    };
    assert!(error.starts_with(&format!("{placeholder:?}")), "{text}: {error}");
    for part in parts {
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    refused("a {{ $value", "{{ $value", &["not closed"]);
    refused("{{ \"a }} b", "{{ \"a }}", &["not closed"]);
    refused("{{ `a }} b", "{{ `a }}", &["not closed"]);
    refused("{{ }} x", "{{ }}", &["lacks an operand"]);
    refused("{{ $value | }}", "{{ $value | }}", &["lacks an operand"]);
    refused("{{ | humanize }}", "{{ | humanize }}", &["lacks an operand"]);
    refused("{{ humanize }}", "{{ humanize }}", &["lacks an operand"]);
    refused(
        "ok {{ $value }} {{ range query \"up\" }}",
        "{{ range query \"up\" }}",
        &["\"range\"", "$labels.<name>"],
    );
    refused("{{ if gt $value 1.0 }}", "{{ if gt $value 1.0 }}", &["\"if\""]);
    refused("{{ end }}", "{{ end }}", &["\"end\"", "humanize"]);
    refused(
        "{{ $externalLabels.x }}",
        "{{ $externalLabels.x }}",
        &["\"$externalLabels.x\""],
    );
    refused("{{ $labels }}", "{{ $labels }}", &["\"$labels\""]);
    refused("{{ $labels.a.b }}", "{{ $labels.a.b }}", &["\"$labels.a.b\""]);
    refused("{{ $labels.1a }}", "{{ $labels.1a }}", &["\"$labels.1a\""]);
    refused("{{ $labels.a-b }}", "{{ $labels.a-b }}", &["\"-\""]);
    refused("{{ (humanize $value) }}", "{{ (humanize $value) }}", &["\"(\""]);
    refused("{{ .Value .Value }}", "{{ .Value .Value }}", &["one too many"]);
    refused(
        "{{ humanize $value $value }}",
        "{{ humanize $value $value }}",
        &["one too many"],
    );
    refused(
        "{{ $labels.job | humanize }}",
        "{{ $labels.job | humanize }}",
        &["humanize takes the number $value"],
    );
    refused(
        "{{ $value | humanize | humanize }}",
        "{{ $value | humanize | humanize }}",
        &["takes the number"],
    );
    refused(
        "{{ $value | title }}",
        "{{ $value | title }}",
        &["title takes a text", "printf"],
    );
    refused("{{ \"\\q\" }}", "{{ \"\\q\" }}", &["escape"]);
    refused("{{ $value", "{{ $value", &["}}"]);
}

#[test]
fn formats_fit_their_operands() {
    let printf = |rest: &str, parts: &[&str]| {
        let text = format!("{{{{ printf {rest} }}}}");
        refused(&text, &text, parts);
    };
    // Go would print %!d(float64=0.5).
    printf("\"%d\" $value", &["\"%d\"", "%.0f"]);
    printf("\"%s\" $value", &["\"%s\"", "%.2f"]);
    printf("\"%.2f\" $labels.job", &["\"%.2f\"", "%s"]);
    printf("\"%+s\" $labels.job", &["\"%+s\""]);
    printf("\"%q\" $labels.job", &["\"%q\""]);
    printf("\"%.2f %.2f\" $value", &["has no operand"]);
    printf("\"%.2f\" $value $value", &["one too many"]);
    printf("\"100%\" $value", &["\"%\""]);
    printf("\"%999f\" $value", &["100"]);
    printf("\"%.999f\" $value", &["100"]);
    printf("$labels.job", &["lacks its format"]);
    printf("", &["lacks its format"]);
}

#[test]
fn errors_stay_short() {
    let long = format!("{{{{ {} }}}}", "x".repeat(10_000));
    let error = parse(&long).unwrap_err();
    assert!(matches!(error, TemplateError::Unknown { .. }));
    assert!(error.to_string().len() < 500, "{error}");
}

#[test]
fn the_labels_used_are_known() {
    let text = "{{ $labels.b }} {{ .Labels.a | toUpper }} {{ printf \"%s %v\" $labels.c $value }} {{ $labels.b }}";
    let template = parse(text).unwrap();
    assert_eq!(template.labels_used().into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
}
