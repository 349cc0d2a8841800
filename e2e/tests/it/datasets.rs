//! Real published data, read by us and by DuckDB: counts, sums and lengths must be the same.

use std::{fs, path::Path};

use serde_json::Value;

use super::{
    oracle::{lines_from_array, parquet_from_csv, published, query},
    programs::{Outcome, file_uri, pipe},
};

/// A published file, and what is compared.
pub(crate) struct Dataset {
    source: &'static str,
    /// Columns whose numbers are counted and summed.
    numbers: &'static [&'static str],
    /// Columns whose texts are counted and measured.
    texts: &'static [&'static str],
    /// The same condition as `--filter` takes it and in SQL.
    filter: (&'static str, &'static str),
}

const FLIGHTS_PARQUET: Dataset = Dataset {
    source: "flights-3m.parquet",
    numbers: &["delay", "distance"],
    texts: &["origin", "destination"],
    filter: (
        "delay >= 60 and origin = SFO and date >= 2001-02-01",
        "delay >= 60 and origin = 'SFO' and date >= '2001-02-01'",
    ),
};
pub(crate) const FLIGHTS_JSON: Dataset = Dataset {
    source: "flights-200k.json",
    numbers: &["delay", "distance", "time"],
    texts: &[],
    filter: ("delay > 30 and time < 12.5", "delay > 30 and time < 12.5"),
};
pub(crate) const MOVIES: Dataset = Dataset {
    source: "movies.json",
    numbers: &["US Gross", "IMDB Rating", "IMDB Votes"],
    texts: &["Director", "Release Date"],
    filter: ("\"US Gross\" > 1000000", "\"US Gross\" > 1000000"),
};
pub(crate) const BIRDSTRIKES: Dataset = Dataset {
    source: "birdstrikes.csv",
    numbers: &["Cost Total $", "Speed IAS in knots"],
    texts: &["Airport Name", "Wildlife Species"],
    filter: (
        "\"Cost Total $\" > 0 and \"Wildlife Size\" = Large",
        "\"Cost Total $\" > 0 and \"Wildlife Size\" = 'Large'",
    ),
};
const ZIPCODES: Dataset = Dataset {
    source: "zipcodes.csv",
    numbers: &["zip_code", "latitude", "longitude"],
    texts: &["city", "state"],
    filter: ("state = CA and latitude < 33.5", "state = 'CA' and latitude < 33.5"),
};

impl Dataset {
    /// Puts the data set into the folder in a format that we read, and says under which name.
    pub(crate) fn put_into(&self, folder: &Path) -> String {
        let source = published(self.source);
        let (stem, extension) = self.source.rsplit_once('.').unwrap();
        let name = match extension {
            "json" => format!("{stem}.ndjson"),
            _ => format!("{stem}.parquet"),
        };
        let target = folder.join(&name);
        match extension {
            "json" => lines_from_array(&source, &target),
            "csv" => parquet_from_csv(&source, &target),
            _ => drop(fs::copy(source, target).unwrap()),
        }
        name
    }

    /// What DuckDB says of the columns, in the order of [`Self::ours`].
    pub(crate) fn theirs(&self, file: &Path) -> Vec<(String, f64)> {
        let mut terms = vec!["count(*) AS records".to_owned()];
        for column in self.numbers {
            terms.push(format!("count(\"{column}\") AS \"{column} count\""));
            terms.push(format!("sum(\"{column}\")::DOUBLE AS \"{column} sum\""));
        }
        for column in self.texts {
            terms.push(format!("count(\"{column}\") AS \"{column} count\""));
            terms.push(format!("sum(strlen(\"{column}\"))::DOUBLE AS \"{column} bytes\""));
        }
        let sql = format!("SELECT {} FROM records", terms.join(", "));
        let answer = query(&sql, &[file.to_path_buf()]).remove(0);
        let name = |term: &String| term.rsplit_once(" AS ").unwrap().1.trim_matches('"').to_owned();
        terms
            .iter()
            .map(name)
            .map(|name| {
                let number = answer[&name].as_f64().unwrap();
                (name, number)
            })
            .collect()
    }

