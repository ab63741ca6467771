//! The block graph: which key blocks every query block sees, drawn on the host, or which of them are left to be chosen
//! by the data ([`super::top`]). No tensors.

use crate::rng::Rng;
use crate::sparse::{BlockChoice, Compat, EdgeSparsity};
use crate::{Error, Result};

/// Which blocks of keys each block of queries attends to. Those in its lists are shared by all samples and heads of a
/// layer; besides, [`Self::chosen`] more are chosen anew in every sample and head where [`BlockChoice::Top`] asks for it.
///
/// Blocks are G consecutive patch tokens of the current sequence; the last one may be padded. The class token is
/// outside the blocks: it sees, and is seen by, every token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockGraph {
    tokens: usize,
    block: usize,
    /// Columns of the lists.
    listed: usize,
    /// K_l.
    local: usize,
    /// Blocks per query block that the data choose.
    chosen: usize,
    key_blocks: Vec<u32>,
    value_blocks: Option<Vec<u32>>,
    padding_attended: bool,
}

impl BlockGraph {
    /// Every patch token sees every other: one block as long as the sequence.
    pub fn dense(tokens: usize) -> Self {
        let (listed, key_blocks) = (1, vec![0]);
        Self {
            tokens,
            block: tokens,
            listed,
            local: listed,
            chosen: 0,
            key_blocks,
            value_blocks: None,
            padding_attended: false,
        }
    }

    /// Draws K_r random blocks per query block beside its K_l local ones.
    ///
    /// Corrected rules: random blocks are distinct and never local, and where fewer than K_l + K_r blocks exist all
    /// are seen once. [`Compat::Official`]: one uniform score per pair of blocks, local pairs scored 0, the K_r best
    /// per row, so that local blocks are drawn again where others run out
    /// (docs/model.md, "Edge sparsity"). With [`BlockChoice::Top`] nothing is drawn: see [`Self::top`].
    pub fn draw(tokens: usize, edge: &EdgeSparsity, compat: Compat, rng: &mut Rng) -> Self {
        if edge.blocks == BlockChoice::Top {
            return Self::top(tokens, edge, compat);
        }
        let block = block_length(tokens, edge, compat);
        let blocks = tokens.div_ceil(block);
        let rows: Vec<Vec<u32>> = (0..blocks)
            .map(|m| {
                let local = local_blocks(m, blocks, edge.local);
                let mut row = local_columns(&local, compat);
                row.extend(draw_random(&local, blocks, edge.random, compat, rng));
                row
            })
            .collect();
        Self::from_rows(tokens, block, edge.local, compat, rows.len(), &rows.concat())
    }

