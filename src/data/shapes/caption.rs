//! Captions: several wordings, so that word order does not equal time order.

use super::{ClipContent, MotionProgram};

/// Wordings there are for a program: three for one segment, four for more.
pub fn paraphrases(program: &MotionProgram) -> usize {
    if program.segments() < 2 { 3 } else { 4 }
}

/// Wording `paraphrase` (modulo their number) of what `triple` does, from words of [`super::vocab`] only.
pub fn caption(triple: &ClipContent, paraphrase: usize) -> String {
    let who = format!("{} {}", triple.colour.word(), triple.shape.word());
    let words: Vec<&str> = triple.program.directions().iter().map(|direction| direction.word()).collect();
    let wording = paraphrase % paraphrases(&triple.program);
    match (words.as_slice(), wording) {
        ([only], 1) => format!("a {who} is moving {only}"),
        ([only], 2) => format!("moving {only} is the {who}"),
        ([rest @ .., last], 1) => {
            let earlier: String = rest.iter().rev().map(|word| format!(" after moving {word}")).collect();
            format!("the {who} moves {last}{earlier}")
        }
        ([rest @ .., last], 2) => format!("before moving {last} the {who} moves {}", rest.join(" then ")),
        ([first, rest @ ..], 3) => format!("after moving {first} the {who} moves {}", rest.join(" then ")),
        _ => format!("the {who} moves {}", words.join(" then ")),
    }
}

/// Tokens of the longest caption of programs of up to `segments` segments, `[CLS]` included.
pub fn longest_caption(segments: usize) -> usize {
    // "a red square is moving left", or "the red square moves left" and three words for each earlier segment.
    1 + if segments < 2 { 6 } else { 5 + 3 * (segments - 1) }
}

#[cfg(test)]
mod tests {
    use super::super::{Colour, Shape, vocab};
    use super::*;
    use std::collections::HashSet;

    fn red_square(segments: usize, k: usize) -> ClipContent {
        ClipContent { colour: Colour::Red, shape: Shape::Square, program: MotionProgram::nth(segments, k) }
    }

    #[test]
    fn word_order_differs_from_time_order() {
        let left_up = red_square(2, 1);
        let all: Vec<String> = (0..4).map(|i| caption(&left_up, i)).collect();
        assert_eq!(all[0], "the red square moves left then up");
        assert_eq!(all[1], "the red square moves up after moving left");
        assert_eq!(all[2], "before moving up the red square moves left");
        assert_eq!(all[3], "after moving left the red square moves up");
        assert_eq!(caption(&left_up, 5), all[1]);
    }

    #[test]
    fn captions_are_unique_known_words_and_short_enough() {
        let mut seen = HashSet::new();
        for program in MotionProgram::all(&[1, 2, 3]) {
            for (colour, shape) in Colour::ALL.into_iter().flat_map(|c| Shape::ALL.map(|s| (c, s))) {
                let triple = ClipContent { colour, shape, program: program.clone() };
                for i in 0..paraphrases(&program) {
                    let text = caption(&triple, i);
                    assert!(text.split(' ').all(|word| vocab::id(word).is_some()), "{text}");
                    let tokens = 1 + text.split(' ').count();
                    assert!(tokens <= longest_caption(program.segments()), "{text}");
                    assert!(seen.insert(text));
                }
            }
        }
        assert_eq!(seen.len(), 18 * (4 * 3 + 12 * 4 + 36 * 4));
    }
}
