//! The loop against a lease in memory that refuses what the API server would refuse, on a clock that
//! jumps from event to event.

use flyball_controller::lease::{Election, Leadership, Store, Timing, elector::Record, identity, unique};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::core::Status;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, advance, sleep, timeout},
};

/// What the server does with the next requests.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Healthy,
    /// It answers 500.
    Failing,
    /// It never answers.
    Hanging,
    /// It carries writes out and then holds the answer back until it is let go.
    Holding,
}

struct Server {
    lease: Mutex<Option<Lease>>,
    version: Mutex<u64>,
    mode: Mutex<Mode>,
    let_go: Notify,
    log: Mutex<Vec<&'static str>>,
}

#[derive(Clone)]
struct Memory(Arc<Server>);

fn error(code: u16) -> kube::Error {
    kube::Error::Api(Status::failure("told to", "Test").with_code(code).boxed())
}

impl Memory {
    fn new() -> Self {
        let memory = Self(Arc::new(Server {
            lease: Mutex::new(None),
            version: Mutex::new(0),
            mode: Mutex::new(Mode::Healthy),
            let_go: Notify::new(),
            log: Mutex::new(vec![]),
        }));
        let mut lease = Lease::default();
        lease.metadata.labels = Some(BTreeMap::from([("kept".to_owned(), "yes".to_owned())]));
        memory.put(lease);
        memory
    }

    fn put(&self, mut lease: Lease) -> Lease {
        let mut version = self.0.version.lock().unwrap();
        *version += 1;
        lease.metadata.resource_version = Some(version.to_string());
        *self.0.lease.lock().unwrap() = Some(lease.clone());
        lease
    }

    fn record(&self) -> Record {
        Record::from(self.0.lease.lock().unwrap().as_ref().unwrap())
    }

    fn mode(&self, mode: Mode) {
        *self.0.mode.lock().unwrap() = mode;
    }

    /// Somebody else takes the lease, as one that has waited long enough would.
    fn take_over(&self, holder: &str) {
        let mut lease = self.0.lease.lock().unwrap().clone().unwrap();
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(holder.to_owned());
        spec.lease_transitions = spec.lease_transitions.map(|n| n + 1);
        self.put(lease);
    }

    fn log(&self, what: &'static str) {
        self.0.log.lock().unwrap().push(what);
    }

    fn count(&self, what: &str) -> usize {
        self.0.log.lock().unwrap().iter().filter(|it| **it == what).count()
    }

    async fn before(&self) -> kube::Result<()> {
        sleep(Duration::from_millis(5)).await;
        let mode = *self.0.mode.lock().unwrap();
        match mode {
            Mode::Failing => Err(error(500)),
            Mode::Hanging => std::future::pending().await,
            Mode::Healthy | Mode::Holding => Ok(()),
        }
    }

    async fn write(&self, lease: &Lease, allowed: impl FnOnce(Option<&Lease>) -> bool) -> kube::Result<Lease> {
        self.before().await?;
        let now = self.0.lease.lock().unwrap().clone();
        if !allowed(now.as_ref()) {
            self.log("409");
            return Err(error(409));
        }
        self.log("written");
        let lease = self.put(lease.clone());
        if *self.0.mode.lock().unwrap() == Mode::Holding {
            self.0.let_go.notified().await;
        }
        Ok(lease)
    }
}

impl Store for Memory {
    async fn get(&self) -> kube::Result<Option<Lease>> {
        self.before().await?;
        self.log("read");
        Ok(self.0.lease.lock().unwrap().clone())
    }

    async fn create(&self, lease: &Lease) -> kube::Result<Lease> {
        self.write(lease, |now| now.is_none()).await
    }

    async fn replace(&self, lease: &Lease) -> kube::Result<Lease> {
        assert!(
            lease.metadata.resource_version.is_some(),
            "never without a precondition"
        );
        self.write(lease, |now| {
            now.is_some_and(|now| now.metadata.resource_version == lease.metadata.resource_version)
        })
        .await
    }
}

fn start(memory: &Memory, name: &str) -> (Election, watch::Receiver<Leadership>) {
    let election = Election::start(memory.clone(), name, Timing::default()).unwrap();
    let leadership = election.leadership();
    (election, leadership)
}

fn leads(leadership: &watch::Receiver<Leadership>) -> bool {
    leadership.borrow().is_leader(Instant::now())
}

