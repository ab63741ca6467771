//! Features of a manifest's videos or texts in one file, for whoever wants vectors and no index.

use super::Embedder;
use super::embedding_file::EmbeddingFormat;
use super::embedding_log::{EmbeddingLog, log_of};
use crate::data::import::{AnnotationOptions, Columns, ImportedAnnotations, import};
use crate::data::{Record, Unreadable};
use crate::digest::sha256_hex;
use crate::eval::{
    ClipPlan, ClipSampling, EncodeOptions, EncodedClips, FileVideos, FrameOrder, VideoSet, distinct_videos,
    encode_videos,
};
use crate::index::ModelId;
use crate::{Error, Result};
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;
use svitt_ops::SvittBackend;

/// What to embed, and where to.
#[derive(Clone, Debug)]
pub struct EmbedOptions {
    /// Annotations in any known format.
    pub manifest: PathBuf,
    /// The folder of its videos; the manifest's own by default.
    pub media: Option<PathBuf>,
    /// Names of its columns or keys, where they are not among the known ones.
    pub columns: Columns,
    /// The texts instead of the videos.
    pub texts: bool,
    /// A file that ends in `.safetensors` or `.npy`; the ids go into a `.json` beside it.
    pub out: PathBuf,
    /// Clips per video; a video's vector is the mean of theirs.
    pub clips: usize,
    /// How videos are read and batched.
    pub encoding: EncodeOptions,
}

/// What is written beside the embeddings: which row is what, and how it was made.
#[derive(Clone, Debug, Serialize)]
pub struct EmbeddingIndex {
    /// `video` or `text`.
    pub tensor: &'static str,
    /// Rows and numbers per row.
    pub shape: [usize; 2],
    /// Per row the video, with `#t=START,END` in seconds where it is a part of one.
    pub ids: Vec<String>,
    /// Per row the text, where texts were embedded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub texts: Option<Vec<String>>,
    /// Videos that could not be read; they have no row.
    pub missing: Vec<Unreadable>,
    /// The model.
    pub model: ModelId,
    /// Frames per clip.
    pub frames: usize,
    /// Clips per video.
    pub clips: usize,
    /// Rows that an earlier run had made.
    pub resumed: usize,
    /// Seconds this run took.
    pub seconds: f64,
}

/// Embeds as `options` say. A run that was stopped goes on where it was when it is started again.
///
/// # Errors
/// A manifest that cannot be read or holds nothing to embed, a video that cannot be read unless that is allowed, an
/// output that exists already.
pub fn embed<B: SvittBackend>(embedder: &Embedder<B>, options: &EmbedOptions) -> Result<EmbeddingIndex> {
    let started = Instant::now();
    let format = EmbeddingFormat::of(&options.out)?;
    let ids_file = options.out.with_extension("json");
    for path in [&options.out, &ids_file] {
        if path.exists() {
            return Err(Error::file(path, "is there already", "choose another option `out`, or delete it"));
        }
    }
    let reading = AnnotationOptions { columns: options.columns.clone(), ..AnnotationOptions::default() };
    let imported = import(&options.manifest, &reading)?;
    imported.warnings.iter().for_each(|warning| log::warn!("{}: {warning}", options.manifest.display()));
    refuse_unusable(&imported, options)?;
    let records = imported.records;
    let setting = json!({
        "model": embedder.id(),
        "records": sha256_hex(serde_json::to_string(&records).map_err(|e| Error::Fault(e.to_string()))?),
        "texts": options.texts,
        "clips": options.clips,
    });
    let (dim, clips) = (embedder.id().dim, if options.texts { 1 } else { options.clips });
    let mut log = EmbeddingLog::open(log_of(&options.out), &setting.to_string(), dim, clips)?;
    let made = if options.texts {
        embed_texts(embedder, &records, options, &mut log)
    } else {
        embed_videos(embedder, &records, options, &mut log)
    };
    let mut index = match made {
        Ok(index) => index,
        Err(error) if log.is_empty() => return log.remove().and(Err(error)),
        Err(error) => return Err(error),
    };
    let rows: Vec<&[f32]> = log.vectors().values().map(Vec::as_slice).collect();
    (index.shape, index.seconds) = ([rows.len(), dim], started.elapsed().as_secs_f64());
    if rows.is_empty() {
        let what = if options.texts { "texts" } else { "videos that can be read" };
        log.remove()?;
        return Err(Error::file(&options.manifest, format!("holds no {what}"), "give another manifest"));
    }
    // Rows without their ids are of no use to anybody.
    let names = [&ids_file, &options.out].map(|path| path.file_name().unwrap_or_default().to_owned());
    let folder = options.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let not_made = |e| Error::io(folder, &e);
    svitt_video::write_together(folder, &names, not_made, |path| match path.extension() == ids_file.extension() {
        true => crate::files::write_json(path, &index),
        false => format.write(path, index.tensor, &rows, dim),
    })?;
    log.remove()?;
    Ok(index)
}

