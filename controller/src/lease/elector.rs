//! The election's decisions, without any I/O: what to do next, and what an answer means.
//!
//! Why there are never two leaders at once, as long as clocks run at about the same rate: a leader
//! counts its time from *before* it sent the renewal, and stops after [`Timing::deadline`]; a standby
//! counts from *after* it saw the renewal, and waits for the longer [`Timing::duration`]. Clock
//! times of day are never compared. Of two standbys that wait for the same record, the second one's
//! write fails, because each carries the resourceVersion it read.

use k8s_openapi::api::coordination::v1::Lease;
use std::time::Duration;
use tokio::time::Instant;

/// The times of the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For how long a standby must have seen no renewal before it takes the lease.
    pub duration: Duration,
    /// For how long after its last renewal a leader may write.
    pub deadline: Duration,
    /// How often a leader renews.
    pub renew: Duration,
    /// How often a standby looks, and how soon a failed request is repeated.
    pub retry: Duration,
    /// How long one request may take.
    pub request: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            renew: Duration::from_secs(5),
            retry: Duration::from_secs(2),
            request: Duration::from_secs(3),
        }
    }
}

/// Why the times of an election can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimingError {
    /// A leader could still write when a standby takes over.
    #[error("the lease's duration {duration:?} must be at least 1.5 times its renew deadline {deadline:?}")]
    Duration {
        /// The duration.
        duration: Duration,
        /// The deadline.
        deadline: Duration,
    },
    /// A leader could not renew in time.
    #[error("the lease is to be renewed every {renew:?}; that must be at most half its renew deadline {deadline:?}")]
    Renew {
        /// The interval of renewals.
        renew: Duration,
        /// The deadline.
        deadline: Duration,
    },
    /// The Lease object keeps whole seconds.
    #[error("the lease's duration {0:?} must be whole seconds, at least one")]
    Seconds(Duration),
    /// An election would never act, or never rest.
    #[error("the lease's retry and request times must be above zero and below its renew deadline {0:?}")]
    Request(Duration),
}

impl Timing {
    /// Whether these times keep two leaders apart.
    pub fn check(&self) -> Result<(), TimingError> {
        let &Self {
            duration,
            deadline,
            renew,
            retry,
            request,
        } = self;
        if duration.is_zero() || duration.subsec_nanos() != 0 {
            return Err(TimingError::Seconds(duration));
        }
        if duration < deadline.saturating_mul(3) / 2 {
            return Err(TimingError::Duration { duration, deadline });
        }
        if renew.is_zero() || renew > deadline / 2 {
            return Err(TimingError::Renew { renew, deadline });
        }
        if retry.is_zero() || retry >= deadline || request.is_zero() || request >= deadline {
            return Err(TimingError::Request(deadline));
        }
        Ok(())
    }
}

/// Who may write, as of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Another process may, or nobody.
    Standby,
    /// This process may.
    Leader {
        /// How often the lease changed hands; the same number for the whole of one term.
        transitions: u64,
        /// Write no later than this. Each renewal moves it. It is an instant of the monotonic clock, so
        /// a process that was stopped for a while sees at once that it has passed.
        until: Instant,
    },
}

impl Leadership {
    /// Whether this process may write at `now`.
    pub fn is_leader(self, now: Instant) -> bool {
        matches!(self, Self::Leader { until, .. } if now < until)
    }

    /// The deadline of a write that begins `now` and may take `limit`; `None`: it must not begin.
    pub fn deadline(self, now: Instant, limit: Duration) -> Option<Instant> {
        match self {
            Self::Leader { until, .. } if now < until => Some(until.min(now + limit)),
            _ => None,
        }
    }
}

/// What counts of a Lease object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// How often it changed hands.
    pub transitions: u64,
    /// For how long after a renewal nobody else may take it.
    pub duration: Duration,
    /// When it was renewed, by the holder's clock. Only ever compared for being another one.
    pub renewed: Option<jiff::Timestamp>,
}

impl From<&Lease> for Record {
    fn from(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        Self {
            holder: spec.holder_identity.unwrap_or_default(),
            transitions: spec.lease_transitions.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            duration: Duration::from_secs(
                spec.lease_duration_seconds
                    .and_then(|n| u64::try_from(n).ok())
                    .unwrap_or(0),
            ),
            renewed: spec.renew_time.map(|time| time.0),
        }
    }
}

