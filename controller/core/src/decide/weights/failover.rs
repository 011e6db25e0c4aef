//! The first backend that serves well takes everything, in the order of the action's list.

use super::{BackendHistory, Draft, Held, Move, Pass, Told, WeightHistory, eject, shape};
use crate::{policy::FailoverLaw, time::Timestamp};

/// With fewer requests in the window than this nothing is concluded from their errors.
const LEAST_REQUESTS: f64 = 20.0;

/// How a backend looks in this pass.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Look {
    Bad,
    /// Between `good_below` and `bad_above`: as before.
    Between,
    Good,
    /// Too few requests, or none.
    Unknown,
}

/// What is remembered once the draft is proposed.
#[derive(Default)]
pub(super) struct Marks {
    /// Those that are left.
    out: Vec<usize>,
    /// Those that get traffic, so that they are not out.
    serving: Vec<usize>,
    /// The one that begins to come back.
    returning: Option<usize>,
}

/// Where each backend stands, in the order of the list.
struct Order<'a> {
    pass: &'a Pass<'a>,
    law: &'a FailoverLaw,
    looks: Vec<Look>,
    history: &'a WeightHistory,
}

/// What the law wants. While nothing is known of the traffic it wants nothing.
pub(super) fn draft(
    pass: &Pass<'_>,
    law: &FailoverLaw,
    told: &Told,
    history: &mut WeightHistory,
) -> Result<(Draft, Marks), Held> {
    let looks: Vec<Look> = (0..pass.count())
        .map(|index| look(pass, law, told, history, index))
        .collect();
    for (index, look) in looks.iter().enumerate() {
        note(pass, law, index, *look, told, history);
    }
    let lines: Vec<String> = pass.names().map(|name| line(pass, told, history, name)).collect();
    let held = |reason: String| Held {
        reason,
        arithmetic: lines.clone(),
    };
    told.traffic().map_err(|why| held(format!("{why}; nothing is moved")))?;
    let order = Order {
        pass,
        law,
        looks,
        history,
    };
    let Some(first) = (0..pass.count()).find(|index| order.is_usable(*index) || order.part(*index).is_some()) else {
        return Err(held("all backends look bad: there is nowhere to move to".to_owned()));
    };
    let rest = order.rest(first);
    let part = order.part(first).filter(|_| rest.is_some()).unwrap_or(1.0);
    let mut shares = vec![0.0; pass.count()];
    shares[first] = part;
    if let Some(rest) = rest.filter(|_| part < 1.0) {
        shares[rest] = 1.0 - part;
    }
    let total = shape::total(pass);
    let to = shape::plain(&shares, total);
    let to = to.ok_or_else(|| held(format!("a sum of {total} is more than one backend can have")))?;
    if shape::is_current(pass, &to) || shape::is_wanted(pass, &shares) {
        return Err(held(format!("{} serves", pass.name(first))));
    }
    let left: Vec<usize> = (0..pass.count())
        .filter(|index| *index != first && Some(*index) != rest.filter(|_| part < 1.0))
        .filter(|index| order.is_left(*index, first))
        .collect();
    let at_once = left.iter().find(|index| order.leaves_at_once(**index));
    let comes_back = order.part(first).is_some() && shape::gains(pass, first, to[first]);
    let (name, percent) = (pass.name(first), part * 100.0);
    let (why, reason) = match at_once {
        Some(index) => {
            let reason = format!(
                "{} looks bad while it comes back: {name} serves again",
                pass.name(*index)
            );
            (Move::Ejection, reason)
        }
        None if comes_back => (
            Move::Return,
            format!("{name} comes back, with {percent:.0} % of the traffic"),
        ),
        None => (Move::Law, format!("{name} is the first that does not look bad")),
    };
    let begins = order.is_due(first) && part < 1.0;
    let marks = Marks {
        out: left,
        serving: (0..pass.count()).filter(|index| shares[*index] > 0.0).collect(),
        returning: begins.then_some(first),
    };
    let draft = Draft {
        to,
        why,
        reason,
        arithmetic: lines,
        alerts: Vec::new(),
    };
    Ok((draft, marks))
}

/// Remembers who is out, and who begins to come back.
pub(super) fn mark(pass: &Pass<'_>, marks: &Marks, history: &mut WeightHistory) {
    for index in &marks.out {
        let memory = history.backends.entry(pass.name(*index).to_owned()).or_default();
        memory.out_since = memory.out_since.or(Some(pass.now));
    }
    for index in &marks.serving {
        let memory = history.backends.entry(pass.name(*index).to_owned()).or_default();
        memory.out_since = None;
    }
    if let Some(index) = marks.returning {
        let memory = history.backends.entry(pass.name(index).to_owned()).or_default();
        (memory.bad_at, memory.ready_since) = (None, None);
        memory.returning_since = Some(pass.now);
    }
}

/// By its endpoints, and by its errors where there are enough requests from after it came back.
fn look(pass: &Pass<'_>, law: &FailoverLaw, told: &Told, history: &WeightHistory, index: usize) -> Look {
    let name = pass.name(index);
    if pass.facts.ready.get(name) == Some(&false) {
        return Look::Bad;
    }
    let judged = eject::is_judged(pass, history.backends.get(name));
    let served = told
        .served(name)
        .ok()
        .filter(|served| judged && eject::requests_in(served.requests, pass.action.traffic.window) >= LEAST_REQUESTS);
    match served.map(super::read::Served::part) {
        None => Look::Unknown,
        Some(part) if part > law.bad_above.get() => Look::Bad,
        Some(part) if part <= law.good_below.get() => Look::Good,
        Some(_) => Look::Between,
    }
}

