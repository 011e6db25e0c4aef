//! Who may read `/metrics`: whoever shows a bearer token that the API server knows, of somebody who has the right to `get` it.
//!
//! Two reviews of the API server decide, as for its own `/metrics`: `TokenReview` says whose token it is, `SubjectAccessReview` whether
//! they have the verb `get` on the URL `/metrics`. What can't be asked is refused. An answer is remembered for a short while; an
//! unknown token costs a review, so those are bounded for each address and for all together, as are the answers that are kept. Whoever was
//! let in a while ago is asked about again whatever others do, also those at the same address.

use super::{bucket::Bucket, fingerprint, refuse};
use crate::{
    client::{CallError, within},
    metrics::{Access as Counted, Metrics},
    text::clean,
};
use axum::{
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE},
    },
    response::Response,
};
use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec, UserInfo},
    authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Semaphore, time::Instant};
use tracing::{debug, warn};

/// How long it is remembered that somebody may read: what is taken from them counts that much later.
const ALLOWED: Duration = Duration::from_secs(60);
/// How long somebody who was let in is not taken for a stranger, whose reviews are bounded.
const KNOWN: Duration = Duration::from_secs(600);
/// How long it is remembered that a token is refused: a right that is given counts that much later.
const REFUSED: Duration = Duration::from_secs(10);
/// How many answers of each kind are kept. A flood of unknown tokens pushes out none that is known.
const KEPT: usize = 256;
/// How long both reviews may take together. Prometheus waits 10 s for a scrape.
const LIMIT: Duration = Duration::from_secs(5);
/// How many may be under way.
const PLACES: usize = 16;
/// Of one address: how many unknown tokens at once, and after which time there may be another one.
const OF_ONE: (u32, Duration) = (5, Duration::from_secs(2));
/// Of all addresses.
const OF_ALL: (u32, Duration) = (30, Duration::from_millis(100));
/// How many addresses are told apart.
const ADDRESSES: usize = 1024;
/// The longest token, in bytes. One of a service account has about a thousand.
const LONGEST: usize = 16 << 10;
/// How often it is logged that the API server can't be asked.
const SAID: Duration = Duration::from_secs(60);

/// The right that is asked for.
const PATH: &str = "/metrics";
const VERB: &str = "get";

/// Why somebody may not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no token, or what there is can't be one.
    #[error("send a bearer token of a ServiceAccount: authorization in the scrape configuration")]
    NoToken,
    /// The API server does not know the token.
    #[error("the API server does not know this token; it may have expired, or be for another audience")]
    Unknown,
    /// Whoever it is has not the right.
    #[error("{0} may not get /metrics; bind a ClusterRole to it that allows it, such as flyball-metrics-reader")]
    Forbidden(String),
    /// Too many tokens that are not known yet.
    #[error("too many unknown tokens; try again later")]
    Limited(Duration),
    /// The API server gave no answer that can be used.
    #[error("the API server can't be asked who this is; see the controller's log")]
    Unavailable,
}

impl Refusal {
    /// As an answer.
    pub fn answer(&self) -> Response {
        let (status, headers) = match self {
            Self::NoToken | Self::Unknown => (StatusCode::UNAUTHORIZED, vec![(WWW_AUTHENTICATE, "Bearer".to_owned())]),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, vec![]),
            Self::Limited(pause) => {
                let seconds = pause.as_secs().saturating_add(1).to_string();
                (StatusCode::TOO_MANY_REQUESTS, vec![(RETRY_AFTER, seconds)])
            }
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, vec![]),
        };
        refuse(status, &headers, &self.to_string())
    }

    const fn counted(&self) -> Counted {
        match self {
            Self::NoToken | Self::Unknown => Counted::Unauthenticated,
            Self::Forbidden(_) => Counted::Forbidden,
            Self::Limited(_) => Counted::Limited,
            Self::Unavailable => Counted::Unavailable,
        }
    }
}

type Token = [u8; 32];

/// Answers that are remembered.
#[derive(Debug)]
struct Kept<T> {
    /// For how long one counts.
    lives: Duration,
    /// For how long it is known that there was one.
    stays: Duration,
    answers: HashMap<Token, (T, Instant)>,
}

