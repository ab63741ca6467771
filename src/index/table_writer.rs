//! Writes a file of vectors: rows as they come, what stands before them at the end.

use super::precision::VectorPrecision;
use super::scan::kernels::{MOST_INT8, narrowed};
use super::table::{BLOCK, MAGIC, StoredRows, TableShape, VectorTable, checksum};
use crate::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// Bytes collected before they are written.
const BUFFER: usize = 1 << 20;

/// The file that is being written; nothing names it before it is whole.
pub(super) struct TableWriter {
    path: PathBuf,
    out: BufWriter<File>,
    shape: TableShape,
    written: usize,
    /// Of the block that is being written.
    rows: Vec<u8>,
    scales: Vec<u8>,
    checksums: Vec<u8>,
    all_scales: Vec<u8>,
}

impl TableWriter {
    /// Creates the file at `path` for vectors of `shape`; there must be none of that name.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn create(path: PathBuf, shape: TableShape) -> Result<Self> {
        let create = || {
            let mut file = File::create_new(&path)?;
            file.seek(SeekFrom::Start(shape.head()))?;
            Ok(file)
        };
        let file = create().map_err(|e: io::Error| Error::io(&path, &e))?;
        let (rows, scales, checksums, all_scales) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let out = BufWriter::with_capacity(BUFFER, file);
        Ok(Self { path, out, shape, written: 0, rows, scales, checksums, all_scales })
    }

    /// Rows so far.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Appends row `row` of `from`, as it is where it is stored alike.
    ///
    /// # Errors
    /// The disk refuses, or `from` does not hold the row.
    pub fn copy(&mut self, from: &VectorTable, row: usize) -> Result<()> {
        match from.stored(row..row + 1) {
            Some(stored) if from.shape().precision == self.shape.precision => self.append(stored),
            Some(stored) => {
                let (row, scale) = encode(&stored.decode(from.shape().precision), self.shape.precision);
                self.append(StoredRows { rows: &row, scales: &scale })
            }
            None => Err(Error::Fault("a vector of an index lies behind the end of its file".into())),
        }
    }

    fn append(&mut self, stored: StoredRows<'_>) -> Result<()> {
        self.rows.extend(stored.rows);
        self.scales.extend(stored.scales);
        self.written += 1;
        if self.written.is_multiple_of(BLOCK) {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<()> {
        self.checksums.extend(checksum(&self.rows, &self.scales));
        self.out.write_all(&self.rows).map_err(|e| Error::io(&self.path, &e))?;
        self.all_scales.append(&mut self.scales);
        self.rows.clear();
        Ok(())
    }

    /// Writes what stands before the rows, and waits for the disk.
    ///
    /// # Errors
    /// The disk refuses, or fewer or more rows came than were announced.
    pub fn finish(mut self) -> Result<()> {
        if !self.rows.is_empty() {
            self.end_block()?;
        }
        if self.written != self.shape.rows {
            let problem = format!("{} vectors came instead of {}", self.written, self.shape.rows);
            return Err(Error::Fault(problem));
        }
        let mut write = || {
            self.out.seek(SeekFrom::Start(0))?;
            self.out.write_all(MAGIC)?;
            self.out.write_all(&self.checksums)?;
            self.out.write_all(&self.all_scales)?;
            self.out.flush()?;
            self.out.get_ref().set_len(self.shape.length())?;
            self.out.get_ref().sync_all()
        };
        write().map_err(|e: io::Error| Error::io(&self.path, &e))
    }
}

/// The bytes of `vector` in `precision`, and of its scale where it has one.
fn encode(vector: &[f32], precision: VectorPrecision) -> (Vec<u8>, Vec<u8>) {
    match precision {
        VectorPrecision::F32 => (vector.iter().flat_map(|x| x.to_le_bytes()).collect(), Vec::new()),
        VectorPrecision::F16 => (vector.iter().flat_map(|x| narrowed(*x).to_le_bytes()).collect(), Vec::new()),
        VectorPrecision::Int8 => {
            let largest = vector.iter().fold(0f32, |largest, x| largest.max(x.abs()));
            let scale = (largest / MOST_INT8).max(f32::MIN_POSITIVE);
            let rounded = |x: &f32| (x / scale).round().clamp(-MOST_INT8, MOST_INT8) as i8 as u8;
            (vector.iter().map(rounded).collect(), scale.to_le_bytes().to_vec())
        }
    }
}
