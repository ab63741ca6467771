//! The block graph, drawn on the host: which key blocks every query block sees. No tensors.

use crate::rng::Rng;
use crate::sparse::{Compat, EdgeSparsity};
use crate::{Error, Result};

/// Which blocks of keys each block of queries attends to; shared by all samples and heads of a layer.
///
/// Blocks are G consecutive patch tokens of the current sequence; the last one may be padded. The class token is
/// outside the blocks: it sees, and is seen by, every token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockGraph {
    tokens: usize,
    block: usize,
    width: usize,
    key_blocks: Vec<u32>,
    value_blocks: Option<Vec<u32>>,
    padding_attended: bool,
}

impl BlockGraph {
    /// Every patch token sees every other: one block as long as the sequence.
    pub fn dense(tokens: usize) -> Self {
        Self { tokens, block: tokens, width: 1, key_blocks: vec![0], value_blocks: None, padding_attended: false }
    }

    /// Draws K_r random blocks per query block beside its K_l local ones.
    ///
    /// Corrected rules: random blocks are distinct and never local, and where fewer than K_l + K_r blocks exist all
    /// are seen once. [`Compat::Official`]: one uniform score per pair of blocks, local pairs scored 0, the K_r best
    /// per row, so that local blocks are drawn again where others run out
    /// (docs/model.md, "Edge sparsity").
    pub fn draw(tokens: usize, edge: &EdgeSparsity, compat: Compat, rng: &mut Rng) -> Self {
        let block = block_length(tokens, edge, compat);
        let blocks = tokens.div_ceil(block);
        let rows: Vec<Vec<u32>> = (0..blocks)
            .map(|m| {
                let local = local_blocks(m, blocks, edge.local);
                let mut row = if compat == Compat::Official { local.clone() } else { distinct(&local) };
                row.extend(draw_random(&local, blocks, edge.random, compat, rng));
                row
            })
            .collect();
        Self::from_rows(tokens, block, edge.local, compat, rows.len(), &rows.concat())
    }

    /// A graph from a given table of `blocks` rows: the first K_l columns local, the rest random, as the official
    /// code stores it (its local columns name the block whose bias and values are used).
    ///
    /// # Errors
    /// The table is empty, ragged, or names a block that does not exist.
    pub fn from_table(tokens: usize, edge: &EdgeSparsity, compat: Compat, table: &[Vec<usize>]) -> Result<Self> {
        let block = block_length(tokens, edge, compat);
        let blocks = tokens.div_ceil(block);
        let width = table.first().map_or(0, Vec::len);
        let ragged = table.len() != blocks || width == 0 || table.iter().any(|row| row.len() != width);
        if ragged || table.iter().flatten().any(|&b| b >= blocks) {
            let problem = format!("the injected block table does not fit {blocks} blocks of {block} tokens");
            return Err(Error::setting(
                "attn_idx",
                problem,
                format!("give {blocks} rows of equal length with blocks below {blocks}"),
            ));
        }
        let flat: Vec<u32> = table.iter().flatten().map(|&b| b as u32).collect();
        Ok(Self::from_rows(tokens, block, edge.local, compat, blocks, &flat))
    }

    fn from_rows(tokens: usize, block: usize, local: usize, compat: Compat, blocks: usize, flat: &[u32]) -> Self {
        let width = flat.len() / blocks;
        let official = compat == Compat::Official;
        let value_blocks = (official && local >= 3).then(|| flat.to_vec());
        let key_blocks = match &value_blocks {
            None => flat.to_vec(),
            Some(values) => mirrored(values, width, local, blocks),
        };
        Self { tokens, block, width, key_blocks, value_blocks, padding_attended: official }
    }

    /// N: patch tokens.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// G: tokens in a block.
    pub fn block(&self) -> usize {
        self.block
    }

    /// M: blocks of the sequence.
    pub fn blocks(&self) -> usize {
        self.tokens.div_ceil(self.block)
    }

    /// W: key blocks every query block sees.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Empty places at the end of the last block.
    pub fn padding(&self) -> usize {
        self.blocks() * self.block - self.tokens
    }

    /// Whether padded keys take part in the softmax with score 0, as the official code has it.
    pub fn padding_attended(&self) -> bool {
        self.padding_attended
    }

    /// The blocks whose keys are scored, `[blocks, width]` row-major.
    pub fn key_blocks(&self) -> &[u32] {
        &self.key_blocks
    }

    /// The blocks whose bias and values are used, `[blocks, width]`; the same as [`Self::key_blocks`] but for the
    /// mirrored windows of the official code with K_l >= 3.
    pub fn value_blocks(&self) -> &[u32] {
        self.value_blocks.as_deref().unwrap_or(&self.key_blocks)
    }

    /// Whether scores and values come from different blocks (official rules with K_l >= 3).
    pub fn is_mirrored(&self) -> bool {
        self.value_blocks.is_some()
    }

    /// The transposed graph: for every key block, the `(query block, slot)` pairs in which `list` names it.
    /// Lets a backward gather instead of scatter: no atomics, one writer per key block.
    pub fn transposed(&self, list: &[u32]) -> Vec<Vec<(u32, u32)>> {
        let mut lists = vec![Vec::new(); self.blocks()];
        for (entry, &key) in list.iter().enumerate() {
            lists[key as usize].push(((entry / self.width) as u32, (entry % self.width) as u32));
        }
        lists
    }

