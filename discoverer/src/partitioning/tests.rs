//! Partitioning against a model that knows all keys, and takes each by reading it alone.

use std::collections::BTreeSet;

use jiff::{civil::date, tz::TimeZone};
use proptest::prelude::*;

use super::*;
use crate::filter::TIME;

fn partitioning(expression: &str, filters: &[&str]) -> anyhow::Result<Partitioning> {
    let filters: Vec<String> = filters.iter().map(|&filter| filter.to_owned()).collect();
    Partitioning::new(expression, Filters::new(&filters, TimeZone::UTC)?)
}

/// Walks as the listing does, over a set of keys; returns the keys in the order of their finding, and the leaves.
fn walk(partitioning: &Partitioning, keys: &BTreeSet<String>) -> (Vec<String>, Vec<String>) {
    let mut found = Vec::new();
    let mut leaves = Vec::new();
    let mut open = vec![Partitioning::start()];
    while let Some(node) = open.pop() {
        match partitioning.step(node) {
            Step::Children(children) => open.extend(children.into_iter().rev()),
            Step::Leaf(node) => {
                let below = keys.iter().filter(|key| key.starts_with(&node.prefix));
                let taken = below.filter(|key| partitioning.read(key).is_some_and(|read| read.belongs_to(&node.cuts)));
                found.extend(taken.cloned());
                leaves.push(node.prefix);
            }
            Step::Discover(node) => {
                let folders: BTreeSet<&str> = keys
                    .iter()
                    .filter(|key| key.starts_with(&node.prefix))
                    .filter_map(|key| {
                        key[node.prefix.len()..]
                            .find('/')
                            .map(|at| &key[..=node.prefix.len() + at])
                    })
                    .collect();
                open.extend(
                    folders
                        .into_iter()
                        .rev()
                        .filter_map(|folder| partitioning.folder(&node, folder).ok()),
                );
            }
        }
    }
    (found, leaves)
}

fn keys(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|&key| key.to_owned()).collect()
}

/// Keys of every hour of some days, as the expression renders them.
fn hourly(partitioning: &Partitioning, days: i64) -> Vec<(DateTime, String)> {
    let first = date(2023, 12, 30).at(0, 0, 0, 0);
    let render = |hour: i64| {
        let time = first.checked_add(jiff::Span::new().hours(hour)).unwrap();
        let known = Known {
            year: Some(time.year()),
            month: Some(time.month()),
            day: Some(time.day()),
            day_of_year: Some(time.day_of_year()),
            hour: Some(time.hour()),
            minute: Some(0),
            values: BTreeMap::new(),
        };
        (time, format!("{}x.json", text_of(&known, &partitioning.pieces)))
    };
    (0..days * 24).map(render).collect()
}

#[test]
fn a_day_range_expands_to_its_hours_in_order_and_to_nothing_else() {
    let partitioning = partitioning(
        "a//d=${_time:%Y-%m-%d}/h=${_time:%H}/",
        &["_time=2024-02-28..2024-02-29"],
    )
    .unwrap();
    let (_, leaves) = walk(&partitioning, &BTreeSet::new());
    assert_eq!(leaves.len(), 48);
    assert_eq!(leaves[0], "a//d=2024-02-28/h=00/");
    assert_eq!(leaves[47], "a//d=2024-02-29/h=23/");
    assert!(leaves.is_sorted());
}

#[test]
fn values_with_special_characters_are_found_as_they_are() {
    let world = keys(&["r=a b/x", "r=a%20b/x", "r=a+b/x", "r=ü=1/x", "r=/x", "s=a b/x"]);
    let filtered = partitioning("r=${r}/", &["r=a b,ü=1,a+b"]).unwrap();
    assert_eq!(
        walk(&filtered, &world).0,
        ["r=a b/x", "r=a%20b/x", "r=a+b/x", "r=ü=1/x"]
    );
    let encoded = partitioning("r=${r}/", &["r=a%20b"]).unwrap();
    assert_eq!(walk(&encoded, &world).0, ["r=a%20b/x"]);
    let free = partitioning("r=${r}/", &[]).unwrap();
    assert_eq!(walk(&free, &world).0, ["r=a b/x", "r=a%20b/x", "r=a+b/x", "r=ü=1/x"]);
    for (key, value) in [
        ("r=ü=1/x", Some("ü=1")),
        ("r=a%20b%2Fc/x", Some("a b/c")),
        ("r=100%/x", Some("100%")),
        ("r=__HIVE_DEFAULT_PARTITION__/x", None),
    ] {
        let read = free.read(key).unwrap();
        assert_eq!(free.partition(read).get("r").map(String::as_str), value, "{key}");
    }
}

#[test]
fn look_alikes_are_not_taken_without_a_slash() {
    let world = keys(&["MONTH=1/x", "MONTH=10/x", "MONTH=1", "MONTH=11.json"]);
    let partitioning = partitioning("MONTH=${month}", &["month=1"]).unwrap();
    assert_eq!(walk(&partitioning, &world).0, ["MONTH=1", "MONTH=1/x"]);
}

#[test]
fn open_ranges_and_missing_filters_are_discovered_and_odd_folders_left_out() {
    let world = keys(&[
        "t=2023-12-31/x",
        "t=2024-01-01/x",
        "t=2025-06-01/x",
        "t=2024-02-30/x",
        "t=tomorrow/x",
    ]);
    let open = partitioning("t=${_time:%Y-%m-%d}/", &["_time=2024-01-01.."]).unwrap();
    assert_eq!(walk(&open, &world).0, ["t=2024-01-01/x", "t=2025-06-01/x"]);
    let free = partitioning("t=${_time:%Y-%m-%d}/", &[]).unwrap();
    assert_eq!(
        walk(&free, &world).0,
        ["t=2023-12-31/x", "t=2024-01-01/x", "t=2025-06-01/x"]
    );
    let read = free.read("t=2025-06-01/x").unwrap();
    assert_eq!(free.partition(read)[TIME], "2025-06-01T00:00:00Z");
}

