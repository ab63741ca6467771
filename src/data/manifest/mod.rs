//! Manifests: which clip goes with which text. JSON lists, JSON lines and tables with named columns become
//! [`Record`]s here; the data sets' original formats do so in [`import`].

mod check;
mod fields;
mod json;
mod table;

pub use check::too_long;

use super::{
    Record,
    import::{self, AnnotationFormat, ImportPurpose},
};
use crate::{Error, Result, text::clean};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

/// How to read a manifest; the default suits Singularity's files and most tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestOptions {
    /// Column of a table that names the video (`--video-key`); default: the first known name the header has.
    pub video_key: Option<String>,
    /// Column of a table that holds the caption (`--caption-key`); default: the first known name the header has.
    pub caption_key: Option<String>,
    /// Separator of a table (`--sep`); default: the one that parts the header into most columns.
    pub separator: Option<char>,
    /// Join the captions of a record with one space, in file order (DiDeMo, ActivityNet: paragraph retrieval).
    pub paragraphs: bool,
}

/// The format a manifest turned out to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestFormat {
    /// One JSON list of objects.
    JsonList,
    /// One JSON object a line.
    JsonLines,
    /// A header and one record a row.
    Table {
        /// What parts the columns.
        separator: char,
    },
    /// The original format of a data set, read by its importer.
    Original(AnnotationFormat),
}

impl std::fmt::Display for ManifestFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::JsonList => f.write_str("json list"),
            Self::JsonLines => f.write_str("json lines"),
            Self::Table { separator: '\t' } => f.write_str("tsv"),
            Self::Table { separator: ',' } => f.write_str("csv"),
            Self::Original(format) => format.fmt(f),
            Self::Table { separator } => write!(f, "table separated by {separator:?}"),
        }
    }
}

/// The records of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The file.
    pub path: PathBuf,
    /// The format it turned out to have.
    pub format: ManifestFormat,
    /// What it holds, in file order; never empty.
    pub records: Vec<Record>,
    /// What looked odd without being an error.
    pub warnings: Vec<String>,
}

impl Manifest {
    /// Reads whatever there is to learn from at `path`: a data set's original file or shards, else a manifest as
    /// [`Manifest::read`] does. Columns or a separator named by the person mean a table.
    ///
    /// # Errors
    /// As [`Manifest::read`] and [`import::import`].
    pub fn read_any(path: &Path, options: &ManifestOptions) -> Result<Self> {
        let named = options.video_key.is_some() || options.caption_key.is_some() || options.separator.is_some();
        let format = if named { None } else { import::detect(path).ok() };
        let Some(format) = format.filter(|f| f.benchmarks().is_some() || *f == AnnotationFormat::Webdataset) else {
            return Self::read(path, options);
        };
        let imported =
            import::import(path, &import::AnnotationOptions { purpose: ImportPurpose::Train, ..Default::default() })?;
        let (format, warnings) = (ManifestFormat::Original(format), imported.warnings);
        let mut records = imported.records;
        if options.paragraphs {
            records.iter_mut().for_each(join_paragraph);
        }
        Ok(Self { path: path.to_path_buf(), format, records, warnings })
    }

    /// Reads the manifest at `path`, whose format is told by its content: `[` opens a JSON list, `{` JSON lines,
    /// anything else a table.
    ///
    /// # Errors
    /// A file that cannot be read or parsed, holds no record, or has a record with an unknown key, without a video or
    /// without text; the error names the file, the record or line, and the remedy.
    pub fn read(path: &Path, options: &ManifestOptions) -> Result<Self> {
        let mut reader = open(path)?;
        let (format, mut records) = match first_byte(&mut reader, path)? {
            None => return Err(empty(path)),
            Some(b'[') => (ManifestFormat::JsonList, json::read_list(reader, path)?),
            Some(b'{') => (ManifestFormat::JsonLines, json::read_lines(reader, path)?),
            Some(_) => table::read(reader, path, options)?,
        };
        if records.is_empty() {
            return Err(empty(path));
        }
        if options.paragraphs {
            records.iter_mut().for_each(join_paragraph);
        }
        let warnings = warnings(&records);
        Ok(Self { path: path.to_path_buf(), format, records, warnings })
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    if path.is_dir() {
        return Err(Error::file(path, "is a folder", "give the manifest file: JSON list, JSON lines, CSV or TSV"));
    }
    File::open(path).map(|file| BufReader::with_capacity(1 << 16, file)).map_err(|e| Error::io(path, &e))
}

/// The first byte that is neither a byte-order mark nor white space, left in the reader.
fn first_byte(reader: &mut impl BufRead, path: &Path) -> Result<Option<u8>> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if reader.fill_buf().map_err(|e| Error::io(path, &e))?.starts_with(MARK) {
        reader.consume(MARK.len());
    }
    loop {
        let bytes = reader.fill_buf().map_err(|e| Error::io(path, &e))?;
        let blank = bytes.iter().take_while(|b| b"\n\r ".contains(b)).count();
        match bytes.get(blank) {
            Some(byte) => return Ok(Some(*byte)),
            None if bytes.is_empty() => return Ok(None),
            None => reader.consume(blank),
        }
    }
}

