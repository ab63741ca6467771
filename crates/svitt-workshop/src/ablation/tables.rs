//! Which cells make which of the paper's tables and figures.

use super::training::{MODES, START, budget_name, name};
use super::{AblationPlan, Cell};
use svitt::config::{BlockChoice, CrossSparsity, EdgeSparsity, Selection, Sparsity};

/// A table: labels and their cells.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSpec {
    /// Its name on the command line and in files.
    pub key: &'static str,
    /// Its heading.
    pub title: String,
    /// Its rows.
    pub rows: Vec<(String, Cell)>,
}

/// Rows of the paper's Figure 4a have at most this many blocks per query.
const MOST_BLOCKS: usize = 6;

/// All tables of `plan`, the most important first: that is the order cells are run in.
pub fn tables(plan: &AblationPlan) -> Vec<TableSpec> {
    let at = TableBuilder { plan, lengths: plan.lengths() };
    vec![
        at.table2(),
        at.table3(),
        at.table1(),
        at.late_fusion(),
        at.budgets(),
        at.selection(),
        at.figure5a(),
        at.figure5b(),
        at.figure4a(),
        at.figure4b(),
    ]
}

/// How rows of the table of budgets begin that make a line of its picture each.
pub const BUDGET_LINES: [&str; 3] = ["rates drawn in training", "the same, tokens by lot", "trained at one rate"];

/// How its other rows begin, which are points.
pub const BUDGET_POINTS: &str = "each trained at its own";

struct TableBuilder<'a> {
    plan: &'a AblationPlan,
    lengths: [usize; 3],
}

/// The name of a cell with `edge` alone.
fn edge_name(edge: EdgeSparsity) -> String {
    let name = format!("edge-{}-{}-{}", edge.local, edge.random, edge.block);
    if edge.blocks.is_random() { name } else { format!("{name}-{}", edge.blocks) }
}

