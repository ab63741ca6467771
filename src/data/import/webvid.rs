//! WebVid: `videoid,contentUrl,duration,page_dir,name`, file `<page_dir>/<videoid>.mp4`.

use std::path::Path;

use super::{Columns, ImportedAnnotations, named, table::Table};
use crate::{Result, data::Record};

/// The release's columns.
const OWN: &[&str] = &["videoid", "contenturl", "duration", "page_dir", "name"];

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    Table::open(path, &Columns::default())?.each(path, imported, Some(OWN), |imported, row| {
        let id = row.get(&["videoid"]);
        let folder = row.get(&["page_dir"]).trim_matches('/');
        let media = if folder.is_empty() || id.is_empty() { named(id, "mp4") } else { format!("{folder}/{id}.mp4") };
        let captions = vec![row.get(&["name"]).to_owned()];
        imported.take(&row.place, Record { media, captions, id: Some(id.to_owned()), ..Record::default() });
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, import, sample};

    #[test]
    fn rows_become_files_in_page_folders() {
        let imported = import(&sample("webvid/results_2M_train.csv"), &AnnotationOptions::default()).unwrap();
        assert_eq!((imported.records.len(), imported.benchmark), (3, None));
        assert_eq!(imported.records[0].media, "000001_000050/9001.mp4");
        assert_eq!(imported.records[0].captions, ["Rain on a window, seen from inside"]);
        assert_eq!(imported.records[2].captions, ["A sign that says \"open\" swings"]);
        assert_eq!(imported.records[2].id.as_deref(), Some("9003"));
    }
}