fn note(pass: &Pass<'_>, law: &FailoverLaw, index: usize, look: Look, told: &Told, history: &mut WeightHistory) {
    let (name, now) = (pass.name(index), pass.now);
    let memory = history.backends.entry(name.to_owned()).or_default();
    if told.served(name).is_ok() {
        super::capacity::known(memory, pass);
    }
    memory.bad_since = match look {
        Look::Bad => memory.bad_since.or(Some(now)),
        Look::Between => memory.bad_since,
        // A gap in the data is no time for which it looked bad.
        Look::Good | Look::Unknown => None,
    };
    if look == Look::Bad && pass.weight(index) == 0 {
        memory.bad_at = Some(now);
    }
    let complete = pass.share(index) * shape::real(shape::total(pass)) > shape::real(shape::total(pass)) - 1.0;
    if memory
        .returning_since
        .is_some_and(|since| now.since(since) >= law.return_over)
        && complete
    {
        memory.returning_since = None;
    }
}

impl Order<'_> {
    fn memory(&self, index: usize) -> Option<&BackendHistory> {
        self.history.backends.get(self.pass.name(index))
    }

    fn look(&self, index: usize) -> Look {
        self.looks.get(index).copied().unwrap_or(Look::Unknown)
    }

    fn is_returning(&self, index: usize) -> bool {
        self.pass.weight(index) > 0
            && self
                .memory(index)
                .is_some_and(|memory| memory.returning_since.is_some())
    }

    /// Whether it has looked bad for long enough, or has just come back and looks bad at all.
    fn is_bad(&self, index: usize) -> bool {
        let bad_since = self.memory(index).and_then(|memory| memory.bad_since);
        let lasted = bad_since.is_some_and(|since| self.pass.now.since(since) >= self.law.leave_after);
        // Who has no traffic yet gets none while it looks bad.
        lasted || (self.look(index) == Look::Bad && (self.pass.weight(index) == 0 || self.is_returning(index)))
    }

    fn leaves_at_once(&self, index: usize) -> bool {
        self.is_returning(index) && self.look(index) == Look::Bad
    }

    /// The first that serves now, but for one that is coming back.
    fn serving(&self) -> Option<usize> {
        let with_weight = |index: &usize| self.pass.weight(*index) > 0;
        let mut all = (0..self.pass.count()).filter(with_weight);
        all.clone()
            .find(|index| !self.is_returning(*index))
            .or_else(|| all.next())
    }

    /// Whether it is before the one that serves and has no traffic.
    fn is_earlier(&self, index: usize) -> bool {
        self.pass.weight(index) == 0 && self.serving().is_some_and(|serving| index < serving)
    }

    /// Whether it may take everything: it serves already, or it is a later one that was not left lately.
    fn is_usable(&self, index: usize) -> bool {
        if self.is_bad(index) || self.is_returning(index) || self.is_earlier(index) {
            return false;
        }
        let left = self.memory(index).is_some_and(|memory| memory.out_since.is_some());
        self.pass.weight(index) > 0 || !left || self.is_over(index)
    }

    /// Whether an earlier one may begin to come back.
    fn is_due(&self, index: usize) -> bool {
        self.is_earlier(index) && !self.is_bad(index) && self.is_over(index)
    }

    /// Whether it was not bad, and had endpoints as far as that is known, for `return_after`.
    fn is_over(&self, index: usize) -> bool {
        let memory = self.memory(index);
        let times = [
            memory.and_then(|memory| memory.out_since),
            memory.and_then(|memory| memory.bad_at),
            memory.and_then(|memory| memory.ready_since),
        ];
        let since: Timestamp = times.into_iter().flatten().max().unwrap_or(self.history.observed_since);
        self.pass.now.since(since) >= self.law.return_after
    }

    /// The part of all traffic that one gets that comes back, or may begin to.
    fn part(&self, index: usize) -> Option<f64> {
        if self.is_bad(index) {
            return None;
        }
        if self.is_returning(index) {
            let since = self.memory(index).and_then(|memory| memory.returning_since)?;
            let part = eject::part(self.pass.now.since(since), self.law.return_over);
            // It may have more from somebody's hand.
            return Some(part.max(self.pass.share(index)));
        }
        self.is_due(index).then_some(eject::FIRST_PART)
    }

    /// Who serves the rest while another comes back.
    fn rest(&self, first: usize) -> Option<usize> {
        let usable = |index: &usize| *index != first && self.is_usable(*index);
        self.serving()
            .filter(usable)
            .or_else(|| (0..self.pass.count()).find(usable))
    }

    /// Whether it is left now: it looks bad and loses its traffic, or it is passed over.
    fn is_left(&self, index: usize, first: usize) -> bool {
        (index < first && !self.is_due(index)) || (self.is_bad(index) && self.pass.weight(index) > 0)
    }
}

fn line(pass: &Pass<'_>, told: &Told, history: &WeightHistory, name: &str) -> String {
    let served = match told.served(name) {
        Ok(served) => format!(
            "{:.1} failed of {:.1} rps = {:.3}",
            served.errors,
            served.requests,
            served.part()
        ),
        Err(why) => format!("not known ({why})"),
    };
    let ready = match pass.facts.ready.get(name) {
        Some(true) => ", ready endpoints",
        Some(false) => ", no ready endpoints",
        None => "",
    };
    let memory = history.backends.get(name);
    let bad = memory.and_then(|memory| memory.bad_since);
    let bad = bad.map_or_else(String::new, |since| format!(", bad for {}", pass.now.since(since)));
    let out = memory.and_then(|memory| memory.out_since);
    let out = out.map_or_else(String::new, |since| format!(", left {} ago", pass.now.since(since)));
    format!("{name}: {served}{ready}{bad}{out}")
}
