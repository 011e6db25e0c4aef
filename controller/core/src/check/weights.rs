//! The checks of weights.
//!
//! The order is that of replicas, with the checks that make sense for a list of backends: weights take nothing
//! from anybody's quota, and go up and down at once. Only this module can make a [`WeightsApproved`].

use super::{Check, CheckResult, DryRun, Paused, Verdict, first_refusal, open_weights, refusal};
use crate::{
    decide::{Move, RouteFacts, WeightProposal},
    policy::{Weight, Weights, WeightsAction},
    signal::Reading,
    time::Timestamp,
};

/// What is known of the world around the routes when weights are checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteWorld {
    /// Why the routes can't be moved, if they can't: one is missing, paused, or its list is another than described.
    pub trouble: Option<String>,
    /// Whose the weights are, if they are somebody else's: another policy's, or whoever wrote them last.
    pub owner: Option<String>,
    /// Why nothing may be changed now: the installation is frozen, or either direction is paused.
    pub paused: Paused,
    /// The Change that is open for one of the routes.
    pub open: OpenWeights,
    /// Whether somebody approved.
    pub approval: WeightsApproval,
    /// Weights that did not have their effect, and until when they are not tried again.
    pub latch: Option<(Weights, Timestamp)>,
}

/// A Change that is open for one of the routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OpenWeights {
    /// There is none.
    #[default]
    None,
    /// One of this action.
    Ours {
        /// Its name.
        name: String,
        /// The weights before it.
        from: Weights,
        /// The weights that it writes.
        to: Weights,
        /// By what it can be superseded.
        supersedable: Supersedable,
    },
    /// One of another policy; the text says which.
    Others(String),
    /// Whether one is open is not known; the text says why, and the way out.
    Unknown(String),
}

/// By what an open Change of weights can be superseded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supersedable {
    /// By nothing: it is being written or taken back.
    No,
    /// By an ejection: it was written, and is being verified.
    AtOnce,
    /// By a move of the law that goes further, too: the traffic follows the weights, and nothing but the effect is
    /// waited for.
    Further,
}

/// Whether somebody approved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WeightsApproval {
    /// The action asks for none.
    #[default]
    NotNeeded,
    /// Nobody did yet; the text names the Change that waits, if there is one.
    Awaited(Option<String>),
    /// These weights were approved, by whom the text says. They are what is written.
    Granted {
        /// The weights.
        to: Weights,
        /// Who approved.
        by: String,
    },
}

/// A proposal of weights that passed every check but the API server's.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightsCandidate(Reviewed);

/// A proposal of weights that may be carried out. Only this module can make one.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightsApproved(Reviewed);

/// A proposal of weights that may not be carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", self.first())]
pub struct WeightsRefused {
    /// What was proposed.
    pub proposal: Box<WeightProposal>,
    /// Every check's verdict, at least one of them [`Verdict::Refused`].
    pub checks: Vec<CheckResult>,
}

impl WeightsRefused {
    /// The first check that refused.
    pub fn reason(&self) -> Option<&CheckResult> {
        first_refusal(&self.checks)
    }

