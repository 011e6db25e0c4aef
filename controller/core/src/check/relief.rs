//! The checks of what relieves a pod. Only this module can make a [`ReliefApproved`].
//!
//! A limit rises and never falls, so there is no undoing to be checked; an eviction can't be undone, so it is asked for last and
//! only while somebody else serves.

use super::{
    Check, CheckResult, DryRun, Paused, Verdict, first_refusal, refusal,
    sheet::{Sheet, Struck},
};
use crate::{
    decide::{NodeRoom, ReliefProposal},
    policy::{PodMemory, PodState, Relieve},
    time::{Span, Timestamp},
};

/// What is known of the world around a pod that is to be relieved.
#[derive(Clone, Debug, PartialEq)]
pub struct ReliefWorld {
    /// Why nothing of the target may be touched, if that is so.
    pub trouble: Option<String>,
    /// Who else relieves these pods and comes first.
    pub owner: Option<String>,
    /// Why nothing may be changed now.
    pub paused: Paused,
    /// When this pod was resized last, or was to be.
    pub resized_at: Option<Timestamp>,
    /// When a pod of the target was evicted last, or was to be.
    pub evicted_at: Option<Timestamp>,
    /// How many other pods of the target are ready; `None`: not known.
    pub others_ready: Option<u32>,
    /// What its node has free.
    pub room: NodeRoom,
    /// The Change that is open on a pod of this target.
    pub open: Option<String>,
}

/// What passed every check but the API server's.
#[derive(Clone, Debug, PartialEq)]
pub struct ReliefCandidate(Sheet<ReliefProposal>);

/// What may be carried out. Only this module can make one.
#[derive(Clone, Debug, PartialEq)]
pub struct ReliefApproved(Sheet<ReliefProposal>);

/// What may not be carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", refusal(checks))]
pub struct ReliefRefused {
    /// What was proposed.
    pub proposal: Box<ReliefProposal>,
    /// Every check's verdict, at least one of them [`Verdict::Refused`].
    pub checks: Vec<CheckResult>,
}

impl ReliefRefused {
    fn of((proposal, checks): Struck<ReliefProposal>) -> Self {
        Self {
            proposal: Box::new(proposal),
            checks,
        }
    }

    /// The first check that refused.
    pub fn reason(&self) -> Option<&CheckResult> {
        first_refusal(&self.checks)
    }

    /// Whether the next step may be tried: there is no room for this one. What has only to wait is waited for.
    pub fn gives_way(&self) -> bool {
        let mut refused = self.checks.iter().filter(|it| it.verdict == Verdict::Refused);
        refused.all(|it| matches!(it.check, Check::Headroom | Check::Bounds | Check::DryRun))
    }
}

impl ReliefCandidate {
    /// What to write.
    pub fn proposal(&self) -> &ReliefProposal {
        &self.0.proposal
    }

    /// The last check.
    pub fn admit(self, dry_run: DryRun) -> Result<ReliefApproved, ReliefRefused> {
        let mut sheet = self.0;
        sheet.dry_run(dry_run);
        sheet.finish().map(ReliefApproved).map_err(ReliefRefused::of)
    }
}

impl ReliefApproved {
    /// The proposal.
    pub fn proposal(&self) -> &ReliefProposal {
        &self.0.proposal
    }

    /// Every check, in the order in which they ran.
    pub fn checks(&self) -> &[CheckResult] {
        &self.0.checks
    }
}

/// Runs every check that needs no API server.
pub fn shape_relief(
    proposal: ReliefProposal,
    relieve: &Relieve,
    world: &ReliefWorld,
    now: Timestamp,
) -> Result<ReliefCandidate, ReliefRefused> {
    let mut sheet = Sheet::of(proposal);
    let target = world
        .trouble
        .clone()
        .map_or_else(|| Ok("the pod is the target's".to_owned()), Err);
    sheet.judge(Check::Target, target);
    let owner = world
        .owner
        .clone()
        .map_or_else(|| Ok("no other policy relieves it".to_owned()), Err);
    sheet.judge(Check::Ownership, owner);
    match (sheet.proposal.from, sheet.proposal.to) {
        (PodState::Memory(from), PodState::Memory(to)) => resize(&mut sheet, (from, to), relieve, world, now),
        _ => evict(&mut sheet, relieve, world, now),
    }
    let open = world.open.as_ref().map_or_else(
        || Ok("no Change of a pod of this target is open".to_owned()),
        |open| Err(format!("{open} is open; one pod at a time")),
    );
    sheet.judge(Check::OpenChange, open);
    sheet.finish().map(ReliefCandidate).map_err(ReliefRefused::of)
}