    /// The same from the documents that came out of the worker.
    pub(crate) fn ours(&self, outcome: &Outcome) -> Vec<(String, f64)> {
        let records = outcome.records();
        let mut found = vec![("records".to_owned(), records.len() as f64)];
        let present = |column: &str| {
            let column = column.to_owned();
            records
                .iter()
                .map(move |record| record[&column].clone())
                .filter(|value| !value.is_null())
                .collect::<Vec<Value>>()
        };
        for column in self.numbers {
            let values = present(column);
            found.push((format!("{column} count"), values.len() as f64));
            found.push((
                format!("{column} sum"),
                values.iter().map(|value| value.as_f64().unwrap()).sum(),
            ));
        }
        for column in self.texts {
            let values = present(column);
            found.push((format!("{column} count"), values.len() as f64));
            found.push((
                format!("{column} bytes"),
                values.iter().map(|value| value.as_str().unwrap().len() as f64).sum(),
            ));
        }
        found
    }

    /// Reads the data set from a folder of files in every way, and compares each with DuckDB.
    fn check(&self) {
        let folder = tempfile::tempdir().unwrap();
        let name = self.put_into(folder.path());
        let file = folder.path().join(&name);
        let expected = self.theirs(&file);
        let uri = file_uri(folder.path());

        let whole = pipe(&["--uri", &uri], &["--destination", "stdout"]).success();
        assert_same(&self.ours(&whole), &expected);

        let split = ["--uri", &uri, "--split-bytes", "1MB"];
        let columns = [self.numbers, self.texts]
            .concat()
            .iter()
            .map(quoted_path)
            .collect::<Vec<_>>()
            .join(",");
        let columns = ["--destination", "stdout", "--columns", &columns, "--threads", "3"];
        assert_same(&self.ours(&pipe(&split, &columns).success()), &expected);

        let (flag, sql) = self.filter;
        let matching = query(&format!("SELECT count(*) AS n FROM records WHERE {sql}"), &[file]);
        let matching = matching[0]["n"].as_u64().unwrap();
        assert!(matching > 0, "the filter must let something through");
        let stats = pipe(&["--uri", &uri], &["--destination", "stats", "--filter", flag])
            .success()
            .stats();
        assert_eq!(stats.count("records_out"), matching);
        assert_eq!(stats.count("records_in"), expected[0].1 as u64);
        assert_eq!(stats.count("records_filtered"), expected[0].1 as u64 - matching);
        assert_eq!(stats.count("objects"), 1);
        assert_eq!(stats.count("records_rejected") + stats.count("objects_failed"), 0);
    }
}

/// A key as a path: in quotes, in case it has a dot or a space.
fn quoted_path(column: &&str) -> String {
    format!("\"{column}\"")
}

/// Sums of floating-point numbers depend on their order: the last digits may differ.
#[track_caller]
pub(crate) fn assert_same(ours: &[(String, f64)], theirs: &[(String, f64)]) {
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        let difference = (ours.1 - theirs.1).abs() / theirs.1.abs().max(1.0);
        assert!(ours.0 == theirs.0 && difference < 1e-9, "{ours:?} is not {theirs:?}");
    }
}

#[test]
fn three_million_flights_in_parquet_are_what_duckdb_says() {
    FLIGHTS_PARQUET.check();
}

#[test]
fn flights_in_ndjson_are_what_duckdb_says() {
    FLIGHTS_JSON.check();
}

#[test]
fn movies_in_ndjson_whose_titles_are_sometimes_numbers_are_what_duckdb_says() {
    MOVIES.check();
}

#[test]
fn bird_strikes_in_parquet_by_pyarrow_are_what_duckdb_says() {
    BIRDSTRIKES.check();
}

#[test]
fn zip_codes_in_parquet_by_pyarrow_are_what_duckdb_says() {
    ZIPCODES.check();
}
