//! A server in a process of its own.

use flyball_controller::observe::{credentials::Secrets, source::Source};
use flyball_crds::MetricSourceSpec;
use flyball_tests::bed::{PATIENCE, unique};
use std::{
    env,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Prometheus,
    VictoriaMetrics,
    /// Takes alerts, and answers no queries.
    Alertmanager,
    /// Takes CloudEvents, and answers no queries.
    Receiver,
}

impl Kind {
    /// Those that answer queries.
    pub const ALL: [Self; 2] = [Self::Prometheus, Self::VictoriaMetrics];

    const fn variable(self) -> &'static str {
        match self {
            Self::Prometheus => "FLYBALL_PROMETHEUS",
            Self::VictoriaMetrics => "FLYBALL_VICTORIA_METRICS",
            Self::Alertmanager => "FLYBALL_ALERTMANAGER",
            Self::Receiver => "FLYBALL_RECEIVER",
        }
    }

    /// The program. `None`: it is not here, and the test has to pass without it; under `CI=true` that is a
    /// failure.
    pub fn program(self) -> Option<PathBuf> {
        let Some(program) = env::var_os(self.variable()).map(PathBuf::from) else {
            assert!(
                env::var("CI").as_deref() != Ok("true"),
                "no {} (make test-backends): a skipped test is a failure in CI",
                self.variable()
            );
            eprintln!("skipped: no {} (make test-backends)", self.variable());
            return None;
        };
        assert!(program.exists(), "{} does not exist", program.display());
        Some(program)
    }

    /// What it logs when it can be asked.
    const fn is_up(self) -> &'static str {
        match self {
            Self::Prometheus => "Server is ready to receive web requests",
            Self::VictoriaMetrics => "started server at",
            Self::Alertmanager => "Listening on",
            Self::Receiver => "listening on",
        }
    }
}

/// A folder that goes with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        let folder = env::temp_dir().join(format!("flyball-backend-{}", unique()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A running server. It is ended by its own pid when this is dropped.
pub struct Server {
    child: Child,
    pub address: String,
    pub folder: Folder,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    /// Starts one whose data are in the folder, and waits until it can be asked.
    pub fn start(kind: Kind, folder: Folder, more: &[String]) -> Option<Self> {
        let program = kind.program()?;
        // A free port may be taken by another test before the server has it.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .to_string();
            let mut child = spawn(kind, &program, &folder, &address, more);
            if wait(kind, &mut child, &folder) {
                return Some(Self { child, address, folder });
            }
        }
        panic!("{kind:?} does not start: {}", log(&folder));
    }

    /// One without anything in it.
    pub fn empty(kind: Kind) -> Option<Self> {
        Self::start(kind, configured("global: {scrape_interval: 1s}\n"), &[])
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A source of this server, with no settings but the URL.
    pub fn source(&self) -> Source {
        source(&MetricSourceSpec {
            url: self.url(),
            ..MetricSourceSpec::default()
        })
    }
}

pub fn source(spec: &MetricSourceSpec) -> Source {
    Source::new("backend", spec, &Secrets::new()).unwrap()
}

/// A folder with this configuration of Prometheus.
pub fn configured(prometheus: &str) -> Folder {
    let folder = Folder::new();
    folder.write("prometheus.yml", prometheus);
    folder
}

fn spawn(kind: Kind, program: &Path, folder: &Folder, address: &str, more: &[String]) -> Child {
    let at = |name: &str| folder.path().join(name).display().to_string();
    let own = match kind {
        Kind::Prometheus => vec![
            format!("--config.file={}", at("prometheus.yml")),
            format!("--storage.tsdb.path={}", at("data")),
            format!("--web.listen-address={address}"),
        ],
        Kind::VictoriaMetrics => vec![
            format!("-storageDataPath={}", at("data")),
            format!("-httpListenAddr={address}"),
            // A test's data are few.
            "-memory.allowedPercent=5".to_owned(),
        ],
        Kind::Alertmanager => vec![
            format!("--config.file={}", at("alertmanager.yml")),
            format!("--storage.path={}", at("data")),
            format!("--web.listen-address={address}"),
            // It has no peers.
            "--cluster.listen-address=".to_owned(),
        ],
        Kind::Receiver => vec![format!("--listen={address}")],
    };
    let out = File::create(folder.path().join("log")).unwrap();
    Command::new(program)
        .args(own)
        .args(more)
        .stdin(Stdio::null())
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap()
}

/// Whether it came up; `false` where it ended because another had its port.
fn wait(kind: Kind, child: &mut Child, folder: &Folder) -> bool {
    let end = Instant::now() + PATIENCE;
    while !log(folder).contains(kind.is_up()) {
        if child.try_wait().unwrap().is_some() {
            let log = log(folder);
            assert!(log.contains("address already in use"), "{kind:?} ended: {log}");
            return false;
        }
        assert!(Instant::now() < end, "{kind:?} did not come up: {}", log(folder));
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

fn log(folder: &Folder) -> String {
    fs::read_to_string(folder.path().join("log")).unwrap_or_default()
}
