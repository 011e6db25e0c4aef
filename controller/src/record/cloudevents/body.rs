//! An Event of Kubernetes as a CloudEvent, in JSON.

use cloudevents::{EventBuilder, EventBuilderV10};
use flyball_crds::{EventData, EventObject, EventSeverity};
use k8s_openapi::api::{core::v1::ObjectReference, events::v1::Event};

/// What the type of an event begins with; its reason follows.
const TYPE: &str = "dev.flyball";

/// Why there is none.
type Error = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn body(source: &str, event: &Event) -> Result<Vec<u8>, Error> {
    let data = data(event);
    let regarding = &data.regarding;
    let subject = [&*regarding.namespace, &*regarding.kind, &*regarding.name].join("/");
    let time = event.event_time.as_ref().map(|time| time.0.to_string());
    let built = EventBuilderV10::new()
        .id(text(event.metadata.name.as_ref()))
        .ty(format!("{TYPE}.{}", data.reason))
        .source(source)
        .subject(subject)
        .time(time.unwrap_or_default())
        .data("application/json", serde_json::to_value(data)?)
        .build()?;
    Ok(serde_json::to_vec(&built)?)
}

fn data(event: &Event) -> EventData {
    let warns = event.type_.as_deref() == Some("Warning");
    EventData {
        reason: text(event.reason.as_ref()),
        severity: if warns {
            EventSeverity::Warning
        } else {
            EventSeverity::Normal
        },
        action: text(event.action.as_ref()),
        note: text(event.note.as_ref()),
        regarding: event.regarding.as_ref().map(object).unwrap_or_default(),
        related: event.related.as_ref().map(object),
        instance: text(event.reporting_instance.as_ref()),
    }
}

fn object(reference: &ObjectReference) -> EventObject {
    EventObject {
        api_version: text(reference.api_version.as_ref()),
        kind: text(reference.kind.as_ref()),
        namespace: text(reference.namespace.as_ref()),
        name: text(reference.name.as_ref()),
        uid: reference.uid.clone(),
    }
}

fn text(field: Option<&String>) -> String {
    field.cloned().unwrap_or_default()
}
