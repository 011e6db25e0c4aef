//! The checks of a runtime's knobs. Only this module can make a [`RuntimeApproved`].
//!
//! What is particular to them: agents must answer, and none of their breakers may have tripped; more garbage must
//! fit below the container's limit; a soft limit must leave room for a live heap, because no floor of GOGC guards
//! against one that does not.

use super::{
    Check, CheckResult, DryRun, Paused, Verdict, first_refusal, refusal,
    sheet::{Sheet, Struck},
};
use crate::{
    decide::{AgentFacts, RuntimeFacts, RuntimeProposal},
    policy::{Knob, KnobValue, Knobs, RuntimeAction, RuntimeAim, Setting},
    time::Timestamp,
};

/// What a predicted peak takes at most of the container's limit.
const PEAK: f64 = 0.85;
/// What a soft limit leaves at least for the live heap: an effective GOGC of 50.
const ROOM: f64 = 1.5;

/// What is known of the world around a workload when its pods' knobs are checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimeWorld {
    /// Why the workload can't be moved, if it can't.
    pub trouble: Option<String>,
    /// Whose the knobs are, if they are somebody else's.
    pub owner: Option<String>,
    /// Why nothing may be changed now.
    pub paused: Paused,
    /// The Change that is open for these knobs.
    pub open: OpenRuntime,
    /// Whether rules that fire drive an action that stands before the one that moved the knobs last.
    pub urgent: bool,
    /// Whether somebody approved.
    pub approval: RuntimeApproval,
    /// A setting that did not have its effect, and until when it is not tried again.
    pub latch: Option<(Setting, Timestamp)>,
    /// Why a rollout of the workload is under way, if one is. It counts for start-up options.
    pub rollout: Option<String>,
}

/// The Change that is open for these knobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OpenRuntime {
    /// There is none.
    #[default]
    None,
    /// One of this policy.
    Ours {
        /// Its name.
        name: String,
        /// Whether what it wrote is being tried or verified: it can be cut short without a guess at what stands.
        verifying: bool,
    },
    /// One that has to end first, or why it is not known.
    Blocked(String),
}

/// Whether somebody approved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RuntimeApproval {
    /// The action asks for none.
    #[default]
    NotNeeded,
    /// Nobody did yet; the text names the Change that waits, if there is one.
    Awaited(Option<String>),
    /// Somebody approved this very setting.
    Granted(String),
}

/// A setting that passed every check but the API server's.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeCandidate(Sheet<RuntimeProposal>);

/// A setting that may be carried out. Only this module can make one.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeApproved(Sheet<RuntimeProposal>);

/// A setting that may not be carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", refusal(checks))]
pub struct RuntimeRefused {
    /// What was proposed.
    pub proposal: Box<RuntimeProposal>,
    /// Every check's verdict, at least one of them [`Verdict::Refused`].
    pub checks: Vec<CheckResult>,
}

impl RuntimeRefused {
    /// The first check that refused.
    pub fn reason(&self) -> Option<&CheckResult> {
        first_refusal(&self.checks)
    }

    fn of((proposal, checks): Struck<RuntimeProposal>) -> Self {
        Self {
            proposal: Box::new(proposal),
            checks,
        }
    }
}

impl RuntimeCandidate {
    /// The setting to write.
    pub fn to(&self) -> &Setting {
        &self.0.proposal.to
    }

    /// The last check.
    pub fn admit(self, dry_run: DryRun) -> Result<RuntimeApproved, RuntimeRefused> {
        let mut sheet = self.0;
        sheet.dry_run(dry_run);
        sheet.finish().map(RuntimeApproved).map_err(RuntimeRefused::of)
    }
}

impl RuntimeApproved {
    /// The proposal.
    pub fn proposal(&self) -> &RuntimeProposal {
        &self.0.proposal
    }

    /// The setting to write.
    pub fn to(&self) -> &Setting {
        &self.0.proposal.to
    }

    /// Every check, in the order in which they ran.
    pub fn checks(&self) -> &[CheckResult] {
        &self.0.checks
    }
}

