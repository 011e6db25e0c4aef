//! Evidence on the page of a policy.

use crate::build::{ago, ascii, change, now, policy};
use flyball_controller::cli::{
    explain::{Facts, page},
    fetch::Controller,
};
use flyball_core::time::Span;
use flyball_crds::Change;
use serde_json::{Value, json};

fn shown(more: Value, changes: Vec<Change>) -> String {
    let facts = Facts {
        policy: policy(more),
        changes,
        controller: Controller::Leads {
            holder: "flyball-7d_1".to_owned(),
            renewed: Span::from_secs(3),
        },
        lease: "flyball-system/flyball".to_owned(),
        route: None,
        now: now(),
    };
    page(&facts, ascii(Some(80)))
}

fn file(kind: &str, when: &str, seconds: i64, location: &str, open: &str) -> Value {
    json!({"kind": kind, "pod": "web-1", "when": when, "at": ago(seconds), "location": location, "bytes": 4096, "open": open})
}

#[test]
fn what_was_taken_is_listed_with_the_command_that_opens_it() {
    let newer = file("GoHeap", "Alert", 40, "/e/b.pb.gz", "go tool pprof -http=: /e/b.pb.gz");
    let older = file("GoTrace", "Alert", 50, "/e/a.trace", "go tool trace /e/a.trace");
    let known = json!({"message": "GoCPU of web-1 broke off", "files": [newer, older]});
    let page = shown(
        json!({"status": {"actions": [{"name": "evidence", "capture": known}]}}),
        vec![],
    );
    let expect = "\
Action evidence
  Evidence    GoCPU of web-1 broke off
  Captured    GoTrace of web-1, 03:03:15Z (50s ago), 4096 bytes:
      go tool trace /e/a.trace
  Captured    GoHeap of web-1, 03:03:25Z (40s ago), 4096 bytes:
      go tool pprof -http=: /e/b.pb.gz
";
    assert!(page.contains(expect), "{page}");
}

#[test]
fn a_pair_is_listed_with_the_command_that_compares_it() {
    let check = |files: Value, expect: &[&str], not: &str| {
        let status = json!({"status": {"phase": "Committed", "closedAt": ago(30), "captures": files}});
        let page = shown(json!({}), vec![change(2, 2, 3, status)]);
        for line in expect {
            assert!(page.contains(line), "{line}\n{page}");
        }
        assert!(not.is_empty() || !page.contains(not), "{page}");
    };
    let here = |kind: &str, when: &str, at: i64, name: &str| {
        file(kind, when, at, &format!("/e/{name}"), &format!("open {name}"))
    };
    check(
        json!([here("GoHeap", "Before", 90, "a"), here("GoHeap", "After", 20, "b")]),
        &[
            "GoHeap of web-1, before, ",
            "GoHeap of web-1, after, ",
            "      go tool pprof -http=: -diff_base /e/a /e/b\n",
        ],
        "",
    );
    // In a bucket: what was copied beside one another.
    let there =
        |when: &str, at: i64, name: &str| file("GoCPU", when, at, &format!("s3://bucket/x/{name}"), "aws s3 cp");
    check(
        json!([there("Before", 90, "a"), there("After", 20, "b")]),
        &["      go tool pprof -http=: -diff_base a b\n"],
        "",
    );
    // Nothing to compare with, or nothing that compares it.
    check(json!([here("GoHeap", "After", 20, "b")]), &["after"], "Compare");
    check(
        json!([here("GoTrace", "Before", 90, "a"), here("GoTrace", "After", 20, "b")]),
        &["before"],
        "Compare",
    );
}
