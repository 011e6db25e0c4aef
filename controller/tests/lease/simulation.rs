//! Never two leaders: processes with clocks of their own, requests that are late, lost, or carried
//! out long after their sender gave up, processes that stop for a while, and a lease that is
//! deleted. Everything is simulated; an execution of minutes takes less than a millisecond.

use flyball_controller::lease::{
    Timing,
    elector::{Action, Local, Record, decide},
};
use proptest::{prelude::*, test_runner::TestRunner};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Milliseconds of real time.
type At = u64;

#[derive(Clone, Debug)]
enum Op {
    Read,
    Create(Record),
    Replace(Record, u64),
}

#[derive(Clone, Debug)]
enum Answer {
    Read(Option<(Record, u64)>),
    Written(Record, u64),
    Conflict,
}

#[derive(Clone, Debug)]
enum Event {
    Wake(usize, bool),
    Server(usize, u64, Op),
    Answer(usize, u64, Answer),
    TimeOut(usize, u64),
    Release(usize),
    Delete,
}

/// What goes wrong; each list is used up in turn and then from its start again.
#[derive(Clone, Debug)]
struct Faults {
    /// How much faster or slower each clock runs, in per cent, and how far it is off, in ms.
    clocks: Vec<(i32, u64)>,
    /// Of each request: delay on the way there, on the way back, whether it is lost there or back.
    network: Vec<(u64, u64, bool, bool)>,
    /// Who stands still, from when, for how long.
    pauses: Vec<(usize, At, u64)>,
    /// Who is cut off from the server, from when, for how long.
    partitions: Vec<(usize, At, u64)>,
    /// Who gives the lease back, and when.
    releases: Vec<(usize, At)>,
    /// When somebody deletes the lease.
    delete: Option<At>,
    /// How late a timer fires.
    late: Vec<u64>,
}

struct Process {
    local: Local,
    rate: f64,
    offset: u64,
    version: u64,
    request: Option<(u64, Instant)>,
    released: bool,
}

struct World {
    base: Instant,
    faults: Faults,
    processes: Vec<Process>,
    lease: Option<(Record, u64)>,
    versions: u64,
    requests: u64,
    renewals: i64,
    queue: BTreeMap<(At, u64), Event>,
    tie: u64,
    /// Faults end here.
    calm: At,
    /// Whether whoever finds no lease takes it as one that was missing for long.
    eager: bool,
}

/// The `n`-th of what is used up in turn.
fn pick<T: Copy>(list: &[T], n: u64) -> T {
    list[usize::try_from(n).unwrap() % list.len()]
}

impl World {
    fn new(faults: Faults, timing: Timing, calm: At) -> Self {
        let processes = faults
            .clocks
            .iter()
            .enumerate()
            .map(|(i, (percent, offset))| Process {
                local: Local::new(format!("p{i}"), timing),
                rate: 1.0 + f64::from(*percent) / 100.0,
                offset: *offset,
                version: 0,
                request: None,
                released: false,
            })
            .collect();
        let free = Record {
            holder: String::new(),
            transitions: 0,
            duration: Duration::ZERO,
            renewed: None,
        };
        let mut world = Self {
            base: Instant::now(),
            faults,
            processes,
            lease: Some((free, 1)),
            versions: 1,
            requests: 0,
            renewals: 0,
            queue: BTreeMap::new(),
            tie: 0,
            calm,
            eager: false,
        };
        for i in 0..world.processes.len() {
            world.at(0, Event::Wake(i, false));
        }
        for (who, at) in world.faults.releases.clone() {
            let who = who % world.processes.len();
            world.at(at, Event::Release(who));
        }
        if let Some(at) = world.faults.delete {
            world.at(at, Event::Delete);
        }
        world
    }

    fn at(&mut self, at: At, event: Event) {
        self.tie += 1;
        self.queue.insert((at, self.tie), event);
    }

    fn clock(&self, i: usize, at: At) -> Instant {
        let process = &self.processes[i];
        self.base + Duration::from_millis(process.offset) + Duration::from_millis(at).mul_f64(process.rate)
    }

    /// When the clock of `i` shows `instant`, rounded up.
    fn real(&self, i: usize, instant: Instant) -> At {
        let process = &self.processes[i];
        let local = instant.saturating_duration_since(self.base + Duration::from_millis(process.offset));
        At::try_from(local.div_f64(process.rate).as_micros().div_ceil(1000)).unwrap()
    }

    fn paused(&self, i: usize, at: At) -> Option<At> {
        self.struck(&self.faults.pauses, i, at)
    }

