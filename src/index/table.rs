//! Vectors one after the other, in memory or in a mapped file.
//!
//! A file: [`MAGIC`], a checksum (CRC-32) for every [`BLOCK`] rows, the scales of 8-bit rows, zeros up to a multiple of
//! [`ALIGNMENT`], then the rows, little-endian and without gaps: `[rows, dim]`. A checksum is of its block's rows and their
//! scales. Where what lies is known from the manifest alone, so that a damaged file is read as far as it is whole.

use super::map;
use super::precision::VectorPrecision;
use crc32fast::Hasher;
use half::f16;
use memmap2::Mmap;
use rayon::prelude::*;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub(super) const MAGIC: &[u8; 8] = b"SVITTVC1";
/// Rows of a checksum: what a flipped bit costs, 64 KiB of vectors of 256 numbers.
pub(super) const BLOCK: usize = 64;
/// Where rows begin: a page, so that whoever maps the file has them aligned for any vector register.
const ALIGNMENT: u64 = 4096;
/// Bytes of a checksum.
const CHECKSUM: u64 = 4;

/// What a table holds, and with that where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableShape {
    pub precision: VectorPrecision,
    /// Numbers of a row.
    pub dim: usize,
    pub rows: usize,
}

impl TableShape {
    /// Bytes of a row.
    pub fn stride(self) -> usize {
        self.dim * self.precision.bytes()
    }

    pub fn blocks(self) -> usize {
        self.rows.div_ceil(BLOCK)
    }

    /// The rows of block `block`.
    pub fn block(self, block: usize) -> Range<usize> {
        block * BLOCK..((block + 1) * BLOCK).min(self.rows)
    }

    fn scales_at(self) -> u64 {
        MAGIC.len() as u64 + CHECKSUM * self.blocks() as u64
    }

    /// Bytes before the first row.
    pub fn head(self) -> u64 {
        (self.scales_at() + (self.precision.scale_bytes() * self.rows) as u64).next_multiple_of(ALIGNMENT)
    }

    /// Bytes of the file.
    pub fn length(self) -> u64 {
        self.head() + (self.stride() * self.rows) as u64
    }
}

/// The checksum of a block.
pub(super) fn checksum(rows: &[u8], scales: &[u8]) -> [u8; CHECKSUM as usize] {
    let mut hasher = Hasher::new();
    hasher.update(rows);
    hasher.update(scales);
    hasher.finalize().to_le_bytes()
}

/// What of a file is not as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TableDamage {
    /// Numbers of damaged blocks of those that the file has, in order.
    pub blocks: Vec<usize>,
    /// Rows that the file reaches to.
    pub present: usize,
    /// Their bytes, and those before the first row that are not as they must be.
    pub bytes: u64,
}

impl TableDamage {
    /// Whether any of `rows` is not as it was written.
    pub fn concerns(&self, rows: Range<usize>) -> bool {
        let block = self.blocks.partition_point(|block| (block + 1) * BLOCK <= rows.start);
        let in_block = self.blocks.get(block).is_some_and(|block| block * BLOCK < rows.end);
        !rows.is_empty() && (in_block || rows.end > self.present)
    }
}

/// A number of rows and their scales, as they are stored.
#[derive(Clone, Copy)]
pub(super) struct StoredRows<'a> {
    pub rows: &'a [u8],
    /// Empty but for 8-bit rows.
    pub scales: &'a [u8],
}

#[derive(Clone, Debug)]
enum Storage {
    Memory(Vec<u8>),
    File(Arc<Mmap>),
    Nothing,
}

/// The vectors.
#[derive(Clone, Debug)]
pub(super) struct VectorTable {
    shape: TableShape,
    /// Rows that are there.
    present: usize,
    storage: Storage,
}

impl VectorTable {
    /// A table in memory, empty, single precision.
    pub fn in_memory(dim: usize) -> Self {
        let shape = TableShape { precision: VectorPrecision::F32, dim, rows: 0 };
        Self { shape, present: 0, storage: Storage::Memory(Vec::new()) }
    }

    /// A table whose file cannot be read.
    pub fn absent(shape: TableShape) -> Self {
        Self { shape, present: 0, storage: Storage::Nothing }
    }

    /// Maps the file at `path`, which was written with `shape`, and checks all of it on all cores.
    ///
    /// # Errors
    /// There is no such file, it is no regular file, or it cannot be mapped.
    pub fn open(path: &Path, shape: TableShape) -> io::Result<(Self, TableDamage)> {
        let storage = map::map(path)?.map_or(Storage::Nothing, |map| Storage::File(Arc::new(map)));
        let mut table = Self { storage, ..Self::absent(shape) };
        let length = table.file().len() as u64;
        let rows = length.saturating_sub(shape.head()) / shape.stride().max(1) as u64;
        table.present = shape.rows.min(rows as usize);
        let damage = table.damage();
        Ok((table, damage))
    }