impl<T: Clone> Kept<T> {
    fn new(lives: Duration, stays: Duration) -> Self {
        Self {
            lives,
            stays,
            answers: HashMap::new(),
        }
    }

    fn within(&self, token: &Token, now: Instant, limit: Duration) -> Option<&T> {
        let (answer, since) = self.answers.get(token)?;
        (now.saturating_duration_since(*since) < limit).then_some(answer)
    }

    fn get(&self, token: &Token, now: Instant) -> Option<T> {
        self.within(token, now, self.lives).cloned()
    }

    fn is_known(&self, token: &Token, now: Instant) -> bool {
        self.within(token, now, self.stays).is_some()
    }

    fn put(&mut self, token: Token, answer: T, now: Instant) {
        self.answers
            .retain(|_, (_, since)| now.saturating_duration_since(*since) < self.stays);
        if self.answers.len() >= KEPT {
            let oldest = self.answers.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) = oldest.map(|(token, _)| *token) {
                self.answers.remove(&oldest);
            }
        }
        self.answers.insert(token, (answer, now));
    }
}

#[derive(Debug)]
struct Memory {
    allowed: Kept<()>,
    refused: Kept<Refusal>,
    of_one: HashMap<IpAddr, Bucket>,
    of_all: Bucket,
    said: Option<Instant>,
}

impl Memory {
    fn known(&self, token: &Token, now: Instant) -> Option<Result<(), Refusal>> {
        let refused = || self.refused.get(token, now).map(Err);
        self.allowed.get(token, now).map(Ok).or_else(refused)
    }

    /// Takes one review; else how long until there is one.
    fn take(&mut self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        let peer = peer.to_canonical();
        if self.of_one.len() >= ADDRESSES && !self.of_one.contains_key(&peer) {
            // One that is full again is as good as none.
            self.of_one.retain(|_, bucket| !bucket.is_full(now));
            if self.of_one.len() >= ADDRESSES {
                return Err(OF_ONE.1);
            }
        }
        let own = self.of_one.entry(peer);
        own.or_insert_with(|| Bucket::new(OF_ONE.0, OF_ONE.1)).take(now)?;
        self.of_all.take(now)
    }
}

/// Asks who may read, and remembers it for a while.
pub struct Access {
    client: Client,
    metrics: Arc<Metrics>,
    memory: Mutex<Memory>,
    places: Semaphore,
}

