//! One clip in two models, as a page, a contact sheet and numbers.

use super::analysis::{ClipAnalysis, PrunedBy, PruningStage};
use super::frame_strip::Visibility;
use super::{FrameStrip, LayerGraph, ModelVariant};
use crate::Result;
use crate::config::EdgeSparsity;
use crate::viz::{Canvas, Page, Table, contact_sheet};
use serde_json::{Value, json};
use svitt_ops::SvittBackend;

/// One clip, seen by the dense and by the sparse model.
pub struct ClipComparison<'a> {
    /// The clip.
    pub frame_strip: &'a FrameStrip,
    /// Patches per frame side.
    pub grid: usize,
    /// What the dense and the sparse model made of it.
    pub analyses: [&'a ClipAnalysis; 2],
    /// The two models' names.
    pub names: [String; 2],
    /// The sparse model's edges.
    pub edge: Option<EdgeSparsity>,
    /// Patch tokens of the clip, and those that leave the sparse video encoder.
    pub tokens: [usize; 2],
    /// Operations of the two video encoders.
    pub flops: [u64; 2],
    /// The patch whose block graph is drawn.
    pub patch: usize,
}

/// The page of a clip, its contact sheet, and the numbers in both.
///
/// # Errors
/// A picture that cannot be encoded.
pub fn comparison_page(title: &str, note: &str, shown: &ClipComparison<'_>) -> Result<(Page, Canvas, Value)> {
    let mut page = Page::new(title).wide();
    page.paragraph(note).paragraph(&shown.saved());
    page.table(&shown.table());
    page.heading("What the model sees")
        .picture(&shown.frame_strip.plain(), "The frames, from left to right and top to bottom.")?;
    let mut cells = Vec::new();
    for (heading, rows) in shown.sections() {
        page.heading(heading);
        for [left, right] in rows {
            page.side_by_side(&[(&left.picture, left.caption.clone()), (&right.picture, right.caption.clone())])?;
            cells.extend([(left.label, left.picture), (right.label, right.picture)]);
        }
    }
    Ok((page, contact_sheet(&cells, 2), shown.numbers()))
}

/// A picture of one model, named twice: for the page and, in capitals and short, for the sheet.
struct LabelledPicture {
    picture: Canvas,
    caption: String,
    label: String,
}

