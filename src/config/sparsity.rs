//! Edge sparsity (K_l, K_r, G), node sparsity (q, layers) and the order tokens stand in
//! (docs/model.md, "Edge sparsity", "Token pruning", "Token order").

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use svitt_ops::sparse::{BlockChoice, EdgeSparsity};
use svitt_ops::tokens::kept_tokens;

/// Edge sparsity written as `K_l,K_r,G`: 1,3,56; with the choice of blocks behind it: 1,3,56,top.
///
/// # Errors
/// It is written otherwise.
pub fn parse_edges(text: &str) -> Result<EdgeSparsity> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let (numbers, blocks) = match parts.as_slice() {
        [numbers @ .., name] if numbers.len() == 3 => (numbers, name.parse()?),
        numbers => (numbers, BlockChoice::Random),
    };
    let numbers: Option<Vec<usize>> = numbers.iter().map(|number| number.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[local, random, block]) => Ok(EdgeSparsity::new(local, random, block).with_blocks(blocks)),
        _ => Err(Error::setting("--edges", format!("`{text}` is not K_l,K_r,G"), "give three numbers, as 1,3,56")),
    }
}

/// How a pruning layer ranks its tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// By the attention of the token that is read out: the class token (video; for an encoder without one as
    /// [`Self::Received`]) or text position 0 (cross-modal), averaged over heads.
    #[default]
    ClassAttention,
    /// By the attention a patch receives, averaged over heads and over all patches as queries: what a read-out by the
    /// mean of the patches pays (video only).
    Received,
    /// By the attention of the mean of all queries, averaged over heads: [`Self::Received`] approximated by one query
    /// (video only).
    MeanQuery,
    /// By cross-attention averaged over all text positions (cross-modal only).
    AverageAttention,
    /// By uniform noise: the baseline every selection method must beat.
    Random,
}

/// As [`Selection::from_str`] reads it.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClassAttention => "class-attention",
            Self::Received => "received",
            Self::MeanQuery => "mean-query",
            Self::AverageAttention => "average-attention",
            Self::Random => "random",
        })
    }
}

impl FromStr for Selection {
    type Err = Error;

    /// As in configurations: `class-attention`, `received`, `mean-query`, `random`.
    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "class-attention" => Self::ClassAttention,
            "received" => Self::Received,
            "mean-query" => Self::MeanQuery,
            "random" => Self::Random,
            _ => {
                let remedy = "use class-attention, received, mean-query or random";
                return Err(Error::setting("--rank", format!("`{name}` is not known"), remedy));
            }
        })
    }
}

/// After each layer of `layers`, the ceil(`keep_rate` · N) best patch tokens stay, in their order (§1b).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSparsity {
    /// q_v, in (0, 1]; the same at every pruning layer, so it multiplies.
    pub keep_rate: f64,
    /// 0-based layers after which tokens are pruned; the paper's are 3, 6, 9.
    pub layers: Vec<usize>,
    /// What ranks the tokens.
    #[serde(default)]
    pub selection: Selection,
}

impl NodeSparsity {
    /// `keep_rate` after each of `layers`, ranked by the class token's attention, as published.
    pub fn by_class(keep_rate: f64, layers: &[usize]) -> Self {
        Self { keep_rate, layers: layers.to_vec(), selection: Selection::ClassAttention }
    }
}

/// Cross-modal pruning: text position 0 ranks the video tokens for the following fusion layers
/// (docs/model.md, "Cross-modal pruning").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrossSparsity {
    /// q_m, in (0, 1].
    pub keep_rate: f64,
    /// Absolute 0-based BERT layers after whose cross-attention tokens are pruned; 9 by default.
    pub layers: Vec<usize>,
    /// What ranks the tokens.
    #[serde(default)]
    pub selection: Selection,
}

/// Edge and node sparsity of the video encoder; both absent is the dense model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sparsity {
    /// Block-sparse attention in every layer, or dense attention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edge: Option<EdgeSparsity>,
    /// Token pruning, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeSparsity>,
}

