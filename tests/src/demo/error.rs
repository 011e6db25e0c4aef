//! Why the demo could not be told.

use std::path::{Path, PathBuf};

/// Why the demo ended before its story did.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A program of ours did not do what it was asked.
    #[error("{program}: {reason}")]
    Program {
        /// Which one.
        program: String,
        /// Its last words.
        reason: String,
    },
    /// The machine can't hold a test bed.
    #[error("this machine can't hold a test bed: {0}; use CLUSTER=current with a cluster of your own")]
    Unfit(String),
    /// The kubeconfig can't be used.
    #[error("no cluster to talk to: {0}; set KUBECONFIG")]
    Kubeconfig(String),
    /// The API server answered with an error.
    #[error("{what}: {source}")]
    Api {
        /// What was asked for.
        what: String,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// A manifest can't be read.
    #[error("{file}: {reason}")]
    Manifest {
        /// Which one.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Something is in the way.
    #[error("{0}")]
    InTheWay(String),
    /// Something did not come about in time.
    #[error("{what} within {seconds} s: {instead}")]
    TooLate {
        /// What did not.
        what: String,
        /// The limit.
        seconds: u64,
        /// What there is instead.
        instead: String,
    },
    /// The controller ended by itself.
    #[error("the controller ended ({0}); see controller.log in the report's folder")]
    ControllerEnded(String),
    /// The plot can't be drawn.
    #[error("the plot can't be drawn: {0}")]
    Plot(String),
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
}

impl DemoError {
    /// For `map_err` on a request to the API server.
    pub fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api {
            what,
            source: Box::new(source),
        }
    }

    /// For `map_err` on a file.
    pub fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}
