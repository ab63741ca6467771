//! Which programs and objects the gallery holds.

use super::{ClipContent, Colour, Direction, MotionProgram, Shape, ShapesConfig};
use svitt_ops::rng::{Rng, text_key};

impl ShapesConfig {
    /// The programs of the gallery: all, those that share their middle, or a fixed choice closed under reversal.
    pub fn gallery_programs(&self) -> Vec<MotionProgram> {
        let mut programs = match self.gallery_shared_middle {
            true => self.gallery_segments.iter().flat_map(|&segments| shared_middle(segments)).collect(),
            false => MotionProgram::all(&self.gallery_segments),
        };
        let Some(limit) = self.gallery_programs.filter(|&limit| limit < programs.len()) else {
            return programs;
        };
        Rng::new(0, &[text_key("shapes.gallery")]).shuffle(&mut programs);
        let mut chosen: Vec<MotionProgram> = Vec::with_capacity(limit + 1);
        for program in programs {
            let twin = program.reversed();
            if chosen.len() < limit && program != twin && !chosen.contains(&program) {
                chosen.extend([program, twin]);
            }
        }
        chosen.sort_by_key(MotionProgram::number);
        chosen
    }

    /// The objects of the gallery by number: all, or as many as asked for, colours and shapes taking turns.
    pub fn gallery_objects(&self) -> Vec<usize> {
        let (all, [colours, shapes]) = (ClipContent::OBJECTS, [Colour::ALL.len(), Shape::ALL.len()]);
        let turn = |place: usize| shapes * (place % colours) + (place + place / colours) % shapes;
        let mut objects: Vec<usize> = (0..all).map(turn).take(self.gallery_objects.unwrap_or(all)).collect();
        objects.sort_unstable();
        objects
    }
}

/// Programs of `segments` segments whose directions between the ends are those of one program or of its reverse. Of up
/// to two segments there is no middle, and all of them are taken.
fn shared_middle(segments: usize) -> Vec<MotionProgram> {
    let all = MotionProgram::all(&[segments]);
    let middle = |program: &MotionProgram| -> Vec<Direction> {
        let directions = program.directions();
        directions.get(1..directions.len().saturating_sub(1)).unwrap_or_default().to_vec()
    };
    let pair = |program: &MotionProgram| [middle(program), middle(&program.reversed())];
    // A middle that is its own reverse would have programs among them that are their own.
    let shared = all.iter().map(pair).find(|[one, reversed]| one != reversed);
    let taken = |program: &MotionProgram| shared.as_ref().is_none_or(|pair| pair.contains(&middle(program)));
    all.iter().filter(|program| taken(program)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::ShapesPreset;
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_chosen_gallery_is_closed_under_reversal() {
        for (preset, count) in [(ShapesPreset::Long, 16), (ShapesPreset::LongClips, 36)] {
            let programs = ShapesConfig::preset(preset).gallery_programs();
            assert_eq!(programs.len(), count);
            let twins = |p: &MotionProgram| programs.contains(&p.reversed()) && p.reversed() != *p;
            assert!(programs.iter().all(twins));
        }
    }

    #[test]
    fn programs_of_a_shared_middle_differ_at_their_ends() {
        let programs = ShapesConfig::preset(ShapesPreset::LongClips).gallery_programs();
        let of = |segments: usize| -> Vec<&[Direction]> {
            let chosen = programs.iter().filter(|program| program.segments() == segments);
            chosen.map(|program| &program.directions()[1..segments - 1]).collect()
        };
        for segments in [3, 4] {
            assert_eq!(of(segments).len(), 18);
            assert_eq!(of(segments).iter().collect::<HashSet<_>>().len(), 2, "one middle and its reverse");
        }
    }

    #[test]
    fn a_few_objects_have_all_colours_and_shapes() {
        let objects = |count| ShapesConfig { gallery_objects: count, ..ShapesConfig::preset(ShapesPreset::Tiny) };
        assert_eq!(objects(None).gallery_objects(), (0..18).collect::<Vec<_>>());
        let six = [0, 4, 8, 9, 13, 17];
        assert_eq!(objects(Some(6)).gallery_objects(), six);
        assert_eq!(six.map(|object| object % 3), [0, 1, 2, 0, 1, 2], "every shape twice");
    }
}
