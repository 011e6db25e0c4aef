//! What an action that takes evidence remembers, and how it survives a restart.

use crate::{
    clock::{from_micro_time, micro_time},
    evidence::{Piece, Taking},
    text::clean,
};
use flyball_core::{
    decide::{CAPTURE_TRIES, CaptureHistory, CaptureMoment, CaptureOrder},
    policy::CaptureKind,
    time::Timestamp,
};
use flyball_crds::{self as crds, ActionStatus, CaptureFile, CaptureStatus, CapturedStatus};
use std::collections::BTreeSet;

/// How many pieces are kept in the status.
const FILES: usize = 12;
/// What is a number of failures at most, in the status.
const MOST_FAILED: u32 = 100;

/// The memory.
#[derive(Clone, Debug, Default)]
pub struct CaptureMemory {
    /// What decisions rest on.
    pub history: CaptureHistory,
    /// Why nothing is taken, or what failed last.
    pub message: String,
    /// The last pieces, the newest first.
    pub files: Vec<CapturedStatus>,
    /// What is being taken, and since when.
    pub under_way: Option<(CaptureOrder, Timestamp, Taking)>,
    /// The places that their Changes name already.
    pub linked: BTreeSet<String>,
}

impl CaptureMemory {
    /// What an action's status holds of it. What was under way when it was written counts as failed: nobody saw it end.
    pub fn restored(action: &ActionStatus) -> Option<Self> {
        let stored = action.capture.as_deref()?;
        let time = |at: &Option<_>| at.as_ref().map(from_micro_time);
        let (alert_at, pair_at) = (time(&stored.alert_at), time(&stored.pair_at));
        let of_pair = |file: &&CapturedStatus| {
            file.file.when == crds::CaptureMoment::Before && file.change.is_some() && file.change == stored.change
        };
        // Only what no newer order has followed: it is the set of which the next Change may be.
        let newest = stored.files.first().filter(|file| is_unpaired(file));
        Some(Self {
            history: CaptureHistory {
                alert_at,
                pair_at,
                tried_at: alert_at.max(pair_at),
                failed: u32::try_from(stored.failed).unwrap_or(0),
                unpaired: newest.and_then(|file| time(&file.file.at)),
                change: stored.change.clone(),
                pod: stored.files.iter().find(of_pair).map(|file| file.file.pod.clone()),
                after_due: stored.after_due,
            },
            message: stored.message.clone(),
            files: stored.files.clone(),
            under_way: None,
            linked: BTreeSet::new(),
        })
    }

    /// What must survive a restart.
    pub fn stored(&self, name: &str) -> ActionStatus {
        let history = &self.history;
        ActionStatus {
            name: name.to_owned(),
            capture: Some(Box::new(CaptureStatus {
                alert_at: history.alert_at.map(micro_time),
                pair_at: history.pair_at.map(micro_time),
                failed: i32::try_from(history.failed.min(MOST_FAILED)).unwrap_or(0),
                change: history.change.clone(),
                after_due: history.after_due,
                message: self.message.clone(),
                files: self.files.clone(),
            })),
            ..ActionStatus::default()
        }
    }

    /// Whether something is being taken.
    pub fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// Something is being taken. It counts as failed until it has ended.
    pub fn begin(&mut self, wanted: CaptureOrder, taking: Taking, now: Timestamp) {
        let history = &mut self.history;
        match wanted.moment {
            CaptureMoment::Alert => history.alert_at = Some(now),
            CaptureMoment::Before => {
                (history.alert_at, history.pair_at) = (Some(now), Some(now));
                history.change.clone_from(&wanted.change);
                history.pod = Some(wanted.pod.clone());
                history.failed = 0;
            }
            CaptureMoment::After => {}
        }
        history.tried_at = Some(now);
        self.message.clear();
        // After the last try the next alert's begin anew.
        history.failed = if history.failed < CAPTURE_TRIES {
            history.failed + 1
        } else {
            1
        };
        self.under_way = Some((wanted, now, taking));
    }

    /// What was begun has ended: with pieces, or with none.
    pub fn end(&mut self, order: &CaptureOrder, begun: Timestamp, pieces: &[Piece], failures: &[String]) {
        self.message = clean(failures.join("; "));
        let history = &mut self.history;
        if pieces.is_empty() {
            return;
        }
        history.failed = 0;
        match order.moment {
            CaptureMoment::Alert => history.unpaired = order.change.is_none().then_some(begun),
            CaptureMoment::Before => (history.after_due, history.unpaired) = (true, None),
            CaptureMoment::After => (history.after_due, history.unpaired) = (false, None),
        }
        let files = pieces.iter().map(|piece| CapturedStatus {
            file: CaptureFile {
                kind: kind(piece.kind),
                pod: order.pod.clone(),
                when: moment(order.moment),
                at: Some(micro_time(begun)),
                location: piece.location.clone(),
                bytes: i64::try_from(piece.bytes).unwrap_or(i64::MAX),
                open: piece.open.clone(),
            },
            change: order.change.clone(),
        });
        self.files = files.chain(std::mem::take(&mut self.files)).take(FILES).collect();
    }

    /// What there is, unpaired, is the first half of a pair.
    pub fn pair(&mut self, change: &str, now: Timestamp) {
        let history = &mut self.history;
        let Some(set) = history.unpaired.take().map(micro_time) else {
            return;
        };
        (history.pair_at, history.change) = (Some(now), Some(change.to_owned()));
        (history.after_due, history.failed) = (true, 0);
        for file in &mut self.files {
            if is_unpaired(file) && file.file.at.as_ref() == Some(&set) {
                file.file.when = crds::CaptureMoment::Before;
                file.change = Some(change.to_owned());
                history.pod = Some(file.file.pod.clone());
            }
        }
    }
}

fn is_unpaired(file: &CapturedStatus) -> bool {
    file.file.when == crds::CaptureMoment::Alert && file.change.is_none()
}

fn moment(moment: CaptureMoment) -> crds::CaptureMoment {
    match moment {
        CaptureMoment::Alert => crds::CaptureMoment::Alert,
        CaptureMoment::Before => crds::CaptureMoment::Before,
        CaptureMoment::After => crds::CaptureMoment::After,
    }
}

fn kind(kind: CaptureKind) -> crds::CaptureKind {
    match kind {
        CaptureKind::GoCpu => crds::CaptureKind::GoCPU,
        CaptureKind::GoHeap => crds::CaptureKind::GoHeap,
        CaptureKind::GoGoroutine => crds::CaptureKind::GoGoroutine,
        CaptureKind::GoTrace => crds::CaptureKind::GoTrace,
        CaptureKind::JavaFlightRecording => crds::CaptureKind::JavaFlightRecording,
        CaptureKind::JavaThreadDump => crds::CaptureKind::JavaThreadDump,
    }
}

#[cfg(test)]
mod tests;
