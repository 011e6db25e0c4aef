//! What the pods of a workload are to have, and what some have first.

use super::{Env, EnvError, KnobError, Knobs};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// What the pods of a workload are to have: the value of a transaction on the runtime lever. It stands in an
/// annotation of the workload; absent: boot values for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setting {
    /// The knobs of every pod that is not being tried.
    pub knobs: Knobs,
    /// Counts the collections that were asked of every pod.
    pub reclaim: u64,
    /// What some pods have first.
    pub trial: Option<Trial>,
    /// Variables of the pod template instead: then there is nothing else, and no annotation.
    pub env: Option<Env>,
}

/// What some pods have before the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Which pods, by name. Never none.
    pub pods: BTreeSet<String>,
    /// Their knobs.
    pub knobs: Knobs,
    /// The collections asked of them.
    pub reclaim: u64,
}

impl Setting {
    /// These knobs for all.
    pub fn of(knobs: Knobs, reclaim: u64) -> Self {
        Self {
            knobs,
            reclaim,
            trial: None,
            env: None,
        }
    }

    /// These variables of the pod template.
    pub fn of_env(env: Env) -> Self {
        Self {
            env: Some(env),
            ..Self::default()
        }
    }

    /// Whether both are of the same kind: of annotations, or of the same variables.
    pub fn is_like(&self, other: &Self) -> bool {
        match (&self.env, &other.env) {
            (None, None) => true,
            (Some(env), Some(other)) => env.is_like(other),
            _ => false,
        }
    }

    /// What a pod is to have.
    pub fn of_pod(&self, name: &str) -> (&Knobs, u64) {
        match &self.trial {
            Some(trial) if trial.pods.contains(name) => (&trial.knobs, trial.reclaim),
            _ => (&self.knobs, self.reclaim),
        }
    }

    /// The way from here to `to` by these pods.
    #[must_use]
    pub fn trying(&self, to: &Self, pods: BTreeSet<String>) -> Self {
        Self {
            knobs: self.knobs.clone(),
            reclaim: self.reclaim,
            trial: Some(Trial {
                pods,
                knobs: to.knobs.clone(),
                reclaim: to.reclaim,
            }),
            env: None,
        }
    }

    /// Whether nothing was ever set.
    pub fn is_boot(&self) -> bool {
        *self == Self::default()
    }
}

/// In words: boot values have none of their own.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(env) = &self.env {
            return env.fmt(f);
        }
        let part = |f: &mut fmt::Formatter<'_>, knobs: &Knobs, reclaim: u64| {
            if knobs.is_boot() {
                f.write_str("boot")?;
            } else {
                knobs.fmt(f)?;
            }
            match reclaim {
                0 => Ok(()),
                count => write!(f, " reclaim={count}"),
            }
        };
        part(f, &self.knobs, self.reclaim)?;
        if let Some(trial) = &self.trial {
            let pods: Vec<&str> = trial.pods.iter().map(String::as_str).collect();
            write!(f, "; try {}: ", pods.join(","))?;
            part(f, &trial.knobs, trial.reclaim)?;
        }
        Ok(())
    }
}