    fn cut_off(&self, i: usize, at: At) -> bool {
        self.struck(&self.faults.partitions, i, at).is_some()
    }

    /// Until when `i` is struck by one of `spans`, if it is at `at`.
    fn struck(&self, spans: &[(usize, At, u64)], i: usize, at: At) -> Option<At> {
        let count = self.processes.len();
        let mine = spans
            .iter()
            .filter(|(who, from, span)| who % count == i && (*from..from + span).contains(&at));
        mine.map(|(_, from, span)| from + span).max()
    }

    fn send(&mut self, i: usize, at: At, op: Op) {
        let now = self.clock(i, at);
        let id = self.requests;
        self.requests += 1;
        self.processes[i].request = Some((id, now));
        let time_out = self.real(i, now + Timing::default().request);
        self.at(time_out, Event::TimeOut(i, id));
        let (there, _, lost, _) = self.network(id, at);
        if !lost && !self.cut_off(i, at) {
            self.at(at + there, Event::Server(i, id, op));
        }
    }

    fn network(&self, id: u64, at: At) -> (u64, u64, bool, bool) {
        if at >= self.calm {
            return (5, 5, false, false);
        }
        pick(&self.faults.network, id)
    }

    fn record(&mut self, i: usize, transitions: u64, holder: String) -> Record {
        self.renewals += 1;
        // Their clocks of the day are hours apart.
        let renewed = jiff::Timestamp::from_second(self.renewals + i64::try_from(i).unwrap() * 10_000).ok();
        Record {
            holder,
            transitions,
            duration: Duration::from_secs(15),
            renewed,
        }
    }

    fn act(&mut self, i: usize, at: At) {
        if self.processes[i].request.is_some() {
            return;
        }
        let now = self.clock(i, at);
        match decide(&self.processes[i].local, now) {
            Action::Wait(until) => {
                let late = if at < self.calm {
                    pick(&self.faults.late, self.tie)
                } else {
                    0
                };
                let real = self.real(i, until).max(at + 1) + late;
                self.at(real, Event::Wake(i, true));
            }
            Action::Read => self.send(i, at, Op::Read),
            Action::Create { transitions } => {
                let record = self.record(i, transitions, format!("p{i}"));
                self.send(i, at, Op::Create(record));
            }
            Action::Replace { transitions } => {
                let record = self.record(i, transitions, format!("p{i}"));
                let version = self.processes[i].version;
                self.send(i, at, Op::Replace(record, version));
            }
        }
    }

    fn serve(&mut self, op: Op) -> Answer {
        match (op, &self.lease) {
            (Op::Read, lease) => Answer::Read(lease.clone()),
            (Op::Create(record), None) => self.keep(record),
            (Op::Replace(record, version), Some((_, now))) if *now == version => self.keep(record),
            _ => Answer::Conflict,
        }
    }

    fn keep(&mut self, record: Record) -> Answer {
        self.versions += 1;
        self.lease = Some((record.clone(), self.versions));
        Answer::Written(record, self.versions)
    }

    fn leaders(&self, at: At) -> Vec<usize> {
        (0..self.processes.len())
            .filter(|&i| {
                let now = self.clock(i, at);
                self.processes[i].local.leadership(now).is_leader(now)
            })
            .collect()
    }

