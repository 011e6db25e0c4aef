//! What is left when the demo is over: a report, a picture, and the raw data.

pub mod audit;
pub mod markdown;
pub mod numbers;
pub mod plot;
pub mod scale;
pub mod series;
pub mod weights;

use super::error::DemoError;
use markdown::Material;
use std::path::Path;

/// Writes everything into the folder. What can't be drawn does not keep the rest from being written.
pub fn write(folder: &Path, material: &Material<'_>) -> Result<(), DemoError> {
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(DemoError::file(&path))
    };
    put("report.md", &markdown::report(material))?;
    put("series.csv", &series::csv(material.world))?;
    if let Some(chapter) = material.weights {
        put("weights.csv", &weights::csv(chapter))?;
        put("weights.svg", &weights::svg(chapter)?)?;
    }
    put("events.jsonl", &series::events(material.world))?;
    put("objects.yaml", &series::objects(material.world))?;
    put(
        "timeline.svg",
        &plot::svg(material.world, material.setting, material.end)?,
    )
}
