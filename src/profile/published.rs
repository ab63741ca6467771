//! The rows of the paper's Tables 1, 2 and 3, as settings and as printed.

use super::{Convention, Profile};
use crate::config::{Compat, CrossSparsity, EdgeSparsity, ModelConfig, NodeSparsity, Selection, Sparsity};
use crate::{Error, Result};

/// The paper's figures (Li et al., CVPR 2023), copied from the tables. Absent figures are null.
pub const PAPER_TABLES: &str = include_str!("../../data/paper-tables.json");

/// The four modes of Table 2, in its order.
pub const MODES: [&str; 4] = ["dense", "edge", "node", "hybrid"];

/// A row of Table 1: what it is called in reports and in the table, (K_l, K_r, G), q_v, q_m.
pub type EdgeRow = (&'static str, &'static str, Option<(usize, usize, usize)>, f64, f64);

/// The seven rows of Table 1: a four-frame model made sparse at test time.
pub const TABLE_1: [EdgeRow; 7] = [
    ("dense", "dense", None, 1.0, 1.0),
    ("edge_1_3", "edge_1_3_56", Some((1, 3, 56)), 1.0, 1.0),
    ("edge_1_5", "edge_1_5_56", Some((1, 5, 56)), 1.0, 1.0),
    ("node", "node_0.7_1", None, 0.7, 1.0),
    ("node_qm", "node_0.7_0.1", None, 0.7, 0.1),
    ("hybrid_1_3", "hybrid_1_3_56_0.7_0.1", Some((1, 3, 56)), 0.7, 0.1),
    ("hybrid_1_5", "hybrid_1_5_56_0.7_0.1", Some((1, 5, 56)), 0.7, 0.1),
];

/// q_v of Table 2 at 4, 8 and 16 frames: .7, .6, .5 for hybrid, .7, .7, .6 for node; between them the longer clip's.
pub fn keep_rate(mode: &str, frames: usize) -> f64 {
    match (mode, frames) {
        ("hybrid", 0..=4) | ("node", 0..=8) => 0.7,
        ("hybrid", 5..=8) | ("node", _) => 0.6,
        ("hybrid", _) => 0.5,
        _ => 1.0,
    }
}

/// Edge sparsity (K_l, K_r, G), q_v after layers 3, 6 and 9 of 12 (in proportion where there are fewer or more), and
/// q_m after the first fusion layer, put into `config`.
#[must_use]
pub fn sparse(mut config: ModelConfig, edge: Option<(usize, usize, usize)>, keep: f64, keep_cross: f64) -> ModelConfig {
    let edge = edge.map(|(local, random, block)| EdgeSparsity::new(local, random, block));
    let prune = |keep_rate, layers| (keep_rate, layers, Selection::ClassAttention);
    let layers = [3, 6, 9].map(|layer| layer * config.video.layers / 12).to_vec();
    let node = (keep < 1.0).then(|| prune(keep, layers));
    let cross = (keep_cross < 1.0).then(|| prune(keep_cross, vec![config.text.fusion_layer]));
    let node = node.map(|(keep_rate, layers, selection)| NodeSparsity { keep_rate, layers, selection });
    config.text.cross = cross.map(|(keep_rate, layers, selection)| CrossSparsity { keep_rate, layers, selection });
    config.video.sparsity = Sparsity { edge, node };
    config
}

/// The published model in one mode of Table 2: (1, 3, 56) where edges are sparse, [`keep_rate`] where nodes are, and
/// q_m = .1 in hybrid.
pub fn base_in_mode(frames: usize, mode: &str) -> ModelConfig {
    in_mode(ModelConfig { compat: Compat::Official, ..ModelConfig::base(frames) }, mode)
}

/// `config` in one mode of Table 2, as [`base_in_mode`].
pub fn in_mode(config: ModelConfig, mode: &str) -> ModelConfig {
    let frames = config.video.frames;
    let edge = matches!(mode, "edge" | "hybrid").then_some((1, 3, 56));
    sparse(config, edge, keep_rate(mode, frames), if mode == "hybrid" { 0.1 } else { 1.0 })
}

