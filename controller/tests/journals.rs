//! What each version wrote of a Change is read by this one, and what a later one will write is read or refused, never misread.
//! The files are what real controllers had written when they were killed: `make keep-journals`.

#![allow(clippy::unwrap_used, clippy::panic)]

use flyball_controller::{
    apply::{Field, journal_of},
    validate::comparison_of_change,
};
use flyball_core::{
    policy::{PodState, Replicas, Setting, Weights},
    transaction::Places,
};
use flyball_crds::{Change, ChangeField};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// The journals of a version, by the names of their files.
fn kept(version: &str) -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/journals")
        .join(version);
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_yaml::from_str(&fs::read_to_string(&path).unwrap()).unwrap())
        })
        .collect()
}

/// Phase, sequence and move, as the transaction takes them up again.
fn taken_up(journal: &Value) -> Result<String, String> {
    let change: Change = serde_json::from_value(journal.clone()).map_err(|error| error.to_string())?;
    if let Some(frozen) = &change.spec.verification {
        drop(comparison_of_change(frozen).map_err(|errors| format!("{errors:?}"))?);
    }
    match change.spec.field {
        ChangeField::Replicas => of::<Replicas>(&change),
        ChangeField::Weights => of::<Places<Weights>>(&change),
        ChangeField::Runtime => of::<Setting>(&change),
        ChangeField::Pod => of::<PodState>(&change),
    }
}

fn of<V: Field>(change: &Change) -> Result<String, String> {
    let journal = journal_of::<V>(change).map_err(|error| error.to_string())?;
    let back = journal.rollback_to.as_ref().map(|to| format!(", back to {to}"));
    Ok(format!(
        "{:?} {}: {} -> {}{}",
        journal.phase,
        journal.sequence,
        journal.before,
        journal.after,
        back.unwrap_or_default()
    ))
}

#[track_caller]
fn check(version: &str, expect: &[(&str, &str)]) {
    let read: BTreeMap<String, String> = kept(version)
        .iter()
        .map(|(name, journal)| {
            (
                name.clone(),
                taken_up(journal).unwrap_or_else(|error| panic!("{name}: {error}")),
            )
        })
        .collect();
    let expect: BTreeMap<String, String> = expect
        .iter()
        .map(|(name, said)| ((*name).to_owned(), (*said).to_owned()))
        .collect();
    assert_eq!(read, expect);
}

#[test]
fn journals_of_0_1_are_taken_up() {
    // By hand from the files. A Change without a status ("Unsaid") is about to be written; one with the number 0 is a record.
    check(
        "0.1",
        &[
            ("pod-Committed", "Closed(Committed) 1: the pod -> the eviction"),
            ("pod-Unsaid", "Applying 1: the pod -> the eviction"),
            ("pod-Verifying", "Verifying 1: the pod -> the eviction"),
            ("replicas-Committed", "Closed(Committed) 1: 2 -> 3"),
            ("replicas-RolledBack", "Closed(RolledBack) 1: 2 -> 3, back to 2"),
            ("replicas-RollingBack", "RollingBack 1: 2 -> 3, back to 2"),
            ("replicas-Unsaid", "Applying 1: 2 -> 3"),
            ("replicas-Verifying", "Verifying 1: 2 -> 3"),
            ("runtime-Applying", "Applying 1: boot -> gogc=100"),
            ("runtime-Refused", "Closed(Superseded(Newer)) 0: boot -> gogc=100"),
            (
                "runtime-RolledBack",
                "Closed(RolledBack) 1: boot -> gogc=100, back to boot",
            ),
            ("runtime-RollingBack", "RollingBack 1: boot -> gogc=100, back to boot"),
            ("runtime-Unsaid", "Applying 1: boot -> gogc=100"),
            ("runtime-Verifying", "Verifying 1: boot -> gogc=100"),
            (
                "weights-Committed",
                "Closed(Committed) 1: a 500, b 250, c 250 -> a 600, b 100, c 300",
            ),
            (
                "weights-RolledBack",
                "Closed(RolledBack) 1: a 500, b 250, c 250 -> a 600, b 100, c 300, back to a 500, b 250, c 250",
            ),
            (
                "weights-RollingBack",
                "RollingBack 1: a 500, b 250, c 250 -> a 600, b 100, c 300, back to a 500, b 250, c 250",
            ),
            (
                "weights-Unsaid",
                "Applying 1: a 500, b 250, c 250 -> a 600, b 100, c 300",
            ),
            (
                "weights-Verifying",
                "Verifying 1: a 500, b 250, c 250 -> a 600, b 100, c 300",
            ),
        ],
    );
}

/// A field in each object that no version has yet. Maps of labels and annotations have no fields.
fn later(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if !["labels", "annotations", "metadata"].contains(&name.as_str()) {
                    later(field);
                }
            }
            fields.insert("ofALaterVersion".to_owned(), json!({"value": [1, "two"]}));
        }
        Value::Array(items) => items.iter_mut().for_each(later),
        _ => {}
    }
}

#[test]
fn a_field_of_a_later_version_is_passed_over() {
    for (name, journal) in kept("0.1") {
        let mut written = journal.clone();
        later(&mut written["spec"]);
        later(&mut written["status"]);
        assert_eq!(taken_up(&written), taken_up(&journal), "{name}");
    }
}

/// Each word by which a transaction goes on. One that is not known must not become another one.
#[test]
fn a_word_of_a_later_version_is_refused_by_name() {
    let refused = |path: &str| {
        for (name, journal) in kept("0.1") {
            let mut written = journal.clone();
            let Some(word) = written.pointer_mut(path).filter(|word| word.is_string()) else {
                continue;
            };
            *word = json!("Tomorrow");
            let error = taken_up(&written).expect_err(&name);
            assert!(error.contains("Tomorrow"), "{name}: {path}: {error}");
        }
    };
    for path in [
        "/status/phase",
        "/spec/field",
        "/spec/direction",
        "/spec/mode",
        "/spec/verification/onInconclusive",
    ] {
        refused(path);
    }
}
