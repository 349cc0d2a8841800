//! Row groups and pages that no row of can pass a filter, by what the file says of them: these are never read.
//!
//! Only what can't be wrong is believed. Bounds may be truncated, which widens them. A bound that is missing or NaN says
//! nothing. Bounds of the old format, and those without a defined order, count only for signed whole numbers, about whose
//! order there never was a doubt; those of INT96, JSON and UUID never do. Doubles that are NaN are in no bounds, and match
//! nothing but `!=`, which is why `!=` never prunes doubles.

pub(super) mod bloom;
pub(super) mod pages;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
    buffer::BooleanBuffer,
    datatypes::{DataType, Field, Fields, Float32Type, Float64Type},
};
use parquet::{
    arrow::arrow_reader::statistics::StatisticsConverter,
    basic::{ColumnOrder, Type},
    file::metadata::{FileMetaData, RowGroupMetaData},
};

use super::selection;
use crate::{
    batch::EXTENSION,
    predicate::{Literal, Operator, Predicate, Term},
};

/// A term on a column of a plain type, of which bounds may be known.
struct Bounded<'a> {
    term: &'a Term,
    leaf: usize,
    field: &'a Field,
}

/// What is known of the values of some parts of a column: row groups, or pages.
struct Bounds {
    /// For each part, or null.
    least: Option<ArrayRef>,
    most: Option<ArrayRef>,
    nulls: Vec<Nulls>,
}

/// How many values of a part are null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    Unknown,
    None,
    Some,
    All,
}

impl Nulls {
    fn new(nulls: Option<u64>, rows: u64) -> Self {
        match nulls {
            None => Self::Unknown,
            Some(0) if rows > 0 => Self::None,
            Some(nulls) if nulls >= rows => Self::All,
            Some(_) => Self::Some,
        }
    }
}

/// Whether no row of the row group passes, by its statistics.
pub(super) fn impossible(
    predicate: &Predicate,
    fields: &Fields,
    file: &FileMetaData,
    row_group: &RowGroupMetaData,
) -> bool {
    bounded(predicate, fields).any(|bounded| {
        row_group_bounds(&bounded, file, row_group)
            .is_some_and(|bounds| bounded.possible(&bounds).count_set_bits() == 0)
    })
}

fn bounded<'a>(predicate: &'a Predicate, fields: &'a Fields) -> impl Iterator<Item = Bounded<'a>> {
    predicate.terms.iter().filter_map(|term| {
        let (leaf, field) = selection::only_leaf(fields, &term.path)?;
        Some(Bounded { term, leaf, field })
    })
}

fn row_group_bounds(bounded: &Bounded<'_>, file: &FileMetaData, row_group: &RowGroupMetaData) -> Option<Bounds> {
    let statistics = row_group.columns().get(bounded.leaf)?.statistics()?;
    let rows = u64::try_from(row_group.num_rows()).ok()?;
    let nulls = Nulls::new(statistics.null_count_opt(), rows);
    let believed = bounded.is_believed(file, statistics.is_min_max_deprecated());
    let converter = StatisticsConverter::from_column_index(bounded.leaf, bounded.field, file.schema_descr()).ok()?;
    let bound = |bound: Result<ArrayRef, _>| bound.ok().filter(|bound| believed && bound.len() == 1);
    Some(Bounds {
        least: bound(converter.row_group_mins([row_group])),
        most: bound(converter.row_group_maxes([row_group])),
        nulls: vec![nulls],
    })
}

impl Bounded<'_> {
    fn is_believed(&self, file: &FileMetaData, deprecated: bool) -> bool {
        let column = file.schema_descr().column(self.leaf);
        let kind = match self.field.data_type() {
            DataType::Dictionary(_, value) => value.as_ref(),
            kind => kind,
        };
        let is_whole = matches!(column.physical_type(), Type::INT32 | Type::INT64) && !kind.is_unsigned_integer();
        let is_ordered = matches!(
            file.column_order(self.leaf),
            ColumnOrder::TYPE_DEFINED_ORDER(_) | ColumnOrder::IEEE_754_TOTAL_ORDER
        );
        let is_plain = matches!(
            kind,
            DataType::Boolean
                | DataType::Float32
                | DataType::Float64
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Decimal128(..)
                | DataType::Decimal256(..)
                | DataType::Date32
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(..)
        ) || kind.is_integer();
        is_plain
            && column.physical_type() != Type::INT96
            && !self.field.metadata().contains_key(EXTENSION)
            && (is_whole || (is_ordered && !deprecated))
    }

    /// Which of the parts may have a row that passes.
    fn possible(&self, bounds: &Bounds) -> BooleanBuffer {
        let parts = bounds.nulls.len();
        if self.term.holds_for_missing() {
            return BooleanBuffer::collect_bool(parts, |part| bounds.nulls[part] != Nulls::None);
        }
        let some = BooleanBuffer::collect_bool(parts, |part| bounds.nulls[part] != Nulls::All);
        if self.term.literal == Literal::Null {
            return some;
        }
        let least = |operator| self.reached(bounds.least.as_ref(), operator, parts);
        let most = |operator| self.reached(bounds.most.as_ref(), operator, parts);
        let within = match self.term.operator {
            Operator::Less | Operator::LessOrEqual => least(self.term.operator),
            Operator::Greater | Operator::GreaterOrEqual => most(self.term.operator),
            Operator::Equal => &least(Operator::LessOrEqual) & &most(Operator::GreaterOrEqual),
            Operator::NotEqual if self.field.data_type().is_floating() => return some,
            // All values are the literal if both bounds are.
            Operator::NotEqual => &least(Operator::NotEqual) | &most(Operator::NotEqual),
        };
        &some & &within
    }

    /// Which bounds compare so with the literal, or are not known.
    fn reached(&self, bounds: Option<&ArrayRef>, operator: Operator, parts: usize) -> BooleanBuffer {
        let everything = BooleanBuffer::new_set(parts);
        let Some(bounds) = bounds.filter(|bounds| bounds.len() == parts) else {
            return everything;
        };
        let term = Term {
            path: crate::predicate::FieldPath(vec!["bound".to_owned()]),
            operator,
            literal: self.term.literal.clone(),
        };
        let Ok(records) = RecordBatch::try_from_iter([("bound", bounds.clone())]) else {
            return everything;
        };
        let reached: BooleanArray = Predicate { terms: vec![term] }.evaluate(&records);
        let unknown = BooleanBuffer::collect_bool(parts, |part| bounds.is_null(part) || is_nan(bounds, part));
        reached.values() | &unknown
    }
}

fn is_nan(values: &ArrayRef, row: usize) -> bool {
    match values.data_type() {
        DataType::Float32 => values.as_primitive::<Float32Type>().value(row).is_nan(),
        DataType::Float64 => values.as_primitive::<Float64Type>().value(row).is_nan(),
        _ => false,
    }
}
