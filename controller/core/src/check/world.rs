//! What is known of the world around a target when a proposal is checked.

use crate::{decide::Direction, policy::Replicas, signal::Finite};

/// Somebody else who sets the number of replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An HPA of this name.
    HorizontalPodAutoscaler(String),
    /// A KEDA `ScaledObject` of this name.
    ScaledObject(String),
    /// An older policy's action on the same field.
    Policy {
        /// The policy's namespace.
        namespace: String,
        /// The policy's name.
        name: String,
        /// The action's name.
        action: String,
    },
    /// A field manager that wrote the field while we held it (law 8).
    FieldManager {
        /// The manager as `managedFields` names it.
        manager: String,
        /// How it wrote: `Apply` or `Update`.
        operation: String,
    },
}

/// A Change that is still open for the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenChange {
    /// There is none.
    None,
    /// One of this action.
    Ours {
        /// Its name.
        name: String,
        /// Which way it goes.
        direction: Direction,
        /// To which number.
        to: Replicas,
        /// Whether it was written and is being verified: only then it can be superseded.
        superseding_allowed: bool,
    },
    /// One of another policy or another action.
    Others {
        /// Its name.
        name: String,
        /// Whose it is.
        policy: String,
    },
    /// Whether one is open is not known; the text says why, and the way out.
    Unknown(String),
}

/// The target, as far as it decides whether it may be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// It is there and has a scale.
    Present {
        /// Why it counts as paused, if it does.
        paused: Option<String>,
    },
    /// It does not exist.
    Missing,
    /// It has no scale; the text says of which kind it is.
    NoScale(String),
    /// The installation does not allow its kind; the text says which.
    NotAllowed(String),
    /// The installation allows its kind, but the API server does not serve it, or not yet; the text says which.
    NotServed(String),
}

/// What is known of the world around the target.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// The target.
    pub target: Target,
    /// Who else sets the field.
    pub owners: Vec<Owner>,
    /// The Change that is open for the field, if any.
    pub open: OpenChange,
    /// Why no change of a direction may be made now: the installation is frozen, or the direction paused.
    pub paused: Paused,
    /// How far the ranges that a decrease rests on are filled.
    pub coverage: Coverage,
    /// How many replicas there is room for, in the direction of what is checked: for an increase the
    /// most there may be, for a decrease (and the undoing of an increase) the fewest.
    pub headroom: Vec<Headroom>,
    /// What all policies together may still take away.
    pub budget: Budget,
    /// Whether somebody approved.
    pub approval: Approval,
}

/// Why no change of a direction may be made now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paused {
    /// The installation is frozen, for this reason. Only undoing goes on.
    pub frozen: Option<String>,
    /// The namespace is paused, in words that end with the way out. Only undoing goes on.
    pub namespace: Option<String>,
    /// Increases are paused, for this reason.
    pub up: Option<String>,
    /// Decreases are paused, for this reason.
    pub down: Option<String>,
}

impl Paused {
    /// Why nothing may be changed in whatever direction, in a whole sentence.
    pub fn stopped(&self) -> Option<String> {
        let frozen = self.frozen.as_ref().map(|reason| {
            format!("the installation is frozen: {reason}; only undoing goes on until the freeze is lifted")
        });
        let namespace = || Some(format!("{}; until then only undoing does", self.namespace.as_ref()?));
        frozen.or_else(namespace)
    }
}

/// How far the longest range that a decrease rests on is filled with samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Coverage {
    /// Nothing looks back, or it was not asked because nothing is to be taken away.
    #[default]
    NotNeeded,
    /// A fraction from 0 to 1, of the query whose range is filled least.
    Filled {
        /// The query.
        query: String,
        /// The fraction.
        fraction: Finite,
    },
    /// It is not known, for this reason.
    Unknown(String),
}

/// Room for replicas, as one holder of a limit sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// Who limits, such as `ResourceQuota team` or `node allocatable`.
    pub by: String,
    /// The most, or on the way down the fewest, replicas there may be; `Err`: it is not known.
    pub limit: Result<Replicas, String>,
    /// The calculation in one line.
    pub arithmetic: String,
}

/// What all policies of the installation together may still take away in this minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// The most replicas that may be taken away in a minute; `None`: no limit.
    pub per_minute: Option<u32>,
    /// How many were taken away in the last minute.
    pub taken: u32,
}

/// Whether somebody approved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Approval {
    /// The action asks for none.
    #[default]
    NotNeeded,
    /// Nobody did yet; the text names the Change that waits, if there is one.
    Awaited(Option<String>),
    /// The way from one number to another was approved, by whom the text says.
    Granted {
        /// The number of replicas before.
        from: Replicas,
        /// The number after.
        to: Replicas,
        /// Who approved.
        by: String,
    },
}
