//! Manifests: templates of the demo's own, and the controller's as they are deployed.

use super::{
    error::DemoError,
    setting::{Part, Setting},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, GroupVersionKind, PostParams, TypeMeta},
    discovery::{self, Scope},
};
use serde::Deserialize;
use std::path::Path;

const NAMESPACE: &str = include_str!("../../demo/manifests/namespace.yaml");
const CHECKOUT: &str = include_str!("../../demo/manifests/checkout.yaml");
const ORDERS: &str = include_str!("../../demo/manifests/orders.yaml");
const LOAD: &str = include_str!("../../demo/manifests/load.yaml");
const SOURCE: &str = include_str!("../../demo/manifests/source.yaml");
const POLICY_CHECKOUT: &str = include_str!("../../demo/manifests/policy-checkout.yaml");
const POLICY_ORDERS: &str = include_str!("../../demo/manifests/policy-orders.yaml");

/// The kinds of the controller's manifests that the demo needs: identity, rights, admission and lease. Its
/// own process takes the place of the Deployment and what belongs to that.
const OF_THE_CONTROLLER: &[&str] = &[
    "Namespace",
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "Lease",
];

/// An image and whether the node may fetch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// The pull policy.
    pub pull: &'static str,
}

/// The namespace of a chapter and the accounts in it.
pub fn namespace(name: &str) -> String {
    fill(NAMESPACE, &[("NAMESPACE", name)])
}

/// The services of a chapter.
pub fn services(part: Part, image: &Image) -> String {
    let template = match part {
        Part::Checkout => CHECKOUT,
        Part::Orders => ORDERS,
    };
    fill(
        template,
        &[
            ("NAMESPACE", part.namespace()),
            ("IMAGE", &image.name),
            ("PULL", image.pull),
        ],
    )
}

/// A load of so many requests a second.
pub fn load(part: Part, name: &str, rate: u32, image: &Image) -> String {
    let rate = rate.to_string();
    let values = [
        ("NAME", name),
        ("NAMESPACE", part.namespace()),
        ("SERVICE", part.name()),
        ("RATE", rate.as_str()),
        ("IMAGE", image.name.as_str()),
        ("PULL", image.pull),
    ];
    fill(LOAD, &values)
}

/// The source of a chapter.
pub fn source(namespace: &str, url: &str) -> String {
    fill(SOURCE, &[("NAMESPACE", namespace), ("URL", url)])
}

/// The policy of a chapter.
pub fn policy(part: Part, setting: &Setting) -> String {
    let template = match part {
        Part::Checkout => POLICY_CHECKOUT,
        Part::Orders => POLICY_ORDERS,
    };
    let values = [
        ("NAMESPACE", part.namespace()),
        ("WINDOW", setting.window),
        ("FOR", setting.hold),
        ("SETTLE", setting.settle),
        ("WITHIN", setting.within_of(part)),
    ];
    fill(template, &values)
}

/// A template with its placeholders filled.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value)
    })
}

/// The documents of a text.
pub fn documents(file: &str, text: &str) -> Result<Vec<DynamicObject>, DemoError> {
    let bad = |error: serde_yaml::Error| DemoError::Manifest {
        file: file.to_owned(),
        reason: error.to_string(),
    };
    let mut objects = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = serde_json::Value::deserialize(document).map_err(bad)?;
        if value.is_null() {
            continue;
        }
        let object = serde_json::from_value(value);
        objects.push(object.map_err(|error| DemoError::Manifest {
            file: file.to_owned(),
            reason: error.to_string(),
        })?);
    }
    Ok(objects)
}

/// The controller's identity, rights and admission policy, from the folder that deploys it too.
pub fn of_the_controller(folder: &Path) -> Result<Vec<DynamicObject>, DemoError> {
    let entries = std::fs::read_dir(folder).map_err(DemoError::file(folder))?;
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(DemoError::file(&file))?;
        objects.extend(documents(&file.display().to_string(), &text)?);
    }
    let rank = |object: &DynamicObject| OF_THE_CONTROLLER.iter().position(|kind| *kind == kind_of(object).kind);
    objects.retain(|object| rank(object).is_some());
    objects.sort_by_key(rank);
    Ok(objects)
}

fn kind_of(object: &DynamicObject) -> TypeMeta {
    object.types.clone().unwrap_or_default()
}

/// An object that the demo made and takes away again.
#[derive(Clone, Debug)]
pub struct Made(DynamicObject);

async fn api_for(client: &Client, object: &DynamicObject) -> Result<Api<DynamicObject>, DemoError> {
    let types = kind_of(object);
    let what = format!("{} {}", types.kind, object.name_any());
    let gvk = GroupVersionKind::try_from(&types).map_err(|error| DemoError::Manifest {
        file: what.clone(),
        reason: error.to_string(),
    })?;
    let (resource, abilities) = discovery::pinned_kind(client, &gvk)
        .await
        .map_err(DemoError::api(what))?;
    Ok(match (abilities.scope, object.namespace()) {
        (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), &namespace, &resource),
        (Scope::Namespaced, None) => Api::default_namespaced_with(client.clone(), &resource),
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
    })
}

/// Creates an object. One that is there already is left as it is, and is none of ours: `None`.
pub async fn create(client: &Client, object: &DynamicObject) -> Result<Option<Made>, DemoError> {
    let api = api_for(client, object).await?;
    match api.create(&PostParams::default(), object).await {
        Ok(_) => Ok(Some(Made(object.clone()))),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => {
            let what = format!("create {} {}", kind_of(object).kind, object.name_any());
            Err(DemoError::api(what)(error))
        }
    }
}

/// Creates all objects of a text.
pub async fn create_all(client: &Client, file: &str, text: &str) -> Result<Vec<Made>, DemoError> {
    let mut made = Vec::new();
    for object in documents(file, text)? {
        made.extend(create(client, &object).await?);
    }
    Ok(made)
}

impl Made {
    /// Whether it is the object of this kind and name.
    pub fn is(&self, kind: &str, name: &str) -> bool {
        kind_of(&self.0).kind == kind && self.0.name_any() == name
    }

    /// Deletes it, and does not mind if it is gone.
    pub async fn delete(&self, client: &Client) -> Result<(), DemoError> {
        let what = format!("delete {} {}", kind_of(&self.0).kind, self.0.name_any());
        match api_for(client, &self.0)
            .await?
            .delete(&self.0.name_any(), &DeleteParams::default())
            .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(DemoError::api(what)(error)),
        }
    }
}
