//! The controller under test: a process beside the cluster, with the rights that it has in it.

use super::{children::Running, error::DemoError};
use std::{ffi::OsStr, net::TcpListener, path::Path, time::Duration};
use tokio::time::{Instant, sleep};

/// The namespace that the controller's manifests name.
pub const NAMESPACE: &str = "flyball-system";
/// The controller's account and its lease.
pub const NAME: &str = "flyball";
/// How the API server's audit log names it.
pub const USER: &str = "system:serviceaccount:flyball-system:flyball";

/// How long it may take to lead: it may have to wait for a lease to run out.
const START: Duration = Duration::from_secs(60);

/// The running controller.
pub struct Controller {
    running: Running,
    listen: String,
    /// Its largest and its last resident set so far, in KiB.
    pub memory: Memory,
}

/// The resident set of a process, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The largest so far.
    pub peak: u64,
    /// As last looked at.
    pub last: u64,
}

impl Controller {
    /// Starts it.
    pub fn start(program: &Path, kubeconfig: &Path, log: &Path) -> Result<Self, DemoError> {
        let listen = free_address().map_err(DemoError::file(Path::new("127.0.0.1")))?;
        let args = ["run", "--namespace", NAMESPACE, "--listen", &listen, "--kubeconfig"].map(OsStr::new);
        let running = Running::start(program, &[args.as_slice(), &[kubeconfig.as_os_str()]].concat(), log)?;
        Ok(Self {
            running,
            listen,
            memory: Memory::default(),
        })
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self) -> Result<(), DemoError> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(2))
            .no_proxy()
            .build();
        let began = Instant::now();
        while began.elapsed() < START {
            self.check()?;
            let answer = match &client {
                Ok(client) => client.get(format!("http://{}/readyz", self.listen)).send().await.ok(),
                Err(_) => None,
            };
            if answer.is_some_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            sleep(Duration::from_millis(250)).await;
        }
        let instead = "see controller.log in the report's folder".to_owned();
        Err(DemoError::TooLate {
            what: "the controller is not ready".to_owned(),
            seconds: START.as_secs(),
            instead,
        })
    }

    /// Whether it still runs, and how much memory it takes.
    pub fn check(&mut self) -> Result<(), DemoError> {
        if let Some(status) = self.running.ended() {
            return Err(DemoError::ControllerEnded(status.to_string()));
        }
        if let Some(pid) = self.running.pid()
            && let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/status"))
        {
            self.memory = memory(&text);
        }
        Ok(())
    }

    /// Ends it.
    pub async fn end(self) {
        self.running.end().await;
    }
}

fn free_address() -> std::io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn memory(status: &str) -> Memory {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Memory {
        peak: field("VmHWM:").unwrap_or(0),
        last: field("VmRSS:").unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, memory};

    #[test]
    fn the_resident_set_is_read_from_proc() {
        let text = "Name:\tflyball\nVmHWM:\t   24680 kB\nVmRSS:\t   13579 kB\n";
        assert_eq!(
            memory(text),
            Memory {
                peak: 24_680,
                last: 13_579
            }
        );
        assert_eq!(memory("Name:\tgone\n"), Memory::default());
    }
}
