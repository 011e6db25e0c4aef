use crate::Change;
use kube::ResourceExt;

/// The annotation on a Change with which a person approves it; its value is the person's name.
pub const APPROVED_BY_ANNOTATION: &str = "flyball.dev/approved-by";
/// The annotation on a Change with which a person asks for something: see [`Request`].
pub const REQUEST_ANNOTATION: &str = "flyball.dev/request";
/// The annotation on a Change that says who asked.
pub const REQUESTED_BY_ANNOTATION: &str = "flyball.dev/requested-by";

/// What a person may ask of an open Change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Cut it short: nothing more is written, and what was written stays, unverified.
    Abort,
    /// Take it back, without waiting for its verification.
    RollBack,
}

impl Request {
    /// The annotation's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::RollBack => "rollback",
        }
    }

    /// What is asked of this Change, if anything that is known.
    pub fn of(change: &Change) -> Option<Self> {
        let asked = change.annotations().get(REQUEST_ANNOTATION)?;
        [Self::Abort, Self::RollBack]
            .into_iter()
            .find(|request| request.as_str() == asked)
    }
}

/// Who asked for what is asked of this Change.
pub fn requested_by(change: &Change) -> Option<&str> {
    text(change, REQUESTED_BY_ANNOTATION)
}

/// Who approved this Change.
pub fn approved_by(change: &Change) -> Option<&str> {
    text(change, APPROVED_BY_ANNOTATION)
}

fn text<'a>(change: &'a Change, key: &str) -> Option<&'a str> {
    change
        .annotations()
        .get(key)
        .map(String::as_str)
        .filter(|text| !text.is_empty())
}
