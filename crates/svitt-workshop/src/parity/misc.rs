//! `misc`: frame indices, learning-rate multipliers, weight-decay groups and how clear the pruning decisions were.

use super::cases::{Case, read_json};
use super::context::{Margin, ParityContext};
use super::report::FileCheck;
use super::tokenization::numbers;
use super::tolerance::TensorKind;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Tensor, backend::Backend};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use svitt::Result;
use svitt::train::{WarmupCosine, decays};
use svitt::weights::keys::{Naming, layout};
use svitt_ops::TrainBackend;
use svitt_video::{FrameSampling, intervals};

/// The name of the file.
pub const FILE: &str = "misc.json";

#[derive(Deserialize)]
struct Sampled {
    num_frames: usize,
    vlen: usize,
    middle: Json,
    intervals: Json,
}

#[derive(Deserialize)]
struct SampledAtRate {
    fps: f64,
    vlen: usize,
    input_fps: f64,
    /// Negative for no limit.
    max: i64,
    idx: Json,
}

#[derive(Deserialize)]
struct Schedule {
    total: f64,
    warmup: f64,
    min_lr_multi: f64,
    multipliers: Vec<f64>,
}

#[derive(Deserialize)]
struct Groups {
    decay: Vec<String>,
    no_decay: Vec<String>,
}

/// Compares every entry of `misc.json`; run it after the files whose decisions it lists.
///
/// # Errors
/// The file or the weights cannot be read.
pub fn check<B: TrainBackend>(context: &ParityContext<B>, check: &mut FileCheck) -> Result<()> {
    let path = context.folder.join(FILE);
    let sections: Map<String, Json> = read_json(&path)?;
    for (name, section) in sections {
        let understood = match name.as_str() {
            "frame_indices" => parsed(section).map(|all: Vec<Sampled>| frame_indices(&all, check)),
            "frame_indices_fps" => parsed(section).map(|all: Vec<SampledAtRate>| indices_at_rate(&all, check)),
            "schedule" => parsed(section).map(|all: Vec<Schedule>| schedules(&all, check)),
            "topk_relative_margins" => parsed(section).map(|all| margins(context, &all, check)),
            "param_groups" => match parsed::<Groups>(section) {
                Some(groups) => Some(weight_decay(context, &groups, check)?),
                None => None,
            },
            _ => None,
        };
        if understood.is_none() {
            check.uncovered(name);
        }
    }
    Ok(())
}

fn parsed<T: serde::de::DeserializeOwned>(section: Json) -> Option<T> {
    serde_json::from_value(section).ok()
}

fn floats(indices: &[usize]) -> Vec<f64> {
    indices.iter().map(|&index| index as f64).collect()
}

fn frame_indices(all: &[Sampled], check: &mut FileCheck) {
    for Sampled { num_frames, vlen, middle, intervals: bounds } in all {
        let name = format!("frame_indices.{num_frames}_of_{vlen}");
        let ours = FrameSampling::Middle.indices(*num_frames, *vlen, 1.0, &mut || 0.0);
        check.compare(format!("{name}.middle"), TensorKind::Exact, &floats(&ours), &numbers(middle));
        check.compare(
            format!("{name}.intervals"),
            TensorKind::Exact,
            &floats(&intervals(*num_frames, *vlen)),
            &numbers(bounds),
        );
    }
}

fn indices_at_rate(all: &[SampledAtRate], check: &mut FileCheck) {
    for SampledAtRate { fps, vlen, input_fps, max, idx } in all {
        let sampling = FrameSampling::Fps { fps: *fps, max: usize::try_from(*max).ok() };
        let ours = sampling.indices(1, *vlen, *input_fps, &mut || 0.0);
        check.compare(format!("frame_indices_fps.{fps}_of_{vlen}"), TensorKind::Exact, &floats(&ours), &numbers(idx));
    }
}

fn schedules(all: &[Schedule], check: &mut FileCheck) {
    for Schedule { total, warmup, min_lr_multi, multipliers } in all {
        let schedule = WarmupCosine { peak: 1.0, total: *total, warmup: *warmup, minimum: *min_lr_multi, taken: 0 };
        let ours: Vec<f64> = (0..multipliers.len()).map(|step| schedule.multiplier(step)).collect();
        check.compare(format!("schedule.{total}_{warmup}_{min_lr_multi}"), TensorKind::Step, &ours, multipliers);
    }
}

/// Tolerance: both scores of a margin may be off by that of a probability. Margins of files that are not in the
/// directory cannot be computed.
fn margins<B: TrainBackend>(context: &ParityContext<B>, all: &BTreeMap<String, f64>, check: &mut FileCheck) {
    let known = context.margins.borrow();
    for (name, reference) in all {
        let file = name.split('/').next().unwrap_or_default();
        let nearest = |margins: &Vec<Margin>| {
            let distance = |margin: &Margin| (margin.value - reference).abs();
            margins.iter().copied().min_by(|a, b| distance(a).total_cmp(&distance(b)))
        };
        match known.get(name).and_then(nearest) {
            Some(margin) => {
                let tolerance = 2e-5 / margin.score.abs();
                let name = format!("topk_relative_margins.{name}");
                check.compare(name, TensorKind::Derived(tolerance), &[margin.value], &[*reference]);
            }
            None if context.has(file) || context.has(&format!("video_{file}")) => check.uncovered(name),
            None => {}
        }
    }
}

/// Which parameters decay, under their official names.
fn weight_decay<B: TrainBackend>(context: &ParityContext<B>, groups: &Groups, check: &mut FileCheck) -> Result<()> {
    let mut ours = Decay { path: Vec::new(), groups: [Vec::new(), Vec::new()] };
    context.model(&Case::plain(None))?.visit(&mut ours);
    let [decay, no_decay] = &ours.groups;
    check.names("param_groups.decay", decay, &groups.decay);
    check.names("param_groups.no_decay", no_decay, &groups.no_decay);
    Ok(())
}

struct Decay {
    path: Vec<String>,
    groups: [Vec<String>; 2],
}

impl<B: Backend> ModuleVisitor<B> for Decay {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, _param: &Param<Tensor<B, D>>) {
        let group = usize::from(!decays(&self.path, D));
        if let Some(layout) = layout(&self.path.join("."), Naming::Beit) {
            self.groups[group].extend(layout.keys().iter().cloned());
        }
    }
}