    /// The local blocks, and K_r more that the data choose among the others. Where K_r or fewer others exist all of them
    /// are listed, and nothing is left to be chosen. The same under both rules, but for what [`Compat::Official`] does
    /// with local windows and padding.
    pub fn top(tokens: usize, edge: &EdgeSparsity, compat: Compat) -> Self {
        let block = block_length(tokens, edge, compat);
        let blocks = tokens.div_ceil(block);
        let all = edge.local + edge.random >= blocks;
        let rows: Vec<Vec<u32>> = (0..blocks)
            .map(|m| {
                let local = local_blocks(m, blocks, edge.local);
                let others = (0..blocks as u32).filter(|b| all && !local.contains(b));
                local_columns(&local, compat).into_iter().chain(others).collect()
            })
            .collect();
        let graph = Self::from_rows(tokens, block, edge.local, compat, blocks, &rows.concat());
        Self { chosen: if all { 0 } else { edge.random }, ..graph }
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
        let listed = flat.len() / blocks;
        let official = compat == Compat::Official;
        let value_blocks = (official && local >= 3).then(|| flat.to_vec());
        let key_blocks = match &value_blocks {
            None => flat.to_vec(),
            Some(values) => mirrored(values, listed, local, blocks),
        };
        Self { tokens, block, listed, local, chosen: 0, key_blocks, value_blocks, padding_attended: official }
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

    /// W: key blocks every query block sees, listed ones and chosen ones.
    pub fn width(&self) -> usize {
        self.listed + self.chosen
    }

    /// Key blocks of a query block that the lists name; [`Self::width`] where nothing is chosen.
    pub fn listed(&self) -> usize {
        self.listed
    }

    /// Key blocks of a query block that the data choose in every sample and head; 0 in drawn graphs.
    pub fn chosen(&self) -> usize {
        self.chosen
    }

    /// Whether block `key` is one of the K_l local ones of query block `m`.
    pub fn is_local(&self, m: usize, key: usize) -> bool {
        let away = m.abs_diff(key);
        self.local > 0 && away.min(self.blocks() - away) <= self.local / 2
    }

    /// K_l.
    pub fn local(&self) -> usize {
        self.local
    }

    /// Tokens of block `b` that exist.
    pub fn size(&self, b: usize) -> usize {
        self.block.min(self.tokens - b * self.block)
    }

    /// Empty places at the end of the last block.
    pub fn padding(&self) -> usize {
        self.blocks() * self.block - self.tokens
    }

    /// Whether padded keys take part in the softmax with score 0, as the official code has it.
    pub fn padding_attended(&self) -> bool {
        self.padding_attended
    }

    /// The listed blocks whose keys are scored, `[blocks, listed]` row-major.
    pub fn key_blocks(&self) -> &[u32] {
        &self.key_blocks
    }

    /// The listed blocks whose bias and values are used, `[blocks, listed]`; the same as [`Self::key_blocks`] but for the
    /// mirrored windows of the official code with K_l >= 3.
    pub fn value_blocks(&self) -> &[u32] {
        self.value_blocks.as_deref().unwrap_or(&self.key_blocks)
    }

    /// Whether scores and values come from different blocks (official rules with K_l >= 3).
    pub fn is_mirrored(&self) -> bool {
        self.value_blocks.is_some()
    }

    /// The listed blocks of query block `m` whose keys are scored.
    pub fn key_row(&self, m: usize) -> &[u32] {
        &self.key_blocks[m * self.listed..(m + 1) * self.listed]
    }

    /// The listed blocks of query block `m` whose bias and values are used.
    pub fn value_row(&self, m: usize) -> &[u32] {
        &self.value_blocks()[m * self.listed..(m + 1) * self.listed]
    }

    /// The transposed lists: for every key block, the `(query block, slot)` pairs in which `list` names it.
    /// Lets a backward gather instead of scatter: no atomics, one writer per key block.
    pub fn transposed(&self, list: &[u32]) -> Vec<Vec<(u32, u32)>> {
        let mut lists = vec![Vec::new(); self.blocks()];
        for (entry, &key) in list.iter().enumerate() {
            lists[key as usize].push(((entry / self.listed) as u32, (entry % self.listed) as u32));
        }
        lists
    }

    /// Query-key pairs that are scored, the class token's included, padding not counted (docs/model.md, "Edges");
    /// chosen blocks count as whole ones, which the last block may not be.
    pub fn edges(&self) -> usize {
        let listed = |m: usize| self.key_row(m).iter().map(|&b| self.size(b as usize)).sum::<usize>();
        let seen = |m: usize| 1 + listed(m) + self.chosen * self.block;
        let patch: usize = (0..self.blocks()).map(|m| self.size(m) * seen(m)).sum();
        patch + self.tokens + 1
    }
}

/// The local blocks as the graph lists them: the official code takes a window longer than the circle as it is.
fn local_columns(local: &[u32], compat: Compat) -> Vec<u32> {
    if compat == Compat::Official { local.to_vec() } else { distinct(local) }
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
        EdgeSparsity::new(local, random, block)
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
    fn chosen_blocks_are_as_many_as_others_exist() {
        let top = |tokens, local, random, block, compat| {
            let edge = edge(local, random, block).with_blocks(BlockChoice::Top);
            let graph = BlockGraph::draw(tokens, &edge, compat, &mut Rng::new(1, &[]));
            let row = graph.key_row(graph.blocks() - 1).to_vec();
            assert!(graph.chosen() > 0 || compat == Compat::Official || row.len() == graph.blocks());
            (row, graph.chosen(), graph.blocks())
        };
        assert_eq!(top(784, 1, 3, 56, Compat::Corrected), (vec![13], 3, 14));
        assert_eq!(top(270, 1, 4, 56, Compat::Corrected), (vec![4, 0, 1, 2, 3], 0, 5), "all others");
        assert_eq!(top(270, 1, 5, 56, Compat::Official), (vec![4, 0, 1, 2, 3], 0, 5), "no local block again");
        assert_eq!(top(270, 3, 1, 56, Compat::Official), (vec![0, 4, 3], 1, 5), "mirrored");
        assert_eq!(top(9, 0, 2, 4, Compat::Corrected), (vec![], 2, 3), "no local block at all");
        assert_eq!(top(8, 3, 2, 4, Compat::Corrected), (vec![0, 1], 0, 2), "all are local");
        assert_eq!(top(5, 1, 2, 9, Compat::Corrected), (vec![0], 0, 1), "one block");
    }

    #[test]
    fn local_blocks_lie_on_a_circle() {
        let graph = BlockGraph::top(17, &edge(3, 1, 4), Compat::Corrected);
        let local: Vec<bool> = (0..5).map(|key| graph.is_local(0, key)).collect();
        assert_eq!(local, [true, true, false, false, true]);
        assert_eq!((0..5).map(|b| graph.size(b)).collect::<Vec<_>>(), [4, 4, 4, 4, 1]);
        for m in 0..5 {
            assert!((0..5).all(|key| graph.is_local(m, key) == graph.key_row(m).contains(&(key as u32))));
        }
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