    /// Query-key pairs that are scored, the class token's included, padding not counted (docs/model.md, "Edges").
    pub fn edges(&self) -> usize {
        let size = |b: usize| if b + 1 == self.blocks() { self.block - self.padding() } else { self.block };
        let patch: usize = self
            .key_blocks
            .chunks(self.width)
            .enumerate()
            .map(|(m, row)| size(m) * (1 + row.iter().map(|&b| size(b as usize)).sum::<usize>()))
            .sum();
        patch + self.tokens + 1
    }
}

/// G, or the whole sequence where it is shorter; the official code pads it to G even then, and the padding takes part
/// in the softmax.
fn block_length(tokens: usize, edge: &EdgeSparsity, compat: Compat) -> usize {
    if compat == Compat::Official { edge.block } else { edge.block.min(tokens) }
}

/// Blocks m−⌊K_l/2⌋ … m+⌊K_l/2⌋ on a circle.
fn local_blocks(m: usize, blocks: usize, local: usize) -> Vec<u32> {
    (0..local).map(|r| ((m + r + blocks * local - local / 2) % blocks) as u32).collect()
}

fn distinct(list: &[u32]) -> Vec<u32> {
    let mut seen = Vec::with_capacity(list.len());
    list.iter().for_each(|b| {
        if !seen.contains(b) {
            seen.push(*b)
        }
    });
    seen
}

fn draw_random(local: &[u32], blocks: usize, random: usize, compat: Compat, rng: &mut Rng) -> Vec<u32> {
    let scores: Vec<f64> =
        (0..blocks as u32).map(|b| if local.contains(&b) { -rng.uniform() } else { 1.0 + rng.uniform() }).collect();
    let mut ranked: Vec<u32> = (0..blocks as u32).collect();
    ranked.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
    if compat == Compat::Corrected {
        ranked.retain(|b| !local.contains(b));
    }
    ranked.truncate(random);
    ranked.sort_unstable();
    ranked
}

/// The official code scores block m+r where it uses the bias and values of m−r: reflect the local columns.
fn mirrored(values: &[u32], width: usize, local: usize, blocks: usize) -> Vec<u32> {
    let reflect = |entry: usize, value: u32| {
        let (m, column) = (entry / width, entry % width);
        if column < local { ((2 * m + blocks - value as usize) % blocks) as u32 } else { value }
    };
    values.iter().enumerate().map(|(entry, &value)| reflect(entry, value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(local: usize, random: usize, block: usize) -> EdgeSparsity {
        EdgeSparsity { local, random, block }
    }

    #[test]
    fn corrected_rows_are_distinct_and_never_draw_local_blocks() {
        for (tokens, e) in [(131, edge(3, 4, 7)), (64, edge(1, 3, 5)), (23, edge(3, 9, 4)), (9, edge(0, 2, 2))] {
            let graph = BlockGraph::draw(tokens, &e, Compat::Corrected, &mut Rng::new(3, &[tokens as u64]));
            assert_eq!(graph.width(), (e.local + e.random).min(graph.blocks()));
            for row in graph.key_blocks().chunks(graph.width()) {
                assert_eq!(distinct(row), row, "no block is attended twice");
            }
            assert_eq!(graph.key_blocks(), graph.value_blocks());
        }
    }

    #[test]
    fn official_rows_repeat_local_blocks_where_others_run_out() {
        let graph = BlockGraph::draw(10, &edge(1, 2, 5), Compat::Official, &mut Rng::new(0, &[]));
        assert_eq!(graph.key_blocks(), [0, 0, 1, 1, 0, 1]);
        assert!(graph.padding_attended());
    }

    #[test]
    fn official_windows_are_mirrored() {
        let table: Vec<Vec<usize>> = (0..5).map(|m| vec![(m + 4) % 5, m, (m + 1) % 5, (m + 2) % 5]).collect();
        let graph = BlockGraph::from_table(20, &edge(3, 1, 4), Compat::Official, &table).unwrap();
        assert_eq!(&graph.value_blocks()[..4], [4, 0, 1, 2]);
        assert_eq!(&graph.key_blocks()[..4], [1, 0, 4, 2], "local columns are reflected, random ones are not");
        let corrected = BlockGraph::from_table(20, &edge(3, 1, 4), Compat::Corrected, &table).unwrap();
        assert_eq!(corrected.key_blocks(), corrected.value_blocks());
    }

    #[test]
    fn edges_are_those_of_the_cost_model() {
        let graph = BlockGraph::draw(784, &edge(1, 3, 56), Compat::Corrected, &mut Rng::new(1, &[]));
        assert_eq!(graph.edges(), 784 * (4 * 56 + 1) + 785);
        assert_eq!(BlockGraph::dense(784).edges(), 785 * 785);
    }

    #[test]
    fn the_transposed_graph_lists_every_edge_once() {
        let graph = BlockGraph::draw(50, &edge(1, 3, 6), Compat::Corrected, &mut Rng::new(2, &[]));
        let lists = graph.transposed(graph.key_blocks());
        assert_eq!(lists.iter().map(Vec::len).sum::<usize>(), graph.blocks() * graph.width());
        for (key, pairs) in lists.iter().enumerate() {
            assert!(
                pairs
                    .iter()
                    .all(|&(m, slot)| graph.key_blocks()[m as usize * graph.width() + slot as usize] == key as u32)
            );
        }
    }

    #[test]
    fn a_table_of_the_wrong_shape_is_an_error() {
        let e = edge(1, 1, 4);
        assert!(
            BlockGraph::from_table(10, &e, Compat::Official, &[vec![0, 1], vec![1, 0]]).is_err(),
            "3 blocks need 3 rows"
        );
        assert!(
            BlockGraph::from_table(8, &e, Compat::Official, &[vec![0, 1], vec![1, 2]]).is_err(),
            "there is no block 2"
        );
    }
}
