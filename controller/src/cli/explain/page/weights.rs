//! What the page says of weights: those of the policy, who is out, and those of a Change.

use super::Pen;
use crate::{
    cli::{
        explain::Facts,
        get::tree::base_of,
        moves,
        screen::{Tone, plain, when},
    },
    clock::from_micro_time,
    validate,
};
use flyball_core::{
    policy::{WeightLaw, WeightsAction},
    time::{Span, Timestamp},
};
use flyball_crds::{ChangeShare, ChangeStatus, ChangeWeights, Duration, OutStatus, WeightedRoute, WeightsStatus};

/// The weights now, the base, the last verified ones, and what is remembered beside them.
pub(super) fn draw(pen: &mut Pen, facts: &Facts, action: &str, known: &WeightsStatus) {
    match &facts.route {
        Some(Ok(now)) => pen.field("Now", Tone::Strong, &plain(&now.to_string())),
        Some(Err(why)) => pen.field("Now", Tone::Busy, &format!("not known: {}", plain(why))),
        None => {}
    }
    let base = base_of(&facts.policy, action);
    if !base.is_empty() {
        let text = format!("{}, while nothing is wrong", moves::weights(&base));
        pen.field("Base", Tone::Plain, &text);
    }
    if !known.verified.is_empty() {
        let text = format!("{}, where a roll-back goes", moves::weights(&known.verified));
        pen.field("Verified", Tone::Plain, &text);
    }
    if !known.written.is_empty() {
        let at = known.moved_at.as_ref().map_or_else(
            || "found at adoption".to_owned(),
            |at| when(from_micro_time(at), pen.now),
        );
        let text = format!("{}, {at}", moves::weights(&known.written));
        pen.field("Written", Tone::Plain, &text);
    }
    let policy = validate::policy(&facts.policy.spec).ok();
    let policy = policy
        .as_ref()
        .map(|policy| policy.weights.as_slice())
        .unwrap_or_default();
    let rules = policy.iter().find(|found| found.name == action);
    for one in &known.out {
        let (tone, text) = out(one, rules, pen.now);
        pen.field("Out", tone, &text);
    }
    if !known.ineffective.is_empty() {
        let until = known.ineffective_until.as_ref().map(from_micro_time);
        let over = until.is_none_or(|until| until <= pen.now);
        let text = format!(
            "{} did not have their effect, so they are not tried again until {}",
            moves::weights(&known.ineffective),
            pen.when(known.ineffective_until.as_ref())
        );
        pen.field(
            "Latch",
            if over { Tone::Dim } else { Tone::Bad },
            &if over { format!("over: {text}") } else { text },
        );
    }
    let lately = known.reapplied.iter().map(from_micro_time);
    let lately = lately.filter(|at| pen.now.since(*at) < Span::from_secs(3600)).count();
    if lately > 0 {
        let times = if lately == 1 { "once" } else { "times" };
        let count = if lately == 1 {
            String::new()
        } else {
            format!("{lately} ")
        };
        let text = format!("{count}{times} within the last hour, after somebody put the weights back to their base");
        pen.field("Reapplied", Tone::Busy, &text);
    }
}

/// A backend that is out or coming back; `rules` have the times, where the policy is valid.
fn out(one: &OutStatus, rules: Option<&WeightsAction>, now: Timestamp) -> (Tone, String) {
    let backend = plain(&one.backend);
    let (law, ejection) = (
        rules.map(|rules| &rules.law),
        rules.and_then(|rules| rules.ejection.as_ref()),
    );
    let times = u32::try_from(one.ejections).unwrap_or(0);
    let in_a_row = if times > 1 {
        format!(", {times} times in a row")
    } else {
        String::new()
    };
    match (&one.out_since, &one.returning_since) {
        (Some(since), _) => {
            let since = from_micro_time(since);
            let until = match (law, ejection) {
                // It counts from when it last looked bad, which only the controller knows.
                (Some(WeightLaw::Failover(law)), _) => {
                    format!("; it comes back once it was ready for {}", law.return_after)
                }
                (_, Some(ejection)) => {
                    format!("; it stays out until {}", when(since + ejection.stays_out(times), now))
                }
                _ => String::new(),
            };
            (
                Tone::Bad,
                format!("{backend} since {}{in_a_row}{until}", when(since, now)),
            )
        }
        (None, Some(since)) => {
            let since = from_micro_time(since);
            let over = match (law, ejection) {
                (Some(WeightLaw::Failover(law)), _) => Some(law.return_over),
                (_, ejection) => ejection.map(|ejection| ejection.return_over),
            };
            let whole = over.map_or_else(String::new, |over| {
                format!("; it has its whole share at {}", when(since + over, now))
            });
            let text = format!(
                "{backend} has been coming back since {}{in_a_row}{whole}",
                when(since, now)
            );
            (Tone::Busy, text)
        }
        (None, None) => (
            Tone::Dim,
            format!("{backend} is in service again; it was out {times} times lately"),
        ),
    }
}

/// Why a Change moves weights, and in which lists.
pub(super) fn draw_moved(pen: &mut Pen, moved: &ChangeWeights) {
    let why = format!("{:?}: {}", moved.why, moves::because(moved.why));
    pen.field("Move", Tone::Plain, &why);
    let mut title = "Lists";
    for list in &moved.lists {
        pen.field(title, Tone::Plain, &named(&list.route));
        title = "";
    }
}

/// A list as people name it.
fn named(route: &WeightedRoute) -> String {
    let rule = match (&route.rule, route.rule_index) {
        (Some(name), _) => format!(", rule {}", plain(name)),
        (None, Some(index)) => format!(", rule {index} from 0"),
        (None, None) => String::new(),
    };
    format!("{}/{}{rule}", plain(&route.kind), plain(&route.name))
}

/// Whether the traffic follows, or when that is judged.
pub(super) fn draw_share(pen: &mut Pen, share: &ChangeShare, status: &ChangeStatus, applied: Timestamp) {
    if let Some(at) = &status.realised_at {
        let text = format!("{}: every backend has its share of the requests", pen.when(Some(at)));
        return pen.field("Realised", Tone::Good, &text);
    }
    if !status.phase.is_open() {
        return;
    }
    let after = |duration: &Duration| duration.0.parse::<Span>().ok().map(|span| applied + span);
    if let (Some(settle), Some(within)) = (after(&share.settle), after(&share.within)) {
        let text = format!(
            "not yet; the requests of {} are judged from {} until {}",
            plain(&share.window.0),
            when(settle, pen.now),
            when(within, pen.now)
        );
        pen.field("Realised", Tone::Busy, &text);
    }
}
