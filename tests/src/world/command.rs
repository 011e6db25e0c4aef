//! The shipped program, as a person runs it.

use crate::bed::{Bed, PATIENCE};
use std::process::Stdio;
use tokio::{process::Command, time::timeout};

/// What a command said, and how it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// The output of a command that succeeded.
    pub fn done(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// What a command that was refused said of it.
    pub fn refused(self) -> String {
        assert_eq!(self.code, 2, "{}{}", self.out, self.err);
        self.err
    }
}

/// Commands that ask where the controller runs.
const OF_CONTROLLER: [&str; 9] = [
    "takeover", "release", "approve", "abort", "rollback", "freeze", "unfreeze", "get", "explain",
];
/// Commands that name no object of a namespace.
const OF_CLUSTER: [&str; 2] = ["freeze", "unfreeze"];

/// Runs the program against the API server itself, on objects of this namespace, which is also the
/// controller's.
pub async fn flyball(bed: &Bed, namespace: &str, words: &[&str]) -> Said {
    let verb = words.first().copied().unwrap_or_default();
    let mut command = Command::new(&bed.flyball);
    command
        .arg("--kubeconfig")
        .arg(&bed.kubeconfig)
        .args(words)
        .env_remove("KUBECONFIG")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if !OF_CLUSTER.contains(&verb) {
        command.args(["--namespace", namespace]);
    }
    if OF_CONTROLLER.contains(&verb) {
        command.args(["--namespace-of-controller", namespace]);
    }
    let out = timeout(PATIENCE, command.output())
        .await
        .unwrap_or_else(|_| panic!("flyball {} does not end", words.join(" ")))
        .expect("the program runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: out.status.code().unwrap_or(-1),
        out: text(&out.stdout),
        err: text(&out.stderr),
    }
}
