//! NExT-QA, multiple choice: rows of a question and five options; a text to choose is the question and an option. The
//! part ATP-hard is a file of such rows, or of row numbers of `val.csv`, or of options written as statements.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    ImportedAnnotations,
    columns::Columns,
    json::{self, Text},
    named, table,
};
use crate::{
    Error, Result,
    data::{Benchmark, Choice, Record, Split, published},
    input,
};

const COLUMNS: [&str; 20] = [
    "video",
    "vid_id",
    "frame_count",
    "width",
    "height",
    "question",
    "answer",
    "qid",
    "type",
    "a0",
    "a1",
    "a2",
    "a3",
    "a4",
    "s0",
    "s1",
    "s2",
    "s3",
    "s4",
    "id",
];
/// Bytes of a list of row numbers: the published one has 11 kB.
const LARGEST_LIST: u64 = 1 << 20;
const HARD: &str = "ATP-hard";

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    imported.expected = imported.split.and_then(|split| published(Benchmark::Nextqa, split));
    let folders = folders(path, imported)?;
    let hard = hard_rows(path, imported)?;
    let types = statement_types(path, imported)?;
    // The rows of ATP-hard are some of val.csv.
    imported.split = is_hard_part(path).then_some(Split::Validation).or(imported.split);
    let (mut row_number, mut doubled) = (0, 0);
    table::Table::open(path, &Columns::default())?.each(path, imported, Some(&COLUMNS), |imported, row| {
        let [video, question] = [&["video", "vid_id"][..], &["question"]].map(|names| row.get(names));
        let texts = options(row, question);
        doubled += usize::from(texts.iter().collect::<BTreeSet<_>>().len() < texts.len());
        let kind = match row.get(&["type"]) {
            "" => types.get(&(video.to_owned(), question.to_owned())).cloned().unwrap_or_default(),
            kind => kind.to_owned(),
        };
        let mut types = with_group(kind);
        types.extend(hard.contains(&row_number).then(|| HARD.to_owned()));
        row_number += 1;
        let Ok(right) = row.get(&["answer"]).parse::<usize>() else {
            imported.leave_out(&row.place, Some(video), "its answer is no number from 0 to 4");
            return Ok(());
        };
        let number = Some(row.get(&["qid"])).filter(|qid| !qid.is_empty());
        let record = Record {
            media: named(folders.get(video).map_or(video, |path| path.0.as_str()), "mp4"),
            choice: Some(Choice { texts, right, proficiency: None }.into()),
            types,
            id: number.map(|qid| format!("{video}_{qid}")),
            ..Record::default()
        };
        imported.take(&row.place, record);
        Ok(())
    })?;
    if doubled > 0 {
        imported.warnings.push(format!("{doubled} questions have two equal options: they share their score"));
    }
    Ok(())
}

/// The statements of a row, or its question before each of its options.
fn options(row: &table::Row<'_>, question: &str) -> Vec<String> {
    let five = |letter: char| (0..5).map(move |number| row.get(&[&format!("{letter}{number}")]).to_owned());
    if five('s').any(|text| !text.is_empty()) {
        return five('s').collect();
    }
    five('a').map(|option| if option.is_empty() { option } else { format!("{question} {option}") }).collect()
}

/// `TN` and its group `T`: causal, temporal or descriptive. `TP` counts as temporal, as in the published script.
fn with_group(kind: String) -> Vec<String> {
    let group = kind.chars().next().filter(|first| kind.len() > 1 && "CTD".contains(*first));
    std::iter::once(kind).filter(|kind| !kind.is_empty()).chain(group.map(String::from)).collect()
}

/// The folder and name of each video.
fn folders(path: &Path, imported: &mut ImportedAnnotations) -> Result<BTreeMap<String, Text>> {
    let absent = "videos are looked for by their number in every folder";
    match imported.sibling(path, &["map_vid_vidorID.json"], absent) {
        Some(sibling) => json::whole(&sibling),
        None => Ok(BTreeMap::new()),
    }
}

