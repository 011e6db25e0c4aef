//! Everything that the demo puts up, and how it is taken down again.

use super::{
    access::Access,
    children::{must, run},
    controller::{self, Controller},
    error::DemoError,
    loads::Load,
    manifests::{self, Image, Made},
    place::{Place, bed_down, bed_up, testbed},
    setting::Part,
    weights,
};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        coordination::v1::Lease,
        core::v1::{Namespace, Pod},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams},
};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// The namespaces of all chapters.
const NAMESPACES: [&str; 3] = [Part::Checkout.namespace(), Part::Orders.namespace(), weights::NAMESPACE];
/// How long pods may take to be ready, and a namespace to be gone.
const PODS: Duration = Duration::from_secs(90);

/// What was put up so far, so that it can be taken down from any point on.
#[derive(Default)]
pub struct Stage {
    /// The cluster.
    pub place: Option<Place>,
    /// The controller.
    pub controller: Option<Controller>,
    /// The loads under way.
    pub loads: Vec<Load>,
    /// The image of service and load.
    pub image: Option<Image>,
    bed_is_ours: Option<PathBuf>,
    made: Vec<Made>,
    pub(super) gateway_is_ours: bool,
    namespaces: bool,
    servers: Vec<String>,
    secrets: Option<PathBuf>,
}

impl Stage {
    /// Finds the cluster: the test bed, or the one that kubectl points to.
    pub async fn find(&mut self, folder: &Path, current: bool) -> Result<(), DemoError> {
        let folder = std::fs::canonicalize(folder).map_err(DemoError::file(folder))?;
        let access = if current {
            Access::open(None).await?
        } else {
            // From here on it may be half up.
            self.bed_is_ours = Some(folder.clone());
            if !bed_up(&folder).await? {
                self.bed_is_ours = None;
            }
            Access::open(Some(&folder.join("kubeconfig"))).await?
        };
        let secrets = folder.join("demo");
        std::fs::create_dir_all(&secrets).map_err(DemoError::file(&secrets))?;
        self.secrets = Some(secrets);
        self.place = Some(Place {
            access,
            folder,
            is_bed: !current,
        });
        Ok(())
    }

    pub(super) fn place(&self) -> Result<&Place, DemoError> {
        self.place
            .as_ref()
            .ok_or_else(|| DemoError::InTheWay("there is no cluster yet".to_owned()))
    }

    /// The user's own client.
    pub fn client(&self) -> Result<Client, DemoError> {
        Ok(self.place()?.access.client.clone())
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.secrets.clone().unwrap_or_default().join(name)
    }

    /// Installs the definitions and the controller's rights, unless they are there.
    pub async fn install(&mut self, manifests: &Path) -> Result<(), DemoError> {
        let client = self.client()?;
        nobody_leads(&client).await?;
        for definition in flyball_crds::definitions() {
            let object = serde_json::to_value(&definition).and_then(serde_json::from_value::<DynamicObject>);
            let name = definition.name_any();
            let bad = |error: serde_json::Error| DemoError::Manifest {
                file: name.clone(),
                reason: error.to_string(),
            };
            let mut object = object.map_err(bad)?;
            object.types = Some(kube::api::TypeMeta {
                api_version: "apiextensions.k8s.io/v1".to_owned(),
                kind: "CustomResourceDefinition".to_owned(),
            });
            self.made.extend(manifests::create(&client, &object).await?);
        }
        established(&client).await?;
        for object in manifests::of_the_controller(manifests)? {
            self.made.extend(manifests::create(&client, &object).await?);
        }
        Ok(())
    }

    /// Puts up the services, each with a Prometheus and a source of its own. Answers with the servers' URLs.
    pub async fn services(&mut self) -> Result<Vec<(Part, String)>, DemoError> {
        let client = self.client()?;
        self.clear().await?;
        let image = self.image()?;
        for part in Part::ALL {
            manifests::create_all(&client, "namespace.yaml", &manifests::namespace(part.namespace())).await?;
            manifests::create_all(&client, part.name(), &manifests::services(part, &image)).await?;
        }
        let mut urls = Vec::new();
        for part in Part::ALL {
            let url = self.prometheus((part.name(), part.namespace()), "2s", &[]).await?;
            self.source(part.namespace(), &url).await?;
            urls.push((part, url));
        }
        for part in Part::ALL {
            self.ready(part.name(), part.namespace()).await?;
        }
        Ok(urls)
    }

    /// Begins a chapter with namespaces that nothing is left in.
    pub(super) async fn clear(&mut self) -> Result<(), DemoError> {
        let client = self.client()?;
        if !std::mem::replace(&mut self.namespaces, true) {
            clear(&client).await?;
        }
        Ok(())
    }

