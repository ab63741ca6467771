//! The relative position bias of rows of scores. Patches that follow each other in a row of the picture have table rows
//! that do the same, so a run of keys is copied and its gradient added as a whole: looked up key by key, the bias takes
//! as long as the scores of a narrow head.

use super::cpu::KeyBlock;
use crate::device::simd::{load, store, sum, vectorized};
use crate::sparse::bias::is_uniform;
use std::ops::Range;

/// Keys that are copied at a time: a whole register would mostly be thrown away.
const STEP: usize = 8;

/// Every head's [`HeadTable`] behind the other, the rows of pairs of patches in reverse: along a run of keys they count up.
pub(super) struct BiasTable {
    values: Vec<f32>,
    rows: usize,
    centre: i32,
}

/// One head's table: the pairs in reverse, the three rows of the class token, and [`STEP`] zeros, since runs are copied
/// by whole vectors.
#[derive(Clone, Copy)]
pub(super) struct HeadTable<'a> {
    values: &'a [f32],
    rows: usize,
    centre: i32,
}

impl BiasTable {
    /// Of `table` `[rows, heads]`.
    pub(super) fn new(table: &[f32], heads: usize, centre: i32) -> Self {
        let rows = table.len() / heads;
        let mut values = Vec::with_capacity(heads * (rows + STEP));
        for h in 0..heads {
            values.extend((0..rows).map(|row| table[mirrored(row, rows) * heads + h]));
            values.extend([0.0; STEP]);
        }
        Self { values, rows, centre }
    }

    /// R.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn head(&self, h: usize) -> HeadTable<'_> {
        let stride = self.rows + STEP;
        HeadTable { values: &self.values[h * stride..][..stride], rows: self.rows, centre: self.centre }
    }
}

/// Where row `row` of a table stands among `rows` whose pairs are in reverse, and back.
pub(super) fn mirrored(row: usize, rows: usize) -> usize {
    let pairs = rows - 3;
    if row < pairs { pairs - 1 - row } else { row }
}

impl HeadTable<'_> {
    /// The bias of the class query to patches, of patches to the class key, and of the class query to its own key.
    pub(super) fn of_class(&self) -> [f32; 3] {
        [self.values[self.rows - 3], self.values[self.rows - 2], self.values[self.rows - 1]]
    }

    /// What a key's coordinate is added to, for a query at `coord`.
    fn origin(&self, coord: i32) -> i32 {
        self.rows as i32 - 4 - self.centre - coord
    }
}

/// Keys beside each other in a score row, with coordinates that count up by one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    column: usize,
    keys: usize,
    coord: i32,
}

impl Run {
    fn is_followed_by(&self, column: usize, coord: i32, uniform: bool) -> bool {
        self.column + self.keys == column && (uniform || self.coord + self.keys as i32 == coord)
    }
}

/// The keys of a score row.
#[derive(Clone, Debug)]
pub(super) struct BiasRuns {
    runs: Vec<Run>,
    /// Columns of padded keys, whose bias is that of the class key.
    padding: Vec<Range<usize>>,
    columns: usize,
}

impl BiasRuns {
    /// The runs of `entries`, by the coordinates of a sample's patches; where all pairs have one bias (`uniform`), blocks.
    pub(super) fn new(entries: &[KeyBlock], coords: &[i32], uniform: bool) -> Self {
        let mut all = Self { runs: Vec::new(), padding: Vec::new(), columns: 1 };
        for e in entries {
            for (i, &coord) in coords[e.value..e.value + e.values].iter().enumerate() {
                match all.runs.last_mut() {
                    Some(run) if run.is_followed_by(e.from + i, coord, uniform) => run.keys += 1,
                    _ => all.runs.push(Run { column: e.from + i, keys: 1, coord }),
                }
            }
            if e.values < e.columns {
                all.padding.push(e.from + e.values..e.from + e.columns);
            }
            all.columns = e.from + e.columns;
        }
        all
    }

