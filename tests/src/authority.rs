//! Certificates of the day.

#![allow(clippy::expect_used, clippy::missing_panics_doc)] // What fails here ends a test, and says so.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{Certificate, Client, ClientBuilder};

/// An authority that issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new one, which nobody knows.
    pub fn new() -> Self {
        let mut params = CertificateParams::new([]).expect("no names are right names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Its own certificate, PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of whoever has these names or addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        Issued {
            certificate: params.signed_by(&key, &self.0).expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    /// A client that trusts nobody else. Each request has a connection of its own.
    pub fn client(&self) -> ClientBuilder {
        let authority = Certificate::from_pem(self.pem().as_bytes()).expect("a certificate");
        Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .tls_certs_only([authority])
    }
}