impl Access {
    /// Asks with this client, which must send each request once.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            metrics,
            memory: Mutex::new(Memory {
                allowed: Kept::new(ALLOWED, KNOWN),
                refused: Kept::new(REFUSED, REFUSED),
                of_one: HashMap::new(),
                of_all: Bucket::new(OF_ALL.0, OF_ALL.1),
                said: None,
            }),
            places: Semaphore::new(PLACES),
        }
    }

    /// Whether who sent these headers from there may read, or else why not.
    pub async fn check(&self, headers: &HeaderMap, peer: IpAddr, now: Instant) -> Result<(), Refusal> {
        let verdict = self.verdict(headers, peer, now).await;
        let counted = verdict.as_ref().map_or_else(Refusal::counted, |()| Counted::Allowed);
        self.metrics.access(counted);
        verdict
    }

    async fn verdict(&self, headers: &HeaderMap, peer: IpAddr, now: Instant) -> Result<(), Refusal> {
        let token = bearer(headers).ok_or(Refusal::NoToken)?;
        let key = fingerprint(token.as_bytes());
        if let Some(known) = self.with(|memory| memory.known(&key, now)) {
            return known;
        }
        self.with(|memory| {
            if memory.allowed.is_known(&key, now) {
                return Ok(());
            }
            memory.take(peer, now)
        })
        .map_err(Refusal::Limited)?;
        // Whoever waits here holds a connection; who is turned away comes again with the next scrape.
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Refusal::Limited(LIMIT));
        };
        match self.ask(token, now + LIMIT).await {
            Ok(Ok(())) => {
                self.with(|memory| memory.allowed.put(key, (), now));
                Ok(())
            }
            Ok(Err(refusal)) => {
                debug!(%peer, %refusal, "/metrics is refused");
                self.with(|memory| {
                    memory.allowed.answers.remove(&key);
                    memory.refused.put(key, refusal.clone(), now);
                });
                Err(refusal)
            }
            Err(error) => {
                self.tell(&error, now);
                Err(Refusal::Unavailable)
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Memory) -> T) -> T {
        act(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Both reviews.
    async fn ask(&self, token: &str, deadline: Instant) -> Result<Result<(), Refusal>, CallError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                // None: those of the API server itself, so that a token for another service opens nothing here.
                audiences: None,
            },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = within(deadline, api.create(&PostParams::default(), &review)).await?;
        let user = answer
            .status
            .filter(|status| status.authenticated == Some(true))
            .and_then(|status| status.user)
            .filter(|user| user.username.as_ref().is_some_and(|name| !name.is_empty()));
        let Some(user) = user else {
            return Ok(Err(Refusal::Unknown));
        };
        let name = user.username.clone().unwrap_or_default();
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = within(deadline, api.create(&PostParams::default(), &question(user))).await?;
        let allowed = answer
            .status
            .is_some_and(|status| status.allowed && status.denied != Some(true));
        Ok(if allowed {
            Ok(())
        } else {
            Err(Refusal::Forbidden(clean(name)))
        })
    }

    fn tell(&self, error: &CallError, now: Instant) {
        let is_new = self.with(|memory| {
            let again = |at: Instant| now.saturating_duration_since(at) >= SAID;
            let is_new = memory.said.is_none_or(again);
            if is_new {
                memory.said = Some(now);
            }
            is_new
        });
        if is_new {
            let way = "the controller needs the right to create tokenreviews and subjectaccessreviews";
            warn!(error = %clean(error), way, "nobody who is not known may read /metrics: the API server can't be asked");
        }
    }
}

/// Whether this user may.
fn question(user: UserInfo) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username,
            groups: user.groups,
            uid: user.uid,
            extra: user.extra,
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(PATH.to_owned()),
                verb: Some(VERB.to_owned()),
            }),
            resource_attributes: None,
        },
        ..SubjectAccessReview::default()
    }
}

/// The token, if there is one that could be one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (scheme, token) = all.next()?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let fits = (1..=LONGEST).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    // Two of them would be two callers.
    let one = all.next().is_none();
    (one && fits && scheme.eq_ignore_ascii_case("bearer")).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test(start_paused = true)]
    async fn so_many_answers_are_kept_and_the_oldest_goes() {
        let mut kept: Kept<usize> = Kept::new(REFUSED, REFUSED);
        let began = Instant::now();
        let token = |n: usize| fingerprint(&n.to_be_bytes());
        let at = |n: usize| began + Duration::from_millis(n.try_into().unwrap());
        for n in 0..=KEPT {
            kept.put(token(n), n, at(n));
        }
        assert_eq!(kept.answers.len(), KEPT);
        let now = at(KEPT);
        assert_eq!((kept.get(&token(0), now), kept.get(&token(1), now)), (None, Some(1)));
        // Those that are over make room for themselves.
        kept.put(token(0), 0, now + REFUSED);
        assert_eq!(kept.answers.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_addresses_are_told_apart() {
        let mut memory = Memory {
            allowed: Kept::new(ALLOWED, KNOWN),
            refused: Kept::new(REFUSED, REFUSED),
            of_one: HashMap::new(),
            of_all: Bucket::new(u32::MAX, OF_ALL.1),
            said: None,
        };
        let began = Instant::now();
        let address = |n: usize| IpAddr::V4(Ipv4Addr::from_bits(n.try_into().unwrap()));
        for n in 0..ADDRESSES {
            assert_eq!(memory.take(address(n), began), Ok(()));
        }
        assert_eq!(memory.take(address(ADDRESSES), began), Err(OF_ONE.1));
        assert_eq!(memory.take(address(0), began), Ok(()), "one that is known goes on");
        assert_eq!(memory.of_one.len(), ADDRESSES);
        // All but one have not asked for long enough.
        assert_eq!(memory.take(address(ADDRESSES), began + OF_ONE.1), Ok(()));
        assert_eq!(memory.of_one.len(), 2);
    }
}