    /// The image of service and load.
    pub(super) fn image(&self) -> Result<Image, DemoError> {
        let image = self.image.clone();
        image.ok_or_else(|| DemoError::InTheWay("there is no image yet".to_owned()))
    }

    /// Creates the source of a chapter.
    pub(super) async fn source(&mut self, namespace: &str, url: &str) -> Result<(), DemoError> {
        let text = manifests::source(namespace, url);
        let made = manifests::create_all(&self.client()?, "source.yaml", &text).await?;
        self.made.extend(made);
        Ok(())
    }

    /// Starts the Prometheus of a chapter, by its name and its namespace. Answers with its URL.
    pub(super) async fn prometheus(
        &mut self,
        (name, namespace): (&str, &str),
        interval: &str,
        more: &[&str],
    ) -> Result<String, DemoError> {
        let place = self.place()?;
        let (program, folder, is_bed) = (testbed(&place.folder), place.folder.clone(), place.is_bed);
        let kubeconfig = self.secret(&format!("{name}.kubeconfig"));
        place.access.write_for(namespace, "prometheus", &kubeconfig).await?;
        let name = format!("demo-{name}");
        // What a run that was killed has left.
        let _ = run(
            &program,
            &down_args(&name, &folder).iter().map(AsRef::as_ref).collect::<Vec<_>>(),
        )
        .await;
        self.servers.push(name.clone());
        let mut args: Vec<&OsStr> = ["prometheus", "up", "--name", &name, "--namespace", namespace]
            .map(OsStr::new)
            .into();
        args.extend(["--scrape-interval", interval].map(OsStr::new));
        args.extend(more.iter().map(OsStr::new));
        args.push(OsStr::new("--dir"));
        args.extend([folder.as_os_str(), OsStr::new("--kubeconfig"), kubeconfig.as_os_str()]);
        if !is_bed {
            args.push(OsStr::new("--via-apiserver"));
        }
        Ok(must(&program, &args).await?.out.trim().to_owned())
    }

    /// Waits until all pods of a chapter are ready.
    pub(super) async fn ready(&self, name: &str, namespace: &str) -> Result<(), DemoError> {
        ready(&self.client()?, name, namespace).await
    }

    /// Starts the controller and waits until it leads.
    pub async fn control(&mut self, program: &Path, log: &Path) -> Result<(), DemoError> {
        let kubeconfig = self.secret("controller.kubeconfig");
        self.place()?
            .access
            .write_for(controller::NAMESPACE, controller::NAME, &kubeconfig)
            .await?;
        let controller = self.controller.insert(Controller::start(program, &kubeconfig, log)?);
        controller.ready().await
    }

    /// Applies the policy of a chapter.
    pub async fn policy(&self, text: &str) -> Result<(), DemoError> {
        manifests::create_all(&self.client()?, "policy", text).await.map(|_| ())
    }

    /// Begins a load.
    pub async fn load(&mut self, load: Load) -> Result<(), DemoError> {
        let image = self.image()?;
        self.loads.push(load);
        load.begin(&self.client()?, &image).await
    }

    /// Ends a load, and says what it saw.
    pub async fn unload(&mut self, name: &str) -> Option<String> {
        let at = self.loads.iter().position(|load| load.name == name)?;
        let load = self.loads.remove(at);
        load.end(&self.client().ok()?).await
    }

    /// Ends what runs and takes away what was made. With `keep` the cluster stays as it is. What could
    /// not be taken away is told.
    pub async fn strike(mut self, keep: bool) -> Vec<String> {
        let mut trouble = Vec::new();
        if let Some(controller) = self.controller.take() {
            controller.end().await;
        }
        if keep {
            return trouble;
        }
        for server in &self.servers {
            let Some(place) = &self.place else { break };
            let args = down_args(server, &place.folder);
            let args: Vec<&OsStr> = args.iter().map(AsRef::as_ref).collect();
            trouble.extend(
                must(&testbed(&place.folder), &args)
                    .await
                    .err()
                    .map(|error| error.to_string()),
            );
        }
        if let Some(secrets) = &self.secrets {
            // Tokens: they end with the accounts, but nobody should find them.
            let _ = std::fs::remove_dir_all(secrets);
        }
        if let Some(folder) = &self.bed_is_ours {
            trouble.extend(bed_down(folder).await.err().map(|error| error.to_string()));
            return trouble;
        }
        let Ok(client) = self.client() else { return trouble };
        if self.gateway_is_ours {
            trouble.extend(self.take_gateway().await.err().map(|error| error.to_string()));
        }
        if self.namespaces {
            trouble.extend(clear(&client).await.err().map(|error| error.to_string()));
        }
        for made in self.made.iter().rev() {
            trouble.extend(made.delete(&client).await.err().map(|error| error.to_string()));
        }
        if self.made.iter().any(|made| made.is("Namespace", controller::NAMESPACE)) {
            // The next run would otherwise find it on its way out.
            trouble.extend(
                gone(&client, controller::NAMESPACE)
                    .await
                    .err()
                    .map(|error| error.to_string()),
            );
        }
        trouble
    }
}

