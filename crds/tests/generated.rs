//! The committed YAML is what the types say. `UPDATE=1 cargo test -p flyball-crds` rewrites it.

use std::{fs, path::Path};

#[test]
fn the_generated_yaml_is_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    for crd in flyball_crds::definitions() {
        let name = crd.metadata.name.clone().unwrap_or_default();
        let path = folder.join(format!("{name}.yaml"));
        let expect = serde_yaml::to_string(&crd).expect("a CRD serialises");
        if std::env::var_os("UPDATE").is_some() {
            fs::create_dir_all(&folder).expect("the folder can be made");
            fs::write(&path, &expect).expect("the file can be written");
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expect,
            "{} is stale: run `make generate` and commit it",
            path.display()
        );
    }
}
