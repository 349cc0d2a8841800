//! The command line, as a golden: whoever changes a flag sees it here.

use std::process::Command;

use expect_test::expect_file;

#[test]
fn help_is_what_the_golden_file_says() {
    let output = Command::new(env!("CARGO_BIN_EXE_pf-worker"))
        .arg("--help")
        .env("COLUMNS", "100")
        .output()
        .expect("the program was built for this test");
    assert_eq!(output.status.code(), Some(0));
    expect_file!["help.txt"].assert_eq(&String::from_utf8_lossy(&output.stdout));
}
