//! Row groups and pages that no row of can pass a filter, by what the file says of them: these are never read.
//!
//! Only what can't be wrong is believed. Bounds may be truncated, which widens them. A bound that is missing, NaN or infinite
//! says nothing. Bounds of the old format, and those without a defined order, count only for signed whole numbers, about whose
//! order there never was a doubt; those of INT96, JSON and UUID never do. Fractions that are NaN are in no bounds and among no
//! nulls, and are null to a filter, which is why `= null` never prunes fractions.
//!
//! What contradicts itself says nothing at all: bounds of a part that is said to be all null, more nulls than rows, nulls in a
//! column that can have none, a least value above the most, a null page whose nulls are not its rows, pages whose nulls don't
//! add up to the column chunk's. Writers are known for each of these.

pub(super) mod bloom;
pub(super) mod pages;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch},
    buffer::BooleanBuffer,
    compute::kernels::cmp,
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
pub(super) struct Bounds {
    /// For each part, or null.
    pub(super) least: Option<ArrayRef>,
    pub(super) most: Option<ArrayRef>,
    pub(super) nulls: Vec<Nulls>,
}

/// How many values of a part are null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    Unknown,
    None,
    Some,
    All,
}

impl Nulls {
    pub(super) fn new(nulls: Option<u64>, rows: u64, can_be_null: bool) -> Self {
        match nulls {
            None => Self::Unknown,
            Some(0) if rows > 0 => Self::None,
            Some(nulls) if nulls > rows || !can_be_null => Self::Unknown,
            Some(nulls) if nulls == rows => Self::All,
            Some(_) => Self::Some,
        }
    }
}

impl Bounds {
    /// Without what contradicts itself.
    pub(super) fn believable(mut self) -> Self {
        let parts = self.nulls.len();
        let has = |bound: &Option<ArrayRef>, part: usize| {
            bound
                .as_ref()
                .is_some_and(|bound| bound.len() == parts && bound.is_valid(part))
        };
        for part in 0..parts {
            if self.nulls[part] == Nulls::All && (has(&self.least, part) || has(&self.most, part)) {
                self.nulls[part] = Nulls::Unknown;
                (self.least, self.most) = (None, None);
            }
        }
        if let (Some(least), Some(most)) = (&self.least, &self.most)
            && cmp::gt(least, most).map_or(true, |crossed| crossed.true_count() > 0)
        {
            (self.least, self.most) = (None, None);
        }
        self
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
    let nulls = Nulls::new(statistics.null_count_opt(), rows, can_be_null(file, bounded.leaf));
    let believed = bounded.is_believed(file, statistics.is_min_max_deprecated());
    let converter = StatisticsConverter::from_column_index(bounded.leaf, bounded.field, file.schema_descr()).ok()?;
    let bound = |bound: Result<ArrayRef, _>| bound.ok().filter(|bound| believed && bound.len() == 1);
    let bounds = Bounds {
        least: bound(converter.row_group_mins([row_group])),
        most: bound(converter.row_group_maxes([row_group])),
        nulls: vec![nulls],
    };
    Some(bounds.believable())
}

fn can_be_null(file: &FileMetaData, leaf: usize) -> bool {
    file.schema_descr().column(leaf).max_def_level() > 0
}

/// What a column's values are, whether they lie in a dictionary or not.
fn plain(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(_, value) => value.as_ref(),
        kind => kind,
    }
}

impl Bounded<'_> {
    fn is_believed(&self, file: &FileMetaData, deprecated: bool) -> bool {
        let column = file.schema_descr().column(self.leaf);
        let kind = plain(self.field.data_type());
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
        let is_fraction = plain(self.field.data_type()).is_floating();
        if self.term.holds_for_missing() {
            if is_fraction {
                return BooleanBuffer::new_set(parts);
            }
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
            Operator::NotEqual if is_fraction => return some,
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
        let unknown = BooleanBuffer::collect_bool(parts, |part| bounds.is_null(part) || !is_finite(bounds, part));
        reached.values() | &unknown
    }
}

fn is_finite(values: &ArrayRef, row: usize) -> bool {
    match values.data_type() {
        DataType::Float32 => values.as_primitive::<Float32Type>().value(row).is_finite(),
        DataType::Float64 => values.as_primitive::<Float64Type>().value(row).is_finite(),
        _ => true,
    }
}
