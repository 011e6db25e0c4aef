//! The committed YAML is what the types say. `UPDATE=1 cargo test -p flyball-crds` rewrites it.

mod committed;

use std::path::Path;

#[test]
fn the_generated_yaml_is_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    for crd in flyball_crds::definitions() {
        let name = crd.metadata.name.clone().unwrap_or_default();
        let expect = serde_yaml::to_string(&crd).expect("a CRD serialises");
        committed::holds(&folder.join(format!("{name}.yaml")), &expect);
    }
}
