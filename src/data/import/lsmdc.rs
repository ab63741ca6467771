//! LSMDC: lines of six fields parted by tabs, without a header: clip, its times (twice) and a sentence. A clip is named
//! after its movie, in whose folder it lies, and its times.

use std::path::Path;

use super::{
    ImportedAnnotations,
    columns::Columns,
    json::Place,
    table::{Row, Table},
};
use crate::{
    Result,
    data::{Benchmark, Record, Split, published},
};

/// Fields of a line.
const FIELDS: usize = 6;

/// Whether `fields` are a line of LSMDC.
pub fn is_line(fields: &[String]) -> bool {
    fields.len() == FIELDS && movie(&fields[0]).is_some()
}

/// The movie of a clip `<movie>_00.00.51.926-00.00.54.129`.
fn movie(clip: &str) -> Option<&str> {
    let (movie, times) = clip.trim().rsplit_once('_')?;
    let time = |text: &str| text.split('.').count() == 4 && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let (start, end) = times.split_once('-')?;
    (time(start) && time(end) && !movie.is_empty()).then_some(movie)
}

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    // LSMDC16_challenge_1000_publictect.csv
    imported.split = imported.split.or_else(|| name.contains("publictect").then_some(Split::Test));
    imported.expected = imported.split.and_then(|split| published(Benchmark::Lsmdc, split));
    let table = Table::open(path, &Columns { separator: Some('\t'), ..Columns::default() })?;
    // What the table takes for its header is the first line.
    let place = Place { number: 1, line: 1, key: None };
    let first = table.header.clone();
    take(imported, &place, &first);
    table.each(path, imported, None, |imported, row: &Row<'_>| {
        take(imported, &Place { number: row.place.number + 1, ..row.place.clone() }, row.fields());
        Ok(())
    })
}

fn take(imported: &mut ImportedAnnotations, place: &Place, fields: &[String]) {
    let [clip, .., sentence] = fields else { return };
    match movie(clip) {
        Some(movie) => {
            let (media, captions) = (format!("{movie}/{}.avi", clip.trim()), vec![sentence.trim().to_owned()]);
            imported.take(place, Record { media, captions, ..Record::default() });
        }
        None => imported.leave_out(place, None, "its first field is no clip of a movie and two times"),
    }
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, import, sample};

    #[test]
    fn the_first_line_is_a_record_and_clips_lie_in_their_movies_folder() {
        let path = sample("lsmdc/LSMDC16_challenge_1000_publictect.csv");
        let imported = import(&path, &AnnotationOptions::default()).unwrap();
        assert_eq!(imported.split, Some(crate::data::Split::Test));
        assert!(imported.warnings.iter().any(|warning| warning.contains("the published split has 1000 and 1000")));
        let records = imported.records;
        assert_eq!(records.len(), 3);
        assert_eq!(records[0].media, "9001_A_Film/9001_A_Film_00.00.51.926-00.00.54.129.avi");
        assert_eq!(records[0].captions, ["SOMEONE lights a lamp, \"the\" big one."]);
        assert!(records[2].media.starts_with("9002_Dr_No_2/9002_Dr_No_2_01"), "{}", records[2].media);
    }
}
