//! Charades: a CSV whose `script` describes the whole video `<id>.mp4`.

use std::path::Path;

use super::{Columns, ImportedAnnotations, named, table::Table};
use crate::{
    Result,
    data::{Benchmark, Record, published},
};

/// The release's columns.
const OWN: &[&str] = &[
    "id",
    "subject",
    "scene",
    "quality",
    "relevance",
    "verified",
    "script",
    "objects",
    "descriptions",
    "actions",
    "length",
];

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    imported.expected = imported.split.and_then(|split| published(Benchmark::Charades, split));
    Table::open(path, &Columns::default())?.each(path, imported, Some(OWN), |imported, row| {
        let id = row.get(&["id"]);
        let captions = vec![row.get(&["script"]).to_owned()];
        let record = Record { media: named(id, "mp4"), captions, id: Some(id.into()), ..Record::default() };
        imported.take(&row.place, record);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use crate::data::import::{AnnotationOptions, import, sample};

    #[test]
    fn the_script_is_the_caption() {
        let imported = import(&sample("charades/Charades_v1_test.csv"), &AnnotationOptions::default()).unwrap();
        assert_eq!(imported.records.len(), 3);
        assert_eq!(imported.records[0].media, "AAA01.mp4");
        assert_eq!(imported.records[0].captions, ["Somebody opens a drawer, takes a spoon and stirs."]);
    }
}
