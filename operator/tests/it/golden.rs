//! What users see is what was agreed: the definition, and the help of each command.

use std::{fs, path::Path};

use expect_test::expect_file;

use crate::program::{operator, text};

#[test]
fn the_definition_that_is_checked_in_is_the_one_that_the_types_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/ingestjobs.paraflow.dev.yaml");
    let printed = operator().arg("crd").output().unwrap();
    assert!(printed.status.success() && printed.stderr.is_empty());
    let checked_in = fs::read_to_string(path).unwrap_or_default();
    assert!(
        checked_in == text(&printed.stdout),
        "crds/ is out of date; run: cargo run -p pf-operator -- crd > crds/ingestjobs.paraflow.dev.yaml"
    );
}

#[test]
fn the_help_of_each_command_is_as_agreed() {
    for (arguments, golden) in [
        (&["--help"][..], "pf-operator.txt"),
        (&["crd", "--help"], "crd.txt"),
        (&["local", "--help"], "local.txt"),
        (&["run", "--help"], "run.txt"),
        (&["explain", "--help"], "explain.txt"),
        (&["ready", "--help"], "ready.txt"),
    ] {
        let help = operator().args(arguments).env("COLUMNS", "100").output().unwrap();
        assert!(help.status.success());
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden/help")
            .join(golden);
        expect_file![path].assert_eq(text(&help.stdout));
    }
}
