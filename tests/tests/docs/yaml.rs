//! Its YAML: every block is read as the controller reads it.

use flyball_controller::cli::check;
use flyball_tests::docs::{
    fragment::{Document, object},
    written::{self, Written},
};
use std::fs;

/// The very check that `flyball check` makes: the schema of the definition, then the validation that the controller uses.
#[test]
fn every_block_is_right() {
    let folder = std::env::temp_dir().join(format!("flyball-docs-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut files = Vec::new();
    for (n, Written { place, value }) in written::ours().into_iter().enumerate() {
        let file = folder.join(format!("{n}-{}.json", place.replace('/', "-")));
        fs::write(&file, serde_json::to_string_pretty(&value).unwrap()).unwrap();
        files.push(file);
    }
    let mut report = vec![];
    let summary = check::run(&files, &mut report).unwrap();
    let report = String::from_utf8(report).unwrap();
    assert_eq!(summary.errors, 0, "{report}");
    let all = summary.policies + summary.sources + summary.receivers;
    assert_eq!(all, files.len(), "{report}");
    assert!(files.len() > 15, "only {} objects were found", files.len());
    fs::remove_dir_all(folder).unwrap();
}

/// A mistake on a page must not hide behind what is filled in.
#[test]
fn a_mistake_in_a_part_is_found() {
    for (text, expect) in [
        ("rules: [{alert: A, expr: 'sum(up'}]", "expr"),
        (
            "weights: {backends: [{name: a, weight: 1}], capacity: {utilisation: u}}",
            "traffic",
        ),
        ("replicas: {min: 5, max: 2}", "min"),
    ] {
        let Document::Ours(object) = object(&serde_yaml::from_str(text).unwrap()) else {
            panic!("{text}");
        };
        let file = std::env::temp_dir().join(format!("flyball-docs-wrong-{}.json", std::process::id()));
        fs::write(&file, object.to_string()).unwrap();
        let mut report = vec![];
        let summary = check::run(std::slice::from_ref(&file), &mut report).unwrap();
        let report = String::from_utf8(report).unwrap();
        assert!(summary.errors > 0 && report.contains(expect), "{text}: {report}");
        fs::remove_file(file).unwrap();
    }
}
