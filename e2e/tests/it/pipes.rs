//! How programs behave among other programs: clean output, a reader that goes away, ctrl-C, statistics.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Command, Stdio},
};

use super::programs::{command, file_uri, generate, pipe, run_with_input, work_item};

#[test]
fn standard_output_is_one_json_object_a_line_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    generate(
        folder.path(),
        &["--records", "4000", "--objects", "4", "--format", "all"],
    );
    let outcome = pipe(&["--uri", &file_uri(folder.path())], &["--threads", "4"]).success();
    let records = outcome.records();
    assert_eq!(records.len(), 4000);
    assert!(records.iter().all(serde_json::Value::is_object));
}

#[test]
fn statistics_in_a_pipe_are_one_json_object_that_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    generate(
        folder.path(),
        &["--records", "3000", "--objects", "3", "--format", "ndjson.gz"],
    );
    fs::write(folder.path().join("bad.ndjson"), "{\"status\":500}\nnot json\n").unwrap();
    let outcome = pipe(
        &["--uri", &file_uri(folder.path())],
        &["--destination", "stats", "--filter", "status = 500"],
    );
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    let stats = outcome.stats();
    assert_eq!((stats.count("objects"), stats.count("objects_failed")), (4, 0));
    assert_eq!(stats.count("records_in"), 3002);
    assert_eq!(stats.count("records_rejected"), 1);
    let told = stats.count("records_out") + stats.count("records_filtered") + stats.count("records_rejected");
    assert_eq!(told, 3002);
    assert!(stats.count("records_out") > 100);
    assert!(stats.count("wire_bytes") < stats.count("decompressed_bytes"));
    assert!(stats.count("peak_resident_bytes") > 1 << 20);
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    generate(
        folder.path(),
        &["--records", "50000", "--objects", "20", "--format", "all"],
    );
    let mut discoverer = command("pf-discoverer", &["--uri", &file_uri(folder.path())])
        .spawn()
        .unwrap();
    let items = discoverer.stdout.take().unwrap();
    let mut worker = command("pf-worker", &[]).stdin(items).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(worker.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    serde_json::from_str::<serde_json::Value>(&first).unwrap();
    for child in [worker, discoverer] {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(output.status.code().is_some(), "killed by a signal: {stderr}");
    }
}

#[test]
fn a_discoverer_whose_reader_goes_away_ends_quietly() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..5_000 {
        fs::write(
            folder
                .path()
                .join(format!("{number:05}-with-a-name-that-fills-the-pipe.ndjson")),
            "{}\n",
        )
        .unwrap();
    }
    let mut discoverer = command("pf-discoverer", &["--uri", &file_uri(folder.path())])
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(discoverer.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let output = discoverer.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !stderr.contains("panicked") && output.status.code().is_some(),
        "{stderr}"
    );
}

#[test]
fn ctrl_c_ends_a_worker_that_waits_for_items_with_whole_lines_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.ndjson");
    fs::write(&file, "{\"v\":1}\n".repeat(10_000)).unwrap();
    let mut worker = command("pf-worker", &[]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = worker.stdin.take().unwrap();
    stdin.write_all(work_item(&file).as_bytes()).unwrap();
    stdin.flush().unwrap();
    let mut stdout = BufReader::new(worker.stdout.take().unwrap());
    let mut text = String::new();
    stdout.read_line(&mut text).unwrap();
    // Standard input stays open: without the signal the worker would wait for ever.
    let interrupted = Command::new("kill")
        .args(["-INT", &worker.id().to_string()])
        .status()
        .unwrap();
    assert!(interrupted.success());
    stdout.read_to_string(&mut text).unwrap();
    let output = worker.wait_with_output().unwrap();
    drop(stdin);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !stderr.contains("panicked") && output.status.code().is_some(),
        "{stderr}"
    );
    assert!(text.ends_with('\n') && text.lines().all(|line| line == "{\"v\":1}"));
}

#[test]
fn an_item_whose_object_is_gone_is_a_failed_object_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (gone, there) = (folder.path().join("gone.ndjson"), folder.path().join("there.ndjson"));
    fs::write(&gone, "{\"v\":1}\n").unwrap();
    fs::write(&there, "{\"v\":2}\n").unwrap();
    let items = work_item(&gone) + &work_item(&there);
    fs::remove_file(&gone).unwrap();
    let outcome = run_with_input("pf-worker", &["--threads", "1"], &items);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert_eq!(outcome.text(), "{\"v\":2}\n");
    assert!(outcome.stderr.contains("gone.ndjson"), "{}", outcome.stderr);
}
