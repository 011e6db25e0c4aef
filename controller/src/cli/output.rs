//! The form of what a reading command prints. JSON and YAML are of types of their own, one for each command; the shapes
//! are in docs/cli.md, and fields are only ever added.

use serde::Serialize;

/// The form of what is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people: a tree, a page or lines.
    #[default]
    Table,
    /// For programs, as YAML.
    Yaml,
    /// For programs, as JSON; with --watch one object on each line.
    Json,
}

/// A value in this form, with a line end; [`Output::Table`] is no form of a value, and is taken for JSON.
pub fn written(value: &impl Serialize, output: Output, pretty: bool) -> String {
    let text = match output {
        Output::Yaml => serde_yaml::to_string(value).ok(),
        _ if pretty => serde_json::to_string_pretty(value).ok(),
        _ => serde_json::to_string(value).ok(),
    };
    text.map(|text| text.trim_start_matches("---\n").trim_end().to_owned() + "\n")
        .unwrap_or_default()
}
