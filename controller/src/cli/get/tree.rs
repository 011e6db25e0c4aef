//! The tree: objects in, text out.

use crate::{
    cli::{
        moves,
        screen::{Page, Style, Tone, columns, plain, short, widths},
    },
    clock::from_micro_time,
};
use flyball_core::time::Timestamp;
use flyball_crds::{BackendWeight, Change, ConditionType, FeedbackPolicy, Phase};
use kube::ResourceExt;
use std::{cmp::Reverse, collections::BTreeMap, fmt::Write};

/// How many Changes of a policy are shown unless all are asked for.
pub const SHOWN: usize = 5;

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// All Changes, not only the newest.
    pub all: bool,
    /// The namespace before each name.
    pub namespaces: bool,
}

/// A policy, or what is left of a deleted one.
struct Node<'a> {
    name: String,
    policy: Option<&'a FeedbackPolicy>,
    changes: Vec<&'a Change>,
}

/// Draws policies and, below each, its Changes, the newest first. Changes outlive their policies, so
/// those of deleted ones are shown too.
pub fn tree(
    policies: &[FeedbackPolicy],
    changes: &[Change],
    unreadable: &[String],
    shown: Shown,
    style: Style,
    now: Timestamp,
) -> String {
    let nodes = nodes(policies, changes, shown);
    let mut page = Page::new(style);
    let rows: Vec<Row> = nodes.iter().map(|node| Row::of(node, now)).collect();
    let layout = Layout::of(&rows, style);
    if !rows.is_empty() {
        layout.header(&mut page, style);
    }
    for (row, node) in rows.iter().zip(&nodes) {
        layout.policy(&mut page, style, row, !node.changes.is_empty());
        draw_changes(&mut page, style, &node.changes, shown, now);
    }
    for title in unreadable {
        page.sentence(
            "",
            "",
            &format!("{} can't be read by this version; see: flyball doctor", plain(title)),
        );
    }
    page.finish()
}

fn nodes<'a>(policies: &'a [FeedbackPolicy], changes: &'a [Change], shown: Shown) -> Vec<Node<'a>> {
    let mut nodes: BTreeMap<(String, String), Node<'a>> = BTreeMap::new();
    let place = |namespace: &Option<String>, name: &str| (namespace.clone().unwrap_or_default(), name.to_owned());
    let titled = |(namespace, name): &(String, String)| {
        if shown.namespaces {
            format!("{namespace}/{name}")
        } else {
            name.clone()
        }
    };
    for policy in policies {
        let key = place(&policy.namespace(), &policy.name_any());
        nodes.insert(
            key.clone(),
            Node {
                name: titled(&key),
                policy: Some(policy),
                changes: Vec::new(),
            },
        );
    }
    for change in changes {
        let key = place(&change.namespace(), &change.spec.policy.name);
        let left = || Node {
            name: plain(&titled(&key)),
            policy: None,
            changes: Vec::new(),
        };
        nodes.entry(key.clone()).or_insert_with(left).changes.push(change);
    }
    let mut nodes: Vec<_> = nodes.into_values().collect();
    for node in &mut nodes {
        node.changes.sort_by_key(|change| newest_first(change));
    }
    nodes
}

/// By the time of the proposal; of the same time the later number first.
pub fn newest_first(change: &Change) -> (Reverse<i128>, Reverse<i64>, String) {
    let at = change.spec.proposed_at.0.as_nanosecond();
    (Reverse(at), Reverse(change.spec.sequence), change.name_any())
}

/// The texts of a policy's line.
struct Row {
    name: String,
    mode: String,
    target: String,
    alerts: String,
    doing: String,
    why: String,
    /// The weights, where the policy moves some, and the backends that are out or coming back.
    weights: String,
    out: String,
    /// The knobs, where the policy moves a runtime's.
    knobs: String,
    /// Why the policy is not ready, where `why` does not say it.
    trouble: String,
    tone: Tone,
}

