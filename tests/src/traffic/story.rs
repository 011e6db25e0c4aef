//! What happens to backends, one after the other, and what becomes of the weights and of the requests.

use super::{Mark, OFFERED, Pace, Traffic, figures, figures::Episode, part};
use crate::{bed::bed, world::phase_of};
use flyball_crds::{Change, Phase, WeightMove};
use jiff::Timestamp;
use std::process::ExitCode;

/// Tells the story, or the part of it in which a backend slows, with a scrape each 15 s and windows of a minute, and
/// prints what was measured. 77: there is no test bed.
pub async fn bench(only_slow: bool) -> ExitCode {
    let Some(bed) = bed().await else {
        return ExitCode::from(77);
    };
    let Some(traffic) = Traffic::start(&bed, "bench", Pace::USUAL, OFFERED).await else {
        return ExitCode::from(77);
    };
    traffic.world.apply(&traffic.by_capacity()).await;
    let _controller = traffic.world.controller("bench");
    traffic.steady().await;
    // So that every range is full.
    tokio::time::sleep(std::time::Duration::from_secs(traffic.pace.window)).await;
    let mut episodes = Vec::new();
    if !only_slow {
        traffic.quiet().await;
        let (dead, _) = traffic.dies().await;
        figures::print("A backend dies", std::slice::from_ref(&dead));
        episodes.push(dead);
        episodes.push(traffic.returns().await);
    }
    episodes.push(traffic.slows().await);
    let title = "A scrape each 15 s, windows of 1 m and a pass each 15 s";
    figures::print(title, &episodes);
    ExitCode::SUCCESS
}

/// The share of `a` by capacity, once it is half as fast: 100 of 100, 200 and 100.
pub const SLOW_SHARE: f64 = 0.25;
/// The share of `c` by capacity while all are well: 100 of 200, 200 and 100.
pub const WHOLE_SHARE: f64 = 0.2;

/// What was seen while `c` was dead.
#[derive(Clone, Copy, Debug)]
pub struct Dead {
    /// How many requests it was sent until its weight was seen to be gone, and until its return.
    pub sent: (u64, u64),
    /// How many requests reached no backend, at the same times.
    pub unserved: (u64, u64),
}

impl Traffic {
    /// Prints what a window without trouble costs the API server.
    async fn quiet(&self) {
        let listed = || {
            let counts = self.world.proxy.counts();
            counts.get("LIST endpointslices").copied().unwrap_or(0)
        };
        let before = listed();
        tokio::time::sleep(std::time::Duration::from_secs(self.pace.window)).await;
        println!(
            "lists of endpoints in {} s without trouble: {}",
            self.pace.window,
            listed() - before
        );
    }

    /// Waits until the policy has nothing to do.
    pub async fn steady(&self) {
        self.until("the policy is steady", async || self.is_steady().await.then_some(()))
            .await;
    }

    /// `a` slows to half its speed; until the weights have followed and nothing fails.
    pub async fn slows(&self) -> Episode {
        let mark = self.mark().await;
        self.speed("a", 0.5).await;
        let visible = self.visible(&mark).await;
        self.until("the weights follow, and nothing fails", async || {
            let arrived = self.share("a").await < SLOW_SHARE * 1.08;
            (arrived && self.failing().await == Some(0.0) && self.is_steady().await).then_some(())
        })
        .await;
        self.episode("a slows to half its speed", mark, Some(visible)).await
    }

    /// `a` is as fast as before; until the weights have followed.
    pub async fn recovers(&self) -> Episode {
        let mark = self.mark().await;
        self.speed("a", 1.0).await;
        self.until("the weights follow", async || {
            let (a, b) = (self.share("a").await, self.share("b").await);
            ((a / b - 1.0).abs() < 0.08 && self.is_steady().await).then_some(())
        })
        .await;
        self.episode("a is as fast as before", mark, None).await
    }

    /// `c` loses its only pod; until nothing is sent to it and nothing fails.
    pub async fn dies(&self) -> (Episode, Dead) {
        let mark = self.mark().await;
        self.scale("c", 0).await;
        let visible = self.visible(&mark).await;
        let out = self
            .until("c is out, and the share verified", async || {
                let changes = self.changes_after(mark.sequence).await;
                let out = changes.into_iter().find(is_ejection)?;
                out.status.as_ref()?.realised_at.as_ref()?;
                Some(out)
            })
            .await;
        let at_once = (self.sent("c").await, self.unserved().await);
        self.until("nothing fails", async || {
            let closed = self
                .world
                .changes()
                .await
                .iter()
                .any(|change| change.spec.sequence == out.spec.sequence && !phase_of(change).is_open());
            (closed && self.failing().await == Some(0.0)).then_some(())
        })
        .await;
        let dead = Dead {
            sent: (at_once.0, self.sent("c").await),
            unserved: (at_once.1, self.unserved().await),
        };
        (self.episode("c loses its only pod", mark, Some(visible)).await, dead)
    }

    /// `c` has a pod again; until it has its whole share.
    pub async fn returns(&self) -> Episode {
        let mark = self.mark().await;
        self.scale("c", 1).await;
        self.until("c has its share again", async || {
            let arrived = self.share("c").await > WHOLE_SHARE * 0.9;
            (arrived && self.is_steady().await).then_some(())
        })
        .await;
        self.episode("c has a pod again", mark, None).await
    }

    /// What was seen since the mark.
    pub async fn episode(&self, what: &str, mark: Mark, visible: Option<Timestamp>) -> Episode {
        let end = Timestamp::now();
        // A second is reported once all of its requests have ended.
        let seconds = self
            .until("the load's report", async || {
                let seconds = self.load.seconds();
                let last = seconds.last()?.time;
                (last.duration_since(end).as_millis() >= 0).then_some(seconds)
            })
            .await;
        Episode {
            what: what.to_owned(),
            mark,
            end,
            visible,
            changes: self.changes_after(mark.sequence).await,
            seconds: seconds
                .into_iter()
                .filter(|second| second.time > mark.at && second.time <= end)
                .collect(),
        }
    }
}

/// Whether a Change takes a backend out.
pub fn is_ejection(change: &Change) -> bool {
    change
        .spec
        .weights
        .as_ref()
        .is_some_and(|moved| moved.why == WeightMove::Ejection)
}

/// The share that a Change gives a backend.
pub fn share_after(change: &Change, backend: &str) -> f64 {
    let moved = change.spec.weights.as_ref();
    let after = moved.map(|moved| moved.after.as_slice()).unwrap_or_default();
    let weights = after
        .iter()
        .map(|entry| (entry.backend.clone(), i64::from(entry.weight)));
    part(&weights.collect(), backend)
}

/// Whether a Change was verified.
pub fn is_verified(change: &Change) -> bool {
    let status = change.status.as_ref();
    status.is_some_and(|status| status.phase == Phase::Committed && status.realised_at.is_some())
}
