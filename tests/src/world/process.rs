//! A controller in a process of its own.

use crate::{bed::eventually, proxy::Proxy};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

/// A running controller. It is killed when this is dropped.
pub struct Controller {
    child: Arc<Mutex<Child>>,
    /// What it wrote to standard error.
    pub log: PathBuf,
}

/// What a controller is started with.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Which program.
    pub program: &'a Path,
    /// Who it is in the lease and in logs.
    pub identity: &'a str,
    /// Its own namespace: that of its lease, of its red button and of its Secrets.
    pub own: &'a str,
    /// The namespace that it looks at; `None`: all of them.
    pub watched: Option<&'a str>,
    /// More arguments.
    pub more: &'a [&'a str],
}

impl Controller {
    /// Starts one behind `proxy`.
    pub fn start(proxy: &Proxy, setup: Setup<'_>, folder: &Path) -> Self {
        let Setup {
            program,
            identity,
            own,
            watched,
            more,
        } = setup;
        let kubeconfig = folder.join(format!("{identity}.kubeconfig"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: proxy\n\
             clusters: [{{name: proxy, cluster: {{server: \"{}\"}}}}]\n\
             users: [{{name: proxy, user: {{}}}}]\n\
             contexts: [{{name: proxy, context: {{cluster: proxy, user: proxy}}}}]\n",
            proxy.url
        );
        fs::write(&kubeconfig, text).expect("a kubeconfig");
        let log = folder.join(format!("{identity}.log"));
        let out = File::options().create(true).append(true).open(&log).expect("a log");
        let child = Command::new(program)
            .args(["--kubeconfig", &kubeconfig.display().to_string(), "run"])
            .args(["--namespace", own, "--identity", identity, "--listen", "127.0.0.1:0"])
            .args(watched.iter().flat_map(|namespace| ["--watch-namespace", namespace]))
            .args(more)
            .env_remove("KUBECONFIG")
            .env("FLYBALL_LOG", "info,flyball_controller=debug")
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a log"))
            .stderr(out)
            .spawn()
            .expect("the controller starts");
        let child = Arc::new(Mutex::new(child));
        let victim = Arc::clone(&child);
        proxy.aim(move || kill(&victim));
        Self { child, log }
    }

    /// `kill -9`, and waits for its end.
    pub fn kill(&self) {
        kill(&self.child);
    }

    /// Asks it to end, as a node does that is drained, and waits until it has: it gives its lease back.
    pub async fn end(&self) {
        let asked = i32::try_from(self.pid())
            .ok()
            .and_then(Pid::from_raw)
            .map(|pid| kill_process(pid, Signal::TERM));
        assert!(matches!(asked, Some(Ok(()))), "the controller is not there to be ended");
        eventually("the controller ends when it is asked to", async || {
            (!self.runs()).then_some(())
        })
        .await;
    }

    /// What it wrote to standard error so far.
    pub fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap_or_else(PoisonError::into_inner).id()
    }

    /// Whether it runs.
    pub fn runs(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(child.try_wait(), Ok(None))
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}
