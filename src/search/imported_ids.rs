//! What a database returned, ranked by the fusion encoder.

use super::Embedder;
use super::clip_ids::clips_with_ids;
use super::query::{QueryResult, assign_ranks};
use super::results::{SearchResult, damage_warnings};
use crate::Result;
use crate::index::Index;
use svitt_ops::SvittBackend;

impl<B: SvittBackend> Embedder<B> {
    /// The `top` of the clips of `index` that are called `ids` that fit `text` best. The fusion encoder looks at all of
    /// them.
    ///
    /// # Errors
    /// Another model made the index, an id that no clip has, or a text without words.
    pub fn rank_listed(&self, index: &Index, text: &str, ids: &[String], top: usize) -> Result<QueryResult> {
        index.require(self.id())?;
        let hits = clips_with_ids(index, ids)?;
        let vector = self.embed_text(text)?;
        let mut results: Vec<SearchResult> = Vec::with_capacity(hits.len());
        for mut hit in hits {
            let clips = index.clips_of(hit.path);
            let clip = clips.iter().find(|clip| clip.span() == hit.clip);
            hit.score = clip.map_or(0.0, |clip| clip.vector.iter().zip(&vector).map(|(x, y)| x * y).sum());
            results.push(SearchResult::new(&hit));
        }
        let mut warnings = damage_warnings(index);
        self.rerank(index, text, &mut results, &mut warnings)?;
        results.truncate(top);
        assign_ranks(&mut results);
        Ok(QueryResult { results, warnings, ..QueryResult::default() })
    }
}