/// Why a text is no setting.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// A knob in it can't be.
    #[error(transparent)]
    Knobs(#[from] KnobError),
    /// Its variables can't be read.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// It is of another form.
    #[error(
        "{0:?} is not of the form `gogc=200`, `boot` or `gogc=100; try web-1: gogc=200`; remove the annotation and all pods go back to their boot values"
    )]
    Form(String),
}

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        if text == "env" || text.starts_with("env ") {
            return Ok(Self::of_env(text.parse()?));
        }
        let form = || SettingError::Form(text.chars().take(64).collect());
        let part = |text: &str| -> Result<(Knobs, u64), SettingError> {
            let mut reclaim = 0;
            let mut words = Vec::new();
            for word in text.split_ascii_whitespace() {
                match word.strip_prefix("reclaim=") {
                    Some(count) => reclaim = count.parse().map_err(|_| form())?,
                    None if word == "boot" => {}
                    None => words.push(word),
                }
            }
            Ok((words.join(" ").parse()?, reclaim))
        };
        let (whole, trial) = match text.split_once("; try ") {
            None => (text, None),
            Some((whole, trial)) => (whole, Some(trial.split_once(": ").ok_or_else(form)?)),
        };
        if whole.trim().is_empty() {
            return Err(form());
        }
        let (knobs, reclaim) = part(whole)?;
        let trial = match trial {
            None => None,
            Some((pods, tried)) => {
                let pods: BTreeSet<String> = pods.split(',').map(ToOwned::to_owned).collect();
                if pods.iter().any(String::is_empty) || tried.trim().is_empty() {
                    return Err(form());
                }
                let (knobs, reclaim) = part(tried)?;
                Some(Trial { pods, knobs, reclaim })
            }
        };
        Ok(Self {
            knobs,
            reclaim,
            trial,
            env: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_reads_back_as_it_was_written() {
        for text in [
            "boot",
            "gogc=200",
            "gogc=75 memlimit=1073741824",
            "memlimit=none",
            "boot reclaim=3",
            "rss=1289748480 gogc-min=50 gogc-max=400 reclaim=2",
            "lambda=2.5e-9",
            "gc-thresholds=5000,20,20",
            "min-heap-free=5 max-heap-free=20",
            "gogc=100; try web-1: gogc=200",
            "boot; try web-1,web-2: boot reclaim=1",
            "env GOGC=\"200\" -GOMEMLIMIT",
        ] {
            let setting: Setting = text.parse().expect(text);
            assert_eq!(setting.to_string(), text);
            assert_eq!(setting.to_string().parse(), Ok(setting));
        }
    }

    #[test]
    fn what_is_no_setting_says_what_is_wrong() {
        let check = |text: &str, expect: &str| {
            let error = text.parse::<Setting>().expect_err(text).to_string();
            assert!(error.contains(expect), "{text:?}: {error}");
        };
        check("", "is not of the form");
        check("gogc=100; try web-1", "is not of the form");
        check("gogc=100; try : gogc=200", "is not of the form");
        check("gogc=100; try a,,b: gogc=200", "is not of the form");
        check("gogc=1001", "gogc=1001 is not between 1 and 1000");
        check("gogc=-1", "gogc=-1 is not of its form");
        check("gogc=off", "gogc=off is not of its form");
        check("speed=3", "\"speed\" is no knob");
        check("gogc=100 gogc=200", "gogc is set twice");
        check("memlimit=1000", "is not between 4194304 and");
        check("gogc=100 min-heap-free=5", "a container has one runtime");
        check(
            "min-heap-free=50 max-heap-free=20",
            "min-heap-free is above max-heap-free",
        );
        check("rss=1073741824 gogc=100", "rss and gogc can't both be set");
        check("rss=1073741824 memlimit=none", "rss and memlimit can't both be set");
        check("gogc-max=200", "neither is set");
        check("lambda=0", "lambda=0e0 is not between");
        check("lambda=inf", "lambda=inf is not of its form");
        check("gc-thresholds=0,10,10", "is not between");
        check("gc-thresholds=700,10", "is not of its form");
        check("boot reclaim=x", "is not of the form");
    }

    #[test]
    fn a_pod_that_is_tried_has_what_is_tried() {
        let setting: Setting = "gogc=100; try web-1: gogc=200 reclaim=1".parse().expect("a setting");
        let of = |name: &str| {
            let (knobs, reclaim) = setting.of_pod(name);
            (knobs.to_string(), reclaim)
        };
        assert_eq!(of("web-1"), ("gogc=200".to_owned(), 1));
        assert_eq!(of("web-2"), ("gogc=100".to_owned(), 0));
    }
}
