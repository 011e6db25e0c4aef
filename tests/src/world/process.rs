//! A controller in a process of its own.

use crate::{bed::Bed, proxy::Proxy};
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

impl Controller {
    /// Starts one behind `proxy`, for one namespace, which is also the one of its lease.
    pub fn start(bed: &Bed, proxy: &Proxy, namespace: &str, identity: &str, folder: &Path, more: &[&str]) -> Self {
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
        let child = Command::new(&bed.flyball)
            .args(["--kubeconfig", &kubeconfig.display().to_string(), "run"])
            .args([
                "--namespace",
                namespace,
                "--watch-namespace",
                namespace,
                "--identity",
                identity,
                "--listen",
                "127.0.0.1:0",
            ])
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