/// Refuses what evaluation would refuse: records that cannot be used, unless they may be missing. A video needs no
/// caption to be embedded.
fn refuse_unusable(imported: &ImportedAnnotations, options: &EmbedOptions) -> Result<()> {
    let bare =
        |record: &&Record| record.question.is_none() && !record.captions.iter().any(|text| !text.trim().is_empty());
    let bare = if options.texts { 0 } else { imported.records.iter().filter(bare).count() };
    let unusable = imported.left_out_count.saturating_sub(bare);
    if unusable == 0 || options.encoding.allow_missing {
        return Ok(());
    }
    let known = |left: &&Unreadable| options.texts || !left.reason.contains("caption is missing");
    let first = imported
        .left_out
        .iter()
        .find(known)
        .map_or_else(String::new, |left| format!(", first {}: {}", left.media, left.reason));
    let problem = format!("{unusable} of {} records cannot be used{first}", imported.total);
    Err(Error::file(&options.manifest, problem, "repair or remove them, or leave them out with option `allow_missing`"))
}

fn embed_videos<B: SvittBackend>(
    embedder: &Embedder<B>,
    records: &[Record],
    options: &EmbedOptions,
    log: &mut EmbeddingLog,
) -> Result<EmbeddingIndex> {
    let clips = options.clips;
    let (frames, size) = (embedder.frames(), embedder.image_size());
    let plan = ClipPlan { frames, clips, sampling: ClipSampling::Contiguous, order: FrameOrder::None };
    let videos = distinct_videos(records);
    let media = options.media.as_deref().or(options.manifest.parent()).unwrap_or(Path::new(""));
    let media = if media.as_os_str().is_empty() { Path::new(".") } else { media };
    let set = FileVideos::new(videos.clone(), media, plan.test_frames(), size)?;
    let missing = set.missing()?;
    if let (Some(first), false) = (missing.first(), options.encoding.allow_missing) {
        let problem = format!("{} of {} videos are not there, first {first}", missing.len(), set.len());
        return Err(Error::file(
            media,
            problem,
            "give their folder with option `media`, or pass over them with option `allow_missing`",
        ));
    }
    let done = encode_videos(&set, &plan, &options.encoding, log, &mut |pixels, videos| {
        let features = embedder.embed_clips(pixels)?.concat();
        let each = (features.len() / videos.max(1)).max(1);
        let encoded = features.chunks(each).map(|f| EncodedClips { features: f.to_vec(), states: Vec::new() });
        Ok(encoded.collect())
    })?;
    done.warn_missing();
    let ids = log.vectors().keys().map(|&video| videos[video].clip_name()).collect();
    let mut index = EmbeddingIndex::new("video", ids, embedder, clips);
    (index.missing, index.resumed) = (done.missing, done.from_cache);
    Ok(index)
}

fn embed_texts<B: SvittBackend>(
    embedder: &Embedder<B>,
    records: &[Record],
    options: &EmbedOptions,
    log: &mut EmbeddingLog,
) -> Result<EmbeddingIndex> {
    let texts: Vec<(String, &str)> = records
        .iter()
        .flat_map(|record| {
            let texts: Vec<&String> = record.question.iter().collect();
            let texts = if texts.is_empty() { record.captions.iter().collect() } else { texts };
            texts.into_iter().map(move |text| (record.clip_name(), text.as_str()))
        })
        .collect();
    let wanted: Vec<usize> = (0..texts.len()).filter(|&text| !log.take(text, texts[text].1)).collect();
    let resumed = texts.len() - wanted.len();
    let mut progress = options.encoding.progress.counter("embedding texts", wanted.len());
    for batch in wanted.chunks(options.encoding.batch.max(1)) {
        let words: Vec<&str> = batch.iter().map(|&text| texts[text].1).collect();
        for (&text, vector) in batch.iter().zip(embedder.embed_texts(&words)?) {
            log.add(text, texts[text].1, vector)?;
        }
        progress.tick(batch.len());
    }
    let mut index = EmbeddingIndex::new("text", texts.iter().map(|(id, _)| id.clone()).collect(), embedder, 1);
    (index.texts, index.resumed) = (Some(texts.iter().map(|(_, text)| (*text).to_owned()).collect()), resumed);
    Ok(index)
}

