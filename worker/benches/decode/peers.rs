//! DuckDB and pyarrow, in a Python process that lives as long as the benchmark and times its own work, on one thread.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

const LOOP: &str = r#"
import sys, time, duckdb, pyarrow, pyarrow.json
connection = duckdb.connect(config={"threads": 1})
sql = connection.sql
for line in sys.stdin:
    work = compile(line, "<work>", "eval")
    start = time.perf_counter()
    result = eval(work)
    print(time.perf_counter() - start, flush=True)
    del result
"#;

const COLUMNS: &str = "{timestamp: 'VARCHAR', client_ip: 'VARCHAR', user_id: 'VARCHAR', method: 'VARCHAR', path: 'VARCHAR', \
    status: 'BIGINT', bytes: 'BIGINT', latency_ms: 'DOUBLE', user_agent: 'VARCHAR', host: 'VARCHAR', tls: 'BOOLEAN', \
    geo: 'STRUCT(country VARCHAR, lat DOUBLE, lon DOUBLE)', tags: 'VARCHAR[]'}";

/// The Python process.
pub(crate) struct Python {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Python {
    /// Starts the interpreter that `e2e/python/install` has set up.
    pub(crate) fn start() -> Self {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
        let python = cache.unwrap().join("paraflow/tools/python/bin/python");
        let mut child = Command::new(&python)
            .args(["-c", LOOP])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; e2e/python/install installs it", python.display()));
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    /// Evaluates an expression and returns the time that it took.
    pub(crate) fn run(&mut self, expression: &str) -> Duration {
        writeln!(self.input.as_mut().unwrap(), "{expression}").unwrap();
        let mut seconds = String::new();
        self.output.read_line(&mut seconds).unwrap();
        Duration::from_secs_f64(
            seconds
                .trim()
                .parse()
                .expect("the Python process says what is wrong on stderr"),
        )
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.input = None;
        self.child.wait().unwrap();
    }
}

/// All fields into an Arrow table.
pub(crate) fn duckdb_all(path: &str) -> String {
    format!(r#"sql("select * from read_ndjson('{path}', columns={COLUMNS})").to_arrow_table()"#)
}

/// The number of records with a status of 500 or more.
pub(crate) fn duckdb_count(path: &str) -> String {
    format!(
        r#"sql("select count(*) from read_ndjson('{path}', columns={{status: 'BIGINT'}}) where status >= 500").fetchall()"#
    )
}

/// All fields into an Arrow table.
pub(crate) fn pyarrow_all(path: &str) -> String {
    format!(r#"pyarrow.json.read_json("{path}", read_options=pyarrow.json.ReadOptions(use_threads=False))"#)
}