    fn run(&mut self, end: At) -> Result<(), TestCaseError> {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end {
                break;
            }
            let who = match event {
                Event::Wake(i, _) | Event::Answer(i, ..) | Event::TimeOut(i, _) | Event::Release(i) => Some(i),
                Event::Server(..) | Event::Delete => None,
            };
            if let Some(later) = who.and_then(|i| self.paused(i, at)) {
                self.at(later, event);
                continue;
            }
            self.step(at, event);
            let leaders = self.leaders(at);
            prop_assert!(leaders.len() <= 1, "at {at} ms these are leaders: {leaders:?}");
        }
        Ok(())
    }

    fn step(&mut self, at: At, event: Event) {
        match event {
            Event::Wake(i, waited) => {
                if self.processes[i].request.is_none() && !self.processes[i].released {
                    let now = self.clock(i, at);
                    if waited {
                        self.processes[i].local.waited(now);
                    }
                    self.act(i, at);
                }
            }
            Event::Server(i, id, op) => {
                let answer = self.serve(op);
                let (_, back, _, lost) = self.network(id, at);
                if !lost && !self.cut_off(i, at) {
                    self.at(at + back, Event::Answer(i, id, answer));
                }
            }
            Event::Answer(i, id, answer) => {
                let now = self.clock(i, at);
                let process = &mut self.processes[i];
                let Some((_, sent)) = process.request.take_if(|(waiting, _)| *waiting == id) else {
                    return;
                };
                if process.released {
                    return;
                }
                match answer {
                    Answer::Read(lease) => {
                        process.version = lease.as_ref().map_or(0, |(_, version)| *version);
                        let missing = self.eager && lease.is_none();
                        let seen = if missing { now - Timing::default().duration } else { now };
                        process.local.read(lease.map(|(record, _)| record), seen);
                    }
                    Answer::Written(record, version) => {
                        process.version = version;
                        process.local.written(record, sent, now);
                    }
                    Answer::Conflict => process.local.conflicted(now),
                }
                self.act(i, at);
            }
            Event::TimeOut(i, id) => {
                let now = self.clock(i, at);
                let process = &mut self.processes[i];
                if process.request.take_if(|(waiting, _)| *waiting == id).is_some() && !process.released {
                    process.local.failed(now);
                    self.act(i, at);
                }
            }
            Event::Release(i) => {
                let now = self.clock(i, at);
                let leading = self.processes[i].local.leadership(now).is_leader(now);
                self.processes[i].local.resign();
                self.processes[i].released = true;
                if let Some((record, version)) = self
                    .lease
                    .clone()
                    .filter(|(it, _)| leading && it.holder == format!("p{i}"))
                {
                    let free = self.record(i, record.transitions, String::new());
                    self.send(i, at, Op::Replace(free, version));
                }
            }
            Event::Delete => self.lease = None,
        }
    }
}

fn faults() -> impl Strategy<Value = Faults> {
    // 15 s of a clock that is 9 % fast are longer than 10 s of one that is 9 % slow, with room to spare.
    let clocks = prop::collection::vec((-9..=9_i32, 0..100_000_u64), 2..4);
    let network = |there: u64, back: u64, lost: f64| {
        let lost = prop::bool::weighted(lost);
        prop::collection::vec((0..there, 0..back, lost, lost), 1..40)
    };
    let network = prop_oneof![
        3 => network(200, 200, 0.02),
        1 => network(4_000, 4_000, 0.15),
        1 => network(20_000, 300, 0.2),
    ];
    let spans = |most| prop::collection::vec((0..4_usize, 0..100_000_u64, 0..40_000_u64), 0..most);
    let releases = prop::collection::vec((0..4_usize, 0..100_000_u64), 0..2);
    let delete = prop::option::of(0..100_000_u64);
    let late = prop::collection::vec(0..800_u64, 1..10);
    (clocks, network, spans(6), spans(6), releases, delete, late).prop_map(
        |(clocks, network, pauses, partitions, releases, delete, late)| Faults {
            clocks,
            network,
            pauses,
            partitions,
            releases,
            delete,
            late,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn there_are_never_two_leaders(faults in faults()) {
        let mut world = World::new(faults, Timing::default(), 150_000);
        world.run(150_000)?;
    }

    #[test]
    fn when_faults_end_there_is_a_leader_again(mut faults in faults()) {
        // Somebody must be left to lead.
        faults.releases.clear();
        let mut world = World::new(faults, Timing::default(), 150_000);
        world.run(200_000)?;
        prop_assert_eq!(world.leaders(200_000).len(), 1);
    }
}

/// It would notice: with a deadline that is longer than the duration, there are two leaders.
#[test]
fn the_simulation_finds_two_leaders_where_they_can_be() {
    let unsound = Timing {
        deadline: Duration::from_secs(20),
        ..Timing::default()
    };
    let mut runner = TestRunner::deterministic();
    let found = runner.run(&faults(), |faults| World::new(faults, unsound, 150_000).run(150_000));
    assert!(
        found.is_err(),
        "nothing was found although a leader may write for longer than a standby waits"
    );
}

/// That its POST was accepted tells a process only that there is no lease, not that nobody leads: a
/// leader whose lease somebody deleted may write until its deadline.
#[test]
fn the_simulation_finds_two_leaders_where_a_missing_lease_is_made_at_once() {
    let mut runner = TestRunner::deterministic();
    let found = runner.run(&faults(), |faults| {
        let mut world = World::new(faults, Timing::default(), 150_000);
        world.eager = true;
        world.run(150_000)
    });
    assert!(
        found.is_err(),
        "nothing was found although a leader's lease may be deleted and made again at once"
    );
}