/// Runs every check that needs no API server. `facts` must be those that the proposal was made from.
pub fn shape_runtime(
    proposal: RuntimeProposal,
    action: &RuntimeAction,
    facts: &RuntimeFacts,
    world: &RuntimeWorld,
    now: Timestamp,
) -> Result<RuntimeCandidate, RuntimeRefused> {
    let mut sheet = Sheet::of(proposal);
    if let Some(trouble) = &world.trouble {
        sheet.judge(Check::Target, Err(trouble.clone()));
        sheet.skip(&[Check::Ownership, Check::Pause], "there is nothing to change");
        return sheet.finish().map(RuntimeCandidate).map_err(RuntimeRefused::of);
    }
    let to = sheet.proposal.to.clone();
    sheet.judge(Check::Target, Ok("the workload can be moved".to_owned()));
    sheet.judge(Check::Ownership, owner(world));
    sheet.judge(Check::Pause, paused(&world.paused));
    let starts = matches!(action.aim, RuntimeAim::Env(_));
    if starts {
        sheet.judge(Check::Rollout, rolling(world));
        sheet.skip(&[Check::Agents], "start-up options need no agent");
    } else {
        sheet.judge(Check::Agents, agents(facts));
    }
    sheet.judge(Check::Ineffective, latched(world, &to, now));
    sheet.judge(Check::Cooldown, early(action, facts, world, now));
    if starts {
        sheet.skip(
            &[Check::Headroom],
            "what a process will need is known once it runs: the rollout and verify tell",
        );
    } else {
        sheet.judge(Check::Headroom, room(&facts.current.knobs, &to.knobs, facts));
    }
    sheet.judge(Check::Bounds, within(action, &to.knobs));
    sheet.judge(Check::OpenChange, supersede(world));
    match &world.approval {
        RuntimeApproval::NotNeeded => sheet.note(Check::Approval, Verdict::Skipped, "the action asks for none"),
        RuntimeApproval::Awaited(None) => sheet.judge(
            Check::Approval,
            Err("nobody approved yet; a Change that waits is recorded".to_owned()),
        ),
        RuntimeApproval::Awaited(Some(name)) => {
            sheet.judge(
                Check::Approval,
                Err(format!("nobody approved yet: flyball approve {name}")),
            );
        }
        RuntimeApproval::Granted(by) => sheet.judge(Check::Approval, Ok(format!("{by} approved it"))),
    }
    sheet.finish().map(RuntimeCandidate).map_err(RuntimeRefused::of)
}

/// Taking knobs back to `to`. It waits for nothing. That what is there is still ours the transaction itself sees to.
pub fn undo_runtime(
    action: &str,
    from: &Setting,
    to: &Setting,
    world: &RuntimeWorld,
) -> Result<RuntimeCandidate, RuntimeRefused> {
    let mut sheet = Sheet::of(RuntimeProposal {
        action: action.to_owned(),
        from: from.clone(),
        to: to.clone(),
        reason: "takes a change back that was not verified".to_owned(),
        arithmetic: vec![format!("back from {from} to the last verified {to}")],
        alerts: Vec::new(),
    });
    let target = world
        .trouble
        .clone()
        .map_or_else(|| Ok("the workload can be moved".to_owned()), Err);
    sheet.judge(Check::Target, target);
    sheet.judge(Check::Ownership, owner(world));
    sheet.skip(&[Check::Pause, Check::Cooldown], "taking knobs back waits for nothing");
    sheet.finish().map(RuntimeCandidate).map_err(RuntimeRefused::of)
}

fn owner(world: &RuntimeWorld) -> Result<String, String> {
    match &world.owner {
        Some(owner) => Err(owner.clone()),
        None => Ok("nobody else moves these knobs".to_owned()),
    }
}

/// Each change of a template is a rollout, and two at a time could not be told apart.
fn rolling(world: &RuntimeWorld) -> Result<String, String> {
    match &world.rollout {
        Some(why) => Err(format!(
            "a rollout is under way ({why}); the next waits until it is over"
        )),
        None => Ok("no rollout is under way".to_owned()),
    }
}

/// Knobs have no direction, so a pause of either holds them.
fn paused(paused: &Paused) -> Result<String, String> {
    let namespace = paused.namespace.as_ref();
    let why = paused.frozen.as_ref().or(namespace);
    let why = why.or(paused.up.as_ref()).or(paused.down.as_ref());
    why.map_or_else(|| Ok("nothing is paused".to_owned()), |why| Err(why.clone()))
}

fn agents(facts: &RuntimeFacts) -> Result<String, String> {
    if facts.pods.is_empty() {
        return Err("no pod of the workload is ready; knobs are moved in running processes only".to_owned());
    }
    let tripped: Vec<&str> = facts
        .pods
        .iter()
        .filter(|(_, agent)| agent.tripped)
        .map(|(name, _)| name.as_str())
        .take(3)
        .collect();
    if !tripped.is_empty() {
        return Err(format!(
            "the breaker of {} tripped: its agent took its knobs back by itself; nothing is moved until it is closed again",
            tripped.join(", ")
        ));
    }
    let answering = facts.pods.values().filter(|agent| agent.applied.is_some()).count();
    match answering {
        0 => Err(
            "no agent answers from any ready pod: add it to the image (agents/), mount its file with flyball inject, \
             and have Prometheus scrape flyball_agent_applied_generation"
                .to_owned(),
        ),
        some => Ok(format!(
            "the agents of {some} of {} ready pods answer",
            facts.pods.len()
        )),
    }
}

fn latched(world: &RuntimeWorld, to: &Setting, now: Timestamp) -> Result<String, String> {
    match &world.latch {
        Some((setting, until)) if setting == to && now < *until => Err(format!(
            "{to} did not have its effect; it is not tried again for {}",
            until.since(now)
        )),
        _ => Ok("this setting was not found ineffective".to_owned()),
    }
}