    fn first(&self) -> String {
        refusal(&self.checks)
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Reviewed {
    proposal: WeightProposal,
    to: Weights,
    checks: Vec<CheckResult>,
    supersedes: Option<String>,
}

impl Reviewed {
    fn of(proposal: WeightProposal) -> Self {
        Self {
            to: proposal.to.clone(),
            proposal,
            checks: Vec::new(),
            supersedes: None,
        }
    }

    fn note(&mut self, check: Check, verdict: Verdict, message: impl Into<String>) {
        self.checks.push(CheckResult {
            check,
            verdict,
            message: message.into(),
        });
    }

    /// `Err` is why it is refused, `Ok` why not.
    fn judge(&mut self, check: Check, finding: Result<String, String>) {
        match finding {
            Ok(message) => self.note(check, Verdict::Passed, message),
            Err(message) => self.note(check, Verdict::Refused, message),
        }
    }

    fn skip(&mut self, checks: &[Check], why: &str) {
        for check in checks {
            self.note(*check, Verdict::Skipped, why);
        }
    }

    fn finish(mut self) -> Result<Self, WeightsRefused> {
        if self.checks.iter().any(|result| result.verdict == Verdict::Refused) {
            if !self.checks.iter().any(|result| result.check == Check::DryRun) {
                self.note(Check::DryRun, Verdict::Skipped, "an earlier check refused");
            }
            return Err(WeightsRefused {
                proposal: Box::new(self.proposal),
                checks: self.checks,
            });
        }
        Ok(self)
    }
}

impl WeightsCandidate {
    /// The weights to write.
    pub fn to(&self) -> &Weights {
        &self.0.to
    }

    /// The last check.
    pub fn admit(self, dry_run: DryRun) -> Result<WeightsApproved, WeightsRefused> {
        let mut review = self.0;
        match dry_run {
            DryRun::Accepted => review.note(Check::DryRun, Verdict::Passed, "the API server accepts the write"),
            DryRun::Skipped(why) => review.note(Check::DryRun, Verdict::Skipped, why),
            DryRun::Refused(why) => {
                let message = format!("the API server would refuse the weights: {why}; change what it names");
                review.note(Check::DryRun, Verdict::Refused, message);
            }
        }
        review.finish().map(WeightsApproved)
    }
}

impl WeightsApproved {
    /// The proposal as it was made.
    pub fn proposal(&self) -> &WeightProposal {
        &self.0.proposal
    }

    /// The weights to write.
    pub fn to(&self) -> &Weights {
        &self.0.to
    }

    /// Every check, in the order in which they ran.
    pub fn checks(&self) -> &[CheckResult] {
        &self.0.checks
    }

    /// The open Change that this one takes the place of.
    pub fn supersedes(&self) -> Option<&str> {
        self.0.supersedes.as_deref()
    }
}

/// What is not asked of weights: they take no room, and what they read is checked by the law.
const NOT_OF_WEIGHTS: [Check; 5] = [
    Check::Coverage,
    Check::Rollout,
    Check::Veto,
    Check::Headroom,
    Check::Budget,
];

/// Runs every check that needs no API server. `facts` must be those that the proposal was made from.
pub fn shape_weights(
    proposal: WeightProposal,
    action: &WeightsAction,
    facts: &RouteFacts,
    world: &RouteWorld,
    now: Timestamp,
) -> Result<WeightsCandidate, WeightsRefused> {
    let why = proposal.why;
    let mut review = Reviewed::of(proposal);
    if !target(&mut review, world) {
        return review.finish().map(WeightsCandidate);
    }
    review.judge(Check::Ownership, owner(world));
    review.judge(Check::Pause, paused(&world.paused));
    let quality = quality(&review.proposal, facts);
    review.judge(Check::DataQuality, quality);
    match &world.latch {
        Some((weights, until)) if *weights == review.to && now < *until && why != Move::Ejection => {
            let message = format!(
                "these weights did not have their effect; they are not tried again for {} unless others are wanted",
                until.since(now)
            );
            review.note(Check::Ineffective, Verdict::Refused, message);
        }
        _ => review.note(
            Check::Ineffective,
            Verdict::Passed,
            "these weights were not found ineffective",
        ),
    }
    if why == Move::Ejection {
        review.skip(
            &[Check::Cooldown, Check::Rate],
            "a backend that fails is taken out at once",
        );
    } else {
        let hold = action.limits.hold;
        let early = facts.history.moved_at.filter(|at| now < *at + hold);
        review.judge(
            Check::Cooldown,
            match early {
                Some(at) => Err(format!(
                    "weights moved {} ago, and hold is {hold}: what is measured is still from before",
                    now.since(at)
                )),
                None => Ok(format!("the last change is {hold} ago or more")),
            },
        );
        review.note(Check::Rate, Verdict::Passed, "the law keeps to most_step by itself");
    }
    review.skip(&NOT_OF_WEIGHTS, "not asked of weights");
    if let WeightsApproval::Granted { to, .. } = &world.approval {
        review.to = to.clone();
    }
    let bounds = bounds(&review.proposal.from, &review.to, facts);
    review.judge(Check::Bounds, bounds);
    let (open, supersedes) = open_weights::supersede(&review.proposal, &review.to, &world.open, action, facts);
    review.judge(Check::OpenChange, open);
    review.supersedes = supersedes;
    match &world.approval {
        WeightsApproval::NotNeeded => review.note(Check::Approval, Verdict::Skipped, "the action asks for none"),
        _ if why == Move::Ejection => {
            review.note(
                Check::Approval,
                Verdict::Skipped,
                "a backend that fails is taken out without waiting",
            );
        }
        WeightsApproval::Awaited(None) => {
            review.note(
                Check::Approval,
                Verdict::Refused,
                "nobody approved yet; a Change that waits is recorded",
            );
        }
        WeightsApproval::Awaited(Some(name)) => {
            let message = format!("nobody approved yet: flyball approve {name}");
            review.note(Check::Approval, Verdict::Refused, message);
        }
        WeightsApproval::Granted { by, .. } => {
            let message = format!("{by} approved these weights");
            review.note(Check::Approval, Verdict::Passed, message);
        }
    }
    review.finish().map(WeightsCandidate)
}

/// Taking weights back to `to`. It waits for nothing, but is itself checked against the present: it leaves alone
/// what is somebody else's, and gives no backend more that fails or has no endpoint by now.
pub fn undo_weights(
    action: &WeightsAction,
    from: &Weights,
    to: &Weights,
    facts: &RouteFacts,
    world: &RouteWorld,
) -> Result<WeightsCandidate, WeightsRefused> {
    let mut review = Reviewed::of(WeightProposal {
        action: action.name.clone(),
        from: from.clone(),
        to: to.clone(),
        why: Move::Law,
        reason: "takes a change back that was not verified".to_owned(),
        arithmetic: vec![format!("back from {from} to the last verified {to}")],
        alerts: Vec::new(),
    });
    if !target(&mut review, world) {
        return review.finish().map(WeightsCandidate);
    }
    let ours = match owner(world) {
        Ok(_) if facts.current != *from => Err(format!(
            "the weights are {}, not the {from} that were written; they are somebody else's now and are left to them",
            facts.current
        )),
        found => found,
    };
    review.judge(Check::Ownership, ours);
    let waits_for_nothing = "taking weights back waits for nothing";
    review.skip(&[Check::Pause], waits_for_nothing);
    let failing: Vec<String> = to
        .iter()
        .filter(|(backend, _)| more(from, to, backend))
        .filter_map(|(backend, _)| failing(action, facts, backend))
        .collect();
    review.judge(
        Check::DataQuality,
        if failing.is_empty() {
            Ok("no backend that gets more is known to fail".to_owned())
        } else {
            Err(format!(
                "{}, so it gets no more and the weights are held",
                failing.join(", ")
            ))
        },
    );
    review.skip(&[Check::Ineffective, Check::Cooldown, Check::Rate], waits_for_nothing);
    review.skip(&NOT_OF_WEIGHTS, "not asked of weights");
    let bounds = bounds(from, to, facts);
    review.judge(Check::Bounds, bounds);
    let open = match &world.open {
        OpenWeights::None => Ok("no other Change is open".to_owned()),
        OpenWeights::Ours { name, .. } => Ok(format!("undoes Change {name}")),
        OpenWeights::Others(who) => Err(format!("{who} is open for the same route")),
        OpenWeights::Unknown(why) => Err(format!("whether another Change is open is not known: {why}")),
    };
    review.judge(Check::OpenChange, open);
    review.skip(&[Check::Approval], waits_for_nothing);
    review.finish().map(WeightsCandidate)
}

/// Notes the target, and says whether anything else makes sense.
fn target(review: &mut Reviewed, world: &RouteWorld) -> bool {
    match &world.trouble {
        None => {
            review.note(Check::Target, Verdict::Passed, "every route has the list as described");
            true
        }
        Some(why) => {
            review.note(Check::Target, Verdict::Refused, why.clone());
            for check in Check::ALL {
                if check != Check::Target {
                    review.note(check, Verdict::Skipped, "there is nothing that could be moved");
                }
            }
            false
        }
    }
}

fn owner(world: &RouteWorld) -> Result<String, String> {
    match &world.owner {
        None => Ok("nobody else sets the weights".to_owned()),
        Some(who) => Err(who.clone()),
    }
}

fn paused(paused: &Paused) -> Result<String, String> {
    let why: Vec<String> = [
        paused.stopped(),
        paused.up.as_ref().map(|why| {
            format!("increases are paused, and weights go both ways: {why}; to go on, take spec.pause.up out")
        }),
        paused.down.as_ref().map(|why| {
            format!("decreases are paused, and weights go both ways: {why}; to go on, take spec.pause.down out")
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    if why.is_empty() {
        Ok("nothing is frozen or paused".to_owned())
    } else {
        Err(why.join("; also: "))
    }
}

/// No weight is set to zero on data that is missing, old or partial (law 9).
fn quality(proposal: &WeightProposal, facts: &RouteFacts) -> Result<String, String> {
    let zeroed: Vec<&str> = proposal
        .to
        .iter()
        .filter(|(backend, weight)| *weight == Weight::ZERO && proposal.from.of(backend) > Weight::ZERO)
        .map(|(backend, _)| backend)
        .collect();
    // Whether there are endpoints is asked of the API server in the same pass.
    let unready = |backend: &&str| facts.ready.get(*backend) == Some(&false);
    if zeroed.iter().all(unready) {
        return Ok("no weight goes to zero on what is measured; the law moves on fresh values only".to_owned());
    }
    for (what, reading) in [("requests", &facts.requests), ("errors", &facts.errors)] {
        if let Some(why) = old(reading) {
            return Err(format!(
                "{} would get no traffic, and traffic.{what} is {why}",
                zeroed.join(", ")
            ));
        }
    }
    Ok("what the proxy tells is fresh".to_owned())
}

/// Errors may be missing: a proxy that has answered no request with 5xx has no such series.
fn old(reading: &Reading) -> Option<String> {
    use crate::signal::Quality;
    match reading.quality() {
        Quality::Fresh | Quality::Missing => None,
        quality => Some(format!("{quality} ({})", reading.detail())),
    }
}

fn bounds(from: &Weights, to: &Weights, facts: &RouteFacts) -> Result<String, String> {
    let total = to.total();
    if total == 0 {
        return Err("all weights would be 0, and nothing would be served".to_owned());
    }
    if let Some(fixed) = facts.fixed_total.filter(|fixed| u64::from(*fixed) != total) {
        return Err(format!(
            "the weights add up to {total}, and this kind of route needs {fixed}"
        ));
    }
    let before = from.total();
    if facts.unmanaged > 0 && before > 0 && total != before {
        return Err(format!(
            "the weights would add up to {total} instead of {before}, and backends that are not managed would get another share"
        ));
    }
    if let Some((other, _)) = to
        .iter()
        .find(|(backend, _)| from.iter().all(|(known, _)| known != *backend))
    {
        return Err(format!("{other} is not among the backends that are managed"));
    }
    Ok(format!("they add up to {total}, and every backend is in range"))
}

/// Requests of a backend per second, and how many of them fail; `None` unless both are fresh.
pub(super) fn rates(facts: &RouteFacts, backend: &str) -> Option<(f64, f64)> {
    let of = |reading: &Reading| {
        let mine = |sample: &&crate::signal::Sample| sample.labels.get("backend").map(String::as_str) == Some(backend);
        let fresh = reading.is_fresh().then(|| reading.samples().iter().find(mine))?;
        fresh.map(|sample| sample.value)
    };
    Some((of(&facts.requests)?, of(&facts.errors)?))
}

pub(super) fn more(from: &Weights, to: &Weights, backend: &str) -> bool {
    to.share(backend).unwrap_or(0.0) > from.share(backend).unwrap_or(0.0)
}

/// Why a backend must not get more, as far as is known: it is out, has no endpoint, or most of its requests fail.
fn failing(action: &WeightsAction, facts: &RouteFacts, backend: &str) -> Option<String> {
    if facts.ready.get(backend) == Some(&false) {
        return Some(format!("{backend} has no ready endpoint"));
    }
    if facts
        .history
        .backends
        .get(backend)
        .is_some_and(|known| known.out_since.is_some())
    {
        return Some(format!("{backend} was taken out because its requests failed"));
    }
    let above = action
        .ejection
        .as_ref()
        .map_or(0.5, |ejection| ejection.errors_above.get());
    let (requests, errors) = rates(facts, backend)?;
    (requests > 0.0 && errors / requests > above).then(|| format!("most requests of {backend} fail now"))
}
