//! The search: every state that can be reached, level by level, so that a violation is found by a shortest way
//! and every run counts the same states.

use super::{
    Action, Protocol, World,
    compact::{Stage, Trial},
};
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hash, Hasher},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// States that a thread takes at once.
const CHUNK: usize = 512;
/// Parts of the table of states, each with a lock of its own.
const SHARDS: usize = 64;
const THREADS: usize = 2;

/// What a search found.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many different states there are.
    pub states: usize,
    /// How many actions the farthest of them is away.
    pub depth: usize,
    /// The law that is broken, and what led to it.
    pub violation: Option<Violation>,
    /// Whether a change was committed somewhere.
    pub commits: bool,
    /// Whether a change was rolled back somewhere.
    pub rolls_back: bool,
    /// Whether a trial that was not verified was taken back somewhere.
    pub takes_back_trial: bool,
}

/// A law that does not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The law, in words.
    pub law: &'static str,
    /// The states on the way in words, each after the action that led to it.
    pub steps: Vec<(Option<Action>, String)>,
}

impl<const N: usize> Protocol<N> {
    /// Looks at every state that can be reached, until a law is broken.
    pub fn search(&self) -> Report {
        let start = World::start(self.trial);
        let found = Found::default();
        let first = fingerprint(&start);
        found.is_new(first, first);
        let mut depth = 0;
        let mut level = vec![(start, first)];
        loop {
            let next = self.after(&level, &found);
            if next.is_empty() || found.stop.load(Ordering::Relaxed) {
                break;
            }
            level = next;
            depth += 1;
        }
        let violation = found.lock_violation().take();
        Report {
            states: found.states(),
            depth,
            violation: violation.map(|(law, last)| Violation {
                law,
                steps: self.way_to(last, &found),
            }),
            commits: found.commits.load(Ordering::Relaxed),
            rolls_back: found.rolls_back.load(Ordering::Relaxed),
            takes_back_trial: found.takes_back_trial.load(Ordering::Relaxed),
        }
    }

    /// The new states one action after these.
    fn after(&self, level: &[(World<N>, u64)], found: &Found) -> Vec<(World<N>, u64)> {
        let taken = AtomicUsize::new(0);
        let work = || {
            let (mut next, mut actions) = (Vec::new(), Vec::new());
            while !found.stop.load(Ordering::Relaxed) {
                let from = taken.fetch_add(CHUNK, Ordering::Relaxed);
                let Some(chunk) = level
                    .get(from..level.len().min(from + CHUNK))
                    .filter(|chunk| !chunk.is_empty())
                else {
                    break;
                };
                for (world, before) in chunk {
                    self.actions(world, &mut actions);
                    for action in actions.drain(..) {
                        let Some(world) = self.next_state(world, action) else {
                            continue;
                        };
                        let this = fingerprint(&world);
                        if found.is_new(this, *before) {
                            found.look_at(&world, self.broken_law(&world), this);
                            next.push((world, this));
                        }
                    }
                }
            }
            next
        };
        if level.len() <= CHUNK {
            return work();
        }
        thread::scope(|scope| {
            let others: Vec<_> = (1..THREADS).map(|_| scope.spawn(work)).collect();
            let mut next = work();
            for other in others {
                match other.join() {
                    Ok(more) => next.extend(more),
                    Err(panicked) => std::panic::resume_unwind(panicked),
                }
            }
            next
        })
    }

    /// The way to a state, by its parents.
    fn way_to(&self, last: u64, found: &Found) -> Vec<(Option<Action>, String)> {
        let mut way = vec![last];
        while let Some(parent) = way.last().and_then(|this| found.parent(*this)) {
            way.push(parent);
        }
        let mut world = World::start(self.trial);
        let mut steps = vec![(None, world.to_string())];
        let mut actions = Vec::new();
        for this in way.into_iter().rev().skip(1) {
            self.actions(&world, &mut actions);
            let step = actions
                .drain(..)
                .filter_map(|action| Some((action, self.next_state(&world, action)?)))
                .find(|(_, next)| fingerprint(next) == this);
            let Some((action, next)) = step else {
                break;
            };
            steps.push((Some(action), next.to_string()));
            world = next;
        }
        steps
    }
}

