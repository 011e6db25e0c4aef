//! What a Change or a decision moves, in words: a number of replicas, weights, or a runtime's knobs.

use super::screen::{columns, plain};
use flyball_crds::{
    BackendWeight, Change, ChangeField, ChangeWeights, DecisionOutcome, DecisionStatus, FeedbackPolicySpec, WeightMove,
};

/// The widest that a move may be in a column of a table.
const COLUMN: usize = 44;

/// From what to what: `2 -> 3`, or `a 50 -> 25, b 50 -> 75`.
pub fn of_change(change: &Change) -> String {
    if change.spec.pod.is_some() {
        return plain(&change.spec.shift);
    }
    if let Some(moved) = &change.spec.runtime {
        return if change.spec.shift.is_empty() {
            plain(&format!("{} -> {}", moved.before, moved.after))
        } else {
            plain(&change.spec.shift)
        };
    }
    match &change.spec.weights {
        Some(_) if !change.spec.shift.is_empty() => plain(&change.spec.shift),
        Some(moved) => plain(&each(moved).collect::<Vec<_>>().join(", ")),
        // A Change of an older version has the numbers only.
        None => format!("{} -> {}", change.spec.before, change.spec.after),
    }
}

/// The same for a column: of many weights the one whose share moves most.
pub fn in_short(change: &Change) -> String {
    let whole = of_change(change);
    let Some(moved) = change.spec.weights.as_ref().filter(|_| columns(&whole) > COLUMN) else {
        return whole;
    };
    let pairs = pairs(moved).filter(|(_, before, after)| before != after);
    let most = pairs.clone().max_by_key(|(_, before, after)| before.abs_diff(*after));
    let others = pairs.count().saturating_sub(1);
    match most {
        Some((backend, before, after)) if others > 0 => {
            format!("{} {before} -> {after} and {others} more", plain(backend))
        }
        Some((backend, before, after)) => format!("{} {before} -> {after}", plain(backend)),
        None => whole,
    }
}

/// What a Change goes back to if it is taken back.
pub fn verified(change: &Change) -> String {
    if let Some(moved) = &change.spec.pod {
        return plain(&moved.before);
    }
    if let Some(moved) = &change.spec.runtime {
        return plain(&moved.verified);
    }
    match &change.spec.weights {
        Some(moved) => weights(&moved.verified),
        None => change.spec.verified.to_string(),
    }
}

/// What was there before a Change.
pub fn before(change: &Change) -> String {
    if let Some(moved) = &change.spec.pod {
        return plain(&moved.before);
    }
    if let Some(moved) = &change.spec.runtime {
        return plain(&moved.before);
    }
    match &change.spec.weights {
        Some(moved) => moved
            .lists
            .first()
            .map(|list| weights(&list.before))
            .unwrap_or_default(),
        None => change.spec.before.to_string(),
    }
}

/// What is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The number of replicas.
    Replicas,
    /// The weights of a route.
    Weights,
    /// A runtime's knobs.
    Knobs,
    /// A pod that is relieved; no policy's lever.
    Pod,
}

impl Moved {
    /// By a policy: all its actions have one lever, but for one that is not valid.
    pub fn by(spec: &FeedbackPolicySpec) -> Self {
        if spec.actions.iter().any(|action| action.weights.is_some()) {
            Self::Weights
        } else if spec.actions.iter().any(|action| action.runtime.is_some()) {
            Self::Knobs
        } else {
            Self::Replicas
        }
    }

    /// By a Change.
    pub const fn in_change(change: &Change) -> Self {
        match change.spec.field {
            ChangeField::Replicas => Self::Replicas,
            ChangeField::Weights => Self::Weights,
            ChangeField::Runtime => Self::Knobs,
            ChangeField::Pod => Self::Pod,
        }
    }

    /// That it stays.
    pub const fn stays(self) -> &'static str {
        match self {
            Self::Replicas => "the number stays as it is",
            Self::Weights => "the weights stay as they are",
            Self::Knobs => "the knobs stay as they are",
            Self::Pod => "what the pod was given stays",
        }
    }
}

/// Whether a Change moves weights.
pub fn is_of_weights(change: &Change) -> bool {
    change.spec.field == ChangeField::Weights
}

/// Whether a decision is about weights or knobs, which are told in words.
pub fn decides_in_words(decision: &DecisionStatus) -> bool {
    !decision.shift.is_empty()
}

/// What was decided: `2 -> 3`, `stay at 2`, or the same of weights.
pub fn of_decision(decision: &DecisionStatus) -> String {
    let stays = if decides_in_words(decision) {
        decision.outcome == Some(DecisionOutcome::Stay)
    } else {
        decision.current == decision.desired
    };
    let what = match (decides_in_words(decision), stays) {
        (true, _) => plain(&decision.shift),
        (false, true) => decision.current.to_string(),
        (false, false) => format!("{} -> {}", decision.current, decision.desired),
    };
    if stays { format!("stay at {what}") } else { what }
}

/// Whether a decision wants something else than there is.
pub fn wants_more(decision: &DecisionStatus) -> bool {
    if decides_in_words(decision) {
        decision.outcome != Some(DecisionOutcome::Stay)
    } else {
        decision.desired != decision.current
    }
}

/// Weights in the order in which they are written: `a 50, b 50`.
pub fn weights(weights: &[BackendWeight]) -> String {
    let each: Vec<String> = weights
        .iter()
        .map(|entry| format!("{} {}", plain(&entry.backend), entry.weight))
        .collect();
    each.join(", ")
}

/// Why weights move, in words.
pub const fn because(why: WeightMove) -> &'static str {
    match why {
        WeightMove::Law => "as the law wants",
        WeightMove::Ejection => "a backend is taken out at once",
        WeightMove::Return => "a backend comes back",
        WeightMove::Reapply => "they had been put back to their base",
    }
}

/// Each managed backend with its weight before and after.
fn pairs(moved: &ChangeWeights) -> impl Iterator<Item = (&str, i32, i32)> + Clone {
    let before = moved
        .lists
        .first()
        .map(|list| list.before.as_slice())
        .unwrap_or_default();
    moved.after.iter().map(|entry| {
        let was = before.iter().find(|was| was.backend == entry.backend);
        (entry.backend.as_str(), was.map_or(0, |was| was.weight), entry.weight)
    })
}

fn each(moved: &ChangeWeights) -> impl Iterator<Item = String> {
    pairs(moved).map(|(backend, before, after)| {
        if before == after {
            format!("{backend} {after}")
        } else {
            format!("{backend} {before} -> {after}")
        }
    })
}