/// Edges of Table 1's rows in millions, by their names in reports.
///
/// # Errors
/// None for the rows as they are; a row whose settings do not validate.
pub fn edges_m(convention: Convention) -> Result<Vec<(&'static str, f64)>> {
    let count = |&(name, _, edge, keep, keep_cross): &EdgeRow| {
        let base = ModelConfig { compat: Compat::Official, ..ModelConfig::base(4) };
        let profile = Profile::of(&sparse(base, edge, keep, keep_cross), convention)?;
        Ok((name, profile.edges() as f64 / 1e6))
    };
    TABLE_1.iter().map(count).collect()
}

/// Share of edges that hybrid sparsity removes from the dense model at `frames`, 0–1 (Table 3).
///
/// # Errors
/// A number of frames that the settings do not fit.
pub fn sparsity(frames: usize, convention: Convention) -> Result<f64> {
    let edges = |mode| Profile::of(&base_in_mode(frames, mode), convention).map(|profile| profile.edges() as f64);
    Ok(1.0 - edges("hybrid")? / edges("dense")?)
}

/// The paper's tables, parsed.
///
/// # Errors
/// `data/paper-tables.json` was not valid JSON when this was built.
pub fn paper_tables() -> Result<serde_json::Value> {
    let fault = |e: serde_json::Error| Error::file("data/paper-tables.json", e.to_string(), "repair it and rebuild");
    serde_json::from_str(PAPER_TABLES).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gflops(frames: usize, mode: &str, convention: Convention) -> f64 {
        Profile::of(&base_in_mode(frames, mode), convention).unwrap().flops() as f64 / 1e9
    }

    #[test]
    fn table_1_to_the_printed_digit() {
        let tables = paper_tables().unwrap();
        for ((name, edges), row) in edges_m(Convention::Paper).unwrap().into_iter().zip(TABLE_1) {
            let printed = tables["table1"][row.1][0].as_f64().unwrap();
            assert_eq!(format!("{edges:.2}"), format!("{printed:.2}"), "{name}");
        }
        let edges: Vec<_> = edges_m(Convention::Paper).unwrap().iter().map(|row| format!("{:.2}", row.1)).collect();
        assert_eq!(edges, ["7.47", "2.14", "3.21", "3.99", "3.97", "1.48", "2.22"]);
    }

    #[test]
    fn table_1_as_computed() {
        let edges: Vec<_> = edges_m(Convention::True).unwrap().iter().map(|row| format!("{:.3}", row.1)).collect();
        assert_eq!(edges, ["7.470", "2.202", "3.255", "3.992", "3.977", "1.475", "2.200"]);
    }

    #[test]
    fn table_2_within_a_thousandth() {
        let tables = paper_tables().unwrap();
        for frames in [4, 8, 16] {
            for mode in MODES {
                let printed = tables["table2"][frames.to_string()][mode][0].as_f64().unwrap();
                let ours = gflops(frames, mode, Convention::Paper);
                assert!((ours / printed - 1.0).abs() < 1e-3, "{mode} at {frames}: {ours} against {printed}");
            }
        }
    }

    #[test]
    fn table_2_as_computed() {
        let expected =
            [(4, [157.0, 140.8, 105.0, 97.3]), (8, [359.1, 281.4, 234.0, 172.5]), (16, [899.4, 562.7, 496.8, 306.6])];
        for (frames, row) in expected {
            for (mode, gflop) in MODES.into_iter().zip(row) {
                let ours = gflops(frames, mode, Convention::True);
                assert!((ours - gflop).abs() < 0.06, "{mode} at {frames}: {ours} against {gflop}");
            }
        }
    }

    #[test]
    fn table_3_sparsities() {
        for convention in [Convention::True, Convention::Paper] {
            let shares = [4, 8, 16].map(|frames| format!("{:.2}", sparsity(frames, convention).unwrap()));
            assert_eq!(shares, ["0.80", "0.91", "0.96"]);
        }
    }
}
