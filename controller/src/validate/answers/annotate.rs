use crate::{
    promql::shorten,
    validate::{Errors, names::is_label},
};
use flyball_core::{evaluate::watermark::Level, policy::Annotate};
use flyball_crds::PressureLevel;

/// The longest text for an application, in bytes.
const MAX_VALUE: usize = 256;

pub(super) fn read(path: &str, written: &flyball_crds::Annotate, errors: &mut Errors) -> Option<Annotate> {
    match (&written.pressure, &written.annotation) {
        (Some(told), None) => {
            if !is_label(&told.container) {
                errors.add(
                    format!("{path}.pressure.container"),
                    format!(
                        "{} is not the name of a container; write for example app",
                        shorten(&told.container)
                    ),
                );
                return None;
            }
            Some(Annotate::Pressure {
                container: told.container.clone(),
                level: match told.level {
                    PressureLevel::Warning => Level::Warning,
                    PressureLevel::High => Level::High,
                    PressureLevel::Emergency => Level::Emergency,
                },
            })
        }
        (None, Some(annotation)) => {
            let path = format!("{path}.annotation");
            if !is_label(&annotation.name) {
                errors.add(
                    format!("{path}.name"),
                    format!(
                        "{} is not a name of lower-case letters, digits and dashes; write for example cache",
                        shorten(&annotation.name)
                    ),
                );
                return None;
            }
            let value = &annotation.value;
            let plain = value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            if value.is_empty() || value.len() > MAX_VALUE || !plain {
                errors.add(
                    format!("{path}.value"),
                    format!(
                        "{} is not of 1 to {MAX_VALUE} printable ASCII characters; write for example half",
                        shorten(value)
                    ),
                );
                return None;
            }
            Some(Annotate::App {
                name: annotation.name.clone(),
                value: value.clone(),
            })
        }
        _ => {
            errors.add(path, "takes exactly one of pressure and annotation");
            None
        }
    }
}
