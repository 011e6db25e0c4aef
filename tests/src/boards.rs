//! The queries of the Grafana dashboards, as they are committed.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

use serde_json::Value;
use std::{fs, path::Path};

/// A query of a dashboard.
#[derive(Clone, Debug)]
pub struct Query {
    /// The dashboard's file, without `.json`.
    pub board: String,
    /// The panel's title.
    pub panel: String,
    /// What a line of it is called; of a mark, `mark`.
    pub legend: String,
    expr: String,
}

impl Query {
    /// Whether it is this entry of a list: dashboard, panel, legend, and why.
    #[must_use]
    pub fn is(&self, (board, panel, legend, _): &(&str, &str, &str, &str)) -> bool {
        (self.board.as_str(), self.panel.as_str(), self.legend.as_str()) == (*board, *panel, *legend)
    }

    /// As Grafana asks it with everything chosen.
    #[must_use]
    pub fn asked(&self) -> String {
        self.asked_of(".+")
    }

    /// As Grafana asks it with this namespace chosen, and everything else.
    #[must_use]
    pub fn asked_of(&self, namespace: &str) -> String {
        let mut expr = self.expr.replace("$__rate_interval", "20s").replace("$__range", "2m");
        expr = expr.replace("\"$namespace\"", &format!("\"{namespace}\""));
        for variable in ["policy", "pod", "job", "instance"] {
            expr = expr.replace(&format!("\"${variable}\""), "\".+\"");
        }
        assert!(!expr.contains('$') || expr.contains("\"$1\""), "{expr}");
        expr
    }
}

/// The queries of panels and marks, and the variables' as `(board, series, label)`.
#[must_use]
pub fn queries() -> (Vec<Query>, Vec<(String, String, String)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/observability/dashboards");
    let (mut queries, mut variables) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let board = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let written: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        for panel in written["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                queries.push(Query {
                    board: board.clone(),
                    panel: text(&panel["title"]),
                    legend: text(&target["legendFormat"]),
                    expr: text(&target["expr"]),
                });
            }
        }
        for mark in written["annotations"]["list"].as_array().into_iter().flatten() {
            if let Some(expr) = mark["expr"].as_str() {
                // Over a minute of steps, as the others are.
                let expr = expr.replace("offset 1m", "offset 20s");
                queries.push(Query {
                    board: board.clone(),
                    panel: text(&mark["name"]),
                    legend: "mark".to_owned(),
                    expr,
                });
            }
        }
        for variable in written["templating"]["list"].as_array().unwrap() {
            if let Some(query) = variable["query"]
                .as_str()
                .and_then(|query| query.strip_prefix("label_values("))
            {
                let (series, label) = query.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
                variables.push((board.clone(), series.to_owned(), label.to_owned()));
            }
        }
    }
    (queries, variables)
}
