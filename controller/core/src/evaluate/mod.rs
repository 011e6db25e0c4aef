//! Rules: from a reading to alerts, as Prometheus' alerting rules do it.

mod print;
mod rule;
mod template;
pub mod watermark;

pub use rule::{Alert, AlertPhase, RuleError, RuleState, evaluate};
pub use template::{Template, TemplateError, expand, parse};
