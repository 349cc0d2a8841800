//! Access logs: 13 fields, two of them nested, about 394 bytes a record. The same ones in every run.

use std::io::Write;

/// A small generator of numbers that are the same everywhere (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

const METHODS: [&str; 6] = ["GET", "GET", "GET", "POST", "PUT", "DELETE"];
const STATUS: [u16; 8] = [200, 200, 200, 200, 304, 404, 500, 201];
const COUNTRIES: [&str; 5] = ["DE", "FR", "US", "CN", "BR"];
const AGENTS: [&str; 5] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
    "curl/8.5.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15",
    "kube-probe/1.30",
    "python-requests/2.32.3",
];

/// The members of one record: key, and value as JSON.
fn members(record: usize, numbers: &mut Numbers) -> Vec<(&'static str, String)> {
    let milliseconds = 1_704_067_200_000 + record as u64 * 37;
    let seconds = milliseconds / 1000;
    let timestamp = format!(
        "\"2024-01-{:02}T{:02}:{:02}:{:02}.{:03}Z\"",
        1 + (seconds / 86_400) % 28,
        (seconds / 3600) % 24,
        (seconds / 60) % 60,
        seconds % 60,
        milliseconds % 1000
    );
    let [a, b, c, d] = [1, 256, 256, 256].map(|limit| {
        if limit == 1 {
            1 + numbers.below(223)
        } else {
            numbers.below(limit)
        }
    });
    vec![
        ("timestamp", timestamp),
        ("client_ip", format!("\"{a}.{b}.{c}.{d}\"")),
        ("user_id", format!("\"u{:06}\"", numbers.below(1_000_000))),
        ("method", format!("\"{}\"", numbers.pick(&METHODS))),
        (
            "path",
            format!(
                "\"/api/v1/items/{}/detail?page={}&q=\\\"x{}\\\"\"",
                numbers.below(1_000_000),
                numbers.below(50),
                numbers.below(1000)
            ),
        ),
        ("status", numbers.pick(&STATUS).to_string()),
        ("bytes", numbers.below(1 << 20).to_string()),
        ("latency_ms", format!("{:.3}", numbers.below(1_000_000) as f64 / 1000.0)),
        ("user_agent", format!("\"{}\"", numbers.pick(&AGENTS))),
        (
            "host",
            format!(
                "\"edge-{:02}.eu-west-{}.example.net\"",
                numbers.below(64),
                1 + numbers.below(3)
            ),
        ),
        ("tls", (numbers.below(2) == 0).to_string()),
        (
            "geo",
            format!(
                "{{\"country\":\"{}\",\"lat\":{:.4},\"lon\":{:.4}}}",
                numbers.pick(&COUNTRIES),
                numbers.below(1_800_000) as f64 / 1e4 - 90.0,
                numbers.below(3_600_000) as f64 / 1e4 - 180.0
            ),
        ),
        ("tags", format!("[\"prod\",\"t{}\"]", numbers.below(20))),
    ]
}

fn write(text: &mut Vec<u8>, members: &[(&'static str, String)], comma: &str, colon: &str) {
    text.push(b'{');
    for (index, (key, value)) in members.iter().enumerate() {
        let before = if index == 0 { "" } else { comma };
        write!(text, "{before}\"{key}\"{colon}{value}").unwrap();
    }
    text.extend_from_slice(b"}\n");
}

fn records(count: usize, mut each: impl FnMut(&mut Vec<u8>, Vec<(&'static str, String)>, &mut Numbers)) -> Vec<u8> {
    let mut numbers = Numbers(88_172_645_463_325_252);
    let mut text = Vec::with_capacity(count * 420);
    for record in 0..count {
        let members = members(record, &mut numbers);
        each(&mut text, members, &mut numbers);
    }
    text
}

/// Each record of the same shape.
pub(crate) fn steady(count: usize) -> Vec<u8> {
    records(count, |text, members, _| write(text, &members, ",", ":"))
}

/// The same records, with the spaces that Python's json module writes.
pub(crate) fn spaced(count: usize) -> Vec<u8> {
    records(count, |text, mut members, _| {
        for (_, value) in &mut members {
            if value.starts_with(['{', '[']) {
                *value = value.replace(',', ", ").replace(':', ": ");
            }
        }
        write(text, &members, ", ", ": ");
    })
}

/// The same records, with the keys of each in an order of its own, and a third of them missing.
pub(crate) fn random(count: usize) -> Vec<u8> {
    records(count, |text, mut members, numbers| {
        for index in (1..members.len()).rev() {
            members.swap(index, numbers.below(index as u64 + 1) as usize);
        }
        members.retain(|_| numbers.below(3) != 0);
        write(text, &members, ",", ":");
    })
}
