//! The record of checks, and the three things that can come of it.

use super::{Check, CheckResult, DryRun, Verdict, first_refusal, ownership::TargetFinding, refusal};
use crate::{
    decide::{Direction, Proposal},
    policy::Replicas,
};

/// A proposal that passed every check but the API server's.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate(Reviewed);

/// A proposal that may be carried out. Only this module can make one.
#[derive(Clone, Debug, PartialEq)]
pub struct Approved(Reviewed);

/// A proposal that may not be carried out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", self.first())]
pub struct Refused {
    /// What was proposed.
    pub proposal: Box<Proposal>,
    /// The number that would have been written, as far as the checks shaped it.
    pub to: Replicas,
    /// Every check's verdict, at least one of them [`Verdict::Refused`].
    pub checks: Vec<CheckResult>,
}

impl Refused {
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
    proposal: Proposal,
    to: Replicas,
    checks: Vec<CheckResult>,
    supersedes: Option<String>,
}

/// The getters that [`Candidate`] and [`Approved`] have in common.
macro_rules! getters {
    () => {
        /// The proposal as it was made; [`Self::to`] may be less far.
        pub fn proposal(&self) -> &Proposal {
            &self.0.proposal
        }

        /// The number of replicas on which it was decided.
        pub fn from(&self) -> Replicas {
            self.0.proposal.from
        }

        /// The number of replicas to write.
        pub fn to(&self) -> Replicas {
            self.0.to
        }

        /// Which way that is.
        pub fn direction(&self) -> Direction {
            self.0.proposal.direction
        }

        /// The checks so far, in the order in which they ran.
        pub fn checks(&self) -> &[CheckResult] {
            &self.0.checks
        }

        /// The open Change that this one takes the place of.
        pub fn supersedes(&self) -> Option<&str> {
            self.0.supersedes.as_deref()
        }
    };
}

impl Candidate {
    getters!();

    /// The last check.
    pub fn admit(self, dry_run: DryRun) -> Result<Approved, Refused> {
        let mut review = Review(self.0);
        let finding = match dry_run {
            DryRun::Accepted => Finding::Pass("the API server accepts the write".to_owned()),
            DryRun::Skipped(why) => Finding::Skip(why),
            DryRun::Refused(why) => Finding::Refuse(format!(
                "the API server would refuse {} replicas: {why}; change the quota or admission policy that it names",
                review.0.to
            )),
        };
        review.note(Check::DryRun, finding);
        review.finish().map(Approved)
    }
}

impl Approved {
    getters!();
}

/// What one check found.
pub(super) enum Finding {
    Pass(String),
    Clamp(Replicas, String),
    Refuse(String),
    Skip(String),
}

/// The checks of one proposal while they run.
pub(super) struct Review(Reviewed);

impl Review {
    /// The review of a proposal, before any check.
    pub(super) fn of(proposal: Proposal) -> Self {
        let to = proposal.to;
        Self(Reviewed {
            proposal,
            to,
            checks: Vec::new(),
            supersedes: None,
        })
    }

    /// Writes down what a check found.
    pub(super) fn note(&mut self, check: Check, finding: Finding) {
        let (verdict, message) = match finding {
            Finding::Pass(message) => (Verdict::Passed, message),
            Finding::Refuse(message) => (Verdict::Refused, message),
            Finding::Skip(message) => (Verdict::Skipped, message),
            Finding::Clamp(to, message) => {
                self.0.to = to;
                (Verdict::Clamped, message)
            }
        };
        self.0.checks.push(CheckResult {
            check,
            verdict,
            message,
        });
    }

    /// The check that left no number for those after it.
    fn nothing_left(&self) -> Option<Check> {
        let refused = |result: &&CheckResult| {
            result.verdict == Verdict::Refused
                && matches!(
                    result.check,
                    Check::Rate | Check::Headroom | Check::Budget | Check::Bounds
                )
        };
        self.0.checks.iter().find(refused).map(|result| result.check)
    }

    /// Notes the target. `Some`: there is nothing to change, so no other check makes sense.
    pub(super) fn target(&mut self, finding: TargetFinding) -> Option<String> {
        let TargetFinding { finding, absent } = finding;
        self.note(Check::Target, finding);
        absent
    }

    /// Takes back what reaches further than `bound`.
    pub(super) fn limit(&mut self, bound: Replicas) {
        self.0.to = match self.0.proposal.direction {
            Direction::Up => self.0.to.min(bound),
            Direction::Down => self.0.to.max(bound),
        };
    }

    /// Notes a check of the number, unless an earlier one left no number.
    pub(super) fn of_number(&mut self, check: Check, finding: impl FnOnce(Replicas) -> Finding) {
        let finding = match self.nothing_left() {
            Some(before) => Finding::Skip(format!("{before} leaves nothing to judge")),
            None => finding(self.0.to),
        };
        self.note(check, finding);
    }

    /// Notes the open Change, if there is still a number to compare it with.
    pub(super) fn open(&mut self, open: impl FnOnce(Replicas) -> (Finding, Option<String>)) {
        if let Some(before) = self.nothing_left() {
            let why = format!("{before} leaves nothing to open a Change for");
            self.note(Check::OpenChange, Finding::Skip(why));
        } else {
            let (finding, supersedes) = open(self.0.to);
            self.note(Check::OpenChange, finding);
            self.0.supersedes = supersedes;
        }
    }

    /// The verdict on everything up to here.
    fn finish(self) -> Result<Reviewed, Refused> {
        let Reviewed {
            proposal, checks, to, ..
        } = &self.0;
        if checks.iter().any(|result| result.verdict == Verdict::Refused) {
            return Err(Refused {
                proposal: Box::new(proposal.clone()),
                to: *to,
                checks: checks.clone(),
            });
        }
        Ok(self.0)
    }

    /// The verdict on everything but the dry run, which is noted as skipped if it will not be made.
    pub(super) fn shaped(mut self) -> Result<Candidate, Refused> {
        if self.0.checks.iter().any(|result| result.verdict == Verdict::Refused) {
            self.note(Check::DryRun, Finding::Skip("an earlier check refused".to_owned()));
        }
        self.finish().map(Candidate)
    }

    /// Skips every check that did not run yet, after one that refused.
    pub(super) fn skip_rest(mut self, why: &str) -> Result<Candidate, Refused> {
        for check in Check::ALL {
            if !self.0.checks.iter().any(|result| result.check == check) {
                self.note(check, Finding::Skip(why.to_owned()));
            }
        }
        self.finish().map(Candidate)
    }
}
