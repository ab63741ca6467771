//! Recorded block tables: injected into the model, and checked against the official drawing rules.

use super::fixture::{Fixture, number};
use super::report::FileCheck;
use svitt::Result;
use svitt::config::VideoConfig;
use svitt::model::{GraphSource, VideoDraws};

/// The block tables of `fixture` as draws of the encoder `config`. Every table is checked: a row per block, its first
/// K_l entries the blocks around the query's own, in any order, then K_r ascending ones.
///
/// # Errors
/// A table that is not a matrix.
pub fn recorded_draws(fixture: &Fixture, config: &VideoConfig, check: &mut FileCheck) -> Result<VideoDraws> {
    let mut tables = vec![Vec::new(); config.layers];
    let entering = config.tokens_per_layer(config.layers);
    for name in fixture.names() {
        let Some(layer) = number(&name, "attn_idx_").filter(|&layer| layer < tables.len()) else { continue };
        let [_, width] = fixture.shape::<2>(&name)?;
        let blocks: Vec<usize> = fixture.integers(&name)?.iter().map(|&block| block as usize).collect();
        tables[layer] = blocks.chunks(width.max(1)).map(<[usize]>::to_vec).collect();
        if let Some(edge) = &config.sparsity.edge {
            let count = entering[layer].div_ceil(edge.block);
            let wrong = tables[layer].iter().enumerate();
            let wrong = wrong.filter(|(m, row)| !can_be_drawn(row, *m, count, edge.local, edge.random)).count();
            check.violations(name, wrong + tables[layer].len().abs_diff(count));
        }
    }
    Ok(VideoDraws { graph: GraphSource::Injected(tables), ..VideoDraws::evaluation(0) })
}

/// Whether `row` of query block `m` of `blocks` blocks has its `local` blocks first and then `random` ascending ones.
fn can_be_drawn(row: &[usize], m: usize, blocks: usize, local: usize, random: usize) -> bool {
    if row.len() != local + random {
        return false;
    }
    let mut expected: Vec<usize> = (0..local).map(|r| (m + r + blocks * local - local / 2) % blocks).collect();
    let (mut own, drawn) = (row[..local].to_vec(), &row[local..]);
    expected.sort_unstable();
    own.sort_unstable();
    own == expected && drawn.windows(2).all(|pair| pair[0] < pair[1]) && drawn.iter().all(|&block| block < blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_their_local_blocks_first() {
        assert!(can_be_drawn(&[1, 0, 7, 3], 0, 8, 3, 1) && can_be_drawn(&[0, 0, 1], 0, 2, 1, 2));
        assert!(!can_be_drawn(&[1, 0, 6, 3], 0, 8, 3, 1), "6 is not beside 0");
        assert!(!can_be_drawn(&[4, 3, 2], 4, 8, 1, 2), "not ascending");
        assert!(!can_be_drawn(&[4, 3], 4, 8, 1, 2) && !can_be_drawn(&[4, 3, 8], 4, 8, 1, 2));
    }
}
