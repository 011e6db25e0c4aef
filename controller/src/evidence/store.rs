//! Where evidence is kept: a folder, or a bucket of an S3-compatible store.

use flyball_core::policy::CaptureKind;
use object_store::{
    MultipartUpload, ObjectStore, ObjectStoreExt, RetryConfig, aws::AmazonS3Builder, local::LocalFileSystem,
    path::Path as Key,
};
use std::{path::Path, sync::Arc, time::Duration};
use tracing::warn;

/// A part of an upload; smaller pieces are one request. S3 takes none that is smaller.
pub const PART: usize = 5 << 20;

/// What is repeated for how long: a pass waits for none of it, but a place does.
const RETRIES: usize = 3;
const RETRY_FOR: Duration = Duration::from_secs(20);

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder can't be used.
    #[error("--evidence-dir {folder}: {why}; name a folder that this process may write, such as a mounted volume")]
    Folder {
        /// Its path.
        folder: String,
        /// Why not.
        why: String,
    },
    /// Not the address of a bucket.
    #[error(
        "--evidence-url {0}: write s3://bucket or s3://bucket/prefix; endpoint and credentials are read from AWS_ENDPOINT, AWS_ACCESS_KEY_ID and the others of that kind"
    )]
    Url(String),
    /// The store can't be built from the environment.
    #[error("--evidence-url: {0}; see the AWS_ variables of this process")]
    Settings(String),
    /// There is no client to read pods with.
    #[error("pods can't be read from: {0}")]
    Client(String),
}

/// Where evidence is kept.
#[derive(Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    /// What stands before a name to say where it is.
    place: String,
    /// The folder within the bucket.
    prefix: String,
    remote: bool,
}

impl Store {
    /// A folder, which is made if it is not there.
    pub fn folder(path: &Path) -> Result<Self, StoreError> {
        let folder = |why: String| StoreError::Folder {
            folder: path.display().to_string(),
            why,
        };
        std::fs::create_dir_all(path).map_err(|error| folder(error.to_string()))?;
        let whole = path.canonicalize().map_err(|error| folder(error.to_string()))?;
        let objects = LocalFileSystem::new_with_prefix(&whole).map_err(|error| folder(error.to_string()))?;
        Ok(Self {
            objects: Arc::new(objects),
            place: whole.display().to_string(),
            prefix: String::new(),
            remote: false,
        })
    }

    /// A bucket, by its address; the rest is read from the environment.
    pub fn s3(url: &str) -> Result<Self, StoreError> {
        Self::s3_with(AmazonS3Builder::from_env(), url)
    }

    /// The same with settings of one's own.
    pub fn s3_with(builder: AmazonS3Builder, url: &str) -> Result<Self, StoreError> {
        let (bucket, prefix) = bucket(url).ok_or_else(|| StoreError::Url(url.to_owned()))?;
        let retry = RetryConfig {
            max_retries: RETRIES,
            retry_timeout: RETRY_FOR,
            ..RetryConfig::default()
        };
        let objects = builder
            .with_bucket_name(bucket)
            .with_retry(retry)
            .build()
            .map_err(|error| StoreError::Settings(error.to_string()))?;
        Ok(Self::of(Arc::new(objects), bucket, prefix))
    }

    /// Objects of any kind, under the address of a bucket.
    pub(super) fn of(objects: Arc<dyn ObjectStore>, bucket: &str, prefix: &str) -> Self {
        Self {
            objects,
            place: format!("s3://{bucket}"),
            prefix: prefix.to_owned(),
            remote: true,
        }
    }

    fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}/{name}", self.prefix)
        }
    }

    /// Where the file of a name is.
    pub fn location(&self, name: &str) -> String {
        format!("{}/{}", self.place, self.key(name))
    }

    /// The command that opens it.
    pub fn open(&self, kind: CaptureKind, name: &str) -> String {
        let location = quoted(&self.location(name));
        if !self.remote {
            return kind.open(&location);
        }
        let file = name.rsplit('/').next().unwrap_or(name);
        format!("aws s3 cp {location} . && {}", kind.open(&quoted(file)))
    }

    /// A file to be written. It is there once it is finished, and not at all before.
    pub(super) fn upload(&self, name: &str) -> Upload {
        Upload {
            objects: Arc::clone(&self.objects),
            key: Key::from(self.key(name)),
            buffer: Vec::new(),
            parts: None,
        }
    }
}

/// A file that is being written. No more than a part of it is in memory.
pub(super) struct Upload {
    objects: Arc<dyn ObjectStore>,
    key: Key,
    buffer: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    /// Adds to it.
    pub(super) async fn put(&mut self, bytes: &[u8]) -> object_store::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < PART {
            return Ok(());
        }
        let part = std::mem::take(&mut self.buffer);
        let parts = match &mut self.parts {
            Some(parts) => parts,
            None => self.parts.insert(self.objects.put_multipart(&self.key).await?),
        };
        parts.put_part(part.into()).await
    }

    /// It is whole.
    pub(super) async fn finish(&mut self) -> object_store::Result<()> {
        let rest = std::mem::take(&mut self.buffer);
        let Some(parts) = &mut self.parts else {
            return self.objects.put(&self.key, rest.into()).await.map(drop);
        };
        if !rest.is_empty() {
            parts.put_part(rest.into()).await?;
        }
        parts.complete().await.map(drop)
    }

    /// It never will be. Parts that nobody joins would be kept, and paid for, for ever.
    pub(super) async fn abandon(mut self) {
        if let Some(parts) = &mut self.parts
            && let Err(error) = parts.abort().await
        {
            warn!(key = %self.key, %error, "the parts of a piece of evidence could not be taken back");
        }
    }
}

/// The bucket and the folder of an address.
fn bucket(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    let bucket_fits = (3..=63).contains(&bucket.len()) && bucket.bytes().all(plain);
    let prefix_fits = prefix.is_empty()
        || prefix
            .split('/')
            .all(|part| !matches!(part, "" | "." | "..") && part.bytes().all(plain));
    (bucket_fits && prefix_fits && prefix.len() <= 256).then_some((bucket, prefix))
}

/// As a shell takes it.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
