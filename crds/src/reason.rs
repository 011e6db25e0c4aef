use std::fmt;

/// The types of the conditions on Flyball's objects. Their strings are spelled here only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// The object is valid and what it needs is there.
    Ready,
    /// A policy's change is under way.
    Progressing,
    /// A Change is closed.
    Complete,
    /// A container is too small for a memory limit that would hold.
    NeedsMemory,
    /// The alerts of a policy that notifies are posted to Alertmanager.
    Notified,
    /// Every receiver that a policy names is there and takes events of its namespace.
    ReceiversResolved,
    /// No pod needs relief that the policy does not give.
    Relieved,
    /// Only an edit of the object helps. It is there only while it is true, as tools that wait for objects expect it.
    Stalled,
}

impl ConditionType {
    /// The condition's `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Complete => "Complete",
            Self::NeedsMemory => "NeedsMemory",
            Self::Notified => "Notified",
            Self::ReceiversResolved => "ReceiversResolved",
            Self::Relieved => "Relieved",
            Self::Stalled => "Stalled",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident),+ $(,)?) => {
        /// Why: the reason of every condition and every Event. Their strings are spelled here only.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name),+ }

        impl Reason {
            /// All reasons, for the documentation's table and its test.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The reason as it is written into conditions and Events.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),+ }
            }
        }
    };
}

reasons! {
    /// Everything the policy needs is there and it is being evaluated.
    Evaluating,
    /// The object is valid and in use.
    Accepted,
    /// A container is too small for a memory limit that would hold; the message names the pod, what it has and what it needs.
    NeedsMemory,
    /// Alerts could not be posted to Alertmanager; they are tried again.
    NotPosted,
    /// A memory watermark was passed; the message names whose, the ratio and the level.
    WatermarkRaised,
    /// Memory is back below a watermark.
    WatermarkEnded,
    /// Pods were told what their alerts mean, or that it is over.
    PodsTold,
    /// Every container has room for a memory limit that would hold.
    HasRoom,
    /// Alertmanager knows of every alert that the policy notifies of.
    Notified,
    /// The MetricSource has no Alertmanager to notify.
    NoAlertmanager,
    /// No receiver of events of that name is declared in the installation.
    ReceiverNotFound,
    /// The receiver of events does not take those of policies of this namespace.
    ReceiverNotAllowed,
    /// A field of the object is wrong; the message names it and the way out.
    Invalid,
    /// The MetricSource does not exist.
    SourceNotFound,
    /// The MetricSource does not allow policies from this namespace.
    SourceNotAllowed,
    /// The MetricSource's server could not be asked or answered with an error.
    SourceUnavailable,
    /// The MetricSource's server answers, but does not take an expression; the message has its words.
    ExpressionRefused,
    /// The MetricSource's server failed several times in a row and is left alone for a pause.
    CircuitOpen,
    /// A Secret or one of its keys is missing.
    SecretNotFound,
    /// The PrometheusRule does not exist, or its definition is not installed.
    RulesNotFound,
    /// PrometheusRules can't be read, for want of a right or of an answer.
    RulesUnavailable,
    /// A rule that is taken from the PrometheusRule is missing or wrong; the message names it and the way out.
    RulesInvalid,
    /// The target does not exist.
    TargetNotFound,
    /// The target's kind has no scale subresource.
    NoScaleSubresource,
    /// The target's kind is not on the installation's list of kinds.
    KindNotAllowed,
    /// The target's kind is on the list of kinds, but the API server does not serve it.
    KindNotServed,
    /// Another policy moves the same field of the same target.
    Conflict,
    /// Another writer owns the field, or wrote it while we held it; the message names the manager.
    OwnershipConflict,
    /// Somebody puts the weights back to their base again and again; the message names the manager.
    Contended,
    /// The route has not the list of backends that the policy describes; the message names the field and the way out.
    RouteInvalid,
    /// The policy or its target is suspended or paused.
    Suspended,
    /// No change is under way.
    Idle,
    /// A change was proposed and recorded.
    Proposed,
    /// A change would have been made, if the mode were Enforce.
    Recommended,
    /// A check refused the change; nothing was written.
    Refused,
    /// The change is being written to its target.
    Applying,
    /// The change was written and its effect is being verified.
    Verifying,
    /// The effect was verified.
    Committed,
    /// The change is being undone.
    RollingBack,
    /// The change was undone.
    RolledBack,
    /// The change did not help; its value is held and the change is not repeated.
    Ineffective,
    /// The verification could not be answered; the value is held.
    Inconclusive,
    /// A newer change, another writer or a deletion took over.
    Superseded,
    /// The API server refused a write.
    WriteFailed,
    /// Profiles or recordings were taken from a pod; the message says where they are.
    EvidenceTaken,
    /// No profile or recording could be taken; the message says why.
    EvidenceFailed,
}

impl Reason {
    /// The reasons of which Events tell, and CloudEvents with them. Others are those of conditions only.
    pub const TOLD: &[Self] = &[
        Self::Verifying,
        Self::Committed,
        Self::RollingBack,
        Self::RolledBack,
        Self::Ineffective,
        Self::Inconclusive,
        Self::Superseded,
        Self::WriteFailed,
        Self::Refused,
        Self::Recommended,
        Self::WatermarkRaised,
        Self::WatermarkEnded,
        Self::PodsTold,
        Self::EvidenceTaken,
        Self::EvidenceFailed,
        Self::NotPosted,
        Self::NoAlertmanager,
        Self::SourceNotFound,
        Self::SourceNotAllowed,
        Self::SecretNotFound,
        Self::Invalid,
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
