//! Every row of every table is compared with a query, on all cores; only the best are kept.

pub(super) mod kernels;
mod layout;

pub(super) use layout::{Layout, NOBODY};

use super::precision::VectorPrecision;
use super::table::{StoredRows, VectorTable};
use kernels::{RoundedQuery, half_query, products_f16, products_f32, products_int8};
use rayon::prelude::*;
use std::cmp::Ordering;

/// Rows per call of a kernel: the scores of one call stay in the processor's nearest cache.
const ROWS: usize = 256;

/// Calls per piece of work that a core takes: 4 MB of vectors of 256 numbers.
const CALLS: usize = 16;

/// A row among the best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub score: f32,
    /// Number of its file, in the order of names.
    pub file: u32,
    /// Its table and its place there.
    pub table: usize,
    pub row: usize,
}

impl Candidate {
    /// Higher scores first; of equal ones the earlier file, of one file the earlier clip.
    fn order(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then(self.file.cmp(&other.file)).then(self.row.cmp(&other.row))
    }
}

/// What rows are compared with.
pub(super) struct Scan<'a> {
    /// Unit vectors; a row's score is that of the nearest.
    queries: Vec<PreparedQuery<'a>>,
    /// Whether rows count by their direction alone.
    directions: bool,
    top: usize,
}

/// A query as each kernel takes it.
struct PreparedQuery<'a> {
    single: &'a [f32],
    half: Vec<f32>,
    rounded: RoundedQuery,
}

impl PreparedQuery<'_> {
    fn products(&self, stored: StoredRows<'_>, precision: VectorPrecision, scores: &mut [f32]) {
        match precision {
            VectorPrecision::F32 => products_f32(stored.rows, self.single, scores),
            VectorPrecision::F16 => products_f16(stored.rows, &self.half, scores),
            VectorPrecision::Int8 => products_int8(stored.rows, stored.scales, &self.rounded, scores),
        }
    }
}

impl<'a> Scan<'a> {
    /// A scan for the `top` rows with the highest product with any of the unit vectors `queries`; with `directions`, of
    /// the rows' directions.
    pub fn new(queries: &'a [Vec<f32>], directions: bool, top: usize) -> Self {
        let prepared = queries.iter().map(|query| PreparedQuery {
            single: query,
            half: half_query(query),
            rounded: RoundedQuery::new(query),
        });
        Self { queries: prepared.collect(), directions, top }
    }

    /// The best rows of `tables` that `owners` gives to somebody, best first.
    pub fn run(&self, tables: &[VectorTable], owners: &[Vec<u32>]) -> Vec<Candidate> {
        if self.top == 0 || self.queries.is_empty() {
            return Vec::new();
        }
        let pieces: Vec<(usize, usize)> = owners
            .iter()
            .enumerate()
            .flat_map(|(table, owners)| (0..owners.len()).step_by(ROWS * CALLS).map(move |row| (table, row)))
            .collect();
        let scanned = pieces.par_iter().fold(
            || Best::new(self.top),
            |mut best, &(table, row)| {
                let end = owners[table].len().min(row + ROWS * CALLS);
                for from in (row..end).step_by(ROWS) {
                    self.rows(&tables[table], table, from, &owners[table][from..end.min(from + ROWS)], &mut best);
                }
                best
            },
        );
        scanned.reduce(|| Best::new(self.top), Best::joined).finish()
    }

    /// The rows of `table`, number `number`, from row `from` on, which belong to `owners`.
    fn rows(&self, table: &VectorTable, number: usize, from: usize, owners: &[u32], best: &mut Best) {
        if owners.iter().all(|owner| *owner == NOBODY) {
            return;
        }
        let Some(stored) = table.stored(from..from + owners.len()) else { return };
        let mut scores = [f32::NEG_INFINITY; ROWS];
        let scores = &mut scores[..owners.len()];
        self.score(stored, table.shape().precision, scores);
        for (place, (&score, &file)) in scores.iter().zip(owners).enumerate() {
            if score >= best.bound && file != NOBODY {
                best.take(Candidate { score, file, table: number, row: from + place });
            }
        }
    }

    fn score(&self, stored: StoredRows<'_>, precision: VectorPrecision, scores: &mut [f32]) {
        let mut products = [0f32; ROWS];
        let products = &mut products[..scores.len()];
        for query in &self.queries {
            query.products(stored, precision, products);
            scores.iter_mut().zip(products.iter()).for_each(|(score, product)| *score = score.max(*product));
        }
        if self.directions {
            let rows = stored.decode(precision);
            for (score, row) in scores.iter_mut().zip(rows.chunks(self.queries[0].single.len().max(1))) {
                *score /= super::entry::length(row) as f32;
            }
        }
    }
}

/// The sum of the bytes of all `tables` as words, in the same pieces as a scan.
pub(super) fn sum_of_bytes(tables: &[VectorTable]) -> u64 {
    let piece = |table: &VectorTable, from: usize| {
        let stored = table.stored(from..table.present().min(from + ROWS * CALLS));
        stored.map_or(0, |stored| kernels::sum(stored.rows).wrapping_add(kernels::sum(stored.scales)))
    };
    let all = |table: &VectorTable| -> u64 {
        let starts: Vec<usize> = (0..table.present()).step_by(ROWS * CALLS).collect();
        starts.par_iter().map(|from| piece(table, *from)).reduce(|| 0, u64::wrapping_add)
    };
    tables.iter().fold(0, |sum, table| sum.wrapping_add(all(table)))
}

/// The best rows so far, in any order.
struct Best {
    top: usize,
    rows: Vec<Candidate>,
    /// The score that the worst of `top` rows has.
    bound: f32,
}

impl Best {
    fn new(top: usize) -> Self {
        Self { top, rows: Vec::new(), bound: f32::NEG_INFINITY }
    }

    fn take(&mut self, row: Candidate) {
        self.rows.push(row);
        // Twice as many before the lesser half is dropped: a constant number of steps per row.
        if self.rows.len() >= self.top.saturating_mul(2).max(64) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.rows.len() > self.top {
            self.rows.select_nth_unstable_by(self.top - 1, Candidate::order);
            self.rows.truncate(self.top);
            self.bound = self.rows[self.top - 1].score;
        }
    }

    fn joined(mut self, other: Self) -> Self {
        self.rows.extend(other.rows);
        self.cut();
        self
    }

    fn finish(mut self) -> Vec<Candidate> {
        self.cut();
        self.rows.sort_unstable_by(Candidate::order);
        self.rows
    }
}

#[cfg(test)]
mod tests;