impl<'a> ClipComparison<'a> {
    /// `analyses` of one clip by `variants`; `patch` as frame, row and column, or the one the sparse model's class token
    /// analyses at most in the end.
    pub fn new<B: SvittBackend>(
        frame_strip: &'a FrameStrip,
        variants: &[ModelVariant<B>; 2],
        analyses: [&'a ClipAnalysis; 2],
        patch: Option<[usize; 3]>,
    ) -> Self {
        let video = &variants[1].config.video;
        let grid = video.grid();
        let favourite = || {
            let last = analyses[1].attention.last().map_or(&[][..], Vec::as_slice);
            let value = |patch: &usize| last[*patch].unwrap_or(-1.0);
            (0..last.len()).max_by(|a, b| value(a).total_cmp(&value(b))).unwrap_or(0)
        };
        let name = |v: &ModelVariant<B>| format!("{}{}", v.name(), if v.trained { "" } else { " (not trained so)" });
        Self {
            frame_strip,
            grid,
            analyses,
            names: variants.each_ref().map(name),
            edge: video.sparsity.edge,
            tokens: [video.patches(), variants[1].tokens_left()],
            flops: variants.each_ref().map(|variant| variant.flops),
            patch: patch.map_or_else(favourite, |[t, y, x]| (t * grid + y) * grid + x),
        }
    }

    /// What sparsity saves, as text.
    pub fn saved(&self) -> String {
        let ([all, left], [dense, sparse]) = (self.tokens, self.flops);
        let percent = |part: f64, whole: f64| 100.0 * (1.0 - part / whole.max(1.0));
        let by_text = match self.analyses[1].stages.last().filter(|stage| stage.by == PrunedBy::Text) {
            Some(stage) => format!(", {} after the text chose", stage.count()),
            None => String::new(),
        };
        format!(
            "The {} model spends {:.3} of {:.3} GFLOPs per clip ({:.0} % saved); {left} of {all} patch tokens ({:.0} % saved) \
             leave its video encoder{by_text}.",
            self.names[1],
            sparse as f64 / 1e9,
            dense as f64 / 1e9,
            percent(sparse as f64, dense as f64),
            percent(left as f64, all as f64),
        )
    }

    fn table(&self) -> Table {
        let mut table = Table::new("Patch tokens entering each layer", ["model", "tokens", "GFLOPs", "match"]);
        for ((name, analysis), flops) in self.names.iter().zip(self.analyses).zip(self.flops) {
            let tokens: Vec<String> = analysis.graphs.iter().map(|layer| layer.graph.tokens().to_string()).collect();
            let matched = analysis.matched.map_or("–".to_owned(), |matched| format!("{matched:.3}"));
            table.row([name.clone(), tokens.join(" "), format!("{:.3}", flops as f64 / 1e9), matched]);
        }
        table
    }

    fn sections(&self) -> Vec<(&'static str, Vec<[LabelledPicture; 2]>)> {
        let stages = |by: PrunedBy| self.analyses[1].stages.iter().filter(move |stage| stage.by == by);
        let layers = self.analyses[1].attention.len();
        let mut shown: Vec<usize> = stages(PrunedBy::Class).map(|stage| stage.layer).collect();
        shown.extend([0, layers - 1]);
        shown.sort_unstable();
        shown.dedup();
        let graphs: Vec<[LabelledPicture; 2]> = [0, layers - 1].into_iter().map(|layer| self.graphs(layer)).collect();
        let mut sections = vec![
            ("Patches alive: chosen by the class token", stages(PrunedBy::Class).map(|s| self.alive(s)).collect()),
            ("Patches alive: chosen by the text", stages(PrunedBy::Text).map(|s| self.alive(s)).collect()),
            ("Where the class token analyses", shown.into_iter().map(|layer| self.heats(layer)).collect()),
            ("What one patch may attend to", graphs),
        ];
        sections.retain(|(_, rows): &(_, Vec<_>)| !rows.is_empty());
        sections
    }

    fn alive(&self, stage: &PruningStage) -> [LabelledPicture; 2] {
        let (all, count) = (self.tokens[0], stage.count());
        let (who, where_) = match stage.by {
            PrunedBy::Class => ("the class token", "video layer"),
            PrunedBy::Text => ("the text", "fusion layer"),
        };
        let layer = stage.layer + 1;
        [
            LabelledPicture {
                picture: self.frame_strip.plain(),
                caption: format!("{}: {all} of {all} patches", self.names[0]),
                label: format!("dense: all {all}"),
            },
            LabelledPicture {
                picture: self.frame_strip.alive(&stage.alive),
                caption: format!("{}: {who} keeps {count} of {all} patches after {where_} {layer}", self.names[1]),
                label: format!(
                    "{} {layer}: {count} of {all}",
                    if stage.by == PrunedBy::Class { "class" } else { "text" }
                ),
            },
        ]
    }

    fn heats(&self, layer: usize) -> [LabelledPicture; 2] {
        [0, 1].map(|model| LabelledPicture {
            picture: self.frame_strip.heat(&self.analyses[model].attention[layer]),
            caption: format!(
                "{}, layer {}: mean of all heads (red: as all patches on average, yellow: 8 times, black: an eighth)",
                self.names[model],
                layer + 1
            ),
            label: format!("{} attention {}", if model == 0 { "dense" } else { "sparse" }, layer + 1),
        })
    }

    fn graphs(&self, layer: usize) -> [LabelledPicture; 2] {
        let [t, y, x] =
            [self.patch / (self.grid * self.grid), self.patch / self.grid % self.grid, self.patch % self.grid];
        let whose = format!("patch in frame {}, row {}, column {}", t + 1, y + 1, x + 1);
        [0, 1].map(|model| {
            let edge = if model == 0 { None } else { self.edge };
            let label = format!("{} graph {}", if model == 0 { "dense" } else { "sparse" }, layer + 1);
            let name = &self.names[model];
            let layer_name = format!("{name}, layer {}", layer + 1);
            let graph = self.analyses[model].graphs.get(layer);
            match graph.and_then(|graph| graph.seen(self.patch, self.tokens[0])) {
                Some(seen) => {
                    let count = seen.iter().filter(|seen| **seen != Visibility::No).count();
                    let colours = match (edge, graph.is_some_and(LayerGraph::is_chosen)) {
                        (None, _) => "",
                        (Some(_), false) => " (blue: local blocks, orange: random blocks)",
                        (Some(_), true) => {
                            " in some head (blue: local blocks, orange: chosen ones, the fuller the more heads chose them)"
                        }
                    };
                    let caption =
                        format!("{layer_name}: the {whose} (red) sees the class token and {count} patches{colours}");
                    LabelledPicture { picture: self.frame_strip.graph(self.patch, &seen), caption, label }
                }
                None => {
                    let caption = format!("{layer_name}: the {whose} is no longer alive");
                    LabelledPicture { picture: self.frame_strip.plain(), caption, label }
                }
            }
        })
    }

    fn numbers(&self) -> Value {
        let model = |n: usize| {
            let analysis = self.analyses[n];
            let stages: Vec<Value> = analysis.stages.iter().map(stage_numbers).collect();
            let tokens: Vec<usize> = analysis.graphs.iter().map(|layer| layer.graph.tokens()).collect();
            json!({
                "mode": self.names[n],
                "tokens_per_layer": tokens,
                "gflops": self.flops[n] as f64 / 1e9,
                "match": analysis.matched,
                "stages": stages,
            })
        };
        json!({ "patch": self.patch, "grid": self.grid, "models": [model(0), model(1)] })
    }
}

fn stage_numbers(stage: &PruningStage) -> Value {
    let alive: Vec<usize> = (0..stage.alive.len()).filter(|&patch| stage.alive[patch]).collect();
    json!({ "by": stage.by, "layer": stage.layer, "alive": alive })
}
