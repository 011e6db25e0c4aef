//! Readings of many series, told apart by the label `backend`.

use super::Pass;
use crate::signal::{Quality, Reading};
use crate::{policy::WeightLaw, signal::Finite};
use std::collections::{BTreeMap, BTreeSet};

/// The label that tells the backends apart.
const BACKEND: &str = "backend";

/// Why a reading of many series can't be told apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// A series of a backend that nobody knows.
    #[error(
        "{what} answers for backend {backend:?}, which the action does not manage and the route does not have; add it to backends, or leave it out of the query"
    )]
    Stranger {
        /// Which reading.
        what: String,
        /// The value of the label.
        backend: String,
    },
    /// A series without the label.
    #[error(
        "{what} answers with a series without the label backend; aggregate by it, or make it with label_replace(...)"
    )]
    Unlabelled {
        /// Which reading.
        what: String,
    },
    /// Two series of one backend.
    #[error(
        "{what} answers with two series for backend {backend:?}; aggregate, for example with sum by (backend) (...)"
    )]
    Twice {
        /// Which reading.
        what: String,
        /// The value of the label.
        backend: String,
    },
}

/// One value of a managed backend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// A finite number.
    Number(f64),
    /// NaN or an infinity.
    NotFinite(f64),
}

/// What a reading tells of the managed backends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ByBackend {
    what: String,
    /// By name; or why nothing is known of any.
    answer: Result<BTreeMap<String, Value>, String>,
    /// Whether the query succeeded and returned no series.
    empty: bool,
}

impl ByBackend {
    /// The value of a backend, or why it is not known.
    pub(crate) fn of(&self, backend: &str) -> Result<f64, String> {
        let what = &self.what;
        let values = self.answer.as_ref().map_err(Clone::clone)?;
        match values.get(backend) {
            Some(Value::Number(value)) => Ok(*value),
            Some(Value::NotFinite(value)) => Err(format!("{what} is {value}")),
            None => Err(format!("{what} has no series for it")),
        }
    }

    /// Whether the reading has a series of this backend.
    pub(crate) fn has(&self, backend: &str) -> bool {
        self.answer.as_ref().is_ok_and(|values| values.contains_key(backend))
    }
}

/// Tells a reading apart. `what` is its name in every message. NaN or an infinity of one backend leaves the
/// others known, although it makes the reading [`Quality::NotFinite`]; any other reading that is not fresh
/// says nothing of any.
pub(crate) fn by_backend<'n>(
    what: &str,
    reading: Option<&Reading>,
    managed: impl Iterator<Item = &'n str>,
    others: &[String],
) -> Result<ByBackend, ReadError> {
    let what = what.to_owned();
    let Some(reading) = reading else {
        return Ok(ByBackend {
            answer: Err(format!("{what} was not read")),
            what,
            empty: false,
        });
    };
    let managed: BTreeSet<&str> = managed.collect();
    let mut values = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for sample in reading.samples() {
        let Some(backend) = sample.labels.get(BACKEND).filter(|backend| !backend.is_empty()) else {
            return Err(ReadError::Unlabelled { what });
        };
        let backend = backend.clone();
        if !managed.contains(backend.as_str()) && !others.contains(&backend) {
            return Err(ReadError::Stranger { what, backend });
        }
        if !seen.insert(backend.clone()) {
            return Err(ReadError::Twice { what, backend });
        }
        if managed.contains(backend.as_str()) {
            let value = Finite::new(sample.value).map_or(Value::NotFinite(sample.value), |n| Value::Number(n.get()));
            values.insert(backend, value);
        }
    }
    let usable = matches!(reading.quality(), Quality::Fresh | Quality::NotFinite);
    let answer = if usable {
        Ok(values)
    } else {
        Err(format!("{what} is {} ({})", reading.quality(), reading.detail()))
    };
    Ok(ByBackend {
        what,
        answer,
        empty: reading.quality() == Quality::Missing,
    })
}

/// What this pass was told.
pub(super) struct Told {
    requests: ByBackend,
    errors: ByBackend,
    /// The signal of the law, if it has one.
    signal: Option<ByBackend>,
}

/// Requests of a backend and how many of them failed, both per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Served {
    pub requests: f64,
    pub errors: f64,
}

impl Served {
    /// The part that failed.
    pub(super) fn part(self) -> f64 {
        if self.requests > 0.0 {
            self.errors / self.requests
        } else {
            0.0
        }
    }
}

impl Told {
    /// What a backend served, or why that is not known. Where requests are known, one without a series of
    /// errors had none; an empty answer to the query for errors says so of all.
    pub(super) fn served(&self, backend: &str) -> Result<Served, String> {
        let requests = not_negative(&self.requests, backend)?;
        let none = self.errors.empty || (self.errors.answer.is_ok() && !self.errors.has(backend));
        let errors = if none {
            0.0
        } else {
            not_negative(&self.errors, backend)?
        };
        Ok(Served { requests, errors })
    }

    /// `Err` says why nothing is known of the traffic of any backend.
    pub(super) fn traffic(&self) -> Result<(), String> {
        let why = |reading: &ByBackend| reading.answer.as_ref().err().cloned();
        match why(&self.requests) {
            Some(why) => Err(why),
            None if self.errors.empty => Ok(()),
            None => why(&self.errors).map_or(Ok(()), Err),
        }
    }

    /// The law's signal of a backend, or why it is not known.
    pub(super) fn signal(&self, backend: &str) -> Result<f64, String> {
        self.signal.as_ref().map_or_else(
            || Err("the law reads no signal".to_owned()),
            |signal| signal.of(backend),
        )
    }
}

fn not_negative(reading: &ByBackend, backend: &str) -> Result<f64, String> {
    let value = reading.of(backend)?;
    if value < 0.0 {
        return Err(format!("{} is {value}, less than nothing", reading.what));
    }
    Ok(value)
}

/// Reads what the action needs.
pub(super) fn told(pass: &Pass<'_>) -> Result<Told, ReadError> {
    let read = |what: &str, reading| by_backend(what, reading, pass.names(), &pass.facts.others);
    let signal = match &pass.action.law {
        WeightLaw::Capacity(law) => Some(&law.utilisation),
        WeightLaw::Aimd(law) => Some(&law.signal),
        WeightLaw::Step(_) | WeightLaw::Failover(_) => None,
    };
    Ok(Told {
        requests: read("traffic.requests", Some(&pass.facts.requests))?,
        errors: read("traffic.errors", Some(&pass.facts.errors))?,
        signal: signal
            .map(|name| read(&format!("signal {name}"), pass.inputs.signals.get(name)))
            .transpose()?,
    })
}