#[test]
fn minutes_over_years_are_expanded_lazily() {
    let partitioning = partitioning("${_time:%Y%m%d%H%M}", &["_time=1970..2069"]).unwrap();
    let mut open = vec![Partitioning::start()];
    let mut leaves = 0;
    while let Some(node) = open.pop() {
        assert!(open.len() < 500);
        match partitioning.step(node) {
            Step::Children(children) => open.extend(children.into_iter().rev()),
            Step::Leaf(_) => leaves += 1,
            Step::Discover(node) => panic!("{node:?}"),
        }
        if leaves == 3000 {
            return;
        }
    }
    panic!("too few leaves");
}

#[test]
fn bad_expressions_and_filters_without_placeholder_are_refused() {
    for expression in [
        "${",
        "${}",
        "${_time}",
        "${_time:}",
        "${_time:x}",
        "${_time:%Q}",
        "${_time:%m}",
        "${_time:%Y%d}",
        "${_time:%Y%H}",
        "${_time:%Y%m%d%M}",
        "${a}${b}",
        "${a b}",
        "${_time:%",
    ] {
        assert!(partitioning(expression, &[]).is_err(), "{expression}");
    }
    let error = format!("{:#}", partitioning("r=${region}/", &["regoin=eu"]).unwrap_err());
    assert!(error.contains("regoin") && error.contains("r=${region}/"), "{error}");
}

#[test]
fn a_text_of_many_separators_is_read_without_trying_every_way_to_cut_it() {
    let dashes = "-".repeat(300);
    let gone = partitioning("${a}-${b}-${c}-${d}-${e}.gz", &[]).unwrap();
    assert!(gone.read(&dashes).is_none());
    assert!(gone.read(&format!("{dashes}.gz")).is_some());
    // The same in a folder that is discovered, with a value that comes again.
    let folder = partitioning("${a}-${b}-${c}-${d}/${b}/", &[]).unwrap();
    let node = folder
        .folder(&discovered(&folder), &format!("{}/", "-".repeat(60)))
        .unwrap();
    let Step::Children(children) = folder.step(node) else {
        panic!("the value is known from the folder above");
    };
    assert_eq!(children.len(), 54);
}

/// The node of the first folder that has to be discovered.
fn discovered(partitioning: &Partitioning) -> Node {
    match partitioning.step(Partitioning::start()) {
        Step::Discover(node) => node,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>(), near in r"[${}_time:%YmdHMj/a-]{0,30}", key in any::<String>()) {
        for expression in [text, near] {
            if let Ok(partitioning) = partitioning(&expression, &[]) {
                partitioning.read(&key);
            }
        }
    }

    #[test]
    fn hours_of_a_range_are_found_exactly(
        expression in prop::sample::select(vec![
            "${_time:%Y/%m/%d/%H}/", "h=${_time:%H}/d=${_time:%d}/m=${_time:%m}/y=${_time:%Y}/", "${_time:%y%j}//${_time:%H}/",
            "YEAR=${_time:%Y}/${_time:%Y-%m-%dT%H}-", "${_time:%Y-%m-%d}/${_time:%H%M}",
        ]),
        start in 0_i64..96, hours in 1_i64..60, open in 0..3,
    ) {
        let first = date(2023, 12, 30).at(0, 0, 0, 0);
        let at = |hour| first.checked_add(jiff::Span::new().hours(hour)).unwrap();
        let (low, high) = (at(start), at(start + hours - 1));
        let name = |time: DateTime| time.strftime("%Y-%m-%dT%H").to_string();
        let filter = match open {
            0 => format!("_time={}..{}", name(low), name(high)),
            1 => format!("_time={}..", name(low)),
            _ => format!("_time=..{}", name(high)),
        };
        let partitioning = partitioning(expression, &[&filter]).unwrap();
        let world = hourly(&partitioning, 5);
        let all = world.iter().map(|(_, key)| key.clone()).collect();
        let mut expected: Vec<String> = world.into_iter()
            .filter(|(time, _)| (open == 2 || *time >= low) && (open == 1 || *time <= high))
            .map(|(_, key)| key).collect();
        let (mut found, _) = walk(&partitioning, &all);
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn every_key_that_reads_as_the_expression_is_found_once(
        expression in prop::sample::select(vec![
            "a=${a}/b=${b}/", "${a}-${b}", "${a}-${b}/${a}", "x${a}/${b}-", "${a}/${b}", "${b}-x/${a}/",
        ]),
        filters in prop::sample::select(vec![
            vec![], vec!["a=x-1", "b=2"], vec!["a=x%2D1,2"], vec!["a=1:2,1"], vec!["a=1,1-2"], vec!["b=2-1,1", "a=1,1-2,2"], vec!["b=x,2"],
        ]),
        world in prop::collection::btree_set("(a=|x)?[12x]{1,2}((-|:|%2d|%3A|%3a)[12x]){0,2}/?(b=)?[12x](-[12x])?/?[12x]?", 0..80),
    ) {
        let partitioning = partitioning(expression, &filters).unwrap();
        let (mut found, _) = walk(&partitioning, &world);
        found.sort();
        let expected: Vec<String> = world.into_iter().filter(|key| partitioning.read(key).is_some()).collect();
        prop_assert_eq!(found, expected);
    }
}
