//! `--split-bytes` from outside: ranges, and objects whose names tell nothing true.

use std::fs;

use super::program::run;

#[test]
fn large_plain_objects_are_split_and_misnamed_or_compressed_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, first: &[u8], size: usize| {
        let mut bytes = first.to_vec();
        bytes.resize(size, b'\n');
        fs::write(folder.path().join(name), bytes).unwrap();
    };
    put("a.json", b"{\"a\":1}", 200_000);
    put("b.json", b"\x1F\x8B\x08", 200_000);
    put("c.json.gz", b"\x1F\x8B\x08", 200_000);
    put("d", b"PAR1", 65_537);
    put("e.json", b"{\"a\":1}", 65_536);
    let root = format!("file://{}/", folder.path().display());
    let run = run(&["--uri", &root, "--split-bytes", "64KiB", "--max-objects", "4"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let keys = run.keys_below(&root);
    assert_eq!(
        keys,
        ["a.json", "a.json", "a.json", "a.json", "b.json", "c.json.gz", "d", "d"]
    );
    assert_eq!(run.items[0]["range"]["start"], 0);
    assert_eq!(run.items[3]["range"]["end"], 200_000);
    assert_eq!(run.items[0]["compression"], "none");
    assert!(run.items[4].get("range").is_none());
    assert_eq!(run.items[6]["format"], "parquet");
}
