//! TLS of the server: a certificate and its key from files, taken anew when the files change.
//!
//! Whoever rotates a mounted Secret (cert-manager, a person) changes the files under a running process. They are looked at every
//! [`LOOK`]; what can't be used leaves the certificate that is shown as it is, is logged once, and counted each time.

use super::fingerprint;
use crate::metrics::Metrics;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the files are looked at. The kubelet itself takes up to a minute to write a Secret that changed.
pub const LOOK: Duration = Duration::from_secs(10);

/// Why the certificate can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{path}: {reason}; mount the Secret with the certificate there, or leave out {flag} to serve plain HTTP", flag = FLAGS)]
    Read {
        /// The file.
        path: String,
        /// Why.
        reason: io::Error,
    },
    /// There is no certificate in the file. Nothing of what is in it is repeated: it may be the key.
    #[error(
        "{path}: no certificate in PEM; it holds the server's own certificate first and then those of its authorities, as tls.crt of a Secret of the type kubernetes.io/tls"
    )]
    Certificate {
        /// The file.
        path: String,
    },
    /// There is no key in the file.
    #[error(
        "{path}: not a private key in PEM; it holds one key without a pass phrase, as tls.key of a Secret of the type kubernetes.io/tls"
    )]
    Key {
        /// The file.
        path: String,
    },
    /// The two do not belong together, or can't be used.
    #[error("{certificate} and {key} can't be used together: {reason}; issue both as one pair")]
    Pair {
        /// The file of the certificate.
        certificate: String,
        /// The file of the key.
        key: String,
        /// Why.
        reason: rustls::Error,
    },
    /// The library has no protocol for it.
    #[error("TLS can't be set up: {0}; leave out {flag} to serve plain HTTP", flag = FLAGS)]
    Protocol(rustls::Error),
}

const FLAGS: &str = "--tls-cert-file and --tls-private-key-file";

/// The certificate that is shown, and the files that it is from.
#[derive(Debug)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    shown: Mutex<Shown>,
}

#[derive(Clone, Debug)]
struct Shown {
    pair: Arc<CertifiedKey>,
    /// What the files held.
    of: Files,
}

/// The fingerprints of both files.
type Files = [[u8; 32]; 2];

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|reason| TlsError::Read {
        path: path.display().to_string(),
        reason,
    })
}

/// Both files, and what to know them by.
fn read(certificate: &Path, key: &Path) -> Result<([Vec<u8>; 2], Files), TlsError> {
    let files = [read_file(certificate)?, read_file(key)?];
    let of = [fingerprint(&files[0]), fingerprint(&files[1])];
    Ok((files, of))
}

/// The pair that is in the files.
fn parse(certificate: &Path, key: &Path, [chain, private]: &[Vec<u8>; 2]) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| TlsError::Certificate {
        path: certificate.display().to_string(),
    })?;
    let private = PrivateKeyDer::from_pem_slice(private).map_err(|_| TlsError::Key {
        path: key.display().to_string(),
    })?;
    let pair = CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|reason| TlsError::Pair {
        certificate: certificate.display().to_string(),
        key: key.display().to_string(),
        reason,
    })?;
    Ok(Arc::new(pair))
}

impl Certificate {
    /// From files that hold a pair now.
    pub fn new(certificate: PathBuf, key: PathBuf) -> Result<Arc<Self>, TlsError> {
        let (files, of) = read(&certificate, &key)?;
        let pair = parse(&certificate, &key, &files)?;
        Ok(Arc::new(Self {
            shown: Mutex::new(Shown { pair, of }),
            chain: certificate,
            key,
        }))
    }

    fn shown(&self) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the files. Whether there was something new in them, which is shown from now on.
    pub fn look(&self) -> Result<bool, TlsError> {
        let (files, of) = read(&self.chain, &self.key)?;
        if of == self.shown().of {
            return Ok(false);
        }
        let pair = parse(&self.chain, &self.key, &files)?;
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Shown { pair, of };
        Ok(true)
    }

    /// Looks again and again, until `stop`.
    pub async fn follow(self: Arc<Self>, metrics: Arc<Metrics>, stop: CancellationToken) {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said: Option<String> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.look() {
                Ok(new) => {
                    if new {
                        metrics.certificate(true);
                        info!(file = %self.chain.display(), "a new certificate is shown");
                    }
                    said = None;
                }
                Err(error) => {
                    metrics.certificate(false);
                    let why = error.to_string();
                    if said.as_ref() != Some(&why) {
                        warn!(
                            error = why,
                            "the certificate is not taken anew; the one before is shown"
                        );
                        said = Some(why);
                    }
                }
            }
        }
    }

    /// What takes connections with it.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Protocol)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown().pair)
    }
}