fn down_args(name: &str, folder: &Path) -> Vec<std::ffi::OsString> {
    let mut args: Vec<std::ffi::OsString> = ["prometheus", "down", "--name", name, "--dir"].map(Into::into).into();
    args.push(folder.into());
    args
}

/// A controller that runs in the cluster can't reach the demo's Prometheus, and would keep ours waiting.
async fn nobody_leads(client: &Client) -> Result<(), DemoError> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), controller::NAMESPACE);
    let lease = leases
        .get_opt(controller::NAME)
        .await
        .map_err(DemoError::api("read the controller's lease"))?;
    let Some(spec) = lease.and_then(|lease| lease.spec) else {
        return Ok(());
    };
    let holder = spec.holder_identity.unwrap_or_default();
    let renewed = spec
        .renew_time
        .map(|time| time.0.duration_since(jiff::Timestamp::now()).abs().as_secs());
    if holder.is_empty() || renewed.is_none_or(|age| age > 60) {
        return Ok(());
    }
    Err(DemoError::InTheWay(format!(
        "a Flyball controller leads in this cluster already ({holder}): scale it to 0 for the demo, \
         kubectl -n {} scale deployment {} --replicas=0",
        controller::NAMESPACE,
        controller::NAME
    )))
}

async fn established(client: &Client) -> Result<(), DemoError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in flyball_crds::definitions() {
        let name = definition.name_any();
        let waiting = kube::runtime::wait::await_condition(
            api.clone(),
            &name,
            kube::runtime::wait::conditions::is_crd_established(),
        );
        if !matches!(tokio::time::timeout(PODS, waiting).await, Ok(Ok(_))) {
            let what = format!("the definition {name} is not established");
            return Err(DemoError::TooLate {
                what,
                seconds: PODS.as_secs(),
                instead: "see kubectl describe crd".to_owned(),
            });
        }
    }
    Ok(())
}

/// Deletes the demo's namespaces, which have its label, and waits until they are gone.
async fn clear(client: &Client) -> Result<(), DemoError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in NAMESPACES {
        let found = namespaces
            .get_opt(name)
            .await
            .map_err(DemoError::api(format!("namespace {name}")))?;
        let Some(found) = found else { continue };
        if found
            .labels()
            .get("flyball.dev/demo")
            .is_none_or(|value| value != "true")
        {
            return Err(DemoError::InTheWay(format!(
                "there is a namespace {name} that is none of the demo's: rename it"
            )));
        }
        let _ = namespaces
            .delete(name, &DeleteParams::default())
            .await
            .map_err(DemoError::api(format!("delete {name}")))?;
    }
    for name in NAMESPACES {
        gone(client, name).await?;
    }
    Ok(())
}

/// Waits until a namespace is gone.
async fn gone(client: &Client, name: &str) -> Result<(), DemoError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let began = Instant::now();
    while namespaces
        .get_opt(name)
        .await
        .map_err(DemoError::api(format!("namespace {name}")))?
        .is_some()
    {
        if began.elapsed() > PODS {
            let what = format!("the namespace {name} is not gone");
            return Err(DemoError::TooLate {
                what,
                seconds: PODS.as_secs(),
                instead: "it is terminating".to_owned(),
            });
        }
        sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}

async fn ready(client: &Client, name: &str, namespace: &str) -> Result<(), DemoError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let began = Instant::now();
    loop {
        let all = deployments
            .list(&ListParams::default())
            .await
            .map_err(DemoError::api("list the services"))?
            .items;
        let is_ready = |deployment: &Deployment| {
            let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
            wanted == deployment.status.as_ref().and_then(|status| status.ready_replicas)
        };
        if all.iter().all(is_ready) {
            return Ok(());
        }
        if began.elapsed() > PODS {
            let instead = waiting(client, namespace)
                .await
                .unwrap_or_else(|| "they are starting".to_owned());
            let what = format!("the pods of {name} are not ready");
            return Err(DemoError::TooLate {
                what,
                seconds: PODS.as_secs(),
                instead,
            });
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// Why a pod waits.
async fn waiting(client: &Client, namespace: &str) -> Option<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = pods.list(&ListParams::default()).await.ok()?.items;
    let mut statuses = pods
        .into_iter()
        .filter_map(|pod| pod.status?.container_statuses)
        .flatten();
    let waiting = statuses.find_map(|status| status.state?.waiting)?;
    Some(format!(
        "{}: {}",
        waiting.reason.unwrap_or_default(),
        waiting.message.unwrap_or_default()
    ))
}
