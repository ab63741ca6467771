//! Flags of every command that reads annotations: which columns hold what.

use crate::data::import::Columns;

/// Names of columns of a table, or of keys of JSON records, where they are not among the known ones.
#[derive(clap::Args)]
#[command(next_help_heading = "Columns of the annotations")]
pub struct ColumnArgs {
    /// Column or key of the video; known: video, path, filepath, media, video_id and the like, in any case
    #[arg(long, value_name = "NAME")]
    video_key: Option<String>,
    /// Column or key of the caption; known: caption, text, title, sentence, description and the like
    #[arg(long, value_name = "NAME")]
    caption_key: Option<String>,
    /// Column or key of the second where the clip begins; known: start, start_time and the like
    #[arg(long, value_name = "NAME")]
    start_key: Option<String>,
    /// Column or key of the second where the clip ends; known: end, end_time and the like
    #[arg(long, value_name = "NAME")]
    end_key: Option<String>,
    /// What parts the columns of a table: a character, or `tab`; told from the header by default
    #[arg(long, value_name = "CHARACTER", value_parser = separator)]
    sep: Option<char>,
}

impl From<ColumnArgs> for Columns {
    fn from(args: ColumnArgs) -> Self {
        let ColumnArgs { video_key: video, caption_key: caption, start_key: start, end_key: end, sep: separator } =
            args;
        Self { video, caption, start, end, separator }
    }
}

fn separator(text: &str) -> Result<char, String> {
    let mut chars = text.chars();
    match (text, chars.next(), chars.next()) {
        ("tab" | "\\t" | "\t", ..) => Ok('\t'),
        (_, Some(c), None) if !c.is_alphanumeric() && !c.is_control() && c != '"' => Ok(c),
        _ => Err("give one character, such as `,` or `;`, or `tab`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_is_one_character() {
        assert_eq!([",", ";", "|", "tab", "\\t", "\t"].map(separator), [',', ';', '|', '\t', '\t', '\t'].map(Ok));
        assert!(["", "a", ",,", "\"", "\n"].iter().all(|text| separator(text).is_err()));
    }
}