async fn seconds(n: u64) {
    sleep(Duration::from_secs(n)).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_contenders_one_leads_and_the_other_gets_a_conflict() {
    let memory = Memory::new();
    let (_a, a) = start(&memory, "a");
    let (_b, b) = start(&memory, "b");
    seconds(1).await;
    assert!(leads(&a) != leads(&b), "{a:?} {b:?}");
    assert_eq!((memory.count("written"), memory.count("409")), (1, 1));
    for _ in 0..100 {
        seconds(1).await;
        assert!(leads(&a) != leads(&b));
    }
    assert_eq!(memory.record().transitions, 1, "it stays with the first");
    let labels = memory.0.lease.lock().unwrap().clone().unwrap().metadata.labels.unwrap();
    assert_eq!(labels["kept"], "yes", "what else is on the object stays");
}

#[tokio::test(start_paused = true)]
async fn each_renewal_moves_the_end() {
    let memory = Memory::new();
    let (_a, mut a) = start(&memory, "a");
    let mut last = Instant::now();
    for _ in 0..5 {
        a.changed().await.unwrap();
        let Leadership::Leader { transitions: 1, until } = *a.borrow_and_update() else {
            panic!("not a leader")
        };
        assert!(until > last);
        last = until;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_can_not_renew_stops_before_a_standby_takes_over() {
    for mode in [Mode::Failing, Mode::Hanging] {
        let memory = Memory::new();
        let (_a, a) = start(&memory, "a");
        seconds(1).await;
        let (_b, b) = start(&Memory(memory.0.clone()), "b");
        seconds(3).await;
        memory.mode(mode);
        let lost = Instant::now();
        while leads(&a) {
            sleep(Duration::from_millis(10)).await;
        }
        assert!(lost.elapsed() <= Duration::from_secs(10), "{:?}", lost.elapsed());
        assert_eq!(
            *a.borrow(),
            Leadership::Standby,
            "it is announced too, although requests hang"
        );
        assert!(!leads(&b));
        memory.mode(Mode::Healthy);
        seconds(5).await;
        assert!(leads(&a) != leads(&b), "one of them leads again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_given_back_is_taken_at_once_and_the_count_goes_on() {
    let memory = Memory::new();
    let (a, leads_a) = start(&memory, "a");
    seconds(1).await;
    let (_b, leads_b) = start(&memory, "b");
    seconds(1).await;
    assert!(leads(&leads_a));
    let now = Instant::now();
    a.release().await;
    assert_eq!(*leads_a.borrow(), Leadership::Standby);
    assert_eq!((memory.record().holder.as_str(), memory.record().transitions), ("", 1));
    while !leads(&leads_b) {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(now.elapsed() < Duration::from_secs(3), "{:?}", now.elapsed());
    assert_eq!(memory.record().transitions, 2);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_lead_gives_nothing_back() {
    let memory = Memory::new();
    let (_a, _) = start(&memory, "a");
    seconds(1).await;
    let (b, _) = start(&memory, "b");
    seconds(1).await;
    b.release().await;
    assert_eq!(memory.record().holder, "a");
}

#[tokio::test(start_paused = true)]
async fn giving_back_ends_although_the_server_hangs() {
    let memory = Memory::new();
    let (a, _) = start(&memory, "a");
    seconds(1).await;
    memory.mode(Mode::Hanging);
    timeout(Duration::from_secs(7), a.release()).await.expect("it gives up");
    assert_eq!(memory.record().holder, "a", "the lease runs out by itself");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_stopped_looks_first_and_claims_nothing() {
    let memory = Memory::new();
    let (_a, mut a) = start(&memory, "a");
    seconds(1).await;
    assert!(leads(&a));
    a.mark_unchanged();
    // While the process stands still, somebody else takes over.
    memory.take_over("other");
    let reads = memory.count("read");
    advance(Duration::from_secs(60)).await;
    assert!(
        !leads(&a),
        "whoever asks sees that its time is over, before anything else runs"
    );
    for _ in 0..1_000 {
        sleep(Duration::from_millis(10)).await;
        assert!(!leads(&a));
    }
    assert!(memory.count("read") > reads);
    assert_eq!(memory.record().holder, "other");
}

#[tokio::test(start_paused = true)]
async fn an_acceptance_that_was_slept_over_makes_nobody_a_leader() {
    let memory = Memory::new();
    memory.mode(Mode::Holding);
    let (_a, a) = start(&memory, "a");
    sleep(Duration::from_millis(20)).await;
    assert_eq!(
        memory.record().holder,
        "a",
        "the write was carried out, its answer is under way"
    );
    // The answer is there, but the process is stopped before it reads it.
    memory.0.let_go.notify_one();
    memory.mode(Mode::Healthy);
    memory.take_over("other");
    advance(Duration::from_secs(60)).await;
    for _ in 0..1_000 {
        sleep(Duration::from_millis(10)).await;
        assert!(!leads(&a));
    }
}

#[tokio::test(start_paused = true)]
async fn an_acceptance_that_was_never_heard_of_is_found_again() {
    let memory = Memory::new();
    memory.mode(Mode::Holding);
    let (_a, a) = start(&memory, "a");
    seconds(1).await;
    assert!(!leads(&a));
    memory.mode(Mode::Healthy);
    seconds(6).await;
    assert!(leads(&a), "the record has our name, so nobody else can be the leader");
}

#[tokio::test(start_paused = true)]
async fn the_holder_of_a_lease_that_nobody_renews_is_outwaited() {
    let memory = Memory::new();
    memory.put(Lease {
        spec: Some(LeaseSpec {
            holder_identity: Some("gone".to_owned()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(41),
            // Far in the future: the clock of the one that is gone was wrong.
            renew_time: "2999-01-01T00:00:00Z"
                .parse()
                .ok()
                .map(k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime),
            ..LeaseSpec::default()
        }),
        ..Lease::default()
    });
    let (_a, a) = start(&memory, "a");
    seconds(14).await;
    assert!(!leads(&a));
    seconds(3).await;
    assert!(leads(&a));
    assert_eq!(memory.record().transitions, 42);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_does_not_exist_is_made_after_a_while() {
    let memory = Memory::new();
    *memory.0.lease.lock().unwrap() = None;
    let (_a, a) = start(&memory, "a");
    seconds(14).await;
    assert!(!leads(&a), "its last holder may still be writing");
    seconds(3).await;
    assert!(leads(&a));
}

/// Where a test's logs go.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn that_there_is_no_lease_is_said_once() {
    let logs = Logs::default();
    let writer = logs.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let memory = Memory::new();
    *memory.0.lease.lock().unwrap() = None;
    let (_a, _) = start(&memory, "a");
    seconds(14).await;
    let said = String::from_utf8(logs.0.lock().unwrap().clone()).unwrap();
    assert_eq!(said.matches("there is no lease").count(), 1, "{said}");
    assert!(said.contains("wait_s=15"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_is_made_again_without_a_gap() {
    let memory = Memory::new();
    let (_a, a) = start(&memory, "a");
    let (_b, b) = start(&memory, "b");
    seconds(1).await;
    assert!(leads(&a) != leads(&b));
    let first = memory.record();
    *memory.0.lease.lock().unwrap() = None;
    for _ in 0..300 {
        sleep(Duration::from_millis(100)).await;
        assert!(leads(&a) != leads(&b));
    }
    assert_eq!(memory.record().holder, first.holder);
    assert_eq!(memory.record().transitions, first.transitions);
}

/// A container that crashed is started again in the same pod, under the same pod name.
#[tokio::test(start_paused = true)]
async fn a_restarted_process_waits_for_its_predecessors_lease() {
    let memory = Memory::new();
    let (first, leads_first) = start(&memory, &unique("pod"));
    seconds(1).await;
    assert!(leads(&leads_first));
    // Dropped without a word, as by kill -9. A request of it may still be under way.
    drop(first);
    let (_second, leads_second) = start(&memory, &unique("pod"));
    for _ in 0..14 {
        seconds(1).await;
        assert!(!leads(&leads_second), "it took the lease for its own");
    }
    seconds(3).await;
    assert!(leads(&leads_second));
    assert_eq!(memory.record().transitions, 2);
}

#[test]
fn no_two_processes_have_the_same_name() {
    assert_ne!(identity(), identity());
    assert_ne!(unique("pod"), unique("pod"));
    assert!(unique("pod").starts_with("pod_"));
    assert!(identity().len() > 36, "{}", identity());
}
