//! VITATECS: lines of `{src_dataset, video_name, caption, counterfactual, aspect}`, a file per aspect. Rows have no id,
//! and some are repeated: the published denominators count them.

use std::path::Path;

use serde::Deserialize;

use super::{
    ImportedAnnotations,
    json::{self, Text},
};
use crate::{
    Result,
    data::{Choice, Record},
};

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    json::each_line(path, |place, value| {
        let row = value.and_then(|value| Row::deserialize(value).map_err(|e| e.to_string()));
        match row {
            Ok(row) => imported.take(&place, row.record()),
            Err(problem) => imported.leave_out(&place, None, &problem),
        }
    })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Row {
    src_dataset: Text,
    video_name: Text,
    caption: Text,
    counterfactual: Text,
    aspect: Text,
}

impl Row {
    fn record(self) -> Record {
        let (folder, name) = (self.src_dataset.0.trim().to_owned(), self.video_name.0.trim().to_owned());
        let media = if folder.is_empty() || name.is_empty() { name } else { format!("{folder}/{name}") };
        Record {
            media,
            choice: Some(Choice::pair(self.caption.0.trim(), self.counterfactual.0.trim()).into()),
            types: Some(self.aspect.0).filter(|aspect| !aspect.is_empty()).into_iter().collect(),
            ..Record::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, ImportPurpose, import, sample};
    use crate::data::{InspectOptions, inspect};

    #[test]
    fn repeated_rows_stay_and_videos_are_looked_for_by_data_set() {
        let path = sample("vitatecs/Direction.jsonl");
        let scored = AnnotationOptions { purpose: ImportPurpose::Evaluate, ..AnnotationOptions::default() };
        let imported = import(&path, &scored).unwrap();
        assert_eq!((imported.records.len(), imported.records[0].media.as_str()), (4, "MSRVTT/video90001.mp4"));
        assert_eq!(imported.records[2].media, "VATEX/-ab_cdefghi_000010_000020.mp4");
        assert_eq!(imported.records[1], imported.records[3]);
        let report = inspect(&path, &InspectOptions::default()).unwrap();
        assert_eq!((report.benchmark.as_str(), report.questions, report.duplicates), ("vitatecs", 4, 1));
        assert_eq!(report.question_types["Direction"], 4);
    }
}
