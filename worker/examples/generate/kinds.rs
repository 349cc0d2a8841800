//! The kinds of data: what fields their records have and how the values are spread.

use std::fmt::Write as _;

use clap::ValueEnum;

use crate::record::{Draw, Field};

/// A kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Web access logs, some 430 bytes a record: nested objects, arrays, unicode, escapes, integers beyond 2^53, and keys
    /// that first appear at record 1,001 and at record 1,000,001.
    AccessLogs,
    /// One column that goes from integer to float to text over the records, and one of any type in each record.
    Drift,
    /// 200 columns of which a record has about 40, in random order: no two records look alike.
    Wide,
}

impl Kind {
    /// The fields of a record, in order.
    pub(crate) fn fields(self) -> Vec<Field> {
        match self {
            Self::AccessLogs => access_logs(),
            Self::Drift => drift(),
            Self::Wide => wide(),
        }
    }

    /// Whether each record has its keys in an order of its own (in NDJSON; columns have but one).
    pub(crate) fn shuffles_keys(self) -> bool {
        self == Self::Wide
    }
}

/// The first record that has `trace`.
const TRACE_FROM: u64 = 1_000;
/// The first record that has `experiment`.
const EXPERIMENT_FROM: u64 = 1_000_000;
/// 2^53: up to here every integer is a double too.
const EXACT_IN_DOUBLE: i64 = 1 << 53;

const METHODS: [&str; 6] = ["GET", "GET", "GET", "POST", "PUT", "DELETE"];
const STATUSES: [i64; 8] = [200, 200, 200, 200, 304, 404, 500, 201];
const USER_AGENTS: [&str; 6] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "curl/8.5.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15",
    "kube-probe/1.30",
    "python-requests/2.32.3",
    "Bot \u{1f916} \"à la carte\"\tv1\\2",
];
const COUNTRIES: [&str; 5] = ["DE", "FR", "US", "CN", "BR"];
const WORDS: [&str; 8] = [
    "apple",
    "größe",
    "日本",
    "naïve",
    "a/b",
    "tab\there",
    "line\nbreak",
    "\u{1f600}",
];

/// Writing to a string cannot fail.
macro_rules! put {
    ($text:expr, $($format:tt)*) => { write!($text, $($format)*).expect("writing to a string cannot fail") };
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

fn timestamp(draw: &mut Draw, text: &mut String) {
    let time = jiff::Timestamp::from_millisecond(draw.row.time_ms as i64).expect("generated times lie in this century");
    put!(text, "{time:.3}");
}

fn access_logs() -> Vec<Field> {
    vec![
        Field::text("timestamp", timestamp),
        Field::text("client_ip", |d, text| {
            put!(
                text,
                "{}.{}.{}.{}",
                1 + d.below(223),
                d.below(256),
                d.below(256),
                d.below(256)
            );
        }),
        Field::text("user_id", |d, text| put!(text, "u{:06}", d.below(1_000_000))),
        Field::text("method", |d, text| text.push_str(d.pick(&METHODS))),
        Field::text("path", |d, text| {
            put!(
                text,
                "/api/v1/items/{}/detail?page={}&q=",
                d.below(1_000_000),
                d.below(50)
            );
            if d.once_in(20) {
                text.push_str(d.pick(&WORDS));
            } else {
                put!(text, "\"x{}\"", d.below(1_000));
            }
        }),
        Field::int("status", |d| d.pick(&STATUSES)),
        Field::int("bytes", |d| d.below(1 << 20) as i64),
        Field::int("request_id", |d| EXACT_IN_DOUBLE + (d.next() >> 2) as i64),
        Field::float("latency_ms", |d| rounded(d.below(1_000_000) as f64 / 1_000.0, 3)),
        Field::text("user_agent", |d, text| text.push_str(d.pick(&USER_AGENTS))),
        Field::text("host", |d, text| {
            put!(text, "edge-{:02}.eu-west-{}.example.net", d.below(64), 1 + d.below(3));
        }),
        Field::bool("tls", |d| d.once_in(2)),
        Field::group(
            "geo",
            vec![
                Field::text("country", |d, text| text.push_str(d.pick(&COUNTRIES))),
                Field::float("lat", |d| rounded(d.below(1_800_000) as f64 / 1e4 - 90.0, 4)),
                Field::float("lon", |d| rounded(d.below(3_600_000) as f64 / 1e4 - 180.0, 4)),
            ],
        ),
        Field::texts("tags", |d, texts| {
            if !d.once_in(16) {
                put!(texts, "prod\0t{}\0", d.below(20));
            }
        }),
        Field::group(
            "trace",
            vec![
                Field::text("id", |d, text| put!(text, "{:016x}", d.next())),
                Field::bool("sampled", |d| d.once_in(10)).when(|d| !d.once_in(3)),
            ],
        )
        .when(|d| d.row.index >= TRACE_FROM && d.once_in(5)),
        Field::text("experiment", |d, text| put!(text, "variant-{}", d.below(4)))
            .when(|d| d.row.index >= EXPERIMENT_FROM && d.once_in(3)),
    ]
}

/// Values of every JSON type, and numbers whose spelling says more than a double can.
const MIXED: [&str; 14] = [
    "1",
    "1.0",
    "-0.0",
    "1e400",
    "18446744073709551616",
    "0.1000000000000000055511151231257827",
    "true",
    "false",
    "\"text\"",
    "\"\\u00fc\\n\\\"\\ud83d\\ude00\"",
    "[1,\"two\",[3.0,null]]",
    "{\"a\":1,\"b\":{\"c\":[]}}",
    "[]",
    "{}",
];

fn drift() -> Vec<Field> {
    vec![
        Field::text("timestamp", timestamp),
        Field::int("id", |d| d.row.index as i64),
        Field::json("value", |d, text| match d.row.index * 3 / d.row.total {
            0 => put!(text, "{}", d.below(1_000_000)),
            1 => put!(text, "{:?}", rounded(d.below(1_000_000) as f64 / 100.0, 2)),
            _ => put!(text, "\"v{}\"", d.below(1_000)),
        }),
        Field::json("mixed", |d, text| text.push_str(d.pick(&MIXED))),
        Field::group(
            "nested",
            vec![
                Field::json("code", |d, text| {
                    if d.once_in(100) {
                        put!(text, "\"E{}\"", d.below(100));
                    } else {
                        put!(text, "{}", d.below(100));
                    }
                }),
                Field::int("steady", |d| d.below(10) as i64),
            ],
        ),
    ]
}

const WIDE_COLUMNS: u64 = 200;

fn wide() -> Vec<Field> {
    // The first one is in each record: no record shall be empty.
    let mut fields = vec![Field::int("id", |d| d.row.index as i64)];
    fields.extend((0..WIDE_COLUMNS).map(|column| {
        let name = format!("{}_{column:03}", WORDS[(column % 4) as usize]);
        let field = match column % 4 {
            0 => Field::int(name, |d| d.below(1 << 40) as i64),
            1 => Field::float(name, |d| rounded(d.below(1 << 30) as f64 / 1e3, 3)),
            2 => Field::bool(name, |d| d.once_in(2)),
            _ => Field::text(name, |d, text| put!(text, "{} {}", d.pick(&WORDS), d.below(10_000))),
        };
        field.when(|d| d.once_in(5))
    }));
    fields
}
