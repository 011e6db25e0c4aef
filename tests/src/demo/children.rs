//! Programs that the demo starts. Each is ended by its own pid, whatever becomes of the demo.

use super::error::DemoError;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsStr,
    fs::File,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// How long a program has to end by itself.
const PATIENCE: Duration = Duration::from_secs(15);

/// A program that runs beside the demo. Dropping it kills it; [`Running::end`] lets it finish.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it in a process group of its own, so that Ctrl-C reaches the demo alone.
    pub fn start(program: &Path, args: &[&OsStr], log: &Path) -> Result<Self, DemoError> {
        let out = File::create(log).map_err(DemoError::file(log))?;
        let err = out.try_clone().map_err(DemoError::file(log))?;
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(out).stderr(err);
        command
            .env_remove("KUBECONFIG")
            .env("NO_COLOR", "1")
            .process_group(0)
            .kill_on_drop(true);
        Ok(Self {
            child: command.spawn().map_err(DemoError::file(program))?,
        })
    }

    /// Its process id, as long as it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end, waits, and kills it if it does not.
    pub async fn end(mut self) {
        let pid = self
            .child
            .id()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended by itself meanwhile.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(PATIENCE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// What a program wrote and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
    /// Its exit code.
    pub code: Option<i32>,
}

impl Ran {
    /// The last line that it wrote on standard error, else on standard output.
    pub fn last_words(&self) -> &str {
        let of = |text: &'_ str| text.lines().rfind(|line| !line.trim().is_empty()).map(|_| ());
        let text = if of(&self.err).is_some() { &self.err } else { &self.out };
        text.lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("it said nothing")
    }
}

/// Runs a program to its end.
pub async fn run(program: &Path, args: &[&OsStr]) -> Result<Ran, DemoError> {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let output = command.output().await.map_err(DemoError::file(program))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran {
        out: text(&output.stdout),
        err: text(&output.stderr),
        code: output.status.code(),
    })
}

/// Runs a program to its end, which must be a good one.
pub async fn must(program: &Path, args: &[&OsStr]) -> Result<Ran, DemoError> {
    let ran = run(program, args).await?;
    if ran.code == Some(0) {
        return Ok(ran);
    }
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let first = args
        .first()
        .map(|arg| format!(" {}", arg.to_string_lossy()))
        .unwrap_or_default();
    Err(DemoError::Program {
        program: format!("{name}{first}"),
        reason: ran.last_words().to_owned(),
    })
}
