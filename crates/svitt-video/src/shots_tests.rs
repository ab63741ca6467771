use super::*;
use crate::frames::Frames;
use crate::random;

/// A picture of a world that a camera at `x` looks at: smooth hills and bars, another world for every seed.
fn view(seed: u64, x: f64, noise: &mut impl FnMut() -> f64, gain: f64) -> SmallLuma {
    let mut draw = random(seed);
    let waves: Vec<[f64; 4]> = (0..6).map(|_| [draw(), draw(), draw(), draw()]).collect();
    let base = 60.0 + 120.0 * draw();
    let mut data = Vec::new();
    for row in 0..36 {
        for column in 0..64 {
            let (u, v) = ((f64::from(column) + x) / 64.0, f64::from(row) / 36.0);
            let sum: f64 =
                waves.iter().map(|[a, b, c, d]| (a * 9.0 * u + b * 7.0 * v + 6.3 * c).sin() * 40.0 * d).sum();
            let level = ((base + sum) * gain + 6.0 * (noise() - 0.5)).clamp(0.0, 255.0) as u8;
            data.extend([level; 3]);
        }
    }
    SmallLuma::of_frame(&Frames { count: 1, height: 36, width: 64, data }, 0)
}

/// The cuts of a video made of `pictures`: world, place of the camera, gain.
fn cuts(pictures: &[(u64, f64, f64)], rule: ShotRule) -> Vec<usize> {
    let (mut detector, mut noise, mut found) = (ShotDetector::new(rule), random(99), Vec::new());
    for &(world, x, gain) in pictures {
        found.extend(detector.push(view(world, x, &mut noise, gain)));
        assert!(detector.pictures.len() <= 2 * AROUND + 2, "it holds a dozen");
    }
    found.extend(std::iter::from_fn(|| detector.finish()));
    assert_eq!(detector.decided(), pictures.len());
    found
}

fn still(world: u64, frames: usize) -> Vec<(u64, f64, f64)> {
    vec![(world, 0.0, 1.0); frames]
}

fn pan(world: u64, frames: usize, speed: f64) -> Vec<(u64, f64, f64)> {
    (0..frames).map(|n| (world, n as f64 * speed, 1.0)).collect()
}

const NONE: [usize; 0] = [];

fn every(pictures: &[Vec<(u64, f64, f64)>]) -> Vec<usize> {
    cuts(&pictures.concat(), ShotRule::EVERY_PICTURE)
}

#[test]
fn hard_cuts_are_found_at_their_picture_wherever_they_are() {
    assert_eq!(every(&[still(1, 37), still(2, 51), still(3, 13)]), [37, 88]);
    assert_eq!(every(&[still(1, 1), still(2, 30)]), [1], "after the first picture");
    assert_eq!(every(&[still(1, 30), still(2, 1)]), [30], "before the last");
    assert_eq!(every(&[pan(1, 41, 1.5), pan(2, 29, 2.0), pan(3, 33, 0.5)]), [41, 70], "while the camera moves");
    let shots: Vec<_> = (1..12).map(|world| still(world, 9)).collect();
    assert_eq!(every(&shots), (1..11).map(|n| n * 9).collect::<Vec<_>>(), "one after the other");
}

#[test]
fn videos_without_a_cut_have_none() {
    for pictures in [still(1, 1), still(1, 2), still(4, 200), pan(1, 200, 2.0), pan(2, 100, 5.0)] {
        assert_eq!(every(&[pictures]), NONE);
    }
    // A whip pan, from rest to rest.
    let moves: Vec<_> = (0..60).map(|n| (3, 60.0 / (1.0 + (-(f64::from(n) - 30.0) / 3.0).exp()), 1.0)).collect();
    assert_eq!(every(&[moves]), NONE);
    // A shaking camera.
    let mut draw = random(5);
    for columns in [2.0, 4.0, 8.0] {
        assert_eq!(every(&[(0..90).map(|_| (6, columns * draw(), 1.0)).collect()]), NONE, "{columns}");
    }
    assert_eq!(cuts(&[], ShotRule::EVERY_PICTURE), NONE);
}

#[test]
fn flashes_and_single_pictures_are_no_shots() {
    for length in 1..=FLASH {
        let lit = vec![(1, 0.0, 2.5); length];
        assert_eq!(every(&[still(1, 40), lit, still(1, 40)]), NONE, "a flash of {length}");
        let other = still(2, length);
        assert_eq!(every(&[still(1, 40), other, still(1, 40)]), NONE, "{length} of another world, and back");
    }
    assert_eq!(every(&[still(1, 40), still(2, 1), still(3, 40)]), [40, 41], "a single picture between two shots");
    let moving = [pan(1, 40, 1.0), vec![(1, 40.0, 2.5)], (41..80).map(|n| (1, f64::from(n), 1.0)).collect()];
    assert_eq!(every(&moving), NONE, "a flash while the camera moves");
}

/// Nothing is cut in a fade or a dissolve: no picture of it begins the shot.
#[test]
fn fades_are_not_cuts() {
    let fade = |from: f64, to: f64, world| (0..25).map(move |n| (world, 0.0, from + (to - from) * f64::from(n) / 24.0));
    let pictures: Vec<_> = still(1, 30).into_iter().chain(fade(1.0, 0.0, 1)).chain(fade(0.0, 1.0, 2)).collect();
    assert_eq!(cuts(&pictures, ShotRule::EVERY_PICTURE), NONE);
}

#[test]
fn key_frames_of_one_shot_may_differ_more() {
    // Every picture stands for some seconds of a slow pan.
    let pictures = [pan(1, 9, 6.0), pan(2, 5, 6.0)].concat();
    assert_eq!(cuts(&pictures, ShotRule::KEY_FRAMES), [9]);
    let worlds: Vec<_> = (1..9).map(|world| (world, 0.0, 1.0)).collect();
    assert_eq!(cuts(&worlds, ShotRule::KEY_FRAMES), [2, 3, 4, 5, 6, 7], "a key frame for every shot; two are alike");
}
