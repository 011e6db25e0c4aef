//! Weights that wait for somebody's word. As with replicas, what waits is a record and writes nothing.

use super::WeightsPass;
use crate::{
    apply::{Journals, weights_of},
    reconcile::approval::awaits,
};
use flyball_core::{check::WeightsApproval, policy::Weights};
use flyball_crds::{Change, ChangeField, Phase, approved_by};
use kube::ResourceExt;
use std::sync::Arc;

/// Whether two sets of weights are the same for a person who approves: no share differs by more than a part of
/// it. What is measured moves a little with each pass.
pub(super) fn is_near(one: &Weights, other: &Weights, part: f64) -> bool {
    let same_names = one.iter().map(|(name, _)| name).eq(other.iter().map(|(name, _)| name));
    let shares = one.iter().map(|(name, _)| (one.share(name), other.share(name)));
    let near = |one: f64, other: f64| (one - other).abs() <= part * one.max(other);
    // Nothing and something are never near.
    same_names
        && shares.into_iter().all(|shares| match shares {
            (Some(one), Some(other)) => near(one, other) && (one > 0.0) == (other > 0.0),
            (one, other) => one == other,
        })
}

/// Whether somebody approved these weights, or such as are near to them. What is written then is what was
/// approved, to the number.
pub(super) fn of(it: &WeightsPass<'_, '_>, to: &Weights) -> WeightsApproval {
    let near = |record: &Arc<Change>| {
        of_record(record).is_some_and(|found| is_near(&found, to, it.action.limits.dead_band.get()))
    };
    let records: Vec<Arc<Change>> = waiting(it).into_iter().filter(near).collect();
    let approved = records
        .iter()
        .find_map(|record| Some((of_record(record)?, approved_by(record)?.to_owned())));
    match approved {
        Some((to, by)) => WeightsApproval::Granted { to, by },
        None => WeightsApproval::Awaited(records.first().map(|record| record.name_any())),
    }
}

fn of_record(record: &Change) -> Option<Weights> {
    weights_of(&record.spec.weights.as_ref()?.after).ok()
}

/// The records of the policy that wait, the newest first.
fn waiting(it: &WeightsPass<'_, '_>) -> Vec<Arc<Change>> {
    let uid = it.pass.object.uid().unwrap_or_default();
    let mut own = it.pass.ctx.cluster.changes.state();
    own.retain(|change| change.spec.policy.uid == uid && change.spec.field == ChangeField::Weights && awaits(change));
    own.sort_by_key(|change| std::cmp::Reverse(change.spec.proposed_at.0));
    own
}

/// Ends what waits without need: everything but what is near to `keep`.
pub(super) async fn withdraw(it: &WeightsPass<'_, '_>, keep: Option<&Weights>) {
    for record in waiting(it) {
        let kept = of_record(&record)
            .zip(keep)
            .is_some_and(|(found, keep)| is_near(&found, keep, it.action.limits.dead_band.get()));
        if !kept {
            let ctx = it.pass.ctx;
            let on_record = |change: &Change| ctx.recorder.change(change);
            let record = record.as_ref().clone();
            let mut journals = Journals::open(&ctx.clients.write, record, it.pass.authority, &on_record);
            let why = "it is not wanted any more, or was carried out".to_owned();
            let _ = journals.close_record(Phase::Superseded, why, it.pass.seen.now).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyball_core::policy::Weight;

    #[test]
    fn what_is_near_differs_by_a_part_of_each_share() {
        let weights = |a: i64, b: i64| {
            let weight = |weight| Weight::new(weight).expect("a weight");
            Weights::new([("a".to_owned(), weight(a)), ("b".to_owned(), weight(b))])
        };
        let check = |one: (i64, i64), other: (i64, i64), expect: bool| {
            let (one, other) = (weights(one.0, one.1), weights(other.0, other.1));
            assert_eq!(is_near(&one, &other, 0.05), expect, "{one} | {other}");
        };
        check((50, 50), (50, 50), true);
        check((1, 1), (500, 500), true);
        check((500, 500), (510, 490), true);
        check((500, 500), (540, 460), false);
        check((100, 0), (99, 1), false);
        check((0, 0), (1, 1), false);
    }
}
