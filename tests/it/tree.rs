//! One arrow, one parquet, one object store and one DataFusion in the tree.

#[test]
fn one_version_of_what_types_cross() {
    let lock = std::fs::read_to_string("Cargo.lock").unwrap();
    for name in
        ["arrow", "arrow-array", "parquet", "object_store", "datafusion", "sqlparser", "tokio"]
    {
        let line = format!("name = \"{name}\"");
        assert_eq!(lock.lines().filter(|l| **l == line).count(), 1, "{name}");
    }
    for abandoned in ["serde_yml", "serde_yaml_ng", "unsafe-libyaml", "openssl-sys"] {
        assert!(!lock.contains(&format!("name = \"{abandoned}\"")), "{abandoned}");
    }
}

#[test]
fn udfs_stand_alone() {
    let manifest = std::fs::read_to_string("udfs/Cargo.toml").unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let allowed = [
        "arrow",
        "datafusion-common",
        "datafusion-doc",
        "datafusion-expr",
        "datafusion-functions-window-common",
        "datafusion-physical-expr",
        "postcard",
        "pulp", // Loops over slices, compiled for the vectors that the processor has.
        "serde",
    ];
    for line in
        dependencies.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
    {
        let name = line.split(['=', '.', ' ']).next().unwrap();
        assert!(allowed.contains(&name), "udfs depends on {name}");
    }
}
