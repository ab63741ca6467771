//! The tables of `profile`, with the paper's figures beside ours, and its JSON.

use crate::Result;
use crate::cli::output::columns;
use crate::config::ModelConfig;
use crate::profile::{Convention, LayerMemory, Profile, published};
use serde_json::{Map, Value, json};

/// One model.
pub struct Row {
    config: ModelConfig,
    profile: Profile,
}

impl Row {
    pub fn of(config: ModelConfig, convention: Convention) -> Result<Self> {
        let profile = Profile::of(&config, convention)?;
        Ok(Self { config, profile })
    }

    fn mode(&self) -> &'static str {
        self.config.video.sparsity.mode()
    }

    fn frames(&self) -> usize {
        self.config.video.frames
    }

    fn keep(&self) -> f64 {
        self.config.video.sparsity.node.as_ref().map_or(1.0, |node| node.keep_rate)
    }

    fn edges_m(&self) -> f64 {
        self.profile.edges() as f64 / 1e6
    }

    fn gflops(&self) -> f64 {
        self.profile.flops() as f64 / 1e9
    }

    /// Whether this is the row of Table 2 for its frames and mode.
    fn published(&self) -> bool {
        self.config == published::base_in_mode(self.frames(), self.mode())
    }
}

/// Everything the command prints.
pub struct ProfileReport {
    convention: Convention,
    rows: Vec<Row>,
    edges_m: Vec<(&'static str, f64)>,
    paper: Value,
}

fn kept_mb(memory: LayerMemory) -> [f64; 2] {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    [mb(memory.linear + memory.weights), mb(memory.linear + memory.statistics)]
}

impl ProfileReport {
    pub fn new(convention: Convention, rows: Vec<Row>) -> Result<Self> {
        Ok(Self { convention, rows, edges_m: published::edges_m(convention)?, paper: published::paper_tables()? })
    }

    /// Frames that occur, in order.
    fn frames(&self) -> Vec<usize> {
        let mut frames: Vec<usize> = self.rows.iter().map(Row::frames).collect();
        frames.dedup();
        frames
    }

    fn row(&self, frames: usize, mode: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.frames() == frames && row.mode() == mode)
    }

    /// Share of edges that hybrid removes from dense, where both were counted.
    fn sparsity(&self, frames: usize) -> Option<f64> {
        Some(1.0 - self.row(frames, "hybrid")?.edges_m() / self.row(frames, "dense")?.edges_m())
    }

    /// Table 2's figure for a row, if the row has the paper's settings.
    fn paper_figure(&self, row: &Row, column: usize) -> Option<f64> {
        let table = row.published().then(|| &self.paper["table2"])?;
        table[row.frames().to_string()][row.mode()][column].as_f64()
    }

    pub fn text(&self, layers: bool) -> Result<String> {
        let mut text = self.parameters();
        text += &self.table_1();
        text += &self.table_2();
        text += &self.table_3();
        if layers {
            self.rows.iter().for_each(|row| text += &layer_table(row));
        }
        Ok(text)
    }

    fn parameters(&self) -> String {
        let Some(row) = self.rows.first() else { return String::new() };
        let parts = row.profile.parameters;
        let m = |count: usize| format!("{:.2}", count as f64 / 1e6);
        let line = |name: &str, count: usize| vec![name.to_owned(), m(count)];
        let rows = [
            vec![format!("parameters at {} frames, M", row.frames()), m(parts.total)],
            line("  video encoder", parts.video),
            line("    position tables in it", parts.position_tables),
            line("  text and fusion encoder", parts.text),
            line("  heads", parts.heads),
        ];
        columns(&rows)
    }

    fn table_1(&self) -> String {
        let mut rows =
            vec![["edges of the published model at 4 frames, M", "ours", "paper"].map(str::to_owned).to_vec()];
        for ((name, edges), (_, key, ..)) in self.edges_m.iter().zip(published::TABLE_1) {
            let paper = self.paper["table1"][key][0].as_f64();
            rows.push(vec![format!("  {name}"), format!("{edges:.3}"), or_dash(paper, 2)]);
        }
        format!("\n{}", columns(&rows))
    }