impl EmbeddingIndex {
    fn new<B: SvittBackend>(tensor: &'static str, ids: Vec<String>, embedder: &Embedder<B>, clips: usize) -> Self {
        Self {
            tensor,
            shape: [ids.len(), embedder.id().dim],
            ids,
            texts: None,
            missing: Vec::new(),
            model: embedder.id().clone(),
            frames: embedder.frames(),
            clips,
            resumed: 0,
            seconds: 0.0,
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::testing::tiny_checkpoint;
    use crate::weights::safetensors;

    type B = burn_flex::Flex;

    fn options(folder: &Path, out: &str) -> EmbedOptions {
        let encoding = EncodeOptions { batch: 1, threads: 1, ..EncodeOptions::default() };
        let (manifest, out) = (folder.join("clips.json"), folder.join(out));
        EmbedOptions { manifest, media: None, columns: Columns::default(), texts: false, out, clips: 2, encoding }
    }

    fn rows(path: &Path) -> (String, Vec<Vec<f32>>) {
        let bytes = std::fs::read(path).unwrap();
        let tensors = safetensors::read(&bytes).unwrap().tensors;
        let (name, view) = &tensors[0];
        (name.clone(), view.read(&bytes).values.chunks(view.shape()[1]).map(<[f32]>::to_vec).collect())
    }

    /// A manifest of three videos, the last of them no video, and an embedder.
    fn prepared(folder: &Path) -> Embedder<B> {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures");
        for name in ["h264.mkv", "vp9.webm"] {
            std::fs::copy(fixtures.join(name), folder.join(name)).unwrap();
        }
        std::fs::write(folder.join("junk.mp4"), "no video at all").unwrap();
        let list = json!([
            {"video": "h264.mkv", "caption": "the red square"},
            {"video": "vp9.webm", "caption": ["a blue circle", "it turns"]},
            {"video": "h264.mkv", "caption": "it moves left"},
            {"video": "junk.mp4", "caption": "nothing"},
        ]);
        std::fs::write(folder.join("clips.json"), list.to_string()).unwrap();
        tiny_checkpoint(&folder.join("weights"), |_| ());
        Embedder::open(&folder.join("weights"), None, &Default::default()).unwrap()
    }

    #[test]
    fn a_stopped_run_goes_on_and_gives_the_same_rows() {
        let folder = tempfile::tempdir().unwrap();
        let embedder = prepared(folder.path());
        let stopped = options(folder.path(), "v.safetensors");
        let message = embed(&embedder, &stopped).unwrap_err().to_string();
        assert!(message.contains("junk.mp4") && !stopped.out.exists(), "{message}");
        let mut lenient = stopped;
        lenient.encoding.allow_missing = true;
        let index = embed(&embedder, &lenient).unwrap();
        assert_eq!((index.shape, index.resumed), ([2, embedder.id().dim], 2));
        assert_eq!(index.ids, ["h264.mkv", "vp9.webm"]);
        assert_eq!((index.missing.len(), index.missing[0].media.as_str()), (1, "junk.mp4"));
        assert!(!log_of(&lenient.out).exists() && lenient.out.with_extension("json").exists());
        assert!(embed(&embedder, &lenient).unwrap_err().to_string().contains("is there already"));
        let straight = EmbedOptions { out: folder.path().join("w.safetensors"), ..lenient.clone() };
        assert_eq!(embed(&embedder, &straight).unwrap().resumed, 0);
        assert_eq!(rows(&straight.out), rows(&lenient.out));
        assert_eq!(rows(&straight.out).0, "video");
        std::fs::remove_file(folder.path().join("junk.mp4")).unwrap();
        let missing = options(folder.path(), "x.npy");
        let message = embed(&embedder, &missing).unwrap_err().to_string();
        assert!(message.contains("1 of 3 videos are not there, first junk.mp4"), "{message}");
    }

    #[test]
    fn texts_are_embedded_as_queries_are() {
        let folder = tempfile::tempdir().unwrap();
        let embedder = prepared(folder.path());
        let mut texts = EmbedOptions { texts: true, ..options(folder.path(), "t.safetensors") };
        texts.encoding.batch = 4;
        let index = embed(&embedder, &texts).unwrap();
        let (name, rows) = rows(&texts.out);
        assert_eq!((name.as_str(), rows.len(), index.shape), ("text", 5, [5, embedder.id().dim]));
        assert_eq!((index.ids[2].as_str(), &index.texts.unwrap()[2]), ("vp9.webm", &"it turns".to_owned()));
        let single = embedder.embed_text("it turns").unwrap();
        let difference = single.iter().zip(&rows[2]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-5, "padding in a batch changes nothing: {difference}");
    }
}