/// What one process knows of the election.
#[derive(Clone, Debug)]
pub struct Local {
    identity: String,
    timing: Timing,
    /// The record as it was last seen, and since when it has been seen unchanged.
    seen: Option<(Option<Record>, Instant)>,
    /// Whether what was seen is recent enough to act on.
    fresh: bool,
    /// Not before this time: the next renewal, or the next look.
    next: Option<Instant>,
    term: Option<Term>,
    /// The last number of transitions that was seen, also after the lease was deleted.
    last: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    transitions: u64,
    until: Instant,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing before this time.
    Wait(Instant),
    /// Read the lease.
    Read,
    /// Create the lease, with this process as its holder.
    Create {
        /// Its transitions.
        transitions: u64,
    },
    /// Replace the lease that was read, with this process as its holder.
    Replace {
        /// Its transitions.
        transitions: u64,
    },
}

/// What to do at `now`.
pub fn decide(local: &Local, now: Instant) -> Action {
    if let Some(next) = local.next.filter(|next| now < *next) {
        return Action::Wait(next);
    }
    let Some((lease, since)) = local.seen.as_ref().filter(|_| local.fresh) else {
        return Action::Read;
    };
    let term = local.term.filter(|term| now < term.until);
    let expires = *since
        + lease
            .as_ref()
            .map_or(local.timing.duration, |it| it.duration.max(local.timing.duration));
    match (lease, term) {
        (Some(it), Some(term)) if it.holder == local.identity => Action::Replace {
            transitions: term.transitions,
        },
        // Whoever deleted the lease did not take the leadership: others wait for a whole duration.
        (None, Some(term)) => Action::Create {
            transitions: term.transitions,
        },
        // A record of our own that lapsed is a new term all the same.
        (Some(it), _) if it.holder.is_empty() || it.holder == local.identity || now >= expires => Action::Replace {
            transitions: it.transitions.saturating_add(1),
        },
        // Not at once, although the server would refuse a second creation: that there is no lease does
        // not mean that nobody leads. Somebody may have deleted it, and its holder may write until its
        // deadline.
        (None, None) if now >= expires => Action::Create {
            transitions: local.next_transitions(),
        },
        _ => Action::Wait(expires.min(now + local.timing.retry)),
    }
}

impl Local {
    /// A process that knows nothing yet.
    pub fn new(identity: impl Into<String>, timing: Timing) -> Self {
        Self {
            identity: identity.into(),
            timing,
            seen: None,
            fresh: false,
            next: None,
            term: None,
            last: None,
        }
    }

    /// Who may write at `now`, as far as this process may claim.
    pub fn leadership(&self, now: Instant) -> Leadership {
        match self.term {
            Some(Term { transitions, until }) if now < until => Leadership::Leader { transitions, until },
            _ => Leadership::Standby,
        }
    }

    /// The time has come that [`Action::Wait`] named. A leader renews what it wrote itself; anybody
    /// else looks again before it acts.
    pub fn waited(&mut self, now: Instant) {
        self.next = None;
        if !self.leadership(now).is_leader(now) {
            self.term = None;
            self.fresh = false;
        }
    }

    /// The lease was read; `None`: there is none.
    pub fn read(&mut self, lease: Option<Record>, now: Instant) {
        self.next = None;
        self.fresh = true;
        if lease.as_ref().is_some_and(|it| it.holder != self.identity) {
            self.term = None;
        }
        if let Some(it) = &lease {
            self.last = Some(it.transitions);
        }
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != lease) {
            self.seen = Some((lease, now));
        }
    }

    /// The write that was sent at `sent` was accepted.
    pub fn written(&mut self, record: Record, sent: Instant, now: Instant) {
        let until = sent + self.timing.deadline;
        self.next = Some(sent + self.timing.renew);
        self.term = Some(Term {
            transitions: record.transitions,
            until,
        });
        self.last = Some(record.transitions);
        self.seen = Some((Some(record), now));
        self.fresh = true;
        if now >= until {
            // We slept over it, and somebody else may have the lease by now.
            self.next = None;
            self.term = None;
            self.fresh = false;
        }
    }

    /// A request failed, or its outcome is unknown: the lease must be looked at before anything else.
    pub fn failed(&mut self, now: Instant) {
        self.fresh = false;
        self.next = Some(now + self.timing.retry);
        if let Leadership::Leader { until, .. } = self.leadership(now) {
            self.next = self.next.map(|next| next.min(until));
        }
    }

    /// Somebody else was faster: look again soon, but not in a tight loop.
    pub fn conflicted(&mut self, now: Instant) {
        self.fresh = false;
        self.next = Some(now + self.timing.retry / 8);
    }

    /// The leadership is given up.
    pub fn resign(&mut self) {
        self.term = None;
        self.fresh = false;
    }

    fn next_transitions(&self) -> u64 {
        self.last.map_or(0, |last| last.saturating_add(1))
    }
}
