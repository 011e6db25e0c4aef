//! One policy gives a runtime's knobs back: they go to boot values.
//!
//! By now nobody writes them: the policy is suspended, a pass has seen that, and no Change is open. What a dead
//! controller may have sent carries a version that the stamp, or this write, has moved on.

use super::{
    Wanted, lines,
    one::{self, Released},
};
use crate::{
    apply::setting_of,
    cli::{
        fetch::{self, Connection, Scope},
        screen::{plain, quoted},
        takeover::facts::{Facts, kind_of},
        write::{self, ActError, Place, refuse},
    },
};
use flyball_crds::{Change, Mode, RUNTIME_PREFIX, RuntimeLever};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::{Value, json};

/// How often the workload is read anew: its own controller writes its status all the time.
const TRIES: usize = 20;

/// Takes the setting out of the workload.
pub(super) async fn release(
    connection: &Connection,
    wanted: &Wanted,
    facts: &Facts,
    open: &[Change],
    (namespace, name): (&str, &str),
) -> Result<Released, ActError> {
    let spec = &facts.policy.spec;
    let Some(lever) = spec.actions.iter().find_map(|action| action.runtime.as_ref()) else {
        return refuse("the policy moves no knobs; nothing was done. See: flyball get");
    };
    if spec.mode != Mode::Enforce && open.is_empty() {
        return Ok(Released {
            said: format!("does not hold the knobs: its mode is {:?}", spec.mode),
            next: Vec::new(),
        });
    }
    one::suspend(connection, namespace, name).await?;
    let closed = Box::pin(one::settle(connection, wanted, namespace, name)).await?;
    if lever.env.is_some() {
        let target = &spec.target_ref;
        let released = Released {
            said: format!(
                "released: the pod template of {} stays as it is",
                plain(&format!("{}/{}", target.kind, target.name))
            ),
            next: Vec::new(),
        };
        return Ok(one::with(released, closed));
    }
    let released = take_out(connection, facts, lever, namespace).await?;
    Ok(one::with(released, closed))
}

async fn take_out(
    connection: &Connection,
    facts: &Facts,
    lever: &RuntimeLever,
    namespace: &str,
) -> Result<Released, ActError> {
    let target = &facts.policy.spec.target_ref;
    let resource = kind_of(connection, target).await?;
    let key = format!("{RUNTIME_PREFIX}{}", lever.container);
    let named = plain(&format!("{}/{}", target.kind, target.name));
    let place = Place {
        resource: resource.clone(),
        namespace,
    };
    for _ in 0..TRIES {
        let scope = Scope::Namespace(namespace);
        let Some(object) = fetch::get(&connection.clients.read, scope, &resource, &target.name).await? else {
            return Ok(Released {
                said: format!("released: {named} is gone"),
                next: Vec::new(),
            });
        };
        if !object.annotations().contains_key(&key) {
            // One that was cut short may have left lines.
            let had = format!("{named} has boot values in container {}", plain(&lever.container));
            return Ok(taken(connection, &had, lever, &object, namespace).await);
        }
        let had = setting_of(&object, &lever.container).map_or_else(
            |_| "a setting that can't be read".to_owned(),
            |target| target.value.to_string(),
        );
        let changes = json!({"metadata": {"annotations": {&key: null}}});
        match write::patch(connection, &place, &object, &changes).await {
            Ok(_) => {
                let had = format!("{named} had {}", plain(&had));
                return Ok(taken(connection, &had, lever, &object, namespace).await);
            }
            Err(ActError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    refuse(format!(
        "{named} is written by somebody else all the time, so its annotation {key} is still there; the policy is suspended. \
         Run the command again"
    ))
}

/// Takes the lines of its pods out, too. Where that may not be done, they end with their leases.
async fn taken(
    connection: &Connection,
    had: &str,
    lever: &RuntimeLever,
    object: &DynamicObject,
    namespace: &str,
) -> Released {
    let key = format!("{RUNTIME_PREFIX}{}", lever.container);
    let out = lines::take_out(connection, namespace, object, &key).await;
    let taken = match out.taken {
        0 => String::new(),
        1 => "; the line of one pod was taken out, and its process goes back to boot values".to_owned(),
        some => format!("; the lines of {some} pods were taken out, and their processes go back to boot values"),
    };
    let Some(error) = out.left else {
        return Released {
            said: format!("released: {had}{taken}"),
            next: Vec::new(),
        };
    };
    let lease = lever.lease.as_ref().map_or("1h", |lease| &lease.0);
    Released {
        said: format!(
            "released: {had}{taken}. Pods still have lines ({}), and processes go back to boot values when their leases end, within {}; \
             at once with:",
            plain(&error.to_string()),
            plain(lease)
        ),
        next: vec![format!(
            "kubectl annotate pods -n {}{} {key}-",
            quoted(namespace),
            pods_of(object),
        )],
    }
}

/// The pods of a workload, as kubectl selects them. Where their labels are not known, all that have the annotation.
fn pods_of(object: &DynamicObject) -> String {
    let selector = object.data.pointer("/spec/selector");
    let labels = selector
        .and_then(|selector| selector.get("matchLabels"))
        .and_then(Value::as_object);
    let more = selector.is_some_and(|selector| selector.get("matchExpressions").is_some());
    match labels.filter(|labels| !labels.is_empty() && !more) {
        Some(labels) => {
            let pairs = labels
                .iter()
                .filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
            format!(" -l {}", quoted(&pairs.collect::<Vec<_>>().join(",")))
        }
        None => " --all".to_owned(),
    }
}