impl Row {
    fn of(node: &Node<'_>, now: Timestamp) -> Self {
        let Some(policy) = node.policy else {
            return Self {
                name: node.name.clone(),
                mode: "-".to_owned(),
                target: node.changes.first().map_or_else(String::new, |change| {
                    format!(
                        "{}/{}",
                        plain(&change.spec.target.reference.kind),
                        plain(&change.spec.target.reference.name)
                    )
                }),
                alerts: String::new(),
                doing: "deleted".to_owned(),
                why: "the policy is gone; its Changes are kept".to_owned(),
                weights: String::new(),
                knobs: String::new(),
                out: String::new(),
                trouble: String::new(),
                tone: Tone::Dim,
            };
        };
        let spec = &policy.spec;
        let status = policy.status.clone().unwrap_or_default();
        let ready = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == ConditionType::Ready.as_str());
        let bad = ready.filter(|ready| ready.status != "True");
        let lag = policy
            .metadata
            .generation
            .filter(|generation| status.observed_generation != Some(*generation));
        let (doing, why) = if status.observed_generation.is_none() {
            (
                "Not seen yet".to_owned(),
                "no controller has looked at it; see: flyball doctor".to_owned(),
            )
        } else {
            (plain(&status.doing), plain(&status.why))
        };
        let said = |text: &str| !text.is_empty() && status.why.contains(text);
        let mut trouble = bad
            .filter(|bad| !said(&bad.message))
            .map(|bad| format!("{}: {}", plain(&bad.reason), plain(&bad.message)))
            .unwrap_or_default();
        if let (Some(generation), Some(observed)) = (lag, status.observed_generation) {
            trouble =
                format!("this is about generation {observed}; generation {generation} has not been looked at yet");
        }
        Self {
            name: node.name.clone(),
            mode: format!("{:?}{}", spec.mode, if spec.suspend { ", suspended" } else { "" }),
            target: format!("{}/{}", plain(&spec.target_ref.kind), plain(&spec.target_ref.name)),
            alerts: plain(&status.alerts),
            tone: tone_of(&doing, bad.is_some()),
            doing,
            why,
            weights: weights(policy),
            knobs: knobs(policy),
            out: out(policy, now),
            trouble,
        }
    }
}

/// The weights that were written last; the base and the last verified ones where they are others.
fn weights(policy: &FeedbackPolicy) -> String {
    let actions = policy.status.iter().flat_map(|status| &status.actions);
    let known = actions.filter_map(|action| Some((action, action.weights.as_ref()?)));
    let said = known
        .filter(|(_, known)| !known.written.is_empty())
        .map(|(action, known)| {
            let mut text = moves::weights(&known.written);
            let mut written: Vec<_> = known.written.iter().collect();
            written.sort_unstable_by(|a, b| a.backend.cmp(&b.backend));
            let base = base_of(policy, &action.name);
            let mut sorted: Vec<_> = base.iter().collect();
            sorted.sort_unstable_by(|a, b| a.backend.cmp(&b.backend));
            if !base.is_empty() && sorted != written {
                let _ = write!(text, "; base {}", moves::weights(&base));
            }
            if known.verified != known.written {
                let _ = write!(text, "; verified {}", moves::weights(&known.verified));
            }
            text
        });
    said.collect::<Vec<_>>().join("; ")
}

/// The knobs that were written last; the last verified ones where they are others.
fn knobs(policy: &FeedbackPolicy) -> String {
    let actions = policy.status.iter().flat_map(|status| &status.actions);
    let mut known = actions.filter_map(|action| action.runtime.as_ref());
    // What is remembered is of the workload, so each action says the same.
    let Some(known) = known.find(|known| !known.written.is_empty()) else {
        return String::new();
    };
    let mut text = plain(&known.written);
    if known.verified != known.written && !known.verified.is_empty() {
        let _ = write!(text, "; verified {}", plain(&known.verified));
    }
    text
}

