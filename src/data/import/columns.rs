//! The one table of names: which key of a JSON record or column of a table holds what, for every command.

use std::collections::BTreeMap;

use crate::{Error, Result, input::shown};

/// What a key or column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The video's path or id.
    Video,
    /// Further videos that fit the same caption.
    Also,
    /// One caption or several.
    Caption,
    /// Where the clip begins, in seconds or `h:m:s`.
    Start,
    /// Where the clip ends.
    End,
    /// Both as a pair; several pairs, one for each caption.
    Span,
    /// A question.
    Question,
    /// Its answer or answers.
    Answer,
    /// What accuracy is reported by.
    Type,
    /// The data set's own id.
    Id,
}

/// Names by field, the likelier first; capitals, blanks, `_` and `-` make no difference. Those of video and caption
/// are from Singularity, open_clip, WebVid, InternVid, OpenVid, Panda-70M and ActivityNet Captions.
const NAMES: [(Field, &[&str]); 10] = [
    (
        Field::Video,
        &[
            "video",
            "image",
            "media",
            "filepath",
            "videopath",
            "path",
            "file",
            "filename",
            "videofile",
            "videofilename",
            "mediapath",
            "relpath",
            "clip",
            "clippath",
            "clipname",
            "videoname",
            "videoid",
            "youtubeid",
            "vid",
        ],
    ),
    (Field::Also, &["also"]),
    (
        Field::Caption,
        &[
            "caption",
            "captions",
            "text",
            "texts",
            "title",
            "sentence",
            "sentences",
            "description",
            "desc",
            "name",
            "options",
        ],
    ),
    (
        Field::Start,
        &["start", "starttime", "starttimestamp", "startsec", "startseconds", "begin", "begintime", "clipstart"],
    ),
    (Field::End, &["end", "endtime", "endtimestamp", "endsec", "endseconds", "stop", "stoptime", "clipend"]),
    (Field::Span, &["span", "timestamp", "timestamps", "segment", "interval"]),
    (Field::Question, &["question"]),
    (Field::Answer, &["answer", "answers"]),
    (Field::Type, &["type", "types", "questiontype", "answertype"]),
    (Field::Id, &["questionid", "id", "key"]),
];

/// Names of columns of a table, or of keys of JSON records, where they are not among the known ones
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[cfg_attr(feature = "cli", command(next_help_heading = "Columns of the annotations"))]
pub struct Columns {
    /// Column or key of the video; known: video, path, filepath, media, video_id and the like, in any case
    #[cfg_attr(feature = "cli", arg(long = "video-key", value_name = "NAME"))]
    pub video: Option<String>,
    /// Column or key of the caption; known: caption, text, title, sentence, description and the like
    #[cfg_attr(feature = "cli", arg(long = "caption-key", value_name = "NAME"))]
    pub caption: Option<String>,
    /// Column or key of the second where the clip begins; known: start, start_time and the like
    #[cfg_attr(feature = "cli", arg(long = "start-key", value_name = "NAME"))]
    pub start: Option<String>,
    /// Column or key of the second where the clip ends; known: end, end_time and the like
    #[cfg_attr(feature = "cli", arg(long = "end-key", value_name = "NAME"))]
    pub end: Option<String>,
    /// What parts the columns of a table: a character, or `tab`; told from the header by default
    #[cfg_attr(feature = "cli", arg(long = "sep", value_name = "CHARACTER", value_parser = separator))]
    pub separator: Option<char>,
}

/// Reads a separator from a command line.
#[cfg(feature = "cli")]
fn separator(text: &str) -> std::result::Result<char, String> {
    let mut chars = text.chars();
    match (text, chars.next(), chars.next()) {
        ("tab" | "\\t" | "\t", ..) => Ok('\t'),
        (_, Some(c), None) if !c.is_alphanumeric() && !c.is_control() && c != '"' => Ok(c),
        _ => Err("give one character, such as `,` or `;`, or `tab`".into()),
    }
}

impl Columns {
    /// Whether the person named anything: then the file is a list or a table of records, and no release's own format.
    pub(super) fn are_named(&self) -> bool {
        *self != Self::default()
    }

    /// The name given for `field`, and the option it was given with.
    fn given(&self, field: Field) -> Option<(&str, &'static str)> {
        let (name, option) = match field {
            Field::Video => (&self.video, "video_key"),
            Field::Caption => (&self.caption, "caption_key"),
            Field::Start => (&self.start, "start_key"),
            Field::End => (&self.end, "end_key"),
            _ => return None,
        };
        name.as_deref().map(|name| (name, option))
    }