impl Sparsity {
    /// The name of the mode: dense, edge, node or hybrid.
    pub fn mode(&self) -> &'static str {
        match (&self.edge, &self.node) {
            (None, None) => "dense",
            (Some(_), None) => "edge",
            (None, Some(_)) => "node",
            (Some(_), Some(_)) => "hybrid",
        }
    }

    /// The same with `keep_rate` for q_v where tokens are pruned at all.
    #[must_use]
    pub fn at_keep_rate(&self, keep_rate: Option<f64>) -> Self {
        let node =
            self.node.clone().map(|node| NodeSparsity { keep_rate: keep_rate.unwrap_or(node.keep_rate), ..node });
        Self { node, ..self.clone() }
    }

    /// Patch tokens entering each of `layers` layers when `patches` enter the first one.
    pub fn tokens_per_layer(&self, patches: usize, layers: usize) -> Vec<usize> {
        let mut alive = patches;
        (0..layers)
            .map(|layer| {
                let entering = alive;
                alive = self.tokens_after(layer, alive);
                entering
            })
            .collect()
    }

    /// Patch tokens alive after `layer` when `alive` entered it.
    pub fn tokens_after(&self, layer: usize, alive: usize) -> usize {
        match &self.node {
            Some(node) if node.keep_rate < 1.0 && node.layers.contains(&layer) => kept_tokens(node.keep_rate, alive),
            _ => alive,
        }
    }

    /// Checks every setting for an encoder of `layers` layers and `patches` patch tokens.
    ///
    /// # Errors
    /// K_l even, G zero or larger than the sequence, K_l + K_r larger than the blocks there are at the first
    /// layer, a keep rate outside (0, 1], or a pruning layer that does not exist.
    pub fn validate(&self, patches: usize, layers: usize) -> Result<()> {
        if let Some(edge) = &self.edge {
            edge.validate(patches)?;
        }
        if let Some(node) = &self.node {
            check_keep_rate("node.keep_rate", node.keep_rate)?;
            check_layers("node.layers", &node.layers, 0..layers)?;
            if node.selection == Selection::AverageAttention {
                return Err(Error::setting(
                    "node.selection",
                    "average-attention ranks by text positions, which a video layer does not have",
                    "use class-attention or random",
                ));
            }
        }
        Ok(())
    }
}

/// The options that ask for it: `--edges 1,3,56 --keep 0.7 --rank received, after layers 4, 7, 10`; or `dense`.
impl fmt::Display for Sparsity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(EdgeSparsity { local, random, block, blocks }) = self.edge {
            write!(f, "--edges {local},{random},{block}")?;
            if !blocks.is_random() {
                write!(f, ",{blocks}")?;
            }
        }
        let Some(node) = &self.node else {
            return f.write_str(if self.edge.is_none() { "dense" } else { "" });
        };
        let layers: Vec<String> = node.layers.iter().map(|layer| (layer + 1).to_string()).collect();
        let space = if self.edge.is_some() { " " } else { "" };
        write!(f, "{space}--keep {} --rank {}, after layers {}", node.keep_rate, node.selection, layers.join(", "))
    }
}

impl CrossSparsity {
    /// Checks the rate and that the layers are fusion layers.
    ///
    /// # Errors
    /// A rate outside (0, 1] or a layer outside `fusion`.
    pub fn validate(&self, fusion: std::ops::Range<usize>) -> Result<()> {
        check_keep_rate("cross.keep_rate", self.keep_rate)?;
        if matches!(self.selection, Selection::Received | Selection::MeanQuery) {
            let problem = "received and mean-query rank by patches as queries, which cross-attention does not have";
            return Err(Error::setting("cross.selection", problem, "use class-attention, average-attention or random"));
        }
        check_layers("cross.layers", &self.layers, fusion)
    }
}

