//! The API of Flyball, `flyball.dev/v1alpha1`: one noun per file.
//!
//! The types derive their schemas; the doc comment of a field is what `kubectl explain` prints. The
//! generated YAML in `generated/` is committed, and a test says when it is stale. Changes to these
//! types are additive only.

mod action;
mod annotate;
mod capture;
mod change;
mod duration;
mod event_data;
mod event_receiver;
mod metric_source;
mod notification;
mod notify;
mod policy;
mod prometheus_rule;
mod reason;
mod relieve;
mod replicas;
mod request;
mod runtime;
mod shared;
mod start_options;
mod status;
mod watermark;
mod weights;

pub use action::*;
pub use annotate::*;
pub use capture::*;
pub use change::*;
pub use duration::Duration;
pub use event_data::*;
pub use event_receiver::*;
pub use metric_source::*;
pub use notification::*;
pub use notify::*;
pub use policy::*;
pub use prometheus_rule::*;
pub use reason::{ConditionType, Reason};
pub use relieve::*;
pub use replicas::*;
pub use request::*;
pub use runtime::*;
pub use shared::*;
pub use start_options::*;
pub use status::*;
pub use watermark::*;
pub use weights::*;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group.
pub const GROUP: &str = "flyball.dev";
/// The API version.
pub const VERSION: &str = "v1alpha1";

/// The annotation on a target that holds the transaction's stamp: which Change may write it now.
pub const STAMP_ANNOTATION: &str = "flyball.dev/stamp";
/// What the annotations begin with that hold the knobs of a container: on a workload what all its pods are to have,
/// on a pod the line that its agent reads. The container's name follows.
pub const RUNTIME_PREFIX: &str = "runtime.flyball.dev/";
/// What the annotations on a pod begin with that an application reads for itself.
pub const APP_PREFIX: &str = "app.flyball.dev/";
/// What the annotations on a workload begin with that hold the stamps of transactions on those.
pub const RUNTIME_STAMP_PREFIX: &str = "stamp.runtime.flyball.dev/";
/// The annotation with which a person pauses Flyball on one target; any value but `false` pauses.
pub const PAUSE_ANNOTATION: &str = "flyball.dev/paused";
/// The annotation on a Change by which somebody approves it; its value says who.
pub const APPROVED_BY_ANNOTATION: &str = "flyball.dev/approved-by";
/// The annotation on an open Change by which somebody asks for its end: `abort` or `rollback`.
pub const REQUEST_ANNOTATION: &str = "flyball.dev/request";
/// Who asked.
pub const REQUESTED_BY_ANNOTATION: &str = "flyball.dev/requested-by";
/// The annotation on a policy that holds the autoscaler from which the field was taken, as the manifest
/// with which `flyball release` makes it again.
pub const TAKEN_FROM_ANNOTATION: &str = "flyball.dev/taken-from";
/// The ConfigMap in the controller's own namespace that freezes the installation while it is there.
pub const FREEZE_NAME: &str = "flyball-freeze";
/// The label on a Change that names its policy.
pub const POLICY_LABEL: &str = "flyball.dev/policy";
/// The label on a Change that holds its target's UID.
pub const TARGET_LABEL: &str = "flyball.dev/target-uid";
/// The field manager of every write.
pub const FIELD_MANAGER: &str = "flyball";

/// All definitions, in the order in which they are installed.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![MetricSource::crd(), FeedbackPolicy::crd(), Change::crd()]
}
