//! Reads one kind of evidence from a pod into the store.

use super::{Order, Piece, Store, StoreError, name, store::Upload};
use crate::text::clean;
use flyball_core::policy::CaptureKind;
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use std::{net::SocketAddr, time::Duration};
use tokio::time::timeout;

/// The largest piece that is kept.
pub const MAX_BYTES: u64 = 64 << 20;
const CONNECT: Duration = Duration::from_secs(5);
/// For an answer and its way to the store, beside the time that it records.
const BESIDE: Duration = Duration::from_secs(45);
/// What is looked at to tell whether it is evidence.
const HEAD: usize = 8;
/// What is told of an answer that is none.
const TOLD: usize = 200;

/// Why a piece was not taken.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// No answer.
    #[error(
        "{kind:?} of {pod}: http://{address}{path} does not answer: {why}; is the port right, and may the controller reach it (NetworkPolicy)?"
    )]
    NoAnswer {
        /// What was asked for.
        kind: CaptureKind,
        /// The pod.
        pod: String,
        /// Its address.
        address: SocketAddr,
        /// The path.
        path: String,
        /// Why not.
        why: String,
    },
    /// Another status than 200.
    #[error("{kind:?} of {pod}: {path} answers {status}{said}; {hint}")]
    Status {
        /// What was asked for.
        kind: CaptureKind,
        /// The pod.
        pod: String,
        /// The path.
        path: String,
        /// The status.
        status: u16,
        /// What it said, after a colon.
        said: String,
        /// The way out.
        hint: &'static str,
    },
    /// Something else than evidence of this kind.
    #[error("{kind:?} of {pod}: what {path} answers does not begin as one; is it the right path?")]
    NoEvidence {
        /// What was asked for.
        kind: CaptureKind,
        /// The pod.
        pod: String,
        /// The path.
        path: String,
    },
    /// It is too large.
    #[error("{kind:?} of {pod} is larger than {} MiB and was not kept; write a smaller seconds", limit >> 20)]
    TooLarge {
        /// What was asked for.
        kind: CaptureKind,
        /// The pod.
        pod: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// It took too long.
    #[error("{kind:?} of {pod} was not there after {} s and was given up", after.as_secs())]
    Late {
        /// What was asked for.
        kind: CaptureKind,
        /// The pod.
        pod: String,
        /// The deadline.
        after: Duration,
    },
    /// It broke off.
    #[error("{kind:?} of {pod} broke off: {why}")]
    Broken {
        /// What was asked for.
        kind: CaptureKind,
        /// The pod.
        pod: String,
        /// How.
        why: String,
    },
    /// The store did not take it.
    #[error("{kind:?} of {pod} could not be stored: {why}")]
    NotStored {
        /// What was asked for.
        kind: CaptureKind,
        /// The pod.
        pod: String,
        /// What the store said.
        why: String,
    },
}

/// Reads pods into a store.
pub(super) struct Fetch {
    store: Store,
    client: Client,
    limit: u64,
    beside: Duration,
}

