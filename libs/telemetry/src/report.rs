//! Reports: what a program says of its work once, a table for a person and JSON for a program. Text only; writing it to
//! standard output is the program's.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _},
};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// The report as whoever reads standard output wants it, its newline included: its table on a terminal, else its JSON.
pub fn text(report: &(impl Display + Serialize)) -> serde_json::Result<String> {
    let text = if io::stdout().is_terminal() {
        report.to_string()
    } else {
        serde_json::to_string(report)?
    };
    Ok(text + "\n")
}

/// A table of names and their values, which stand at the right.
pub fn table(rows: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}
