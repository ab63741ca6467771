//! Webdataset shards: every sample with a video is a record that says where in which shard the video lies.

use std::path::Path;

use super::ImportedAnnotations;
use crate::{
    Result,
    data::{Record, webdataset},
};

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    let mut bare = 0;
    for shard in webdataset::expand(path)? {
        for sample in webdataset::index(&shard)? {
            let Some(video) = sample.video else {
                bare += 1;
                continue;
            };
            let captions = sample.caption.into_iter().collect();
            let id = Some(format!("{}/{}", stem(&shard), sample.key));
            imported.records.push(Record { media: video.address(), captions, id, ..Record::default() });
        }
        imported.joined.push(shard);
    }
    if bare > 0 {
        imported.warnings.push(format!("{bare} samples have no video and were left out"));
    }
    Ok(())
}

fn stem(shard: &Path) -> String {
    shard.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use crate::data::{
        import::{AnnotationFormat, AnnotationOptions, import},
        webdataset::ShardMember,
    };

    #[test]
    fn a_range_of_shards_becomes_records_that_say_where_each_video_lies() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..3 {
            let mut builder = tar::Builder::new(File::create(folder.path().join(format!("{number:05}.tar"))).unwrap());
            for (name, content) in [("7.mp4", "video"), ("7.txt", "a caption"), ("8.txt", "no video")] {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, content.as_bytes()).unwrap();
            }
            builder.finish().unwrap();
        }
        let list = folder.path().join("{00000..00002}.tar");
        for path in [list.as_path(), folder.path()] {
            let imported = import(path, &AnnotationOptions::default()).unwrap();
            assert_eq!(
                (imported.format, imported.records.len(), imported.joined.len()),
                (AnnotationFormat::Webdataset, 3, 3)
            );
            assert_eq!(imported.records[2].captions, ["a caption"]);
            assert_eq!(imported.records[2].id.as_deref(), Some("00002/7"));
            assert_eq!(ShardMember::from_address(&imported.records[2].media).unwrap().read().unwrap(), b"video");
            assert_eq!(imported.warnings, ["3 samples have no video and were left out"]);
        }
    }
}
