//! A 3 × 5 pixel font, enough to name the frames of a contact sheet without a font file.

/// Pixels across a glyph.
pub const WIDTH: usize = 3;
/// Pixels down a glyph.
pub const HEIGHT: usize = 5;

/// Digits, letters and punctuation; three bits a row, top row first, leftmost pixel highest.
const GLYPHS: [(char, u16); 47] = [
    ('0', 0o75557),
    ('1', 0o26227),
    ('2', 0o71747),
    ('3', 0o71717),
    ('4', 0o55711),
    ('5', 0o74717),
    ('6', 0o74757),
    ('7', 0o71222),
    ('8', 0o75757),
    ('9', 0o75717),
    ('A', 0o25755),
    ('B', 0o65656),
    ('C', 0o34443),
    ('D', 0o65556),
    ('E', 0o74647),
    ('F', 0o74644),
    ('G', 0o34553),
    ('H', 0o55755),
    ('I', 0o72227),
    ('J', 0o11152),
    ('K', 0o55655),
    ('L', 0o44447),
    ('M', 0o57755),
    ('N', 0o65555),
    ('O', 0o25552),
    ('P', 0o65644),
    ('Q', 0o25563),
    ('R', 0o65655),
    ('S', 0o34216),
    ('T', 0o72222),
    ('U', 0o55557),
    ('V', 0o55552),
    ('W', 0o55775),
    ('X', 0o55255),
    ('Y', 0o55222),
    ('Z', 0o71247),
    ('.', 0o00002),
    (',', 0o00024),
    (':', 0o02020),
    ('-', 0o00700),
    ('+', 0o02720),
    ('=', 0o07070),
    ('/', 0o11244),
    ('%', 0o51245),
    ('(', 0o12221),
    (')', 0o42224),
    (' ', 0),
];

/// The rows of `letter`, lower case drawn as upper; a letter that is not in the font is a filled box.
pub fn rows(letter: char) -> [u16; HEIGHT] {
    let wanted = letter.to_ascii_uppercase();
    let bits = GLYPHS.iter().find(|(glyph, _)| *glyph == wanted).map_or(0o77777, |(_, bits)| *bits);
    std::array::from_fn(|row| (bits >> (3 * (HEIGHT - 1 - row))) & 0o7)
}