/// The base weights of an action, as its policy has them.
pub fn base_of(policy: &FeedbackPolicy, action: &str) -> Vec<BackendWeight> {
    let mut actions = policy.spec.actions.iter();
    let lever = actions.find(|written| written.name == action);
    let backends = lever
        .and_then(|action| action.weights.as_ref())
        .map(|lever| &lever.backends);
    let base = backends.into_iter().flatten().map(|backend| BackendWeight {
        backend: backend.name.clone(),
        weight: backend.weight,
    });
    base.collect()
}

/// The backends that are out or coming back, and since when.
fn out(policy: &FeedbackPolicy, now: Timestamp) -> String {
    let actions = policy.status.iter().flat_map(|status| &status.actions);
    let all = actions
        .filter_map(|action| action.weights.as_ref())
        .flat_map(|known| &known.out);
    let ago = |at| short(now.since(from_micro_time(at)));
    let said = all.filter_map(|one| {
        let backend = plain(&one.backend);
        match (&one.out_since, &one.returning_since) {
            (Some(since), _) if one.ejections > 1 => Some(format!(
                "{backend} for {}, {} times in a row",
                ago(since),
                one.ejections
            )),
            (Some(since), _) => Some(format!("{backend} for {}", ago(since))),
            (None, Some(since)) => Some(format!("{backend} has been coming back for {}", ago(since))),
            (None, None) => None,
        }
    });
    said.collect::<Vec<_>>().join("; ")
}

fn tone_of(doing: &str, bad: bool) -> Tone {
    let word = doing.split(' ').next().unwrap_or_default();
    match word {
        _ if bad => Tone::Bad,
        "Applying" | "Verifying" | "Trying" | "Rolling" | "Recommends" | "Not" => Tone::Busy,
        "Refused" | "Failed" | "Nothing" => Tone::Bad,
        "Steady" => Tone::Good,
        _ => Tone::Plain,
    }
}

/// The phase of a Change; `None` for a record that is still being written.
pub fn phase_of(change: &Change) -> Option<Phase> {
    let phase = change.status.as_ref().map(|status| status.phase);
    // A transaction begins without a status, a record has none for a moment only.
    if change.spec.sequence > 0 {
        Some(phase.unwrap_or_default())
    } else {
        phase
    }
}

/// The colour of a phase.
pub fn tone_of_phase(phase: Phase) -> Tone {
    match phase {
        Phase::Applying | Phase::Verifying | Phase::RollingBack | Phase::Recommended | Phase::AwaitingApproval => {
            Tone::Busy
        }
        Phase::Committed => Tone::Good,
        Phase::RolledBack | Phase::Refused | Phase::Ineffective | Phase::Inconclusive => Tone::Bad,
        Phase::Superseded => Tone::Dim,
    }
}

/// Where the columns stand: in one line for each policy if the screen is wide enough, else with
/// alerts and reasons below.
enum Layout {
    Wide([usize; 5]),
    Narrow([usize; 3]),
}

impl Layout {
    fn of(rows: &[Row], style: Style) -> Self {
        let header = ["POLICY", "MODE", "TARGET", "ALERTS", "DOING"];
        let cells = rows
            .iter()
            .map(|row| [&*row.name, &row.mode, &row.target, &row.alerts, &row.doing]);
        let wide: [usize; 5] = widths(cells.chain([header]));
        let why = rows.iter().map(|row| columns(&row.why)).max().unwrap_or(0);
        let needed = wide.iter().map(|width| width + 2).sum::<usize>() + why;
        if style.width.is_none_or(|width| needed <= width) {
            Self::Wide(wide)
        } else {
            Self::Narrow([wide[0], wide[1], wide[2]])
        }
    }

    fn header(&self, page: &mut Page, style: Style) {
        let head = |titles: &[&str], widths: &[usize]| {
            let padded = titles
                .iter()
                .zip(widths)
                .map(|(title, width)| format!("{title:width$}  "));
            style.paint(Tone::Dim, padded.collect::<String>().trim_end())
        };
        page.line(&match self {
            Self::Wide(widths) => head(
                &["POLICY", "MODE", "TARGET", "ALERTS", "DOING", "WHY"],
                &[&widths[..], &[0]].concat(),
            ),
            Self::Narrow(widths) => head(&["POLICY", "MODE", "TARGET", "DOING"], &[&widths[..], &[0]].concat()),
        });
    }

