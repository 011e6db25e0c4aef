//! The report as it is read.

use crate::build::ascii;
use flyball_controller::cli::{
    doctor::{
        Diagnosis,
        finding::{Finding, Mark, Section, Tally},
    },
    output::{Output, written},
};
use serde_json::{Value, json};

#[test]
fn a_report_is_read_line_by_line() {
    let section = Section {
        title: "Sources".to_owned(),
        findings: vec![
            Finding::ok("prometheus", "answers from here"),
            Finding::message(
                Mark::Fail,
                "mimir",
                "no answer\u{1b}; look at it: kubectl get metricsource mimir -o yaml, all of it",
            ),
            Finding::new(Mark::Warn, "thanos", "one", "the same"),
            Finding::new(Mark::Warn, "thanos", "two", "the same"),
        ],
    };
    assert_eq!(
        section.draw(ascii(None), false),
        "\
Sources
  ok    prometheus  answers from here
  FAIL  mimir       no answer\\u{1b}
                    -> look at it: kubectl get metricsource mimir -o yaml, all of it
  warn  thanos      one
  warn  thanos      two
                    -> the same

"
    );
    assert_eq!(
        section.draw(ascii(Some(50)), true),
        "\
Sources
  FAIL  mimir   no answer\\u{1b}
                -> look at it:
          kubectl get metricsource mimir -o yaml, all of it
  warn  thanos  one
  warn  thanos  two
                -> the same

",
        "quiet leaves out what is well, and a command is not broken"
    );
    let mut tally = Tally::default();
    tally.add(&section);
    assert_eq!(
        (tally.line().as_str(), tally.exit_code()),
        ("1 ok, 2 warnings, 1 failed, 0 skipped", 1)
    );
    let well = Section {
        title: "x".to_owned(),
        findings: vec![Finding::ok("a", "b")],
    };
    assert_eq!(well.draw(ascii(None), true), "");
    let mut tally = Tally::default();
    tally.add(&well);
    assert_eq!(tally.exit_code(), 0);
}

#[test]
fn lines_to_be_copied_stand_below_their_finding() {
    let warn =
        |said: &str| Finding::new(Mark::Warn, "GitOps", said, "add").with(["spec:".to_owned(), "  a: b".to_owned()]);
    let section = Section {
        title: "Policy".to_owned(),
        findings: vec![warn("one"), warn("two")],
    };
    assert_eq!(
        section.draw(ascii(Some(40)), false),
        "\
Policy
  warn  GitOps  one
                -> add
          spec:
            a: b
  warn  GitOps  two
                -> add
          spec:
            a: b

"
    );
}

#[test]
fn programs_get_an_object() {
    let sections = [Section {
        title: "Sources".to_owned(),
        findings: vec![
            Finding::ok("prometheus", "answers from here"),
            Finding::new(Mark::Fail, "mimir", "no answer\u{1b}[2J", "look at it").with(["spec: {}".to_owned()]),
        ],
    }];
    let mut summary = Tally::default();
    summary.add(&sections[0]);
    let diagnosis = Diagnosis {
        sections: &sections,
        summary,
    };
    let expect = json!({
        "sections": [{"title": "Sources", "findings": [
            {"mark": "Ok", "subject": "prometheus", "said": "answers from here"},
            {"mark": "Fail", "subject": "mimir", "said": "no answer\u{1b}[2J", "wayOut": "look at it", "snippet": ["spec: {}"]},
        ]}],
        "summary": {"ok": 1, "warnings": 0, "failed": 1, "skipped": 0},
    });
    for output in [Output::Json, Output::Yaml] {
        let text = written(&diagnosis, output, true);
        // What a terminal would obey is escaped by the format itself.
        assert!(!text.contains('\u{1b}'), "{text:?}");
        let read: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(read, expect);
    }
}
