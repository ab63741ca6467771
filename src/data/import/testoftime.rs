//! Test of Time: rows of two events of one video, a caption that says which came first and a distractor with the events
//! swapped. The frames of the first event are followed by those of the second. Some rows are exact repeats; the
//! published denominators count them.

use std::path::Path;

use super::{ImportedAnnotations, columns::Columns, table};
use crate::{
    Result,
    data::{Choice, Record},
};

const COLUMNS: [&str; 12] = [
    "video_id",
    "conjugate",
    "event1_description",
    "event2_description",
    "caption",
    "distractor_caption",
    "event1_start",
    "event1_end",
    "event2_start",
    "event2_end",
    "event1_clip",
    "event2_clip",
];

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    table::Table::open(path, &Columns::default())?.each(path, imported, Some(&COLUMNS), |imported, row| {
        let video = row.get(&["video_id"]);
        let seconds = |name: &str| row.get(&[name]).parse::<f64>().ok().filter(|time| *time >= 0.0);
        let times = ["event1_start", "event1_end", "event2_start", "event2_end"].map(seconds);
        let [Some(start), Some(end), Some(then_start), Some(then_end)] = times else {
            imported.leave_out(&row.place, Some(video), "one of its four times is missing or no number");
            return Ok(());
        };
        let record = Record {
            media: video.to_owned(),
            start: Some(start),
            end: Some(end),
            then: Some(Box::new([then_start, then_end])),
            choice: Some(Choice::pair(row.get(&["caption"]), row.get(&["distractor_caption"])).into()),
            types: Some(row.get(&["conjugate"]).to_owned()).filter(|kind| !kind.is_empty()).into_iter().collect(),
            ..Record::default()
        };
        imported.take(&row.place, record);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, ImportPurpose, import, sample};
    use crate::data::{InspectOptions, inspect};

    #[test]
    fn both_files_hold_two_parts_of_a_video() {
        for (name, media) in [("tempotl_didemo_test.csv", "11@N01_101_aa.mp4"), ("charades_testoftime.csv", "AAA01")] {
            let scored = AnnotationOptions { purpose: ImportPurpose::Evaluate, ..AnnotationOptions::default() };
            let imported = import(&sample(&format!("testoftime/{name}")), &scored).unwrap();
            let first = &imported.records[0];
            assert_eq!((first.media.as_str(), first.types[0].as_str()), (media, "before"));
            assert_eq!((first.start, first.end, first.then.as_deref()), (Some(0.0), Some(0.5), Some(&[0.5, 1.0])));
            let texts = &first.choice.as_ref().unwrap().texts;
            assert_eq!(texts[0], "the hall is dark before the hall is bright");
            assert_eq!(texts[1], "the hall is bright before the hall is dark");
        }
    }

    #[test]
    fn repeats_stay_and_a_part_without_times_is_unusable() {
        let report = inspect(&sample("testoftime/tempotl_didemo_test.csv"), &InspectOptions::default()).unwrap();
        assert_eq!((report.questions, report.videos, report.duplicates), (4, 2, 1));
        assert_eq!((report.question_types["before"], report.question_types["after"]), (3, 1));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tempotl_test.csv");
        let text = std::fs::read_to_string(sample("testoftime/tempotl_didemo_test.csv")).unwrap();
        for (broken, problem) in [
            (text.replacen(",0,0.5,0.5,1\n", ",0,,0.5,1\n", 1), "one of its four times"),
            (text.replacen(",0,0.5,0.5,1\n", ",0,0.5,1,1\n", 1), "ends at 1 s, not after its start at 1 s"),
        ] {
            assert_ne!(broken, text);
            std::fs::write(&path, broken).unwrap();
            let scored = AnnotationOptions { purpose: ImportPurpose::Evaluate, ..AnnotationOptions::default() };
            let message = import(&path, &scored).unwrap_err().to_string();
            assert!(message.contains(problem), "{message}");
        }
    }
}
