//! What the checks of a lever have noted so far. Each lever keeps its own proposal in it.

use super::{Check, CheckResult, DryRun, Verdict};

/// A proposal with the verdicts so far.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sheet<P> {
    pub proposal: P,
    pub checks: Vec<CheckResult>,
}

/// A proposal that was refused, with every verdict.
pub(super) type Struck<P> = (P, Vec<CheckResult>);

impl<P> Sheet<P> {
    pub fn of(proposal: P) -> Self {
        Self {
            proposal,
            checks: Vec::new(),
        }
    }

    pub fn note(&mut self, check: Check, verdict: Verdict, message: impl Into<String>) {
        self.checks.push(CheckResult {
            check,
            verdict,
            message: message.into(),
        });
    }

    /// `Err` is why it is refused, `Ok` why not.
    pub fn judge(&mut self, check: Check, finding: Result<String, String>) {
        match finding {
            Ok(message) => self.note(check, Verdict::Passed, message),
            Err(message) => self.note(check, Verdict::Refused, message),
        }
    }

    pub fn skip(&mut self, checks: &[Check], why: &str) {
        for check in checks {
            self.note(*check, Verdict::Skipped, why);
        }
    }

    /// The last check.
    pub fn dry_run(&mut self, dry_run: DryRun) {
        match dry_run {
            DryRun::Accepted => self.note(Check::DryRun, Verdict::Passed, "the API server accepts the write"),
            DryRun::Skipped(why) => self.note(Check::DryRun, Verdict::Skipped, why),
            DryRun::Refused(why) => {
                let message = format!("the API server would refuse the write: {why}; change what it names");
                self.note(Check::DryRun, Verdict::Refused, message);
            }
        }
    }

    /// The sheet, if no check refused.
    pub fn finish(mut self) -> Result<Self, Struck<P>> {
        if self.checks.iter().any(|result| result.verdict == Verdict::Refused) {
            if !self.checks.iter().any(|result| result.check == Check::DryRun) {
                self.note(Check::DryRun, Verdict::Skipped, "an earlier check refused");
            }
            return Err((self.proposal, self.checks));
        }
        Ok(self)
    }
}
