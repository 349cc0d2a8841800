//! Records as a Parquet file, written column by column.
//!
//! Arrow's writer holds a whole row group, encoded, until its last row is in. Here every column of a row group is made
//! from the first row to the last before the next one begins, and its pages leave as they fill: a row group of 1 GB costs
//! some MB of memory.

use std::{io::Write, ops::Range, sync::Arc};

use anyhow::{Context as _, Result};
use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel},
    data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type},
    file::{
        properties::{WriterProperties, WriterPropertiesPtr},
        writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{Type, TypePtr},
};

use crate::record::{Content, Field, Row};

/// Rows that are handed to the writer at once.
const ROWS_AT_ONCE: u64 = 4096;
/// Rows of the trial that tells how many bytes a row takes in Parquet.
const TRIAL_ROWS: u64 = 16 * 1024;

/// Writes the rows as one Parquet file, in row groups of about `row_group_bytes` (uncompressed pages).
pub(crate) fn write(
    fields: &[Field],
    rows: Range<u64>,
    row: &dyn Fn(u64) -> Row,
    row_group_bytes: u64,
    out: impl Write + Send,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let group_rows = rows_per_group(fields, &rows, row, row_group_bytes)?;
    let mut file = SerializedFileWriter::new(out, schema(fields)?, properties()?).context("cannot start the file")?;
    let mut start = rows.start;
    while start < rows.end {
        let end = rows.end.min(start + group_rows);
        let mut group = file.next_row_group().context("cannot start a row group")?;
        write_group(&mut group, fields, start..end, row, progress)?;
        group.close().context("cannot end a row group")?;
        start = end;
    }
    file.close().context("cannot write the footer")?;
    Ok(())
}

fn properties() -> Result<WriterPropertiesPtr> {
    let level = ZstdLevel::try_new(1).context("zstd has a level 1")?;
    Ok(Arc::new(
        WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .build(),
    ))
}

fn rows_per_group(fields: &[Field], rows: &Range<u64>, row: &dyn Fn(u64) -> Row, row_group_bytes: u64) -> Result<u64> {
    let trial = rows.start..rows.end.min(rows.start + TRIAL_ROWS);
    if trial.is_empty() {
        return Ok(1);
    }
    let trial_rows = trial.end - trial.start;
    let mut file = SerializedFileWriter::new(std::io::sink(), schema(fields)?, properties()?)?;
    let mut group = file.next_row_group()?;
    write_group(&mut group, fields, trial, row, &mut |_| ())?;
    let bytes = group.close()?.total_byte_size() as u64;
    Ok((row_group_bytes.saturating_mul(trial_rows) / bytes.max(1)).max(1))
}

fn schema(fields: &[Field]) -> Result<TypePtr> {
    let fields = fields.iter().map(parquet_type).collect::<Result<_>>()?;
    Ok(Arc::new(
        Type::group_type_builder("record").with_fields(fields).build()?,
    ))
}

fn parquet_type(field: &Field) -> Result<TypePtr> {
    let repetition = if field.is_optional() {
        Repetition::OPTIONAL
    } else {
        Repetition::REQUIRED
    };
    let leaf = |physical, logical| {
        Type::primitive_type_builder(&field.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
    };
    let made = match &field.content {
        Content::Bool(_) => leaf(Physical::BOOLEAN, None)?,
        Content::Int(_) => leaf(Physical::INT64, None)?,
        Content::Float(_) => leaf(Physical::DOUBLE, None)?,
        Content::Text(_) => leaf(Physical::BYTE_ARRAY, Some(LogicalType::String))?,
        Content::Json(_) => leaf(Physical::BYTE_ARRAY, Some(LogicalType::Json))?,
        Content::Texts(_) => {
            let element = Type::primitive_type_builder("element", Physical::BYTE_ARRAY)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(LogicalType::String))
                .build()?;
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![Arc::new(element)])
                .build()?;
            Type::group_type_builder(&field.name)
                .with_repetition(repetition)
                .with_logical_type(Some(LogicalType::List))
                .with_fields(vec![Arc::new(list)])
                .build()?
        }
        Content::Group(fields) => Type::group_type_builder(&field.name)
            .with_repetition(repetition)
            .with_fields(fields.iter().map(parquet_type).collect::<Result<_>>()?)
            .build()?,
    };
    Ok(Arc::new(made))
}

