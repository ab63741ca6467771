//! Webdataset shards: every sample with a video is a record that says where in which shard the video lies.

use std::path::Path;

use super::{Further, ImportedAnnotations, json::Place};
use crate::{
    Result,
    data::{Record, webdataset},
};

pub fn read(path: &Path, imported: &mut ImportedAnnotations) -> Result<()> {
    let (mut number, mut bare, mut foreign, mut odd, mut first_odd) = (0, 0, 0, 0, None);
    let mut further = Further::default();
    for shard in webdataset::expand(path)? {
        let index = webdataset::index(&shard, &mut further)?;
        foreign += index.foreign;
        for sample in index.samples {
            number += 1;
            let Some(video) = &sample.video else {
                bare += 1;
                continue;
            };
            if let Some(warning) = &sample.warning {
                odd += 1;
                first_odd.get_or_insert_with(|| warning.clone());
            }
            let (place, media) = (Place { number, ..Place::default() }, video.address());
            match sample.problem.clone().map_or_else(|| sample.parts(), Err) {
                Err(reason) => imported.leave_out(&place, Some(&media), &reason),
                Ok(parts) => {
                    let several = parts.len() > 1;
                    for (part, (captions, start, end)) in (1..).zip(parts) {
                        let part = if several { format!("#{part}") } else { String::new() };
                        let id = Some(format!("{}/{}{part}", stem(&shard), sample.key));
                        let record = Record { media: media.clone(), captions, start, end, id, ..Record::default() };
                        imported.take(&place, record);
                    }
                }
            }
        }
        imported.joined.push(shard);
    }
    if let Some(first) = first_odd {
        imported.warnings.push(format!("{odd} .json members cannot be read and are not needed, the first: {first}"));
    }
    if bare > 0 {
        imported.warnings.push(format!("{bare} samples have no video and were left out"));
    }
    if foreign > 0 {
        imported
            .warnings
            .push(format!("{foreign} members that macOS adds to archives (._NAME and the like) were left out"));
    }
    imported.list_further(further);
    Ok(())
}

fn stem(shard: &Path) -> String {
    shard.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use crate::data::{
        import::{AnnotationFormat, AnnotationOptions, ImportPurpose, import},
        webdataset::ShardMember,
    };

    #[test]
    fn a_sample_without_a_usable_caption_is_left_out_of_training_and_refused_in_evaluation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.tar");
        let odd = [
            ("txt", ""),
            ("txt", " \n"),
            ("json", "{\"caption\": null}"),
            ("json", "{\"caption\": NaN}"),
            ("json", "{"),
        ];
        for (extension, content) in odd {
            let mut builder = tar::Builder::new(File::create(&path).unwrap());
            let mut add = |name: String, content: &str| {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, content.as_bytes()).unwrap();
            };
            for key in 0..8 {
                add(format!("Q.{key}.mp4"), "video");
                let (end, text) = if key == 2 { (extension, content) } else { ("txt", "a caption") };
                add(format!("Q.{key}.{end}"), text);
            }
            builder.finish().unwrap();
            drop(builder);
            let read = |purpose, allow_missing| {
                import(&path, &AnnotationOptions { purpose, allow_missing, ..AnnotationOptions::default() })
            };
            for trained in [read(ImportPurpose::Train, false).unwrap(), read(ImportPurpose::Evaluate, true).unwrap()] {
                assert_eq!((trained.records.len(), trained.left_out_count), (7, 1), "{content}");
                assert!(trained.left_out[0].media.ends_with("#Q.2.mp4"), "{:?}", trained.left_out);
            }
            assert!(read(ImportPurpose::Evaluate, false).unwrap_err().to_string().contains("Q.2.mp4"), "{content}");
        }
    }

    fn content(media: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        ShardMember::from_address(media).unwrap().copy(&mut bytes).unwrap().unwrap();
        bytes
    }

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
            assert_eq!(content(&imported.records[2].media), b"video");
            assert_eq!(imported.warnings, ["3 samples have no video and were left out"]);
        }
    }
}