/// Of a policy's actions the first counts whose rules fire. One that stands before the action under way takes its
/// place (law 3): memory that runs out does not wait until a deadline says what a quieter hour has gained. Everything
/// else waits.
fn supersede(world: &RuntimeWorld) -> Result<String, String> {
    match &world.open {
        OpenRuntime::None => Ok("no Change is open for these knobs".to_owned()),
        OpenRuntime::Ours { name, verifying: true } if world.urgent => {
            Ok(format!("stands before the action of Change {name}, and supersedes it"))
        }
        OpenRuntime::Ours { name, .. } => Err(format!("Change {name} is under way; the next waits for its end")),
        OpenRuntime::Blocked(why) => Err(why.clone()),
    }
}

fn early(action: &RuntimeAction, facts: &RuntimeFacts, world: &RuntimeWorld, now: Timestamp) -> Result<String, String> {
    let hold = action.hold;
    match facts.history.moved_at.filter(|at| now < *at + hold) {
        Some(at) if world.urgent => Ok(format!(
            "the knobs moved {} ago, by an action that stands after this one; hold is {hold} and does not count",
            now.since(at)
        )),
        Some(at) => Err(format!(
            "the knobs moved {} ago, and hold is {hold}: what is measured is still from before",
            now.since(at)
        )),
        None => Ok(format!("the last change is {hold} ago or more")),
    }
}

fn within(action: &RuntimeAction, knobs: &Knobs) -> Result<String, String> {
    let (least, most) = action.gogc;
    match knobs.number(Knob::Gogc) {
        Some(gogc) if !(least..=most).contains(&gogc) => Err(format!("gogc={gogc} is not between {least} and {most}")),
        _ => Ok("within the bounds".to_owned()),
    }
}

/// Whether what is allowed more of fits, and what is given less leaves room, in every pod.
fn room(from: &Knobs, to: &Knobs, facts: &RuntimeFacts) -> Result<String, String> {
    let mut said = "asks for no more memory, and lowers no limit".to_owned();
    for (name, agent) in &facts.pods {
        if let Some(gogc) = more_garbage(from, to) {
            said = peak(name, agent, gogc)?;
        }
        if let Some(limit) = lower_limit(from, to) {
            said = leaves_room(name, agent, limit)?;
        }
    }
    Ok(said)
}

/// The GOGC that is wanted, if it is more than before. A process is taken to have been started with 100.
fn more_garbage(from: &Knobs, to: &Knobs) -> Option<u64> {
    let wanted = to.number(Knob::Gogc)?;
    (wanted > from.number(Knob::Gogc).unwrap_or(100)).then_some(wanted)
}

/// The soft limit that is wanted, if there was none or a higher one.
fn lower_limit(from: &Knobs, to: &Knobs) -> Option<u64> {
    let wanted = to.number(Knob::MemoryLimit)?;
    match from.get(Knob::MemoryLimit) {
        Some(KnobValue::Number(before)) if before <= wanted => None,
        _ => Some(wanted),
    }
}

fn peak(name: &str, agent: &AgentFacts, gogc: u64) -> Result<String, String> {
    let Some(limit) = agent.limit else {
        return Ok("the container has no memory limit that the garbage could reach".to_owned());
    };
    let (Some(live), Some(beside)) = (agent.live, agent.beside) else {
        return Err(format!(
            "the live heap of {name} is not known, so more garbage might not fit: have Prometheus scrape flyball_agent_heap_live_bytes"
        ));
    };
    let goal = live * (1.0 + number(gogc) / 100.0);
    let (peak, room) = (goal + beside, PEAK * limit);
    let arithmetic = format!(
        "{name}: {} live x (1 + {gogc} %) + {} beside = {}, of {} x {PEAK} = {}",
        mib(live),
        mib(beside),
        mib(peak),
        mib(limit),
        mib(room)
    );
    if peak > room {
        return Err(format!(
            "{arithmetic}: it would not fit; allow less, or raise the container's memory limit"
        ));
    }
    Ok(arithmetic)
}

fn leaves_room(name: &str, agent: &AgentFacts, limit: u64) -> Result<String, String> {
    let Some(live) = agent.live else {
        return Err(format!(
            "the live heap of {name} is not known, and a limit below it makes collections without end: have Prometheus scrape flyball_agent_heap_live_bytes"
        ));
    };
    let (limit, least) = (number(limit), ROOM * live);
    let arithmetic = format!(
        "{name}: {} live x {ROOM} = {}, of {}",
        mib(live),
        mib(least),
        mib(limit)
    );
    if least > limit {
        return Err(format!(
            "{arithmetic}: collections would never end, whatever gogc is; ask for a memlimit of at least {}",
            mib(least)
        ));
    }
    Ok(arithmetic)
}

fn number(value: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // Bytes below 2^53 are exact, and nothing is above 2^50.
    let number = value as f64;
    number
}

fn mib(bytes: f64) -> String {
    format!("{:.0} MiB", bytes / f64::from(1 << 20))
}
