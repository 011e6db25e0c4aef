//! How requests of this process are answered.

/// What became of a request for the metrics, where not everybody may read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// They were sent.
    Allowed,
    /// It is not known who asks.
    Unauthenticated,
    /// Whoever asks has not the right.
    Forbidden,
    /// Too many asked who are not known.
    Limited,
    /// The API server could not be asked.
    Unavailable,
}

impl Access {
    pub(super) const ALL: [Self; 5] = [
        Self::Allowed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Limited,
        Self::Unavailable,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
        }
    }
}