    fn table_2(&self) -> String {
        let head = [
            "frames",
            "mode",
            "keep",
            "edges M",
            "GFLOPs",
            "paper",
            "kept MB, weights stored",
            "recomputed",
            "paper GB",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for row in &self.rows {
            let [stored, recomputed] = kept_mb(row.profile.memory());
            let [gflops, memory] = [0, 1].map(|column| self.paper_figure(row, column));
            rows.push(vec![
                row.frames().to_string(),
                row.mode().to_owned(),
                format!("{:.2}", row.keep()),
                format!("{:.3}", row.edges_m()),
                format!("{:.1}", row.gflops()),
                or_dash(gflops, 1),
                format!("{stored:.0}"),
                format!("{recomputed:.0}"),
                or_dash(memory, 2),
            ]);
        }
        let note =
            "  kept: video activations for the backward pass of one clip, f32, computed; paper: its measurement\n";
        format!("\n{}{note}", columns(&rows))
    }

    fn table_3(&self) -> String {
        let mut rows = vec![["edges that hybrid removes", "ours", "paper"].map(str::to_owned).to_vec()];
        for frames in self.frames() {
            let Some(sparsity) = self.sparsity(frames) else { continue };
            let published = self.row(frames, "hybrid").is_some_and(Row::published);
            let paper = published.then(|| paper_sparsity(frames)).flatten();
            rows.push(vec![format!("  {frames} frames"), format!("{sparsity:.2}"), or_dash(paper, 2)]);
        }
        if rows.len() == 1 { String::new() } else { format!("\n{}", columns(&rows)) }
    }

    /// The report as scripts read it.
    pub fn json(&self) -> Result<Value> {
        let numbers = |pairs: &[(&'static str, f64)]| {
            pairs.iter().map(|&(name, value)| (name.to_owned(), json!(value))).collect::<Map<_, _>>()
        };
        let mut gflops: Map<String, Value> = Map::new();
        for frames in self.frames() {
            let of_frames: Vec<_> =
                self.rows.iter().filter(|row| row.frames() == frames).map(|row| (row.mode(), row.gflops())).collect();
            gflops.insert(frames.to_string(), json!(numbers(&of_frames)));
        }
        let sparsity: Map<_, _> = self
            .frames()
            .into_iter()
            .filter_map(|frames| Some((frames.to_string(), json!(self.sparsity(frames)?))))
            .collect();
        Ok(json!({
            "convention": self.convention,
            "edges_m": numbers(&self.edges_m),
            "gflops": gflops,
            "sparsity": sparsity,
            "parameters": self.rows.first().map(|row| row.profile.parameters.total),
            "rows": self.rows.iter().map(row_json).collect::<Vec<_>>(),
        }))
    }
}

/// Table 3 names its rows by these shares.
fn paper_sparsity(frames: usize) -> Option<f64> {
    match frames {
        4 => Some(0.80),
        8 => Some(0.91),
        16 => Some(0.96),
        _ => None,
    }
}

fn row_json(row: &Row) -> Value {
    let [stored, recomputed] = kept_mb(row.profile.memory());
    let layers = row.profile.layers.iter().map(|layer| {
        let [stored, recomputed] = kept_mb(layer.memory);
        json!({
            "layer": layer.layer, "tokens": layer.tokens, "edges_m": layer.edges as f64 / 1e6,
            "gflops": layer.flops as f64 / 1e9, "kept_mb": stored, "kept_recomputing_mb": recomputed,
        })
    });
    json!({
        "frames": row.frames(), "mode": row.mode(), "keep_rate": row.keep(), "edges_m": row.edges_m(),
        "gflops": row.gflops(), "kept_mb": stored, "kept_recomputing_mb": recomputed,
        "parameters": row.profile.parameters, "layers": layers.collect::<Vec<_>>(),
    })
}

fn layer_table(row: &Row) -> String {
    let title = format!("{} at {} frames: layer", row.mode(), row.frames());
    let head = [&title, "tokens", "edges M", "GFLOPs", "kept MB, weights stored", "recomputed"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for layer in &row.profile.layers {
        let [stored, recomputed] = kept_mb(layer.memory);
        rows.push(vec![
            format!("  {}", layer.layer),
            layer.tokens.to_string(),
            format!("{:.4}", layer.edges as f64 / 1e6),
            format!("{:.3}", layer.flops as f64 / 1e9),
            format!("{stored:.1}"),
            format!("{recomputed:.1}"),
        ]);
    }
    format!("\n{}", columns(&rows))
}

fn or_dash(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
}
