//! Text cleaning before tokenisation, for captions and questions; answers are not cleaned (docs/model.md, "Text
//! cleaning").

/// Characters that are deleted.
const DELETED: &str = ",.'!?\"()*#:;~";

/// Lower-cases `text`, deletes `, . ' ! ? " ( ) * # : ; ~`, turns `-` and `/` into spaces and `<person>` into
/// `person`, collapses runs of whitespace, strips the ends. Brackets stay: "\[something\]" is a placeholder
/// (docs/model.md, "Text cleaning").
pub fn clean(text: &str) -> String {
    let kept: String = text.to_lowercase().chars().filter(|c| !DELETED.contains(*c)).collect();
    let spaced = kept.replace(['-', '/'], " ").replace("<person>", "person");
    collapse(&spaced).trim_end_matches('\n').trim_matches(' ').to_owned()
}

/// Runs of two or more whitespace characters become one space; a single one stays what it is.
fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(is_space).len();
        if run > c.len_utf8() {
            out.push(' ');
            rest = &rest[run..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Unicode whitespace and the four ASCII separators, which the original's regular expression counts as whitespace.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_deleted_and_dashes_split_words() {
        assert_eq!(clean("A man's dog isn't un-known, running!"), "a mans dog isnt un known running");
        assert_eq!(clean("(two) women; cooking: food? \"yes\" *no* #1 ~2"), "two women cooking food yes no 1 2");
        assert_eq!(clean("Putting [something] on/off -- now"), "putting [something] on off now");
    }

    #[test]
    fn person_tags_lose_their_brackets_whatever_was_deleted_inside() {
        assert_eq!(clean("<person> walks/ runs  down   the street."), "person walks runs down the street");
        assert_eq!(clean("<Per.son> waves"), "person waves");
        assert_eq!(clean("<people> wave"), "<people> wave");
    }

    #[test]
    fn whitespace_collapses_and_the_ends_are_stripped() {
        assert_eq!(clean("  a \t\n b\n"), "a b");
        assert_eq!(clean("a\tb"), "a\tb", "a single tab stays, as in the original");
        assert_eq!(clean("a\u{1f}\u{a0}b \n"), "a b");
        assert_eq!((clean(" ?!. "), clean("")), (String::new(), String::new()));
    }

    #[test]
    fn lower_case_is_unicode() {
        assert_eq!(clean("ÉCOLE ΣΑΣ"), "école σας");
    }
}
