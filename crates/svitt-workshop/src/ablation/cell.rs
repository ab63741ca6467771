//! A cell: a trained model, and what it is measured under.

use serde::{Deserialize, Serialize};
use svitt::config::{CrossSparsity, ModelConfig, Sparsity};

/// A sparsity that a model was not trained with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestTimeSparsity {
    /// Of the video encoder.
    pub sparsity: Sparsity,
    /// Of cross-attention.
    pub cross: Option<CrossSparsity>,
}

/// What one result file describes.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The name of its file, seed left out.
    pub id: String,
    /// The training whose model it measures.
    pub training: String,
    /// The sparsity at test time; none: the one it was trained with.
    pub test: Option<TestTimeSparsity>,
    /// Whether it is run with every seed.
    pub headline: bool,
}

impl Cell {
    /// The model of `training` as it was trained.
    pub fn trained(training: &str, headline: bool) -> Self {
        Self { id: training.into(), training: training.into(), test: None, headline }
    }

    /// The model of `training` under another sparsity, called `name`.
    pub fn tested(training: &str, name: &str, sparsity: Sparsity, cross: Option<CrossSparsity>) -> Self {
        let test = Some(TestTimeSparsity { sparsity, cross });
        Self { id: format!("{training}+{name}"), training: training.into(), test, headline: false }
    }

    /// `trained` as this cell measures it.
    pub fn model(&self, trained: &ModelConfig) -> ModelConfig {
        let mut model = trained.clone();
        if let Some(test) = &self.test {
            model.video.sparsity.clone_from(&test.sparsity);
            model.text.cross.clone_from(&test.cross);
        }
        model
    }

    /// The same, run with every seed.
    #[must_use]
    pub fn headline(self) -> Self {
        Self { headline: true, ..self }
    }
}
