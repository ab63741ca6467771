//! Charades: a CSV whose `script` describes the whole video `<id>.mp4`.

use std::path::Path;

use super::{ImportedAnnotations, table::Table};
use crate::{
    Result,
    data::{Benchmark, Record, published},
};

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    imported.expected = imported.split.and_then(|split| published(Benchmark::Charades, split));
    Table::open(path)?.each(path, |row| {
        let id = row.need(path, "id")?;
        let captions = vec![row.get(&["script"]).to_owned()];
        imported.records.push(Record {
            media: format!("{id}.mp4"),
            captions,
            id: Some(id.into()),
            ..Record::default()
        });
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
