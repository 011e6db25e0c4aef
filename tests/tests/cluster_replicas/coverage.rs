//! After an outage of a real Prometheus its ranges read low, and nothing is taken away until they are filled.

use super::{check_of, says, written};
use axum::{Router, routing::get};
use flyball_controller::clock::from_micro_time;
use flyball_crds::{CheckVerdict, Phase};
use flyball_tests::{
    bed::{Bed, bed, eventually},
    world::{World, objects},
};
use serde_json::json;
use std::{
    fs::{self, File},
    net::TcpListener as Port,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// An exporter that counts jobs as they come in: so many a second.
struct Exporter {
    address: String,
    book: Arc<Mutex<Book>>,
    task: JoinHandle<()>,
}

struct Book {
    jobs: f64,
    /// Jobs a millisecond.
    pace: f64,
    counted: i64,
    /// When it was asked, in milliseconds.
    asked: Vec<i64>,
}

impl Book {
    #[allow(clippy::cast_precision_loss)] // A test lasts less than 2^52 ms.
    fn count(&mut self) -> f64 {
        let now = now();
        self.jobs += self.pace * (now - self.counted) as f64;
        self.counted = now;
        self.jobs
    }
}

impl Exporter {
    async fn start(per_second: f64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let book = Arc::new(Mutex::new(Book {
            jobs: 0.0,
            pace: per_second / 1000.0,
            counted: now(),
            asked: Vec::new(),
        }));
        let shared = Arc::clone(&book);
        let answer = move || {
            let mut book = shared.lock().unwrap_or_else(PoisonError::into_inner);
            book.asked.push(now());
            let jobs = book.count();
            async move { format!("# TYPE jobs_total counter\njobs_total {jobs}\n") }
        };
        let router = Router::new().route("/metrics", get(answer));
        let task = tokio::spawn(async move {
            // It ends with its task.
            let _ = axum::serve(listener, router).await;
        });
        Self { address, book, task }
    }

    fn pace(&self, per_second: f64) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.count();
        book.pace = per_second / 1000.0;
    }

    /// How often it was asked within a stretch of time that ends at `end`.
    fn asked(&self, end: i64, length: i64) -> usize {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.asked
            .iter()
            .filter(|at| (end - length..=end).contains(*at))
            .count()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A real server. It is ended by its own pid, at the latest when this is dropped.
struct Server {
    program: PathBuf,
    folder: PathBuf,
    address: String,
    child: Option<Child>,
}

impl Server {
    /// `None`: there is none here.
    fn new(bed: &Bed, world: &World, exporter: &Exporter) -> Option<Self> {
        let program = bed.prometheus.clone()?;
        let folder = std::env::temp_dir().join(format!("flyball-{}-prometheus", world.namespace));
        fs::create_dir_all(&folder).unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s}}\n\
             scrape_configs: [{{job_name: queue, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
            exporter.address
        );
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let address = Port::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        Some(Self {
            program,
            folder,
            address,
            child: None,
        })
    }

    /// Starts it, on the data that are there, and waits until it can be asked.
    async fn start(&mut self) {
        let log = File::create(self.folder.join("log")).unwrap();
        let child = Command::new(&self.program)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={}", self.address))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        eventually("Prometheus can be asked", async || {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            log.contains("Server is ready to receive web requests").then_some(())
        })
        .await;
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        // A failure leaves nothing but a folder behind.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The range that the policy looks back over, in milliseconds. It holds ten samples, of which one is not
/// missed; 90 % of nine are 8.1.
const RANGE: i64 = 10_000;
const ENOUGH: usize = 9;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_outage_nothing_goes_until_the_ranges_are_filled_again() {
    let Some(bed) = bed().await else { return };
    let world = World::new(&bed, "coverage").await;
    let exporter = Exporter::start(25.0).await;
    let Some(mut server) = Server::new(&bed, &world, &exporter) else {
        eprintln!("skipped: no FLYBALL_PROMETHEUS");
        return;
    };
    server.start().await;
    let url = format!("http://{}", server.address);
    world
        .source(
            &world.namespace,
            json!({"url": url, "timeout": "2s", "scrapeInterval": "1s"}),
        )
        .await;
    world.web(3).await;
    let policy = objects::policy_by_queue("web", &world.namespace);
    let policy = objects::with(policy, "/spec/signals/0/expr", json!("sum(rate(jobs_total[10s]))"));
    world
        .apply(&objects::with(policy, "/spec/actions/0/verify/expr", json!("up >= 1")))
        .await;
    let filled = async || {
        eventually("the range is filled", async || {
            (exporter.asked(now(), RANGE) > ENOUGH).then_some(())
        })
        .await;
    };
    filled().await;
    let _controller = world.controller("one");
    // 25 a second are three replicas' work.
    says(&world, "web", "Steady at 3", "").await;
    server.stop();
    let stopped = now();
    eventually("half the range is a hole", async || {
        (now() > stopped + RANGE / 2).then_some(())
    })
    .await;
    server.start().await;
    // As many come in as ever. But once what was before the outage has left the range, the rest of it reads
    // like less.
    let why = says(&world, "web", "Refused 3 -> ", "Coverage: ").await;
    assert!(
        why.contains("rate(jobs_total[10s])) is filled to") && why.contains("a decrease needs 90 %"),
        "{why}"
    );
    says(&world, "web", "Steady at 3", "").await;
    filled().await;
    assert!(written(&world).await.is_empty(), "it believed the hole");
    // When less comes in, it goes.
    exporter.pace(5.0);
    let down = world.phase(1, Phase::Verifying).await;
    assert_eq!(down.spec.before, 3);
    let (verdict, message) = check_of(&down, "Coverage");
    assert_eq!(verdict, CheckVerdict::Passed, "{message}");
    let samples = exporter.asked(from_micro_time(&down.spec.proposed_at).as_millis(), RANGE);
    assert!(samples >= ENOUGH, "{samples} samples in the range");
    world.laws().await;
}
