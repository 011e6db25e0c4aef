//! Named PromQL values.

use super::{Errors, names};
use crate::promql;
use flyball_core::{
    policy::{self, OnError, Shape},
    time::Span,
};
use flyball_crds::{self as crds, Signal};

pub(super) fn read(path: &str, written: &Signal, max_age: Option<Span>, errors: &mut Errors) -> Option<policy::Signal> {
    names::plain(format!("{path}.name"), &written.name, "requests", errors);
    let query = errors.expression(format!("{path}.expr"), promql::query(&written.expr));
    let own = written.max_age.as_ref();
    let max_age = match own {
        Some(_) => errors.positive(&format!("{path}.maxAge"), own, Span::ZERO),
        None => max_age,
    };
    if written.per_pod && written.per_backend {
        errors.add(
            format!("{path}.perBackend"),
            "and perPod can't both be true: a signal has one number for each pod or one for each backend; make a signal of each",
        );
        return None;
    }
    let on_error = on_error(path, written, errors);
    Some(policy::Signal {
        name: written.name.clone(),
        query: query?,
        shape: shape(written),
        max_age: max_age?,
        on_error: on_error?,
    })
}

/// What a signal answers.
pub(super) fn shape(written: &Signal) -> Shape {
    match (written.per_pod, written.per_backend) {
        (_, true) => Shape::PerBackend,
        (true, false) => Shape::PerPod,
        (false, false) => Shape::Number,
    }
}

fn on_error(path: &str, written: &Signal, errors: &mut Errors) -> Option<OnError> {
    let substitute = format!("{path}.substitute");
    let plain = match written.on_error.unwrap_or_default() {
        crds::OnError::Hold => OnError::Hold,
        crds::OnError::HoldDown => OnError::HoldDown,
        crds::OnError::Ignore => OnError::Ignore,
        crds::OnError::Substitute => {
            if shape(written) != Shape::Number {
                errors.add(
                    format!("{path}.onError"),
                    "Substitute puts one number in place of one, and a perPod or perBackend signal has one for each; write HoldDown, Hold or Ignore",
                );
                return None;
            }
            let Some(number) = written.substitute else {
                errors.add(
                    substitute,
                    "is missing, and onError: Substitute needs it; write the number to take, for example 0",
                );
                return None;
            };
            let what = "a finite number; write the number to take, for example 0";
            return errors
                .number(substitute, number, |_| true, what)
                .map(OnError::Substitute);
        }
    };
    if let Some(number) = written.substitute {
        errors.add(
            substitute,
            format!("{number} is used only with onError: Substitute; write that, or remove it"),
        );
        return None;
    }
    Some(plain)
}
