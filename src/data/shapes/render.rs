//! Worlds become bytes: integer arithmetic only, so that they are the same bytes everywhere.

use super::program::cells;
use super::{MovingShape, ShapesConfig, World};
use svitt_ops::rng::{Rng, text_key};

/// Grey level of the empty background before noise and brightness.
const BACKGROUND: u8 = 72;

/// Rendered frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedClip {
    /// T: frames.
    pub frames: usize,
    /// Side of a frame, pixels.
    pub px: usize,
    /// RGB bytes `[frames, px, px, 3]`.
    pub pixels: Vec<u8>,
}

impl RenderedClip {
    /// Bytes of frame `t`, `[px, px, 3]`.
    pub fn frame(&self, t: usize) -> &[u8] {
        let size = self.px * self.px * 3;
        &self.pixels[t * size..(t + 1) * size]
    }

    /// The same frames played backwards.
    pub fn reversed(&self) -> Self {
        let pixels = (0..self.frames).rev().flat_map(|t| self.frame(t).iter().copied()).collect();
        Self { pixels, ..*self }
    }

    /// What the model takes: `(value / 255 − 0.5) / 0.5`, `[frames, 3, px, px]`.
    pub fn normalised(&self) -> Vec<f32> {
        let scale: [f32; 256] = std::array::from_fn(|value| (value as f32 / 255.0 - 0.5) / 0.5);
        let area = self.px * self.px;
        let mut out = vec![0.0; self.pixels.len()];
        for (frame, planes) in self.pixels.chunks_exact(3 * area).zip(out.chunks_exact_mut(3 * area)) {
            for (channel, plane) in planes.chunks_exact_mut(area).enumerate() {
                for (rgb, value) in frame.chunks_exact(3).zip(plane) {
                    *value = scale[usize::from(rgb[channel])];
                }
            }
        }
        out
    }
}

/// Frames `indices` of `world`.
pub fn render(world: &World, config: &ShapesConfig, indices: &[usize]) -> RenderedClip {
    let px = config.px;
    let paths: Vec<Vec<[usize; 2]>> =
        world.movers.iter().map(|mover| cells(mover.start, &mover.steps, config.grid())).collect();
    let mut empty = vec![BACKGROUND; 3 * px * px];
    for blot in &world.clutter {
        let covers = |_, _| true;
        paint(&mut empty, px, blot.corner, blot.size, blot.rgb, covers);
    }
    let mut pixels = Vec::with_capacity(indices.len() * empty.len());
    for &index in indices {
        let start = pixels.len();
        pixels.extend_from_slice(&empty);
        let frame = &mut pixels[start..];
        add_texture(frame, world, config, index);
        for (mover, path) in world.movers.iter().zip(&paths) {
            let side = config.patch;
            let corner = corner(mover, path, index, side);
            paint(frame, px, corner, [side; 2], mover.rgb, |x, y| mover.shape.covers(x, y, side));
        }
        add_noise(frame, world, config.noise, index);
    }
    RenderedClip { frames: indices.len(), px, pixels }
}

/// Which patches hold a pixel of the target, `[indices.len() · grid · grid]`, raster order within each frame.
pub fn target_patches(world: &World, config: &ShapesConfig, indices: &[usize]) -> Vec<bool> {
    let [grid, side] = [config.grid(), config.patch];
    let mut held = vec![false; indices.len() * grid * grid];
    let Some(target) = world.target() else { return held };
    let path = cells(target.start, &target.steps, grid);
    for (t, &index) in indices.iter().enumerate() {
        let [left, top] = corner(target, &path, index, side);
        for (x, y) in (0..side * side).map(|i| (i % side, i / side)).filter(|&(x, y)| target.shape.covers(x, y, side)) {
            let [column, row] = [(left + x) / side % grid, (top + y) / side % grid];
            held[(t * grid + row) * grid + column] = true;
        }
    }
    held
}

fn corner(mover: &MovingShape, path: &[[usize; 2]], index: usize, side: usize) -> [usize; 2] {
    let cell = path[index.min(path.len() - 1)];
    [cell[0] * side + mover.offset[0], cell[1] * side + mover.offset[1]]
}

/// Paints the pixels of a box that `covers` says, wrapping at the borders.
fn paint(
    frame: &mut [u8],
    px: usize,
    [left, top]: [usize; 2],
    [width, height]: [usize; 2],
    rgb: [u8; 3],
    covers: impl Fn(usize, usize) -> bool,
) {
    for y in 0..height {
        for x in (0..width).filter(|&x| covers(x, y)) {
            let at = 3 * ((top + y) % px * px + (left + x) % px);
            frame[at..at + 3].copy_from_slice(&rgb);
        }
    }
}

/// Shifts every square of half a cell by a grey level of its own, drawn anew for every frame; a stream of its own
/// leaves the pixel noise as it is without texture.
fn add_texture(frame: &mut [u8], world: &World, config: &ShapesConfig, index: usize) {
    if config.texture == 0 {
        return;
    }
    let (px, side, levels) = (config.px, (config.patch / 2).max(1), i16::from(config.texture));
    let squares = px.div_ceil(side);
    let mut rng = Rng::new(world.noise_key, &[index as u64, text_key("texture")]);
    let shifts: Vec<i16> = (0..squares * squares).map(|_| rng.below(2 * levels as usize + 1) as i16 - levels).collect();
    for (at, value) in frame.iter_mut().enumerate() {
        let [y, x] = [at / 3 / px, at / 3 % px];
        *value = (i16::from(*value) + shifts[y / side * squares + x / side]).clamp(0, 255) as u8;
    }
}