type Shard = HashMap<u64, u64, BuildHasherDefault<Itself>>;

/// The states found so far, each by its fingerprint with that of the one before it (its own for the first).
struct Found {
    shards: Vec<Mutex<Shard>>,
    violation: Mutex<Option<(&'static str, u64)>>,
    stop: AtomicBool,
    commits: AtomicBool,
    rolls_back: AtomicBool,
    takes_back_trial: AtomicBool,
}

impl Default for Found {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            violation: Mutex::default(),
            stop: AtomicBool::new(false),
            commits: AtomicBool::new(false),
            rolls_back: AtomicBool::new(false),
            takes_back_trial: AtomicBool::new(false),
        }
    }
}

impl Found {
    fn shard(&self, state: u64) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[usize::try_from(state >> 32).unwrap_or_default() % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_new(&self, state: u64, parent: u64) -> bool {
        let mut shard = self.shard(state);
        let before = shard.len();
        shard.entry(state).or_insert(parent);
        shard.len() > before
    }

    fn parent(&self, state: u64) -> Option<u64> {
        self.shard(state).get(&state).copied().filter(|parent| *parent != state)
    }

    fn states(&self) -> usize {
        let shards = self.shards.iter();
        shards
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }

    fn lock_violation(&self) -> MutexGuard<'_, Option<(&'static str, u64)>> {
        self.violation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_at<const N: usize>(&self, world: &World<N>, broken: Option<&'static str>, state: u64) {
        if let Some(law) = broken {
            self.lock_violation().get_or_insert((law, state));
            self.stop.store(true, Ordering::Relaxed);
        }
        match world.journal.stage {
            Stage::Committed => self.commits.store(true, Ordering::Relaxed),
            Stage::RolledBack if world.journal.trial == Trial::Open => {
                self.takes_back_trial.store(true, Ordering::Relaxed);
            }
            Stage::RolledBack => self.rolls_back.store(true, Ordering::Relaxed),
            _ => {}
        }
    }
}

/// A state's fingerprint. Among twenty million states two have the same with a probability of one in a hundred thousand.
fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = Bytes::default();
    state.hash(&mut hasher);
    hasher.finish()
}

/// A hasher of many numbers below 256: eight of them are mixed at a time.
#[derive(Default)]
struct Bytes {
    mixed: u64,
    word: u64,
    pushed: u32,
}

/// Two odd numbers without a pattern (fractional parts of the golden ratio and of the root of two).
const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0x6a09_e667_f3bc_c909];

impl Bytes {
    #[inline]
    fn push(&mut self, byte: u8) {
        self.word = self.word << 8 | u64::from(byte);
        self.pushed += 1;
        if self.pushed.is_multiple_of(8) {
            self.mixed = folded(self.mixed ^ self.word ^ FACTORS[1], FACTORS[0]);
            self.word = 0;
        }
    }
}

/// Both halves of the product, so that every bit of a factor reaches every bit of the result.
#[inline]
#[allow(clippy::cast_possible_truncation)] // The halves are meant.
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push(*byte);
        }
    }

    #[inline]
    fn write_u8(&mut self, number: u8) {
        self.push(number);
    }

    #[inline]
    fn write_usize(&mut self, number: usize) {
        match u8::try_from(number) {
            Ok(byte) => self.push(byte),
            Err(_) => self.write(&number.to_le_bytes()),
        }
    }

    /// What the discriminants of enums come as.
    #[inline]
    fn write_isize(&mut self, number: isize) {
        match u8::try_from(number) {
            Ok(byte) => self.push(byte),
            Err(_) => self.write(&number.to_le_bytes()),
        }
    }

    fn finish(&self) -> u64 {
        let rest = folded(self.mixed ^ self.word ^ u64::from(self.pushed), FACTORS[1]);
        folded(rest ^ FACTORS[0], FACTORS[0])
    }
}

/// The hasher of the table: its keys are fingerprints already.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