impl Fetch {
    /// A client for pods: no proxy, no redirect (a pod must not send us elsewhere), no credentials, and nothing unpacked.
    pub(super) fn new(store: Store) -> Result<Self, StoreError> {
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .no_gzip()
            .http1_only()
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT)
            .user_agent(concat!("flyball/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| StoreError::Client(error.to_string()))?;
        Ok(Self {
            store,
            client,
            limit: MAX_BYTES,
            beside: BESIDE,
        })
    }

    /// With other limits, for tests.
    #[cfg(test)]
    pub(super) fn within(mut self, limit: u64, beside: Duration) -> Self {
        (self.limit, self.beside) = (limit, beside);
        self
    }

    /// Reads one kind.
    pub(super) async fn one(&self, order: &Order, kind: CaptureKind) -> Result<Piece, CaptureError> {
        let records = if kind.records() { order.capture.seconds } else { 0 };
        let after = Duration::from_secs(records.into()) + self.beside;
        let name = name(order, kind);
        let mut upload = self.store.upload(&name);
        let read = timeout(after, self.read(order, kind, &mut upload)).await;
        let read = read.unwrap_or_else(|_| {
            let pod = order.pod.clone();
            Err(CaptureError::Late { kind, pod, after })
        });
        match read {
            Ok(bytes) => Ok(Piece {
                kind,
                location: self.store.location(&name),
                bytes,
                open: self.store.open(kind, &name),
            }),
            Err(error) => {
                drop(timeout(self.beside, upload.abandon()).await);
                Err(error)
            }
        }
    }

    async fn read(&self, order: &Order, kind: CaptureKind, upload: &mut Upload) -> Result<u64, CaptureError> {
        let pod = || order.pod.clone();
        let path = format!("{}/{}", order.capture.path, kind.handler());
        let query = if kind.records() {
            format!("?seconds={}", order.capture.seconds)
        } else {
            String::new()
        };
        let url = format!("http://{}{path}{query}", order.address);
        let mut response = self
            .client
            .get(url)
            .send()
            .await
            .map_err(|error| CaptureError::NoAnswer {
                kind,
                pod: pod(),
                address: order.address,
                path: path.clone(),
                why: cause(&error),
            })?;
        if response.status() != StatusCode::OK {
            return Err(refused(response, kind, pod(), path).await);
        }
        let too_large = || CaptureError::TooLarge {
            kind,
            pod: pod(),
            limit: self.limit,
        };
        if response.content_length().is_some_and(|length| length > self.limit) {
            return Err(too_large());
        }
        let not_stored = |why: String| CaptureError::NotStored { kind, pod: pod(), why };
        let (mut head, mut begun, mut bytes) = (Vec::with_capacity(HEAD), false, 0_u64);
        loop {
            let chunk = response.chunk().await.map_err(|error| CaptureError::Broken {
                kind,
                pod: pod(),
                why: cause(&error),
            })?;
            if let Some(chunk) = &chunk {
                bytes = bytes.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                if bytes > self.limit {
                    return Err(too_large());
                }
            }
            if begun {
                let Some(chunk) = chunk else { break };
                upload
                    .put(&chunk)
                    .await
                    .map_err(|error| not_stored(error.to_string()))?;
                continue;
            }
            let ended = chunk.is_none();
            head.extend_from_slice(&chunk.unwrap_or_default());
            if head.len() < HEAD && !ended {
                continue;
            }
            if !kind.begins(&head) {
                return Err(CaptureError::NoEvidence { kind, pod: pod(), path });
            }
            begun = true;
            upload.put(&head).await.map_err(|error| not_stored(error.to_string()))?;
            if ended {
                break;
            }
        }
        upload.finish().await.map_err(|error| not_stored(error.to_string()))?;
        Ok(bytes)
    }
}

async fn refused(mut response: Response, kind: CaptureKind, pod: String, path: String) -> CaptureError {
    let status = response.status();
    let first = response.chunk().await.ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&first[..first.len().min(TOLD)]).into_owned();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let said = if line.is_empty() || line.trim_start().starts_with('<') {
        String::new()
    } else {
        format!(": {}", clean(line.trim()))
    };
    let hint = match (status.as_u16(), kind.is_go()) {
        (300..=399, _) => "redirects are not followed",
        (404, true) => "import net/http/pprof in the process and serve it on this port, or correct from.path",
        (404, false) => "set FLYBALL_EVIDENCE=on beside the agent's FLYBALL_METRICS_ADDRESS, or correct from.path",
        (401 | 403, _) => "no credentials are sent to a pod; serve it on a port without",
        _ => "it is tried again",
    };
    CaptureError::Status {
        kind,
        pod,
        path,
        status: status.as_u16(),
        said,
        hint,
    }
}

/// The innermost cause: the outer ones repeat the address.
fn cause(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    clean(inner)
}
