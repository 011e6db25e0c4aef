//! MetricSources of a file, for a controller that may not read them from the cluster.

use super::{load, run};
use flyball_crds::MetricSource;
use kube::{Resource, ResourceExt};
use serde::Deserialize;
use std::{collections::BTreeSet, io, path::Path};

/// Why the sources of a file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// The file can't be read.
    #[error("{0} {1}")]
    Unread(String, String),
    /// It has mistakes.
    #[error("the sources can't be used; correct them and start again:\n{0}")]
    Wrong(String),
    /// The report of its mistakes could not be made.
    #[error(transparent)]
    Check(#[from] super::CheckError),
    /// Two have one name.
    #[error("{file}: there are two MetricSources {name}; rename one of the two")]
    Twice {
        /// The file.
        file: String,
        /// The name.
        name: String,
    },
    /// It holds no source.
    #[error("{0} holds no MetricSource; add one, or leave out --sources-file")]
    None(String),
}

/// The MetricSources of a file, each as right as `flyball check` wants it. Other kinds in it are left alone.
pub fn sources(file: &Path) -> Result<Vec<MetricSource>, SourcesError> {
    let name = file.display().to_string();
    let text = load(file).map_err(|reason| SourcesError::Unread(name.clone(), reason))?;
    let mut report = io::Cursor::new(Vec::new());
    let summary = run(&[file.to_owned()], &mut report)?;
    if summary.errors > 0 {
        return Err(SourcesError::Wrong(
            String::from_utf8_lossy(report.get_ref()).into_owned(),
        ));
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let wrong = |error: serde_yaml::Error| SourcesError::Wrong(format!("{name}: {error}"));
        let value = serde_yaml::Value::deserialize(document).map_err(wrong)?;
        if value.get("kind").and_then(|kind| kind.as_str()) != Some(&*MetricSource::kind(&())) {
            continue;
        }
        let mut source: MetricSource = serde_yaml::from_value(value).map_err(wrong)?;
        // By its UID an object of the cluster is told from one of a file.
        source.meta_mut().uid = None;
        if !seen.insert(source.name_any()) {
            return Err(SourcesError::Twice {
                file: name,
                name: source.name_any(),
            });
        }
        found.push(source);
    }
    if found.is_empty() {
        return Err(SourcesError::None(name));
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
        check(&format!("{one}---\n{one}"), Err("two MetricSources one; rename"));
        check(&source("one", "ftp://one"), Err("spec.url"));
        check("kind: MetricSource\n", Err("apiVersion"));
        check(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
            Err("holds no MetricSource"),
        );
        check("a: [", Err("correct them"));
        fs::remove_dir_all(&folder).expect("a folder");
        assert!(matches!(sources(&file), Err(SourcesError::Unread(..))));
    }
}
