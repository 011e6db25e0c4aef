//! What stands in a file and not in the cluster: MetricSources for a controller that may not read them from there, and EventReceivers.

use super::{load, run};
use flyball_crds::{EventReceiver, MetricSource};
use kube::{Resource, ResourceExt};
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::BTreeSet, io, path::Path};

/// Why the objects of a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file can't be read.
    #[error("{0} {1}")]
    Unread(String, String),
    /// It has mistakes.
    #[error("{flag} can't be used; correct the file and start again:\n{report}")]
    Wrong {
        /// What names the file.
        flag: &'static str,
        /// Its mistakes.
        report: String,
    },
    /// The report of its mistakes could not be made.
    #[error(transparent)]
    Check(#[from] super::CheckError),
    /// Two have one name.
    #[error("{file}: there are two of {kind} {name}; rename one of the two")]
    Twice {
        /// The file.
        file: String,
        /// The kind.
        kind: String,
        /// The name.
        name: String,
    },
    /// It holds none.
    #[error("{file} holds no {kind}; add one, or leave out {flag}")]
    None {
        /// The file.
        file: String,
        /// The kind.
        kind: String,
        /// What names the file.
        flag: &'static str,
    },
}

/// The MetricSources of a file, each as right as `flyball check` wants it. Other kinds in it are left alone.
pub fn sources(file: &Path) -> Result<Vec<MetricSource>, FileError> {
    objects(file, "--sources-file")
}

/// The EventReceivers of a file, likewise.
pub fn receivers(file: &Path) -> Result<Vec<EventReceiver>, FileError> {
    objects(file, "--receivers-file")
}

fn objects<K>(file: &Path, flag: &'static str) -> Result<Vec<K>, FileError>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let (name, kind) = (file.display().to_string(), K::kind(&()).into_owned());
    let text = load(file).map_err(|reason| FileError::Unread(name.clone(), reason))?;
    let mut report = io::Cursor::new(Vec::new());
    let summary = run(&[file.to_owned()], &mut report)?;
    if summary.errors > 0 {
        let report = String::from_utf8_lossy(report.get_ref()).into_owned();
        return Err(FileError::Wrong { flag, report });
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let wrong = |error: serde_yaml::Error| FileError::Wrong {
            flag,
            report: format!("{name}: {error}"),
        };
        let value = serde_yaml::Value::deserialize(document).map_err(wrong)?;
        if value.get("kind").and_then(|kind| kind.as_str()) != Some(&*kind) {
            continue;
        }
        let mut object: K = serde_yaml::from_value(value).map_err(wrong)?;
        // By its UID an object of the cluster is told from one of a file.
        object.meta_mut().uid = None;
        if !seen.insert(object.name_any()) {
            return Err(FileError::Twice {
                file: name,
                kind,
                name: object.name_any(),
            });
        }
        found.push(object);
    }
    if found.is_empty() {
        return Err(FileError::None { file: name, kind, flag });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn source(name: &str, url: &str) -> String {
        format!(
            "apiVersion: flyball.dev/v1alpha1\nkind: MetricSource\nmetadata: {{name: {name}, uid: x}}\nspec: {{url: '{url}'}}\n"
        )
    }

    #[test]
    fn sources_of_a_file_are_read_or_what_is_wrong_is_said() {
        let folder = std::env::temp_dir().join(format!("flyball-sources-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("sources.yaml");
        let check = |text: &str, expect: Result<&[&str], &str>| {
            fs::write(&file, text).expect("a file");
            match (sources(&file), expect) {
                (Ok(found), Ok(names)) => {
                    let found: Vec<(String, bool)> =
                        found.iter().map(|it| (it.name_any(), it.uid().is_some())).collect();
                    let names: Vec<(String, bool)> = names.iter().map(|name| ((*name).to_owned(), false)).collect();
                    assert_eq!(found, names);
                }
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        };
        let (one, two) = (source("one", "http://one:9090"), source("two", "http://two:9090"));
        check(&one, Ok(&["one"]));
        check(&format!("{one}---\n{two}"), Ok(&["one", "two"]));
        check(
            &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n---\n{two}"),
            Ok(&["two"]),
        );
        check(&format!("{one}---\n{one}"), Err("two of MetricSource one; rename"));
        check(&source("one", "ftp://one"), Err("spec.url"));
        check("kind: MetricSource\n", Err("apiVersion"));
        check(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
            Err("holds no MetricSource; add one, or leave out --sources-file"),
        );
        check("a: [", Err("correct the file"));
        fs::remove_dir_all(&folder).expect("a folder");
        assert!(matches!(sources(&file), Err(FileError::Unread(..))));
    }

    #[test]
    fn receivers_of_a_file_are_read_or_what_is_wrong_is_said() {
        let folder = std::env::temp_dir().join(format!("flyball-receivers-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("receivers.yaml");
        let receiver = |name: &str, spec: &str| {
            format!(
                "apiVersion: flyball.dev/v1alpha1\nkind: EventReceiver\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n---\n"
            )
        };
        let check = |text: &str, expect: Result<&[&str], &str>| {
            fs::write(&file, text).expect("a file");
            match (receivers(&file), expect) {
                (Ok(found), Ok(names)) => {
                    let found: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
                    assert_eq!(found, names);
                }
                (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        };
        let good = receiver(
            "shop-team",
            "url: 'https://broker/shop', bearer: {name: broker, key: token}, maxPerMinute: 60",
        );
        let other = receiver(
            "bank",
            "url: 'http://broker', allowedNamespaces: {from: Names, names: [bank]}",
        );
        check(&format!("{good}{other}"), Ok(&["shop-team", "bank"]));
        check(&format!("{good}{good}"), Err("two of EventReceiver shop-team; rename"));
        check(
            &source("one", "http://one"),
            Err("holds no EventReceiver; add one, or leave out --receivers-file"),
        );
        check(&receiver("a", "url: 'http://user:secret@broker'"), Err("spec.url"));
        check(
            &receiver("a", "url: 'http://broker', maxPerMinute: 0"),
            Err("spec.maxPerMinute"),
        );
        check(
            &receiver("a", "url: 'http://broker', token: x"),
            Err("spec.token: unknown field"),
        );
        check(&receiver("a", "bearer: {name: a, key: b}"), Err("spec.url"));
        fs::remove_dir_all(&folder).expect("a folder");
    }
}
