//! What is measured, as a table.

use super::{Mark, load::Second};
use comfy_table::{Cell, CellAlignment, Table, presets};
use flyball_crds::Change;
use jiff::Timestamp;

/// What was seen from one thing that happened to the backends to the next.
#[derive(Clone, Debug)]
pub struct Episode {
    /// What happened.
    pub what: String,
    /// When, and what was so then.
    pub mark: Mark,
    /// When it was over.
    pub end: Timestamp,
    /// When Prometheus first knew of a request that failed.
    pub visible: Option<Timestamp>,
    /// The Changes that were begun.
    pub changes: Vec<Change>,
    /// What became of the requests.
    pub seconds: Vec<Second>,
}

impl Episode {
    /// How many requests were due, and how many of them were lost.
    pub fn lost(&self) -> (u64, u64) {
        let sum = |of: fn(&Second) -> u64| self.seconds.iter().map(of).sum();
        (sum(|second| second.offered), sum(Second::lost))
    }

    /// The end of the last second in which a request was lost.
    pub fn last_loss(&self) -> Option<Timestamp> {
        let last = self.seconds.iter().rev().find(|second| second.lost() > 0)?;
        Some(last.time + jiff::SignedDuration::from_secs(1))
    }
}

fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    let seconds = from.zip(to).map(|(from, to)| to.duration_since(from).as_secs_f64());
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1}"))
}

fn table(head: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(head);
    for row in rows {
        let cells = row.into_iter().enumerate().map(|(column, text)| {
            let alignment = if column == 0 {
                CellAlignment::Left
            } else {
                CellAlignment::Right
            };
            Cell::new(text).set_alignment(alignment)
        });
        table.add_row(cells);
    }
    table
}

/// Prints what was measured. Times in seconds.
pub fn print(title: &str, episodes: &[Episode]) {
    let row = |episode: &Episode| {
        let (offered, lost) = episode.lost();
        let status = |change: &Change| change.status.clone().unwrap_or_default();
        let applied = episode
            .changes
            .first()
            .and_then(|change| status(change).applied_at)
            .map(|at| at.0);
        let realised = episode
            .changes
            .first()
            .and_then(|change| status(change).realised_at)
            .map(|at| at.0);
        vec![
            episode.what.clone(),
            between(Some(episode.mark.at), episode.visible),
            between(episode.visible, applied),
            between(applied, realised),
            between(episode.visible, episode.last_loss()),
            format!("{lost} of {offered}"),
        ]
    };
    let head = [
        "what happens",
        "first 5xx visible after",
        "then to the first write",
        "from it to the realised share",
        "from visible to the last loss",
        "requests lost",
    ];
    println!(
        "\n{title}, in seconds:\n{}",
        table(&head, episodes.iter().map(row).collect())
    );
    let mut moves = Vec::new();
    for episode in episodes {
        for change in &episode.changes {
            let status = change.status.clone().unwrap_or_default();
            let (applied, realised) = (status.applied_at.map(|at| at.0), status.realised_at.map(|at| at.0));
            let why = change.spec.weights.as_ref().map(|moved| format!("{:?}", moved.why));
            moves.push(vec![
                change.spec.shift.clone(),
                why.unwrap_or_default(),
                between(Some(episode.mark.at), applied),
                between(applied, realised),
                between(applied, status.closed_at.map(|at| at.0)),
                format!("{:?}", status.phase),
            ]);
        }
    }
    let head = [
        "Change",
        "why",
        "written after",
        "realised after",
        "closed after",
        "phase",
    ];
    println!(
        "\nEach Change, in seconds since what happened and since its write:\n{}\n",
        table(&head, moves)
    );
}
