//! `interp`: position tables between grids and clip lengths, and the index buffer that addresses them.

use super::cases::Case;
use super::context::ParityContext;
use super::fixture::Fixture;
use super::report::FileCheck;
use super::tolerance::TensorKind;
use burn::module::AutodiffModule;
use burn::tensor::backend::Backend;
use svitt::Result;
use svitt::weights::position_tables::{TableResampler, TableShape};
use svitt_ops::TrainBackend;
use svitt_ops::sparse::RelativeBias;

/// Compares every table of `interp.safetensors`.
///
/// # Errors
/// A table that is none, or a checkpoint that cannot be read.
pub fn check<B: TrainBackend>(context: &ParityContext<B>, check: &mut FileCheck) -> Result<()> {
    let fixture = context.fixture("interp")?;
    for name in fixture.names() {
        if let Some(frames) = wrapped(&name, "relative_position_index_", "f") {
            let ours = relative_index::<B>(frames, context.config()?.video.grid());
            check.compare(&name, TensorKind::Exact, &ours, &fixture.get(&name)?.values);
        } else if let Some((frames, layer)) = checkpoint_table(&name) {
            checkpoint(context, frames, layer, &name, check)?;
        } else if let Some((source, from, to)) = conversion(fixture, &name)? {
            convert(fixture, &source, [from, to], &name, check)?;
        }
    }
    Ok(())
}

/// Row of the position table for every pair of tokens of a full clip, class token first: `[(N + 1)²]` (docs/model.md).
pub fn relative_index<B: Backend>(frames: usize, grid: usize) -> Vec<f64> {
    let coords = RelativeBias::<B>::raster_coords(frames, grid);
    let centre = RelativeBias::<B>::raster_centre(frames, grid) as i64;
    let class = (TableShape { frames, grid }.rows() - 3) as i64;
    let tokens = coords.len() + 1;
    let row = |a: usize, b: usize| match (a, b) {
        (0, 0) => class + 2,
        (0, _) => class,
        (_, 0) => class + 1,
        _ => coords[a - 1] - coords[b - 1] + centre,
    };
    (0..tokens * tokens).map(|place| row(place / tokens, place % tokens) as f64).collect()
}

/// The checkpoint's table of `layer` for clips of `frames` frames.
fn checkpoint<B: TrainBackend>(
    context: &ParityContext<B>,
    frames: usize,
    layer: usize,
    name: &str,
    check: &mut FileCheck,
) -> Result<()> {
    let model = context.model(&Case::plain(Some(frames)))?.valid();
    if let Some(table) = model.video.layers.get(layer).and_then(|layer| layer.position_table.as_ref()) {
        context.fixture("interp")?.check(name, TensorKind::Table, table.val(), check);
    }
    Ok(())
}

/// `table_<T>f_layer_<i>`.
fn checkpoint_table(name: &str) -> Option<(usize, usize)> {
    let (frames, layer) = name.strip_prefix("table_")?.split_once("f_layer_")?;
    Some((frames.parse().ok()?, layer.parse().ok()?))
}

/// The tensor that the table called `name` is made of, and both shapes: `from_w<W>_to_T<T>_w<G>` of the 2-D table
/// `src2d_w<W>`, or `from_<S>f_to_<T>f` of `src_<S>f`.
fn conversion(fixture: &Fixture, name: &str) -> Result<Option<(String, TableShape, TableShape)>> {
    let Some((from, to)) = name.strip_prefix("from_").and_then(|rest| rest.split_once("_to_")) else {
        return Ok(None);
    };
    if let (Some(grid), Some((frames, new))) = (wrapped(from, "w", ""), to.split_once("_w")) {
        let (Some(frames), Ok(new)) = (wrapped(frames, "T", ""), new.parse()) else { return Ok(None) };
        let shapes = [TableShape { frames: 1, grid }, TableShape { frames, grid: new }];
        return Ok(Some((format!("src2d_w{grid}"), shapes[0], shapes[1])));
    }
    let (Some(old), Some(new)) = (wrapped(from, "", "f"), wrapped(to, "", "f")) else { return Ok(None) };
    let source = format!("src_{old}f");
    let [rows, _] = fixture.shape::<2>(&source)?;
    let shape = TableShape::of_rows(rows, &[old]).filter(|shape| shape.frames == old);
    let shape =
        shape.ok_or_else(|| fixture.invalid(format!("`{source}` of {rows} rows is no table of {old} frames")))?;
    Ok(Some((source, shape, TableShape { frames: new, grid: shape.grid })))
}

fn convert(
    fixture: &Fixture,
    source: &str,
    [from, to]: [TableShape; 2],
    name: &str,
    check: &mut FileCheck,
) -> Result<()> {
    let [_, heads] = fixture.shape::<2>(source)?;
    let ours = TableResampler::new(from, to)?.resample(&fixture.get(source)?.values, heads)?;
    let kind = if from.grid == to.grid { TensorKind::Table } else { TensorKind::SplineTable };
    check.compare(name, kind, &ours, &fixture.get(name)?.values);
    Ok(())
}

/// The number between `before` and `after`.
fn wrapped(name: &str, before: &str, after: &str) -> Option<usize> {
    name.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
}