/// Adds brightness and uniform noise, eight bytes per draw; the stream belongs to the frame's place in the clip, so
/// a frame has the same bytes whichever others are rendered.
fn add_noise(frame: &mut [u8], world: &World, noise: u8, index: usize) {
    let levels = 2 * i32::from(noise) + 1;
    let shift: [i16; 256] =
        std::array::from_fn(|byte| ((byte as i32 * levels) >> 8) as i16 - i16::from(noise) + world.brightness);
    let mut rng = Rng::new(world.noise_key, &[index as u64]);
    for chunk in frame.chunks_mut(8) {
        let bytes = rng.bits().to_le_bytes();
        for (value, byte) in chunk.iter_mut().zip(bytes) {
            *value = (i16::from(*value) + shift[usize::from(byte)]).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClipContent, Colour, MotionProgram, Shape, ShapesPreset};
    use super::*;

    fn triple() -> ClipContent {
        ClipContent { colour: Colour::Blue, shape: Shape::Triangle, program: MotionProgram::nth(2, 4) }
    }

    #[test]
    fn a_twin_has_the_same_frames() {
        let config = ShapesConfig { noise: 0, clutter: 3, jitter: 1, ..ShapesConfig::preset(ShapesPreset::Order) };
        let mut world = World::draw(&config, 3, 14, &triple(), &[2]);
        let clip = render(&world, &config, &[0, 1, 2, 3, 4, 5, 6, 7]);
        for mover in &mut world.movers {
            mover.start = cells(mover.start, &mover.steps, config.grid())[7];
            mover.steps = mover.steps.iter().rev().map(|step| step.map(|d| d.opposite())).collect();
        }
        let twin = render(&world, &config, &[0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(twin, clip.reversed());
        assert_ne!(twin, clip);
    }

    #[test]
    fn a_frame_does_not_depend_on_the_others() {
        let config = ShapesConfig::preset(ShapesPreset::Default);
        let world = World::draw(&config, 3, 15, &triple(), &[1, 2]);
        let [whole, middle] =
            [render(&world, &config, &[0, 1, 2, 3, 4, 5, 6, 7]), render(&world, &config, &[2, 3, 4, 5])];
        assert_eq!(middle.frame(1), whole.frame(3));
        assert_ne!(whole.frame(1), whole.frame(3));
    }

    #[test]
    fn the_target_is_where_the_mask_says() {
        for jitter in [0, 2] {
            let config =
                ShapesConfig { noise: 0, brightness: 0, jitter, ..ShapesConfig::preset(ShapesPreset::Default) };
            let world = World::draw(&config, 1, 77, &triple(), &[2]);
            let held = target_patches(&world, &config, &[0, 6]);
            let clip = render(&world, &config, &[0, 6]);
            let mut seen = vec![false; 32];
            for (i, rgb) in clip.pixels.chunks_exact(3).enumerate() {
                let [t, y, x] = [i / 1024, i / 32 % 32, i % 32];
                seen[t * 16 + y / 8 * 4 + x / 8] |= rgb == Colour::Blue.rgb();
            }
            assert_eq!(held, seen);
        }
    }

    #[test]
    fn texture_changes_with_every_frame_and_hides_no_shape() {
        let still =
            ShapesConfig { noise: 0, brightness: 0, texture: 0, ..ShapesConfig::preset(ShapesPreset::LongClips) };
        let textured = ShapesConfig { texture: 20, ..still.clone() };
        let world = World::draw(&still, 1, 5, &triple(), &[2]);
        let [flat, clip] = [&still, &textured].map(|config| render(&world, config, &[0, 1, 9]));
        let mut levels = [[0usize; 41]; 3];
        for (i, (plain, seen)) in flat.pixels.iter().zip(&clip.pixels).enumerate() {
            match *plain {
                BACKGROUND => levels[i / clip.frame(0).len()][usize::from(seen - (BACKGROUND - 20))] += 1,
                _ => assert_eq!(plain, seen, "shapes are painted over the texture"),
            }
        }
        assert!(levels.iter().all(|frame| frame.iter().filter(|&&count| count > 0).count() > 30), "{levels:?}");
        assert!(levels[0] != levels[1] && levels[1] != levels[2]);
        let alone = render(&world, &textured, &[9]);
        assert_eq!(alone.frame(0), clip.frame(2), "a frame is the same whichever others are rendered");
    }

    #[test]
    fn pixels_are_normalised_by_channel() {
        let clip = RenderedClip { frames: 1, px: 2, pixels: vec![0, 51, 255, 1, 52, 254, 2, 53, 253, 3, 54, 252] };
        let normal = |value: u8| (f32::from(value) / 255.0 - 0.5) / 0.5;
        let expected = [0, 1, 2, 3, 51, 52, 53, 54, 255, 254, 253, 252].map(normal);
        assert_eq!(clip.normalised(), expected);
        assert_eq!((expected[0], expected[8]), (-1.0, 1.0));
    }
}