fn empty(path: &Path) -> Error {
    Error::file(path, "holds no record", "give a manifest with at least one {\"video\", \"caption\"} record")
}

/// The captions of `record`, joined with one space before any cleaning (docs/model.md, "Pairs and identities").
pub fn join_paragraph(record: &mut Record) {
    if record.captions.len() > 1 {
        record.captions = vec![record.captions.join(" ")];
    }
}

/// Captions of which cleaning leaves nothing.
fn warnings(records: &[Record]) -> Vec<String> {
    let bare = |record: &&Record| record.captions.iter().any(|caption| clean(caption).is_empty());
    let count = records.iter().filter(bare).count();
    let Some(first) = records.iter().find(bare) else { return Vec::new() };
    vec![format!("{count} captions hold nothing but punctuation, the first that of `{}`", first.media)]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Reads `content` as a manifest called `name`.
    pub fn read_as(name: &str, content: &[u8], options: &ManifestOptions) -> Result<Manifest> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        Manifest::read(&path, options)
    }

    /// The error message of reading `content`.
    pub fn sentence(name: &str, content: &[u8], options: &ManifestOptions) -> String {
        let message = read_as(name, content, options).unwrap_err().to_string();
        assert!(message.contains(name), "{message}");
        message
    }

    #[test]
    fn the_content_tells_the_format() {
        let options = ManifestOptions::default();
        let cases: [(&[u8], ManifestFormat); 5] = [
            (b"\xef\xbb\xbf\n [{\"video\": \"a.mp4\", \"caption\": \"x\"}]", ManifestFormat::JsonList),
            (b"{\"video\": \"a.mp4\", \"caption\": \"x\"}", ManifestFormat::JsonLines),
            (b"video,caption\na.mp4,x\n", ManifestFormat::Table { separator: ',' }),
            (b"filepath\ttitle\na.mp4\tx\n", ManifestFormat::Table { separator: '\t' }),
            (b"video;caption\r\na.mp4;x", ManifestFormat::Table { separator: ';' }),
        ];
        for (content, format) in cases {
            let manifest = read_as("any.json", content, &options).unwrap();
            assert_eq!(manifest.format, format);
            let expected = Record { media: "a.mp4".into(), captions: vec!["x".into()], ..Record::default() };
            assert_eq!(manifest.records, [expected]);
        }
    }

    #[test]
    fn original_files_go_through_their_importer_unless_columns_are_named() {
        let content = b"videoid,name,page_idx,page_dir,duration,contentUrl\n7,a red dog,1,p/q,PT00H00M17S,u\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("webvid.csv");
        std::fs::write(&path, content).unwrap();
        let original = Manifest::read_any(&path, &ManifestOptions::default()).unwrap();
        assert_eq!(original.format, ManifestFormat::Original(AnnotationFormat::WebvidCsv));
        assert_eq!(original.records[0].media, "p/q/7.mp4");
        let key = |name: &str| Some(name.to_owned());
        let named = ManifestOptions { video_key: key("videoid"), caption_key: key("name"), ..Default::default() };
        assert_eq!(Manifest::read_any(&path, &named).unwrap().records[0].media, "7");
        std::fs::write(&path, b"{\"video\": \"a\", \"captoin\": \"x\"}").unwrap();
        assert!(Manifest::read_any(&path, &ManifestOptions::default()).unwrap_err().to_string().contains("captoin"));
    }

    #[test]
    fn nothing_inside_is_an_error() {
        for content in ["", " \n\n", "[]", "video,caption\n", "\u{feff}"] {
            assert!(sentence("e.json", content.as_bytes(), &ManifestOptions::default()).contains("no record"));
        }
        let dir = tempfile::tempdir().unwrap();
        let folder = Manifest::read(dir.path(), &ManifestOptions::default()).unwrap_err();
        assert!(folder.to_string().contains("is a folder"));
    }

    #[test]
    fn paragraphs_are_joined_in_file_order_before_cleaning() {
        let content = br#"[{"video": "a.mp4", "caption": ["He sits. ", "He stands"]}]"#;
        let paragraphs = ManifestOptions { paragraphs: true, ..ManifestOptions::default() };
        assert_eq!(read_as("m.json", content, &paragraphs).unwrap().records[0].captions, ["He sits.  He stands"]);
        let apart = read_as("m.json", content, &ManifestOptions::default()).unwrap();
        assert_eq!(apart.records[0].captions, ["He sits. ", "He stands"]);
    }

    #[test]
    fn captions_of_punctuation_are_warned_about() {
        let content = br#"[{"video": "a.mp4", "caption": "a"}, {"video": "b.mp4", "caption": "?!"}]"#;
        let warnings = read_as("m.json", content, &ManifestOptions::default()).unwrap().warnings;
        assert_eq!(warnings, ["1 captions hold nothing but punctuation, the first that of `b.mp4`"]);
    }
}
