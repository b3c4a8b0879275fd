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

/// `./demo` builds the program, `./test` the program and its tests: a crate that these wanted with
/// different features would be built twice, and all that stands on it.
#[test]
fn the_program_and_its_tests_share_one_build() {
    let program = crates("normal,build", &[]);
    let tests = crates("normal,build,dev", &["--workspace"]);
    assert!(program.len() > 300 && tests.len() > program.len(), "{}", program.len());
    let apart: Vec<_> = program.difference(&tests).collect();
    assert!(
        apart.is_empty(),
        "tests switch on more features of {apart:#?}; name them under [dependencies] in Cargo.toml"
    );
}

/// Names, versions and features of the crates below the program, or below all of the workspace.
fn crates(kinds: &str, more: &[&str]) -> std::collections::BTreeSet<String> {
    let tree = ["tree", "--locked", "--prefix", "none", "--format", "{p} {f}", "--edges", kinds];
    let cargo = std::process::Command::new(env!("CARGO")).args(tree).args(more).output().unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let lines = String::from_utf8(cargo.stdout).unwrap();
    lines.lines().map(|line| line.trim_end_matches(" (*)").to_string()).collect()
}