fn write_group<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    fields: &[Field],
    rows: Range<u64>,
    row: &dyn Fn(u64) -> Row,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut leaves = Vec::new();
    collect_leaves(fields, &mut Vec::new(), &mut leaves);
    let share = leaves.len() as u64;
    let mut done = 0;
    for (position, path) in leaves.iter().enumerate() {
        let mut writer = group
            .next_column()
            .context("cannot start a column")?
            .context("the schema has a column for each leaf")?;
        for start in (rows.start..rows.end).step_by(ROWS_AT_ONCE as usize) {
            let end = rows.end.min(start + ROWS_AT_ONCE);
            write_leaf(&mut writer, path, (start..end).map(row))?;
            // A row is done bit by bit, once for each column: count what that comes to.
            let reached = ((end - rows.start) + position as u64 * (rows.end - rows.start)) / share;
            progress(reached - done);
            done = reached;
        }
        writer.close().context("cannot end a column")?;
    }
    Ok(())
}

/// The leaves in schema order, each with the fields that lead to it.
fn collect_leaves<'f>(fields: &'f [Field], path: &mut Vec<&'f Field>, leaves: &mut Vec<Vec<&'f Field>>) {
    for field in fields {
        path.push(field);
        if let Content::Group(fields) = &field.content {
            collect_leaves(fields, path, leaves);
        } else {
            leaves.push(path.clone());
        }
        path.pop();
    }
}

fn write_leaf(writer: &mut SerializedColumnWriter<'_>, path: &[&Field], rows: impl Iterator<Item = Row>) -> Result<()> {
    let leaf = *path.last().context("a leaf has at least its own field")?;
    let mut scratch = String::new();
    let mut bytes = |make: &dyn Fn(&mut crate::record::Draw, &mut String), row| {
        scratch.clear();
        make(&mut leaf.draw(row), &mut scratch);
        ByteArray::from(scratch.as_str())
    };
    match &leaf.content {
        Content::Bool(make) => write_values::<BoolType>(writer, path, rows, |row| make(&mut leaf.draw(row))),
        Content::Int(make) => write_values::<Int64Type>(writer, path, rows, |row| make(&mut leaf.draw(row))),
        Content::Float(make) => write_values::<DoubleType>(writer, path, rows, |row| make(&mut leaf.draw(row))),
        Content::Text(make) | Content::Json(make) => {
            write_values::<ByteArrayType>(writer, path, rows, |row| bytes(make, row))
        }
        Content::Texts(make) => write_lists(writer, path, rows, |row| {
            let texts = bytes(make, row);
            let texts = std::str::from_utf8(texts.data()).expect("it was made from text");
            texts.split_terminator('\0').map(ByteArray::from).collect()
        }),
        Content::Group(_) => unreachable!("a group is no leaf"),
    }
}

/// How many of the optional fields on the way to the leaf the row has, and whether it has them all.
///
/// That number is Parquet's definition level (Melnik et al., Dremel, 2010).
fn definition(path: &[&Field], row: Row) -> (i16, bool) {
    let mut level = 0;
    for field in path {
        if !field.is_present(row) {
            return (level, false);
        }
        level += i16::from(field.is_optional());
    }
    (level, true)
}

fn write_values<T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    path: &[&Field],
    rows: impl Iterator<Item = Row>,
    mut make: impl FnMut(Row) -> T::T,
) -> Result<()> {
    let mut values = Vec::new();
    let mut levels = Vec::new();
    for row in rows {
        let (level, is_present) = definition(path, row);
        levels.push(level);
        if is_present {
            values.push(make(row));
        }
    }
    writer
        .typed::<T>()
        .write_batch(&values, Some(&levels), None)
        .context("cannot write a column")?;
    Ok(())
}

fn write_lists(
    writer: &mut SerializedColumnWriter<'_>,
    path: &[&Field],
    rows: impl Iterator<Item = Row>,
    mut make: impl FnMut(Row) -> Vec<ByteArray>,
) -> Result<()> {
    let mut values = Vec::new();
    let mut definitions = Vec::new();
    let mut repetitions = Vec::new();
    for row in rows {
        let (level, is_present) = definition(path, row);
        let texts = if is_present { make(row) } else { Vec::new() };
        if texts.is_empty() {
            definitions.push(level);
            repetitions.push(0);
        }
        for (position, text) in texts.into_iter().enumerate() {
            definitions.push(level + 1);
            repetitions.push(i16::from(position > 0));
            values.push(text);
        }
    }
    writer
        .typed::<ByteArrayType>()
        .write_batch(&values, Some(&definitions), Some(&repetitions))
        .context("cannot write a column")?;
    Ok(())
}