impl TableBuilder<'_> {
    fn tested(&self, name: &str, edge: Option<EdgeSparsity>, q_v: f64, q_m: f64) -> Cell {
        let sparsity = Sparsity { edge, node: self.plan.node(q_v, Selection::ClassAttention) };
        let cross = (q_m < 1.0).then(|| CrossSparsity { keep_rate: q_m, ..self.plan.cross.clone() });
        Cell::tested(&self.plan.dense(), name, sparsity, cross)
    }

    fn table1(&self) -> TableSpec {
        let (edge, wide) = (self.plan.edge, self.plan.wide_edge);
        let (q_v, q_m) = (self.plan.hybrid_rates[0], self.plan.cross.keep_rate);
        let graph = |edge: EdgeSparsity| match edge.blocks {
            BlockChoice::Random => format!("({}, {}, {})", edge.local, edge.random, edge.block),
            blocks => format!("({}, {}, {}, {blocks})", edge.local, edge.random, edge.block),
        };
        let both = |e: EdgeSparsity| {
            let label = format!("hybrid {}, ({q_v}, {q_m})", graph(e));
            (label, self.tested(&format!("hybrid-{}", edge_name(e)), Some(e), q_v, q_m).headline())
        };
        let rows = vec![
            ("dense".into(), Cell::trained(&self.plan.dense(), true)),
            (format!("edge {}", graph(edge)), self.tested(&edge_name(edge), Some(edge), 1.0, 1.0).headline()),
            (format!("edge {}", graph(wide)), self.tested(&edge_name(wide), Some(wide), 1.0, 1.0).headline()),
            (format!("node ({q_v}, 1)"), self.tested(&format!("node-{q_v}"), None, q_v, 1.0).headline()),
            (format!("node ({q_v}, {q_m})"), self.tested(&format!("node-{q_v}-{q_m}"), None, q_v, q_m).headline()),
            both(edge),
            both(wide),
        ];
        let title = format!("Table 1: a dense {}-frame model, sparsified at test time", self.lengths[0]);
        TableSpec { key: "table1", title, rows }
    }

    fn table2(&self) -> TableSpec {
        let rows = self.lengths.iter().flat_map(|frames| {
            MODES.map(|mode| (format!("{frames} frames, {mode}"), Cell::trained(&format!("{mode}-{frames}"), true)))
        });
        let title = "Table 2: every mode trained by expansion to three clip lengths".into();
        TableSpec { key: "table2", title, rows: rows.collect() }
    }

    fn table3(&self) -> TableSpec {
        let mut stages = self.plan.preset.stages[0].frames.to_string();
        let rows = self.lengths.iter().flat_map(|frames| {
            // A single stage costs as much as a whole expansion: all seeds for the longest clips only.
            let longest = *frames == self.lengths[2];
            let single = (format!("{frames}"), Cell::trained(&format!("single-{frames}"), longest));
            stages = format!("{stages} → {frames}");
            [single, (stages.clone(), Cell::trained(&format!("hybrid-{frames}"), true))]
        });
        let rows = rows.collect();
        let title = "Table 3: a single hybrid stage against expansion, at equal compute".into();
        TableSpec { key: "table3", title, rows }
    }

    fn late_fusion(&self) -> TableSpec {
        let (last, start) = (self.lengths[2], Cell::trained(START, true));
        let rows = vec![
            (format!("{} frames, dense: where expansion starts", self.plan.preset.stages[0].frames), start),
            ("frames one by one, fused late".into(), Cell::trained(&format!("late-fusion-{last}"), true)),
            ("hybrid by expansion".into(), Cell::trained(&format!("hybrid-{last}"), true)),
        ];
        let title = format!("Late fusion: frames encoded one by one, {last} frames, at equal compute");
        TableSpec { key: "late-fusion", title, rows }
    }

    /// One checkpoint at many keep rates, by attention and by lot, beside fixed rates at their own and at others.
    fn budgets(&self) -> TableSpec {
        let (last, hybrid) = (&self.plan.preset.stages[3], name("hybrid", &self.plan.preset.stages[3]));
        let any = budget_name(None, last);
        let at = |training: &str, rate: f64, selection: Selection| {
            let by = if selection == Selection::Random { "-random" } else { "" };
            let sparsity = Sparsity { edge: Some(self.plan.edge), node: self.plan.node(rate, selection) };
            Cell::tested(training, &format!("q-{rate}{by}"), sparsity, None)
        };
        let own = self.plan.hybrid_rates[2];
        let curve = |training: &str, label: &str, selection: Selection| -> Vec<(String, Cell)> {
            let rates = self.plan.budgets.rates.iter();
            rates.map(|&q| (format!("{label}, q_v = {q}"), at(training, q, selection))).collect()
        };
        let mut rows = curve(&any, BUDGET_LINES[0], Selection::ClassAttention);
        rows.extend(curve(&any, BUDGET_LINES[1], Selection::Random));
        rows.extend(curve(&hybrid, &format!("{} ({own})", BUDGET_LINES[2]), Selection::ClassAttention));
        let fixed = self.plan.budgets.fixed.iter();
        rows.extend(
            fixed
                .map(|&q| (format!("{}, q_v = {q}", BUDGET_POINTS), Cell::trained(&budget_name(Some(q), last), false))),
        );
        let title = format!("One checkpoint, many budgets: {} frames, edges as in training", last.frames);
        TableSpec { key: "budgets", title, rows }
    }

    fn selection(&self) -> TableSpec {
        let (frames, dense) = (self.lengths[1], self.plan.dense());
        let tested = [0.7, 0.5].into_iter().flat_map(|rate| {
            [Selection::ClassAttention, Selection::Random].map(|selection| {
                let (name, label) = match selection {
                    Selection::Random => (format!("node-{rate}-random"), "random"),
                    _ => (format!("node-{rate}"), "attention"),
                };
                let sparsity = Sparsity { edge: None, node: self.plan.node(rate, selection) };
                (format!("test time, q_v = {rate}, {label}"), Cell::tested(&dense, &name, sparsity, None).headline())
            })
        });
        let mut rows: Vec<(String, Cell)> = tested.collect();
        let trained = |id: &str| Cell::trained(&format!("{id}-{frames}"), false);
        rows.push((format!("trained, {frames} frames, attention"), trained("hybrid")));
        rows.push((format!("trained, {frames} frames, random"), trained("random-selection")));
        TableSpec { key: "selection", title: "Attention-based against random selection of tokens".into(), rows }
    }

    fn figure4a(&self) -> TableSpec {
        let graphs = [0, 1, 3, 5].into_iter().flat_map(|local| (0..=MOST_BLOCKS - local).map(move |r| (local, r)));
        let rows = graphs.filter(|&(local, random)| local + random > 0).map(|(local, random)| {
            let edge = EdgeSparsity { local, random, ..self.plan.edge };
            (format!("K_l = {local}, K_r = {random}"), self.tested(&edge_name(edge), Some(edge), 1.0, 1.0))
        });
        let title = format!("Figure 4a: blocks per query at test time, G = {}", self.plan.edge.block);
        TableSpec { key: "fig4a", title, rows: rows.collect() }
    }

    fn figure4b(&self) -> TableSpec {
        let rows = self.plan.blocks.iter().map(|&block| {
            let edge = EdgeSparsity { block, ..self.plan.edge };
            (format!("G = {block}"), self.tested(&edge_name(edge), Some(edge), 1.0, 1.0))
        });
        let EdgeSparsity { local, random, .. } = self.plan.edge;
        let title = format!("Figure 4b: block size at test time, K_l = {local}, K_r = {random}");
        TableSpec { key: "fig4b", title, rows: rows.collect() }
    }

    fn figure5a(&self) -> TableSpec {
        let rows = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5].map(|q_v| {
            let cell = match q_v {
                1.0 => Cell::trained(&self.plan.dense(), true),
                _ => self.tested(&format!("node-{q_v}"), None, q_v, 1.0),
            };
            (format!("q_v = {q_v}"), cell)
        });
        TableSpec { key: "fig5a", title: "Figure 5a: q_v at test time".into(), rows: rows.into() }
    }

    fn figure5b(&self) -> TableSpec {
        let rows = [1.0, 0.7, 0.5, 0.3, 0.1].map(|q_m| {
            let cell = match q_m {
                1.0 => Cell::trained(&self.plan.dense(), true),
                _ => self.tested(&format!("cross-{q_m}"), None, 1.0, q_m),
            };
            (format!("q_m = {q_m}"), cell)
        });
        TableSpec { key: "fig5b", title: "Figure 5b: q_m at test time".into(), rows: rows.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_grid_has_all_tables_and_cells() {
        let plan = AblationPlan::load(None).unwrap();
        let rows: HashMap<&str, usize> = tables(&plan).iter().map(|table| (table.key, table.rows.len())).collect();
        assert_eq!([rows["table1"], rows["table2"], rows["table3"]], [7, 12, 6]);
        assert_eq!([rows["fig4a"], rows["fig5a"], rows["fig5b"]], [18, 6, 5]);
    }

    #[test]
    fn cell_names_are_unique_and_settings_valid() {
        let plan = AblationPlan::load(None).unwrap();
        let base = plan.base(64);
        let trainings = plan.trainings(&base).unwrap();
        let mut known: HashMap<String, Cell> = HashMap::new();
        for (_, cell) in tables(&plan).into_iter().flat_map(|table| table.rows) {
            let training = super::super::training::of(&trainings, &cell.training).expect(&cell.training);
            cell.model(&training.model(&base)).validate().unwrap_or_else(|error| panic!("{}: {error}", cell.id));
            let first = known.entry(cell.id.clone()).or_insert_with(|| cell.clone());
            assert_eq!((&first.test, &first.training), (&cell.test, &cell.training), "{}", cell.id);
        }
    }
}
