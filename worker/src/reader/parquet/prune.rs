//! Row groups that no row of can pass a filter, by their statistics: these are never read.
//!
//! Only what can't be wrong is believed. Bounds may be truncated, which widens them; without bounds, or with those of the
//! old format (whose order is not defined for all types), nothing follows. Bounds of doubles are left alone for NaN's sake.

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    datatypes::Fields,
};
use parquet::{
    arrow::arrow_reader::statistics::StatisticsConverter, file::metadata::RowGroupMetaData,
    schema::types::SchemaDescriptor,
};

use super::selection;
use crate::predicate::{Literal, Operator, Predicate, Term};

/// Whether no row of the row group passes.
pub(super) fn impossible(
    predicate: &Predicate,
    fields: &Fields,
    schema: &SchemaDescriptor,
    row_group: &RowGroupMetaData,
) -> bool {
    predicate
        .terms
        .iter()
        .any(|term| term_impossible(term, fields, schema, row_group).unwrap_or(false))
}

/// `None` if nothing is known.
fn term_impossible(
    term: &Term,
    fields: &Fields,
    schema: &SchemaDescriptor,
    row_group: &RowGroupMetaData,
) -> Option<bool> {
    let (leaf, field) = selection::only_leaf(fields, &term.path)?;
    let statistics = row_group.columns().get(leaf)?.statistics()?;
    let nulls = statistics.null_count_opt();
    if term.holds_for_missing() {
        return Some(nulls? == 0);
    }
    if nulls.is_some_and(|nulls| i64::try_from(nulls) == Ok(row_group.num_rows())) {
        return Some(true);
    }
    if statistics.is_min_max_deprecated() || field.data_type().is_floating() || term.literal == Literal::Null {
        return None;
    }
    let converter = StatisticsConverter::from_column_index(leaf, field, schema).ok()?;
    let reaches = |bound: ArrayRef, operator| -> Option<bool> {
        if bound.len() != 1 || bound.is_null(0) {
            return None;
        }
        let records = RecordBatch::try_from_iter([("bound", bound)]).ok()?;
        let terms = vec![Term {
            path: "bound".parse().ok()?,
            operator,
            literal: term.literal.clone(),
        }];
        Some(Predicate { terms }.evaluate(&records).value(0))
    };
    let least = |operator| reaches(converter.row_group_mins([row_group]).ok()?, operator);
    let most = |operator| reaches(converter.row_group_maxes([row_group]).ok()?, operator);
    let possible = match term.operator {
        Operator::Less | Operator::LessOrEqual => least(term.operator)?,
        Operator::Greater | Operator::GreaterOrEqual => most(term.operator)?,
        Operator::Equal => least(Operator::LessOrEqual)? && most(Operator::GreaterOrEqual)?,
        Operator::NotEqual => return None,
    };
    Some(!possible)
}