    /// Width of the score row, the class column included.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Writes the bias of a patch query at `coord` to `row`, class column first. `row` is a register longer than the
    /// columns; what is behind them is overwritten.
    pub(super) fn write(&self, table: HeadTable, coord: i32, row: &mut [f32]) {
        let [_, to_class, _] = table.of_class();
        if is_uniform(table.rows) {
            row[1..self.columns].fill(table.values[0]);
        } else {
            let origin = table.origin(coord);
            vectorized(
                #[inline(always)]
                || {
                    for run in &self.runs {
                        let (mut from, mut to) = ((origin + run.coord) as usize, run.column);
                        let end = to + run.keys;
                        while to < end {
                            store(&mut row[to..], load::<STEP>(&table.values[from..]));
                            (from, to) = (from + STEP, to + STEP);
                        }
                    }
                },
            );
        }
        row[0] = to_class;
        self.padding.iter().for_each(|columns| row[columns.clone()].fill(to_class));
    }

    /// Adds the gradients `ds` of the scores of a patch query at `coord` to those of its head's table, `[rows]`, laid out
    /// as `table`.
    pub(super) fn add_gradients(&self, ds: &[f32], table: HeadTable, coord: i32, gradients: &mut [f32]) {
        let mut to_class = ds[0];
        for columns in &self.padding {
            to_class += sum(&ds[columns.clone()]);
        }
        gradients[table.rows - 2] += to_class;
        let origin = table.origin(coord);
        let uniform = is_uniform(table.rows);
        vectorized(
            #[inline(always)]
            || {
                for run in &self.runs {
                    let ds = &ds[run.column..run.column + run.keys];
                    if uniform {
                        gradients[0] += sum(ds);
                        continue;
                    }
                    add(&mut gradients[(origin + run.coord) as usize..][..run.keys], ds);
                }
            },
        );
    }
}

/// `to += x`, by four: most runs are as long as a row of patches, 8 or 14.
#[inline(always)]
fn add(to: &mut [f32], x: &[f32]) {
    let ((tos, to_rest), (xs, x_rest)) = (to.as_chunks_mut::<4>(), x.as_chunks::<4>());
    for c in 0..tos.len().min(xs.len()) {
        let (mut sums, x) = (tos[c], xs[c]);
        for i in 0..4 {
            sums[i] += x[i];
        }
        tos[c] = sums;
    }
    for i in 0..to_rest.len().min(x_rest.len()) {
        to_rest[i] += x_rest[i];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two frames of 3 × 3 patches without the fifth, and a block of two padded keys.
    #[test]
    fn runs_are_what_is_looked_up() {
        let (side, centre, heads, h) = (5, 37, 2, 1);
        let all: Vec<i32> = (0..18).map(|p| (p / 9 * side + p / 3 % 3) * side + p % 3).collect();
        let coords: Vec<i32> = all.iter().enumerate().filter(|(p, _)| *p != 5).map(|(_, coord)| *coord).collect();
        let rows = 2 * centre as usize + 1 + 3;
        let table: Vec<f32> = (0..rows * heads).map(|i| i as f32).collect();
        let at = |row: usize| table[row * heads + h];
        let entries = [
            KeyBlock { from: 1, columns: 6, key: 0, keys: 6, value: 0, values: 6 },
            KeyBlock { from: 7, columns: 8, key: 11, keys: 6, value: 11, values: 6 },
        ];
        let runs = BiasRuns::new(&entries, &coords, false);
        assert_eq!((runs.columns(), runs.padding.clone()), (15, vec![13..15]));
        let reversed = BiasTable::new(&table, heads, centre);
        let mut row = vec![f32::NAN; 15 + STEP];
        let mut gradients = vec![0f32; rows];
        let ds: Vec<f32> = (0..15).map(|i| 1.0 + i as f32).collect();
        let query = coords[7];
        runs.write(reversed.head(h), query, &mut row);
        runs.add_gradients(&ds, reversed.head(h), query, &mut gradients);
        let mut expected = vec![0f32; rows];
        let mut check = |column: usize, table_row: usize| {
            assert_eq!(row[column], at(table_row), "column {column}");
            expected[mirrored(table_row, rows)] += ds[column];
        };
        check(0, rows - 2);
        for e in &entries {
            for i in 0..e.values {
                check(e.from + i, (query - coords[e.value + i] + centre) as usize);
            }
            (e.values..e.columns).for_each(|i| check(e.from + i, rows - 2));
        }
        assert_eq!(gradients, expected);
    }
}
