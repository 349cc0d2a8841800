//! Each example is a job that can be planned, and its plan is as agreed.

use std::{fs, path::Path};

use expect_test::expect_file;
use pf_operator::{
    job_file::JobFile,
    plan::{self, Settings, shell_quoted},
};

#[test]
fn every_example_has_the_plan_that_was_agreed() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut planned = 0;
    for entry in fs::read_dir(room.join("../examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let file = JobFile::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let files = file.job.spec.source.files.as_ref();
        let settings = Settings {
            secrets: Some(Path::new("/secrets")),
            files_uri: files.map(|files| format!("file:///workspace/examples/{}", files.path)),
            ..Settings::default()
        };
        let plan = plan::plan(&file.job, &settings).unwrap();
        let line = |program: &str, arguments: &[String]| {
            shell_quoted([program].into_iter().chain(arguments.iter().map(String::as_str)))
        };
        let rendered = format!(
            "{} |\n  {}\nunused: {:?}\n",
            line("pf-discoverer", &plan.discoverer),
            line("pf-worker", &plan.worker),
            plan.unused
        );
        expect_file![room.join("tests/golden/plan").join(name + ".txt")].assert_eq(&rendered);
        planned += 1;
    }
    assert!(planned >= 3, "the examples must have been found");
}
