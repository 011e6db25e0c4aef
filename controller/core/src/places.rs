//! Who of several tenants gets the next place at a server that takes so many at once.
//!
//! A place that is free goes to the tenant that has the fewest; of those to the one whose turn is longest ago. So however many one tenant
//! has waiting, another that comes waits for no more than one turn of each, and alone a tenant gets all places. Of one tenant those that
//! came first go first.

use std::collections::{BTreeMap, VecDeque};

/// Who waits, or has a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// The places at one server, and who waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places<T> {
    limit: usize,
    most_of_one: usize,
    taken: usize,
    /// Counts turns and tickets.
    count: u64,
    lanes: BTreeMap<T, Lane>,
}

/// What one tenant has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lane {
    taken: usize,
    waiting: VecDeque<Ticket>,
    /// When it had its last turn, or came.
    turn: u64,
}

impl<T: Ord + Clone> Places<T> {
    /// So many in all, and at most so many of one tenant.
    pub const fn new(limit: usize, most_of_one: usize) -> Self {
        Self {
            limit,
            most_of_one,
            taken: 0,
            count: 0,
            lanes: BTreeMap::new(),
        }
    }

    /// How many there are.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// How many of them one tenant may have.
    pub const fn most_of_one(&self) -> usize {
        self.most_of_one
    }

    /// How many are taken.
    pub const fn taken(&self) -> usize {
        self.taken
    }

    /// How many a tenant has.
    pub fn taken_by(&self, tenant: &T) -> usize {
        self.lanes.get(tenant).map_or(0, |lane| lane.taken)
    }

    /// How many of a tenant wait.
    pub fn waiting_of(&self, tenant: &T) -> usize {
        self.lanes.get(tenant).map_or(0, |lane| lane.waiting.len())
    }

    /// Whether nobody waits or has a place: nothing is remembered then.
    pub fn is_idle(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Stands in line, behind those of the same tenant.
    pub fn wait(&mut self, tenant: T) -> Ticket {
        self.count += 1;
        let ticket = Ticket(self.count);
        // Who comes has the last turn: else many that come and go would keep one that waits from its own.
        let new = || Lane {
            turn: self.count,
            ..Lane::default()
        };
        self.lanes.entry(tenant).or_insert_with(new).waiting.push_back(ticket);
        ticket
    }

    /// Gives the next place away, if there is one for somebody who waits.
    pub fn give(&mut self) -> Option<Ticket> {
        if self.taken >= self.limit {
            return None;
        }
        let may = |lane: &&mut Lane| !lane.waiting.is_empty() && lane.taken < self.most_of_one;
        let next = self
            .lanes
            .values_mut()
            .filter(may)
            .min_by_key(|lane| (lane.taken, lane.turn))?;
        let ticket = next.waiting.pop_front()?;
        self.count += 1;
        (next.turn, next.taken) = (self.count, next.taken + 1);
        self.taken += 1;
        Some(ticket)
    }

    /// Leaves: out of the line, or from the place that it was given.
    pub fn leave(&mut self, tenant: &T, ticket: Ticket) {
        let Some(lane) = self.lanes.get_mut(tenant) else {
            return;
        };
        if let Some(at) = lane.waiting.iter().position(|waiting| *waiting == ticket) {
            lane.waiting.remove(at);
        } else {
            lane.taken = lane.taken.saturating_sub(1);
            self.taken = self.taken.saturating_sub(1);
        }
        if lane.taken == 0 && lane.waiting.is_empty() {
            self.lanes.remove(tenant);
        }
    }
}