fn resize(
    sheet: &mut Sheet<ReliefProposal>,
    (from, to): (PodMemory, PodMemory),
    relieve: &Relieve,
    world: &ReliefWorld,
    now: Timestamp,
) {
    sheet.judge(Check::Pause, paused(&world.paused, world.paused.up.as_ref()));
    let Some(resize) = &relieve.resize else {
        sheet.judge(Check::Bounds, Err("relieve has no resize".to_owned()));
        return;
    };
    sheet.judge(
        Check::Cooldown,
        rested("the pod was resized", world.resized_at, resize.every, now),
    );
    room(sheet, (from, to), world);
    let bounds = if to.limit <= from.limit || to.request < from.request {
        Err("memory is only ever given".to_owned())
    } else if to.limit > resize.max {
        Err(format!("{} is above resize.max, {}", to.limit, resize.max))
    } else {
        Ok(format!(
            "{} is more, and not above resize.max, {}",
            to.limit, resize.max
        ))
    };
    sheet.judge(Check::Bounds, bounds);
}

/// A limit takes nothing of a node, a request does. Quotas and ranges are the API server's to keep, and its trial tells.
fn room(sheet: &mut Sheet<ReliefProposal>, (from, to): (PodMemory, PodMemory), world: &ReliefWorld) {
    let need = from.needs(to);
    match &world.room {
        _ if need.get() == 0 => sheet.note(Check::Headroom, Verdict::Passed, "the request stays as it is"),
        NodeRoom::Unknown(why) => sheet.note(Check::Headroom, Verdict::Skipped, why.clone()),
        NodeRoom::Free { node, bytes } if *bytes < need => {
            let message = format!("node {node} has {bytes} free for requests, and {need} more are needed");
            sheet.note(Check::Headroom, Verdict::Refused, message);
        }
        NodeRoom::Free { node, bytes } => {
            let message = format!("node {node} has {bytes} free for requests, of which {need} are needed");
            sheet.note(Check::Headroom, Verdict::Passed, message);
        }
    }
}

fn evict(sheet: &mut Sheet<ReliefProposal>, relieve: &Relieve, world: &ReliefWorld, now: Timestamp) {
    sheet.judge(Check::Pause, paused(&world.paused, world.paused.down.as_ref()));
    let Some(evict) = &relieve.evict else {
        sheet.judge(Check::Bounds, Err("relieve has no evict".to_owned()));
        return;
    };
    sheet.judge(
        Check::Cooldown,
        rested("a pod of the target was evicted", world.evicted_at, evict.every, now),
    );
    let others = match world.others_ready {
        None => Err("which other pods are ready is not known; grant list and watch on pods".to_owned()),
        Some(0) => Err("no other pod of the target is ready; add replicas, or nobody would serve".to_owned()),
        Some(others) => Ok(format!("{others} other pods of the target are ready")),
    };
    sheet.judge(Check::Headroom, others);
}

fn rested(what: &str, last: Option<Timestamp>, every: Span, now: Timestamp) -> Result<String, String> {
    match last {
        Some(last) if now.since(last) < every => Err(format!("{what} {} ago; not within {every}", now.since(last))),
        Some(last) => Ok(format!("{what} {} ago", now.since(last))),
        None => Ok("it is the first".to_owned()),
    }
}

fn paused(paused: &Paused, side: Option<&String>) -> Result<String, String> {
    let why = paused.stopped().or_else(|| side.cloned());
    why.map_or_else(|| Ok("nothing is paused".to_owned()), Err)
}
