//! The fields that a Change can move, as its record holds them.

use super::journal::{JournalError, verdict_of};
use flyball_core::{
    policy::{PodState, PodStateError, Replicas, Setting, SettingError, Weight, Weights},
    transaction::{Places, Value, Verdict},
};
use flyball_crds::{BackendWeight, Change, ChangeStatus};
use kube::ResourceExt;
use std::fmt;

/// What a Change moves, as its record holds it.
pub struct Moved<V> {
    /// The value before.
    pub before: V,
    /// The value after.
    pub after: V,
    /// What is written first, where the change is tried.
    pub trial: Option<V>,
    /// Where a roll-back goes, once it was decided.
    pub rollback_to: Option<V>,
}

/// A field's value that a Change can record.
pub trait Field: Value + fmt::Display {
    /// Reads what a Change moves.
    fn moved(change: &Change) -> Result<Moved<Self>, JournalError>;
    /// Writes down where a roll-back goes.
    fn record_way_back(to: &Self, status: &mut ChangeStatus);
}

impl Field for Replicas {
    fn moved(change: &Change) -> Result<Moved<Self>, JournalError> {
        let number = |field, value: i64| {
            Self::new(value).ok_or_else(|| JournalError::Damaged {
                name: change.name_any(),
                field,
                value,
            })
        };
        let rollback_to = change.status.as_ref().and_then(|status| status.rollback_to);
        Ok(Moved {
            before: number("spec.before", change.spec.before.into())?,
            after: number("spec.after", change.spec.after.into())?,
            trial: None,
            rollback_to: rollback_to
                .map(|value| number("status.rollbackTo", value.into()))
                .transpose()?,
        })
    }

    fn record_way_back(to: &Self, status: &mut ChangeStatus) {
        status.rollback_to = i32::try_from(to.get()).ok();
    }
}

/// Weights go back to the same everywhere, unless a change that was written in some places only is taken back.
impl Field for Places<Weights> {
    fn moved(change: &Change) -> Result<Moved<Self>, JournalError> {
        let weights = |field, written: &[BackendWeight]| {
            weights_of(written).map_err(|value| JournalError::Damaged {
                name: change.name_any(),
                field,
                value,
            })
        };
        let Some(moved) = &change.spec.weights else {
            return Err(JournalError::Incomplete {
                name: change.name_any(),
                field: "spec.weights",
            });
        };
        let after = weights("spec.weights.after", &moved.after)?;
        let before = moved
            .lists
            .iter()
            .map(|list| weights("spec.weights.lists[].before", &list.before))
            .collect::<Result<Vec<_>, _>>()?;
        let status = change.status.as_ref();
        let torn = status
            .and_then(|status| status.verdict.as_ref())
            .is_some_and(|verdict| verdict_of(&verdict.result) == Some(Verdict::Torn));
        let rollback_to = match status.map(|status| status.rollback_weights.as_slice()) {
            _ if torn => Some(Self(before.clone())),
            None | Some([]) => None,
            Some(written) => {
                let to = weights("status.rollbackWeights", written)?;
                Some(Self(vec![to; before.len()]))
            }
        };
        Ok(Moved {
            after: Self(vec![after; before.len()]),
            trial: None,
            before: Self(before),
            rollback_to,
        })
    }

    fn record_way_back(to: &Self, status: &mut ChangeStatus) {
        status.rollback_weights = to.0.first().map(recorded_weights).unwrap_or_default();
    }
}

impl Field for Setting {
    fn moved(change: &Change) -> Result<Moved<Self>, JournalError> {
        let Some(moved) = &change.spec.runtime else {
            return Err(JournalError::Incomplete {
                name: change.name_any(),
                field: "spec.runtime",
            });
        };
        let setting = |field, text: &str| {
            text.parse().map_err(|error: SettingError| JournalError::Unreadable {
                name: change.name_any(),
                field,
                why: error.to_string(),
            })
        };
        let before: Self = setting("spec.runtime.before", &moved.before)?;
        let after = setting("spec.runtime.after", &moved.after)?;
        let pods: std::collections::BTreeSet<String> = moved.tried.iter().cloned().collect();
        let back = change
            .status
            .as_ref()
            .and_then(|status| status.rollback_setting.as_deref());
        Ok(Moved {
            trial: (!pods.is_empty()).then(|| before.trying(&after, pods)),
            rollback_to: back.map(|text| setting("status.rollbackSetting", text)).transpose()?,
            before,
            after,
        })
    }

    fn record_way_back(to: &Self, status: &mut ChangeStatus) {
        status.rollback_setting = Some(to.to_string());
    }
}

/// It never goes back: a limit is not lowered, and an eviction can't be undone.
impl Field for PodState {
    fn moved(change: &Change) -> Result<Moved<Self>, JournalError> {
        let Some(moved) = &change.spec.pod else {
            return Err(JournalError::Incomplete {
                name: change.name_any(),
                field: "spec.pod",
            });
        };
        let state = |field, text: &str| {
            text.parse().map_err(|error: PodStateError| JournalError::Unreadable {
                name: change.name_any(),
                field,
                why: error.to_string(),
            })
        };
        Ok(Moved {
            before: state("spec.pod.before", &moved.before)?,
            after: state("spec.pod.after", &moved.after)?,
            trial: None,
            rollback_to: None,
        })
    }

    fn record_way_back(_: &Self, _: &mut ChangeStatus) {}
}

/// Weights as a record holds them; `Err` has the number that is none.
pub fn weights_of(written: &[BackendWeight]) -> Result<Weights, i64> {
    let weight = |entry: &BackendWeight| {
        let weight = i64::from(entry.weight);
        let weight = Weight::new(weight).ok_or(weight)?;
        Ok((entry.backend.clone(), weight))
    };
    Ok(Weights::new(
        written.iter().map(weight).collect::<Result<Vec<_>, i64>>()?,
    ))
}

/// How weights are recorded.
pub fn recorded_weights(weights: &Weights) -> Vec<BackendWeight> {
    let recorded = weights.iter().map(|(backend, weight)| BackendWeight {
        backend: backend.to_owned(),
        weight: i32::try_from(weight.get()).unwrap_or(i32::MAX),
    });
    recorded.collect()
}
