//! The threat model: what it names as the test of a control is a test that there is.

use flyball_tests::docs::{self, page::is_a};
use std::{collections::BTreeSet, fs, path::PathBuf};

const PAGE: &str = "docs/security.md";

/// A test that the page names, as `file.rs: name`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    file: String,
    test: String,
}

/// Every `path/to/file.rs: name` in code on the page.
fn named(spans: &[String]) -> Vec<Named> {
    let split = spans.iter().filter_map(|text| text.split_once(": "));
    let tests = split.filter(|(file, _)| is_a(file, "rs"));
    let named = tests.map(|(file, test)| Named {
        file: file.to_owned(),
        test: test.to_owned(),
    });
    named.collect()
}

/// Whether a text of Rust has this test: the attribute and the function, which may be async.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = [format!("fn {name}("), format!("async fn {name}(")];
    lines.iter().enumerate().any(|(n, line)| {
        let attributes = lines[..n]
            .iter()
            .rev()
            .take_while(|it| it.starts_with("#[") || it.starts_with("//"));
        begins.iter().any(|begin| line.starts_with(begin.as_str()))
            && attributes
                .into_iter()
                .any(|it| it.starts_with("#[test") || it.starts_with("#[tokio::test") || it.starts_with("#[rstest"))
    })
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let page = docs::Page::read(&docs::root(), PAGE);
    let spans: Vec<String> = page.spans.iter().map(|span| span.text.clone()).collect();
    let named = named(&spans);
    assert!(named.len() > 30, "only {} tests are named", named.len());
    for Named { file, test } in named {
        let path: PathBuf = docs::root().join(&file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{PAGE}: {file}: {error}"));
        assert!(has_test(&text, &test), "{PAGE}: {file} has no test {test}");
    }
}

/// Each row has a control and at least one test, or stands among those that are not there yet.
#[test]
fn every_threat_has_a_test() {
    let text = fs::read_to_string(docs::root().join(PAGE)).unwrap();
    let (held, rest) = text.split_once("\n## Not yet\n").unwrap();
    assert!(
        rest.lines().any(|line| line.starts_with("| ")),
        "what is missing is said"
    );
    let mut threats = BTreeSet::new();
    for row in held
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| threat"))
    {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 3, "{row}");
        assert!(threats.insert(cells[0]), "twice: {row}");
        let spans: Vec<String> = cells[2].split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
        assert!(!named(&spans).is_empty(), "no test: {row}");
    }
    assert!(threats.len() >= 10, "{threats:?}");
}

#[test]
fn a_test_is_told_from_a_function() {
    let text = "#[test]\nfn one() {}\n\nfn two() {}\n\n/// Why.\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn three() {}\n";
    for (name, expect) in [("one", true), ("two", false), ("three", true), ("on", false)] {
        assert_eq!(has_test(text, name), expect, "{name}");
    }
}
