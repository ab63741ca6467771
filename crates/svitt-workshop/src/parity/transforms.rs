//! `transforms`: resizing, cropping, mirroring and normalising of `u8` pictures.

use super::context::ParityContext;
use super::fixture::Fixture;
use super::report::FileCheck;
use super::tolerance::TensorKind;
use svitt::Result;
use svitt_ops::TrainBackend;
use svitt_video::{Bicubic, CropBox, CropFlip, Frames, Transform};

/// One level of normalised pixels.
const NORMALISED_LEVEL: f64 = 2.0 / 255.0;

/// What a picture was made with.
struct TransformCase {
    source: String,
    crop: Option<CropBox>,
    flip: bool,
    filter: Bicubic,
}

/// Compares every picture of `transforms.safetensors`.
///
/// # Errors
/// A picture that is none.
pub fn check<B: TrainBackend>(context: &ParityContext<B>, check: &mut FileCheck) -> Result<()> {
    let fixture = context.fixture("transforms")?;
    let names = fixture.names();
    let crop = names.iter().find_map(|name| crop_box(name));
    for name in &names {
        let Some(recipe) = recipe(name, crop) else { continue };
        let [_, _, size, _] = fixture.shape::<4>(name)?;
        let ours = picture(fixture, &recipe, size)?;
        let reference = &fixture.get(name)?.values;
        if name.ends_with("_norm") {
            check.compare(name, TensorKind::Pixels(NORMALISED_LEVEL), &ours, reference);
        } else {
            let levels: Vec<f32> = ours.iter().map(|value| ((value * 0.5 + 0.5) * 255.0).round()).collect();
            check.compare(name, TensorKind::Pixels(1.0), &levels, reference);
        }
    }
    Ok(())
}

/// How the picture called `name` is made; none for what others are made of.
fn recipe(name: &str, crop: Option<CropBox>) -> Option<TransformCase> {
    let frames = |crop, flip, filter| TransformCase { source: "frames_u8".to_string(), crop, flip, filter };
    match name {
        "resized_u8" | "resized_norm" => Some(frames(None, false, Bicubic::Plain)),
        "resized_antialias_u8" => Some(frames(None, false, Bicubic::Antialias)),
        "crop_hflip_u8" => Some(frames(Some(crop?), true, Bicubic::Plain)),
        _ if name.starts_with("crop_i") => Some(frames(Some(crop_box(name)?), false, Bicubic::Plain)),
        _ => {
            let source = format!("{}_u8", name.strip_suffix("_resized_u8")?);
            Some(TransformCase { source, crop: None, flip: false, filter: Bicubic::Plain })
        }
    }
}

/// `crop_i<top>_j<left>_h<height>_w<width>_u8`.
fn crop_box(name: &str) -> Option<CropBox> {
    let mut parts = name.strip_prefix("crop_")?.strip_suffix("_u8")?.split('_');
    let mut number = |letter: char| parts.next()?.strip_prefix(letter)?.parse().ok();
    Some(CropBox { top: number('i')?, left: number('j')?, height: number('h')?, width: number('w')? })
}

/// The picture of `recipe`, `size` by `size`, normalised: `[frames, 3, size, size]`.
fn picture(fixture: &Fixture, recipe: &TransformCase, size: usize) -> Result<Vec<f32>> {
    let [count, channels, height, width] = fixture.shape::<4>(&recipe.source)?;
    if channels != 3 || count * height * width * size == 0 {
        let shape = [count, channels, height, width];
        return Err(fixture.invalid(format!("`{}` of shape {shape:?} is no sequence of RGB pictures", recipe.source)));
    }
    let planes = &fixture.get(&recipe.source)?.values;
    let frames = Frames { count, height, width, data: interleaved(planes, height * width) };
    let transform = Transform { filter: recipe.filter, ..Transform::new(size) };
    let mut view = transform.whole(&frames);
    if let Some(crop) = recipe.crop {
        if crop.top + crop.height > height || crop.left + crop.width > width {
            return Err(fixture.invalid(format!("a crop {crop:?} reaches beyond {height} × {width} pixels")));
        }
        view = CropFlip { crop, flip: recipe.flip };
    }
    Ok(transform.apply(&frames, &view))
}

/// `[frames, 3, pixels]` as `[frames, pixels, 3]`.
pub fn interleaved(planes: &[f32], pixels: usize) -> Vec<u8> {
    let frame = |frame: &[f32]| -> Vec<u8> {
        (0..pixels).flat_map(|pixel| [0, 1, 2].map(|channel| frame[channel * pixels + pixel] as u8)).collect()
    };
    planes.chunks_exact((3 * pixels).max(1)).flat_map(frame).collect()
}
