//! The committed YAML is what the types say. `UPDATE=1 cargo test -p flyball-crds` rewrites it.

mod committed;

use std::path::Path;

#[test]
fn the_schema_of_events_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/event.schema.json");
    let schema = schemars::schema_for!(flyball_crds::EventData);
    let expect = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    committed::holds(&file, &format!("{expect}\n"));
}

#[test]
fn the_generated_yaml_is_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    for crd in flyball_crds::definitions() {
        let name = crd.metadata.name.clone().unwrap_or_default();
        let expect = serde_yaml::to_string(&crd).expect("a CRD serialises");
        committed::holds(&folder.join(format!("{name}.yaml")), &expect);
    }
}