/// Whether the file is ATP-hard by its name: rows of `val.csv`, or their options as statements.
fn is_hard_part(path: &Path) -> bool {
    path.file_name().unwrap_or_default().to_string_lossy().to_lowercase().contains("atp")
}

/// Row numbers of ATP-hard in `val.csv`; none for other files.
fn hard_rows(path: &Path, imported: &mut ImportedAnnotations) -> Result<BTreeSet<usize>> {
    if imported.split != Some(Split::Validation) || is_hard_part(path) {
        return Ok(BTreeSet::new());
    }
    let absent = "its part ATP-hard is not reported";
    let Some(sibling) = imported.sibling(path, &["atp-hard-ct4.indices.txt"], absent) else {
        return Ok(BTreeSet::new());
    };
    let text = input::read_text(&sibling, LARGEST_LIST)?;
    let numbers = text.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>();
    numbers.map_err(|_| Error::file(&sibling, "holds something else than row numbers", "obtain it again"))
}

/// Types by video and question for the file of statements, which has none.
fn statement_types(path: &Path, imported: &mut ImportedAnnotations) -> Result<BTreeMap<(String, String), String>> {
    let mut types = BTreeMap::new();
    let statements = table::Table::open(path, &Columns::default())?.names().iter().any(|name| name == "s0");
    if !statements {
        return Ok(types);
    }
    let absent = "accuracy by type is not reported";
    let Some(sibling) = imported.sibling(path, &["atp-hard.csv", "val.csv"], absent) else { return Ok(types) };
    let mut aside = ImportedAnnotations::new(imported.format, &sibling, imported.purpose);
    table::Table::open(&sibling, &Columns::default())?.each(&sibling, &mut aside, Some(&COLUMNS), |_, row| {
        let [video, question, kind] = ["video", "question", "type"].map(|name| row.get(&[name]).to_owned());
        types.insert((video, question), kind);
        Ok(())
    })?;
    Ok(types)
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, ImportPurpose, import, sample};
    use crate::data::{InspectOptions, inspect};

    #[test]
    fn questions_and_options_are_one_text_and_groups_are_counted() {
        let path = sample("nextqa/val.csv");
        let scored = AnnotationOptions { purpose: ImportPurpose::Evaluate, ..AnnotationOptions::default() };
        let records = import(&path, &scored).unwrap().records;
        let choice = records[0].choice.as_ref().unwrap();
        assert_eq!((choice.right, choice.texts.len()), (1, 5));
        assert_eq!(choice.texts[1], "how does the hall change, at the end it goes from dark to bright");
        assert_eq!((records[0].media.as_str(), records[0].id.as_deref()), ("1106/4010.mp4", Some("4010_6")));
        assert_eq!(records[1].media, "4020.mp4", "not in the map");
        let report = inspect(&path, &InspectOptions::default()).unwrap();
        let types: Vec<_> = report.question_types.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
        assert_eq!(types, [("ATP-hard", 2), ("C", 1), ("CH", 1), ("D", 1), ("DL", 1), ("T", 2), ("TN", 1), ("TP", 1)]);
        assert!(report.warnings.iter().any(|warning| warning.starts_with("1 questions have two equal options")));
    }

    #[test]
    fn equal_questions_about_one_video_are_told_apart_by_their_number() {
        let records = import(&sample("nextqa/val.csv"), &AnnotationOptions::default()).unwrap().records;
        assert_eq!((&records[1].media, &records[3].media), (&records[2].media, &records[1].media));
        assert_ne!(records[2].id, records[3].id);
    }

    #[test]
    fn statements_take_their_types_from_the_rows_beside_them() {
        let imported = import(&sample("nextqa/atp-hard-statements.csv"), &AnnotationOptions::default()).unwrap();
        let first = &imported.records[0];
        assert_eq!(first.choice.as_ref().unwrap().texts[1], "The hall goes from dark to bright.");
        assert_eq!(first.types, ["CH", "C"]);
        assert_eq!(imported.split, Some(crate::data::Split::Validation), "ATP-hard is a part of val.csv");
        let counts = "while the published split has 553 and 1846";
        assert!(imported.warnings.iter().any(|warning| warning.contains(counts)), "{:?}", imported.warnings);
    }
}