    pub fn shape(&self) -> TableShape {
        self.shape
    }

    /// Rows that are there: fewer than were written where the file was cut.
    pub fn present(&self) -> usize {
        self.present
    }

    /// Appends `vector` to a table in memory; returns its row.
    pub fn push(&mut self, vector: &[f32]) -> usize {
        let row = self.shape.rows;
        if let Storage::Memory(bytes) = &mut self.storage {
            bytes.extend(vector.iter().flat_map(|x| x.to_le_bytes()));
            self.shape.rows += 1;
            self.present += 1;
        }
        row
    }

    /// The bytes of `rows`, or none where the file has fewer.
    pub fn stored(&self, rows: Range<usize>) -> Option<StoredRows<'_>> {
        let (bytes, head) = match &self.storage {
            Storage::Memory(bytes) => (&bytes[..], 0),
            Storage::File(map) => (&map[..], self.shape.head() as usize),
            Storage::Nothing => return None,
        };
        let (stride, scale) = (self.shape.stride(), self.shape.precision.scale_bytes());
        let scales_at = self.shape.scales_at() as usize;
        Some(StoredRows {
            rows: bytes.get(head + rows.start * stride..head + rows.end * stride)?,
            scales: match scale {
                0 => &[],
                scale => bytes.get(scales_at + rows.start * scale..scales_at + rows.end * scale)?,
            },
        })
    }

    /// The vector `[dim]` of `row`; empty where the file does not reach so far.
    pub fn vector(&self, row: usize) -> Vec<f32> {
        self.stored(row..row + 1).map_or(Vec::new(), |stored| stored.decode(self.shape.precision))
    }

    fn damage(&self) -> TableDamage {
        let is_damaged = |block: &usize| {
            let stored = self.stored(self.shape.block(*block));
            let expected = self.checksum(*block);
            stored.is_none_or(|stored| expected != Some(&checksum(stored.rows, stored.scales)[..]))
        };
        // A cut file may have been made to claim any number of blocks.
        let present = self.present.div_ceil(BLOCK);
        let blocks: Vec<usize> = (0..present).into_par_iter().filter(is_damaged).collect();
        let per_row = (self.shape.stride() + self.shape.precision.scale_bytes()) as u64;
        let damaged: usize = blocks.iter().map(|block| self.shape.block(*block).len()).sum();
        let missing = self.shape.rows - self.shape.rows.min(present * BLOCK);
        let bytes = (damaged + missing) as u64 * per_row + self.damaged_head();
        TableDamage { bytes, blocks, present: self.present }
    }

    fn checksum(&self, block: usize) -> Option<&[u8]> {
        let at = MAGIC.len() + block * CHECKSUM as usize;
        self.file().get(at..at + CHECKSUM as usize)
    }

    fn file(&self) -> &[u8] {
        if let Storage::File(map) = &self.storage { &map[..] } else { &[] }
    }

    /// Bytes of the magic and the zeros that are something else.
    fn damaged_head(&self) -> u64 {
        let head = self.file().get(..self.shape.head() as usize).unwrap_or_default();
        let zeros = self.shape.scales_at() as usize + self.shape.precision.scale_bytes() * self.shape.rows;
        let differs = |(found, expected): (&u8, &u8)| found != expected;
        let magic = head.iter().zip(MAGIC).filter(|pair| differs(*pair)).count();
        (magic + head.iter().skip(zeros).filter(|byte| **byte != 0).count()) as u64
    }
}

impl StoredRows<'_> {
    /// The numbers of the rows, `[rows, dim]`.
    pub fn decode(self, precision: VectorPrecision) -> Vec<f32> {
        match precision {
            VectorPrecision::F32 => self.rows.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
            VectorPrecision::F16 => self.rows.as_chunks().0.iter().map(|x| f16::from_le_bytes(*x).to_f32()).collect(),
            VectorPrecision::Int8 => {
                let (scales, _) = self.scales.as_chunks();
                let rows = self.rows.chunks(self.rows.len() / scales.len().max(1));
                let scaled = rows.zip(scales).flat_map(|(row, scale)| {
                    let scale = f32::from_le_bytes(*scale);
                    row.iter().map(move |x| f32::from(*x as i8) * scale)
                });
                scaled.collect()
            }
        }
    }
}

#[cfg(test)]
mod tests;