/// Refuses a keep rate outside (0, 1], naming `setting`.
///
/// # Errors
/// It is outside.
pub fn check_keep_rate(setting: &str, rate: f64) -> Result<()> {
    if rate > 0.0 && rate <= 1.0 {
        return Ok(());
    }
    Err(Error::setting(
        setting,
        format!("a keep rate of {rate} keeps no tokens or invents some"),
        "use a number in (0, 1]",
    ))
}

fn check_layers(setting: &str, layers: &[usize], range: std::ops::Range<usize>) -> Result<()> {
    match layers.iter().find(|layer| !range.contains(layer)) {
        None => Ok(()),
        Some(layer) => Err(Error::setting(
            setting,
            format!("layer {layer} is not one of layers {} to {}", range.start, range.end.saturating_sub(1)),
            "layers count from 0",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_token_counts() {
        let node = NodeSparsity::by_class(0.7, &[3, 6, 9]);
        let sparsity = Sparsity { edge: None, node: Some(node) };
        assert_eq!(sparsity.tokens_per_layer(784, 12), [784, 784, 784, 784, 549, 549, 549, 385, 385, 385, 270, 270]);
        assert_eq!(sparsity.mode(), "node");
    }

    #[test]
    fn edges_and_rankings_are_read() {
        assert_eq!(parse_edges("1, 3,56").unwrap(), EdgeSparsity::new(1, 3, 56));
        let top = parse_edges("3,1,16, top").unwrap();
        assert_eq!(top, EdgeSparsity::new(3, 1, 16).with_blocks(BlockChoice::Top));
        let sparsity = |edge| Sparsity { edge: Some(edge), node: None };
        assert_eq!(sparsity(top).to_string(), "--edges 3,1,16,top");
        assert_eq!(sparsity(EdgeSparsity::new(3, 1, 16)).to_string(), "--edges 3,1,16");
        assert!(parse_edges("1,3,56,best").unwrap_err().to_string().contains("`best`"));
        assert!(parse_edges("1,3").unwrap_err().to_string().contains("K_l,K_r,G"));
        assert_eq!("mean-query".parse::<Selection>().unwrap(), Selection::MeanQuery);
        assert!("average-attention".parse::<Selection>().is_err());
    }

    /// Files written before there was a choice say nothing of it, and neither do files without one.
    #[test]
    fn configurations_name_the_choice_of_blocks_where_it_is_not_the_usual_one() {
        let text = r#"{"local":1,"random":3,"block":56}"#;
        let random: EdgeSparsity = serde_json::from_str(text).unwrap();
        assert_eq!(random, EdgeSparsity::new(1, 3, 56));
        assert_eq!(serde_json::to_string(&random).unwrap(), text);
        let top = random.with_blocks(BlockChoice::Top);
        let text = serde_json::to_string(&top).unwrap();
        assert_eq!(text, r#"{"local":1,"random":3,"block":56,"blocks":"top"}"#);
        assert_eq!(serde_json::from_str::<EdgeSparsity>(&text).unwrap(), top);
        let preset: Sparsity =
            toml::from_str(r#"edge = { local = 1, random = 3, block = 56, blocks = "top" }"#).unwrap();
        assert_eq!(preset.edge, Some(top));
        let unknown = serde_json::from_str::<EdgeSparsity>(&text.replace("top", "best")).unwrap_err().to_string();
        assert!(unknown.contains("`random` or `top`"), "{unknown}");
    }

    #[test]
    fn keep_rates_and_layers_are_checked() {
        let node = |keep_rate, layer| NodeSparsity { keep_rate, layers: vec![layer], selection: Selection::Random };
        let check = |n| Sparsity { edge: None, node: Some(n) }.validate(30, 4);
        assert!(check(node(0.0, 1)).is_err() && check(node(1.1, 1)).is_err() && check(node(f64::NAN, 1)).is_err());
        assert!(check(node(0.5, 4)).unwrap_err().to_string().contains("layer 4"));
        assert!(check(node(1.0, 3)).is_ok());
    }
}
