//! Where the demo runs: on the test bed, or on the cluster that kubectl points to.

use super::{
    access::Access,
    children::{must, run},
    error::DemoError,
    manifests::Image,
};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, api::ListParams};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// The image that `make demo-image` builds.
const IMAGE: &str = "flyball.dev/demo:dev";

/// The cluster and what belongs to it.
pub struct Place {
    /// How it is reached.
    pub access: Access,
    /// The test bed's folder: programs, image, and Prometheus' data in either case.
    pub folder: PathBuf,
    /// Whether it is the test bed.
    pub is_bed: bool,
}

/// The program of the test bed.
pub fn testbed(folder: &Path) -> PathBuf {
    folder.join("bin/testbed")
}

/// Brings the test bed up unless it is up. `true`: it was not, so it is ours to end.
pub async fn bed_up(folder: &Path) -> Result<bool, DemoError> {
    let program = testbed(folder);
    let dir = [OsStr::new("--dir"), folder.as_os_str()];
    let was_up = run(&program, &[&[OsStr::new("status")], dir.as_slice()].concat())
        .await?
        .code
        == Some(0);
    let up = run(&program, &[&[OsStr::new("up")], dir.as_slice()].concat()).await?;
    match up.code {
        Some(0) => Ok(!was_up),
        Some(77) => Err(DemoError::Unfit(
            up.last_words().trim_start_matches("testbed: ").to_owned(),
        )),
        _ => Err(DemoError::Program {
            program: "testbed up".to_owned(),
            reason: up.last_words().to_owned(),
        }),
    }
}

/// Ends the test bed.
pub async fn bed_down(folder: &Path) -> Result<(), DemoError> {
    must(
        &testbed(folder),
        &[OsStr::new("down"), OsStr::new("--dir"), folder.as_os_str()],
    )
    .await
    .map(|_| ())
}

/// How an image gets into a cluster of somebody's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loader {
    /// By a program with these arguments.
    Program(&'static str, Vec<String>),
    /// Nobody knows.
    Unknown,
}

/// The loader of a cluster, by its context's name and its nodes' provider.
pub fn loader(context: &str, provider: &str, archive: &str) -> Loader {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let kind = context
        .strip_prefix("kind-")
        .or_else(|| provider.strip_prefix("kind://").and_then(|rest| rest.split('/').nth(1)));
    if let Some(name) = kind {
        return Loader::Program("kind", words(&["load", "image-archive", archive, "--name", name]));
    }
    if let Some(name) = context.strip_prefix("k3d-") {
        return Loader::Program("k3d", words(&["image", "import", archive, "--cluster", name]));
    }
    if context == "minikube" {
        return Loader::Program("minikube", words(&["image", "load", archive]));
    }
    if provider.starts_with("k3s://") {
        return Loader::Program("k3s", words(&["ctr", "images", "import", archive]));
    }
    Loader::Unknown
}

impl Place {
    /// Sees to it that the nodes have the image; one with a name of its own they fetch. The text is for
    /// the user, where there is one.
    pub async fn image(&self, name: Option<String>) -> Result<(Image, Option<String>), DemoError> {
        if let Some(name) = name {
            return Ok((
                Image {
                    name,
                    pull: "IfNotPresent",
                },
                None,
            ));
        }
        let image = Image {
            name: IMAGE.to_owned(),
            pull: "Never",
        };
        let archive = self.folder.join("images/demo.tar");
        if self.is_bed {
            let dir = [
                OsStr::new("import-image"),
                OsStr::new("--dir"),
                self.folder.as_os_str(),
                archive.as_os_str(),
            ];
            must(&testbed(&self.folder), &dir).await?;
            return Ok((image, None));
        }
        let nodes: Api<Node> = Api::all(self.access.client.clone());
        let nodes = nodes
            .list(&ListParams::default())
            .await
            .map_err(DemoError::api("list the nodes"))?
            .items;
        let provider = nodes
            .iter()
            .find_map(|node| node.spec.as_ref()?.provider_id.clone())
            .unwrap_or_default();
        let archive = archive.display().to_string();
        if let Loader::Program(program, args) = loader(&self.access.context, &provider, &archive) {
            let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
            match must(Path::new(program), &args).await {
                Ok(_) => return Ok((image, None)),
                // Without the program the image may still be there.
                Err(DemoError::File { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let has = |node: &Node| {
            let images = node.status.iter().flat_map(|status| status.images.iter().flatten());
            images
                .flat_map(|image| image.names.iter().flatten())
                .any(|name| name.ends_with(IMAGE))
        };
        let hint = format!(
            "the nodes do not show the image {IMAGE}: load {archive} into them, \
             or push it to a registry and name it in FLYBALL_DEMO_IMAGE"
        );
        let there = nodes.iter().any(has);
        Ok((image, (!there).then_some(hint)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Loader, loader};

    #[rstest::rstest]
    #[case("kind-dev", "", "kind load image-archive a.tar --name dev")]
    #[case(
        "work",
        "kind://docker/lab/lab-control-plane",
        "kind load image-archive a.tar --name lab"
    )]
    #[case("k3d-lab", "k3s://k3d-lab-server-0", "k3d image import a.tar --cluster lab")]
    #[case("minikube", "", "minikube image load a.tar")]
    #[case("default", "k3s://node", "k3s ctr images import a.tar")]
    #[case("prod", "aws:///eu-central-1a/i-1", "")]
    fn each_kind_of_cluster_has_its_loader(#[case] context: &str, #[case] provider: &str, #[case] expected: &str) {
        let found = match loader(context, provider, "a.tar") {
            Loader::Program(program, args) => format!("{program} {}", args.join(" ")),
            Loader::Unknown => String::new(),
        };
        assert_eq!(found, expected);
    }
}
