//! Which server a source is.

use super::{ERROR_BYTES, Source};
use serde::Deserialize;

/// How much of a server's version is passed on, in characters.
const MAX_VERSION: usize = 60;

#[derive(Deserialize)]
struct Envelope {
    data: Build,
}

#[derive(Deserialize)]
struct Build {
    #[serde(default)]
    application: String,
    version: String,
}

impl Source {
    /// The server's version, such as `3.4.1`, with its name where it tells one. `None` where it tells
    /// none: not every server of this API does.
    pub async fn version(&self) -> Option<String> {
        let server = &self.server;
        let mut url = server.url.clone();
        let path = url.path().strip_suffix("/query")?.to_owned();
        url.set_path(&format!("{path}/status/buildinfo"));
        let mut response = server.send(|| server.client.get(url.clone())).await.ok()?;
        server.accept(&mut response).await.ok()?;
        let body = server.body(&mut response, ERROR_BYTES).await.ok()??;
        let Envelope {
            data: Build { application, version },
        } = serde_json::from_slice(&body).ok()?;
        let text = format!("{application} {version}");
        Some(
            text.trim()
                .chars()
                .filter(|character| !character.is_control())
                .take(MAX_VERSION)
                .collect(),
        )
    }
}