    /// What `name` holds, and its rank among the names of that field; none for a further column.
    pub(super) fn field(&self, name: &str) -> Option<(Field, usize)> {
        let plain = plain(name);
        let given = [Field::Video, Field::Caption, Field::Start, Field::End];
        if let Some(&field) =
            given.iter().find(|&&field| self.given(field).is_some_and(|(given, _)| given == name.trim()))
        {
            return Some((field, 0));
        }
        let known = NAMES.iter().filter(|(field, _)| self.given(*field).is_none());
        known
            .flat_map(|(field, names)| names.iter().enumerate().map(|(rank, name)| (*field, rank, *name)))
            .find(|(_, _, name)| *name == plain)
            .map(|(field, rank, _)| (field, rank))
    }

    /// The rank of `name` among the names of captions.
    pub(super) fn caption_rank(&self, name: &str) -> Option<usize> {
        self.field(name).filter(|(field, _)| *field == Field::Caption).map(|(_, rank)| rank)
    }

    /// Whether any of `names` holds a `field`.
    pub(super) fn has<'a>(&self, field: Field, names: impl IntoIterator<Item = &'a str>) -> bool {
        names.into_iter().any(|name| self.field(name).is_some_and(|(found, _)| found == field))
    }

    /// Checks that the names given exist among those of a table's header or of a list's first record.
    ///
    /// # Errors
    /// A name that is not there, with its option and the names that are.
    pub(super) fn check(&self, names: &[String]) -> Result<()> {
        for field in [Field::Video, Field::Caption, Field::Start, Field::End] {
            let Some((given, option)) = self.given(field) else { continue };
            if !names.iter().any(|name| name.trim() == given) {
                let problem = format!("there is no column or key `{}`", shown(given));
                return Err(Error::setting(option, problem, format!("the names are {}", listed(names))));
            }
        }
        Ok(())
    }
}

/// `name` in lower case, letters and digits only.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Names for a message.
pub fn listed(names: &[String]) -> String {
    shown(&names.iter().map(|name| name.trim()).collect::<Vec<_>>().join(", "))
}

/// Different names of further columns that are counted; a file with more is not a table of records.
const MOST_NAMES: usize = 1_000;

/// Columns and keys without a meaning here, by the number of records that have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Further(BTreeMap<String, usize>);

impl Further {
    /// Counts `name` once more; a column without a name, such as the numbers that pandas writes, gets one.
    pub fn count(&mut self, name: &str) {
        let name = if name.trim().is_empty() { "(no name)" } else { name };
        if let Some(count) = self.0.get_mut(name) {
            *count += 1;
        } else if self.0.len() < MOST_NAMES {
            self.0.insert(shown(name), 1);
        }
    }

    /// The counts by name.
    pub fn into_counts(self) -> BTreeMap<String, usize> {
        self.0
    }

    /// What is to be said of them; nothing if there are none.
    pub fn warning(&self) -> Option<String> {
        const NAMED: usize = 12;
        let named: Vec<String> = self.0.iter().take(NAMED).map(|(name, count)| format!("{name} ({count})")).collect();
        let more = self.0.len().saturating_sub(NAMED);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        (!named.is_empty()).then(|| format!("further columns are not used: {}{rest}", named.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_joints_of_a_name_make_no_difference() {
        let field = |name: &str| Columns::default().field(name).map(|(field, _)| field);
        for name in ["start", "Start", "start_time", "Start Time", "START-TIME", "startTime", "Start_timestamp"] {
            assert_eq!(field(name), Some(Field::Start), "{name}");
        }
        for name in ["video", "Video", "video_path", "videoPath", "path", "YoutubeID", "video_id"] {
            assert_eq!(field(name), Some(Field::Video), "{name}");
        }
        assert_eq!(
            [field("captions"), field("Text"), field("start_frame"), field("url")],
            [Some(Field::Caption), Some(Field::Caption), None, None]
        );
    }

    #[test]
    fn a_given_name_replaces_the_known_ones() {
        let columns = Columns { video: Some("clip file".into()), ..Columns::default() };
        assert_eq!(columns.field("clip file"), Some((Field::Video, 0)));
        assert_eq!(columns.field("video"), None);
        assert_eq!(columns.field("caption"), Some((Field::Caption, 0)));
        let message = columns.check(&["video".into(), "caption".into()]).unwrap_err().to_string();
        assert!(message.contains("setting `video_key`") && message.contains("video, caption"), "{message}");
    }

    #[test]
    fn no_name_stands_for_two_fields() {
        let all: Vec<&str> = NAMES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let distinct: std::collections::BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|name| plain(name) == *name));
    }

    #[test]
    fn further_columns_are_counted_by_name() {
        let mut further = Further::default();
        ["fps", "score", " ", "fps"].iter().for_each(|name| further.count(name));
        assert_eq!(further.warning().unwrap(), "further columns are not used: (no name) (1), fps (2), score (1)");
        assert_eq!(Further::default().warning(), None);
    }
}
