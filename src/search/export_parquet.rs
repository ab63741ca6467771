//! Writes an index as Parquet: a row per clip, its vector as a list of fixed size.

use super::clip_ids::{ExportedClip, exported};
use crate::index::Index;
use crate::{Error, Result, files};
use arrow_array::{ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Clips that are turned into columns at once.
const BATCH: usize = 4_096;

/// Batches of a row group: 64 MB of vectors of 256 numbers.
const GROUP: usize = 16;

/// Bytes on their way to the file: the format's writer wants to own what it writes to.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes `index` to `out`: the columns `id`, `file`, `start` and `end` (seconds), `modified_ns`, `model` (hash of the
/// weights) and `vector`; the whole identity of the model stands in the file's metadata under `svitt.model`.
///
/// # Errors
/// The disk refuses; nothing is left then.
pub(super) fn write(index: &Index, out: &Path) -> Result<()> {
    let fault = |e: ParquetError| Error::Fault(format!("{}: {e}", out.display()));
    let model = serde_json::to_string(index.id()).map_err(|e| Error::Fault(e.to_string()))?;
    let schema = schema(index.id().dim);
    files::write_with(out, |file| {
        let buffer = Buffer::default();
        let facts = vec![KeyValue::new("svitt.model".to_owned(), model)];
        let properties = WriterProperties::builder().set_key_value_metadata(Some(facts)).build();
        let mut writer = ArrowWriter::try_new(buffer.clone(), schema.clone(), Some(properties)).map_err(fault)?;
        let mut clips = exported(index).peekable();
        for number in 1.. {
            let batch: Vec<ExportedClip> = clips.by_ref().take(BATCH).collect();
            let columns = columns(&batch, &index.id().weights, &schema).map_err(|e| fault(e.into()))?;
            writer.write(&columns).map_err(fault)?;
            if number % GROUP == 0 {
                writer.flush().map_err(fault)?;
            }
            file.write_all(&buffer.take()).map_err(|e| Error::io(out, &e))?;
            if clips.peek().is_none() {
                break;
            }
        }
        writer.close().map_err(fault)?;
        file.write_all(&buffer.take()).map_err(|e| Error::io(out, &e))
    })
}

fn schema(dim: usize) -> Arc<Schema> {
    let field = |name: &str, kind: DataType| Field::new(name, kind, false);
    Arc::new(Schema::new(vec![
        field("id", DataType::Utf8),
        field("file", DataType::Utf8),
        field("start", DataType::Float64),
        field("end", DataType::Float64),
        field("modified_ns", DataType::Int64),
        field("model", DataType::Utf8),
        field("vector", DataType::FixedSizeList(number(), dim as i32)),
    ]))
}

/// A number of a vector, as readers expect it to be declared.
fn number() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Float32, true))
}

fn columns(clips: &[ExportedClip], weights: &str, schema: &Arc<Schema>) -> Result<RecordBatch, ArrowError> {
    let text = |value: fn(&ExportedClip) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(clips.iter().map(value)))
    };
    let seconds = |value: fn(&ExportedClip) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(clips.iter().map(value)))
    };
    let DataType::FixedSizeList(_, dim) = schema.field_with_name("vector")?.data_type() else {
        return Err(ArrowError::SchemaError("`vector` is no list".into()));
    };
    let numbers = Float32Array::from_iter_values(clips.iter().flat_map(|clip| clip.vector.iter().copied()));
    let vectors = FixedSizeListArray::try_new(number(), *dim, Arc::new(numbers), None)?;
    RecordBatch::try_new(
        schema.clone(),
        vec![
            text(|clip| &clip.id),
            text(|clip| &clip.file),
            seconds(|clip| clip.start),
            seconds(|clip| clip.end),
            Arc::new(Int64Array::from_iter_values(clips.iter().map(|clip| clip.modified_ns))),
            Arc::new(StringArray::from_iter_values(clips.iter().map(|_| weights))),
            Arc::new(vectors),
        ],
    )
}