    fn policy(&self, page: &mut Page, style: Style, row: &Row, branches: bool) {
        let below = |page: &mut Page, title: &str, tone: Tone, text: &str| {
            if !text.is_empty() {
                let first = format!(
                    "{}{}",
                    style.trunk(branches),
                    style.paint(Tone::Dim, &format!("{title:<9}"))
                );
                page.toned(&first, &format!("{}{:9}", style.trunk(branches), ""), tone, text);
            }
        };
        let head = [
            (Tone::Strong, &*row.name),
            (Tone::Plain, &*row.mode),
            (Tone::Plain, &*row.target),
        ];
        match self {
            Self::Wide(widths) => {
                let tail = [(Tone::Plain, &*row.alerts), (row.tone, &*row.doing)];
                page.row("", "", &[&head[..], &tail[..]].concat(), widths, &row.why);
            }
            Self::Narrow(widths) => {
                let cells = [&head[..], &[(row.tone, &*row.doing)]].concat();
                page.row("", "", &cells, &[&widths[..], &[0]].concat(), "");
                below(
                    page,
                    "alerts",
                    Tone::Plain,
                    if row.alerts == "none" { "" } else { &row.alerts },
                );
                below(page, "why", Tone::Plain, &row.why);
            }
        }
        below(page, "weights", Tone::Plain, &row.weights);
        below(page, "knobs", Tone::Plain, &row.knobs);
        below(page, "out", Tone::Busy, &row.out);
        below(page, "trouble", Tone::Bad, &row.trouble);
    }
}

fn draw_changes(page: &mut Page, style: Style, changes: &[&Change], shown: Shown, now: Timestamp) {
    let count = if shown.all {
        changes.len()
    } else {
        changes.len().min(SHOWN)
    };
    let hidden = changes.len() - count;
    let rows: Vec<_> = changes.iter().take(count).map(|change| cells(change, now)).collect();
    let widths: [usize; 3] = widths(rows.iter().map(|(cells, ..)| [&*cells[0], &cells[1], &cells[2]]));
    for (index, (cells, tone, why)) in rows.iter().enumerate() {
        let last = index + 1 == count && hidden == 0;
        let cells = [(Tone::Plain, &*cells[0]), (*tone, &*cells[1]), (Tone::Dim, &*cells[2])];
        page.row(style.branch(last), style.trunk(!last), &cells, &widths, why);
    }
    if hidden > 0 {
        page.line(&format!("{}{hidden} older, see them with --all", style.branch(true)));
    }
}

fn cells(change: &Change, now: Timestamp) -> ([String; 3], Tone, String) {
    let status = change.status.clone().unwrap_or_default();
    let at = status.closed_at.as_ref().unwrap_or(&change.spec.proposed_at);
    let age = format!("{} ago", short(now.since(from_micro_time(at))));
    let why = if status.message.is_empty() {
        &change.spec.reason
    } else {
        &status.message
    };
    let phase = phase_of(change).map_or_else(|| "...".to_owned(), |phase| format!("{phase:?}"));
    let why = match &change.spec.weights {
        Some(moved) => format!("{:?}: {}", moved.why, plain(why)),
        None => plain(why),
    };
    ([moves::in_short(change), phase, age], tone_of_phase(status.phase), why)
}

/// What is said where there is nothing to show.
pub fn nothing(namespace: Option<&str>) -> String {
    let place = namespace.map_or_else(
        || "in this cluster".to_owned(),
        |namespace| format!("in namespace {namespace}"),
    );
    let elsewhere = if namespace.is_some() {
        "See all namespaces:       flyball get -A\n"
    } else {
        ""
    };
    format!(
        "There is no FeedbackPolicy {place}.\n{elsewhere}Check one before its use: flyball check policy.yaml\nStart it:                 \
         kubectl apply -f policy.yaml\n"
    )
}
