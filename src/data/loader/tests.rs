use super::*;
use crate::{
    data::{Item, ItemResult},
    text::{Tokenizer, Vocabulary},
};
use burn::data::dataloader::DataLoader;
use burn_dataset::Dataset;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use svitt_video::VideoError;

/// Items of 2 × 3 × 1 × 1 values: index, epoch, then zeros.
struct Numbers {
    len: usize,
    fails: fn(usize) -> bool,
    panics: bool,
    tool: bool,
    delay: bool,
    reads: AtomicUsize,
}

fn numbers(len: usize) -> Numbers {
    Numbers { len, fails: |_| false, panics: false, tool: false, delay: false, reads: AtomicUsize::new(0) }
}

impl Dataset<ItemResult> for Numbers {
    fn get(&self, index: usize) -> Option<ItemResult> {
        (index < self.len).then(|| self.draw(0, index))
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl EpochDataset for Numbers {
    fn draw(&self, epoch: u64, index: usize) -> ItemResult {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.delay {
            std::thread::sleep(Duration::from_micros((index * 7919 % 11) as u64 * 300));
        }
        if (self.fails)(index) {
            assert!(!self.panics, "decoder overran at {index}");
            let path = self.media(index).into();
            let (format, looked_at) = ("VP8 in WebM".into(), "PATH".into());
            return Err(Arc::new(match self.tool {
                true => VideoError::MissingTool { path, format, looked_at }.into(),
                false => Error::file(path, "is broken", "fetch it again"),
            }));
        }
        let frames = vec![index as f32, epoch as f32, 0.0, 0.0, 0.0, 0.0];
        let (caption, media) = (format!("Red #{index}!"), self.media(index));
        Ok(Item { frames, caption, identity: (index / 2) as u64, index, media })
    }

    fn media(&self, index: usize) -> String {
        format!("{index:02}.mp4")
    }
}

fn loader(data: Numbers, options: LoaderOptions) -> Loader {
    let tokenizer = Arc::new(Tokenizer::new(Vocabulary::from_words(["red", "3", "5"])).unwrap());
    Loader::new(Arc::new(data), Arc::new(TextCollate::new(tokenizer, 4, 2, 1)), options).unwrap()
}

fn train(batch: usize, workers: usize) -> LoaderOptions {
    LoaderOptions { workers, prefetch: 2, ..LoaderOptions::train(batch, 7) }
}

/// The (index, epoch) pairs of the next `epochs` epochs, batch by batch.
fn sequence(loader: &Loader, epochs: usize) -> Vec<Vec<(usize, u64)>> {
    let pairs = |batch: HostBatch| {
        let clips = batch.video.chunks(6).zip(&batch.indices);
        clips.map(|(clip, index)| (*index, clip[1] as u64)).collect()
    };
    (0..epochs).flat_map(|_| loader.epoch()).map(|batch| pairs(batch.unwrap())).collect()
}

#[test]
fn the_order_does_not_depend_on_the_number_of_workers() {
    let one = sequence(&loader(numbers(23), train(5, 1)), 3);
    assert_eq!(one.len(), 3 * 4, "23 items make 4 whole batches of 5");
    for workers in [2, 3] {
        let slow = Numbers { delay: true, ..numbers(23) };
        assert_eq!(sequence(&loader(slow, train(5, workers)), 3), one);
    }
    let epochs: Vec<Vec<usize>> = one.chunks(4).map(|epoch| epoch.concat().iter().map(|p| p.0).collect()).collect();
    assert_ne!(epochs[0], epochs[1]);
    for mut epoch in epochs {
        epoch.sort_unstable();
        epoch.dedup();
        assert_eq!(epoch.len(), 20, "no item twice in an epoch");
    }
    assert!(one[4..8].concat().iter().all(|pair| pair.1 == 1), "the second epoch draws as epoch 1");
    assert_ne!(sequence(&loader(numbers(23), LoaderOptions { seed: 8, ..train(5, 1) }), 3), one);
}

#[test]
fn a_resumed_loader_continues_the_exact_sequence() {
    let whole = sequence(&loader(numbers(23), train(5, 2)), 3);
    for stop in [1, 3, 4, 6] {
        let first = loader(numbers(23), train(5, 2));
        let mut taken = 0;
        while taken < stop {
            taken += first.epoch().take(stop - taken).filter(Result::is_ok).count();
        }
        let position = first.position();
        assert_eq!(position, LoaderPosition { epoch: (stop / 4) as u64, batch: stop % 4 });
        let second = loader(numbers(23), train(5, 3));
        second.seek(position).unwrap();
        let rest = sequence(&second, 3 - stop / 4);
        assert_eq!(rest, whole[stop..]);
        assert_eq!(sequence(&first, 3 - stop / 4), rest, "a dropped iterator is continued as well");
    }
    let endless = loader(numbers(23), train(5, 1));
    let indices: Vec<Vec<usize>> =
        std::iter::from_fn(|| endless.take()).take(12).map(|batch| batch.unwrap().indices).collect();
    assert!(indices.iter().zip(&whole).all(|(batch, pairs)| batch.iter().eq(pairs.iter().map(|pair| &pair.0))));
    assert!(loader(numbers(23), train(5, 1)).seek(LoaderPosition { epoch: 0, batch: 4 }).is_err());
}

#[test]
fn an_unreadable_item_is_replaced_by_the_same_other_one_each_time() {
    let broken = || Numbers { fails: |index| index == 13, ..numbers(40) };
    let one = loader(broken(), train(8, 1));
    let batches = sequence(&one, 1);
    assert_eq!(batches.concat().len(), 40, "all 40 places are filled");
    assert!(batches.concat().iter().all(|pair| pair.0 != 13));
    let three = loader(broken(), train(8, 3));
    assert_eq!(sequence(&three, 1), batches);
    for loader in [one, three] {
        let [listed] = &loader.unreadable()[..] else { panic!("{:?}", loader.unreadable()) };
        assert_eq!(listed.media, "13.mp4");
        assert_eq!(listed.reason, "13.mp4: is broken; fetch it again");
    }
}

#[test]
fn a_panic_in_a_reader_is_a_named_failure() {
    let data = Numbers { fails: |index| index == 4, panics: true, ..numbers(12) };
    let loader = loader(data, train(6, 2));
    assert_eq!(sequence(&loader, 2).concat().len(), 24);
    let [listed] = &loader.unreadable()[..] else { panic!() };
    assert!(listed.media == "04.mp4" && listed.reason.contains("decoder overran at 4"), "{listed:?}");
}

#[test]
fn too_many_failures_end_the_run_at_the_same_batch_for_any_number_of_workers() {
    let limit = UnreadableLimit { share: 0.1, at_least: 0 };
    let ends = [1, 2, 3].map(|workers| {
        let data = Numbers { fails: |index| index % 5 == 0, delay: true, ..numbers(40) };
        let loader = loader(data, LoaderOptions { limit, ..train(4, workers) });
        let results: Vec<BatchResult> = (0..3).flat_map(|_| loader.epoch()).collect();
        let message = results.last().unwrap().as_ref().unwrap_err().to_string();
        assert!(message.contains("of 40 items could not be read and 4 are allowed"), "{message}");
        assert!(results[..results.len() - 1].iter().all(Result::is_ok), "one error, and nothing after it");
        assert!(loader.epoch().next().is_none());
        (results.len(), message)
    });
    assert!(ends[0] == ends[1] && ends[1] == ends[2], "{ends:?}");
}

#[test]
fn nothing_readable_is_an_error_not_a_hang() {
    let generous = UnreadableLimit { share: 1.0, at_least: 0 };
    let data = Numbers { fails: |_| true, ..numbers(10) };
    let loader = loader(data, LoaderOptions { limit: generous, ..train(5, 2) });
    let message = loader.epoch().next().unwrap().unwrap_err().to_string();
    assert!(message.contains("8 others in its place could not be read"), "{message}");
}

#[test]
fn a_missing_program_is_not_hidden_by_replacements() {
    let data = Numbers { fails: |index| index == 3, tool: true, ..numbers(10) };
    let loader = loader(data, train(5, 2));
    let error = (0..2).flat_map(|_| loader.epoch()).find_map(Result::err).unwrap();
    assert!(matches!(&error, Error::Video(VideoError::MissingTool { .. })), "{error}");
}

#[test]
fn evaluation_keeps_file_order_and_reports_what_is_missing() {
    let data = Numbers { fails: |index| (4..9).contains(&index), ..numbers(11) };
    let loader = loader(data, LoaderOptions { workers: 3, ..LoaderOptions::evaluate(4) });
    for _ in 0..2 {
        let indices: Vec<Vec<usize>> = loader.epoch().map(|batch| batch.unwrap().indices).collect();
        assert_eq!(indices, [vec![0, 1, 2, 3], vec![9, 10]], "the batch 4..8 holds nothing readable");
        assert_eq!(loader.unreadable().len(), 5);
    }
}

#[test]
fn at_most_the_prefetched_batches_are_read_ahead() {
    let data = Arc::new(numbers(60));
    let tokenizer = Arc::new(Tokenizer::new(Vocabulary::from_words(["red"])).unwrap());
    let collate = Arc::new(TextCollate::new(tokenizer, 4, 2, 1));
    let loader = Loader::new(data.clone(), collate, train(5, 3)).unwrap();
    let settle = || {
        std::thread::sleep(Duration::from_millis(60));
        data.reads.load(Ordering::SeqCst)
    };
    assert_eq!(settle(), 0, "nothing is read before it is asked for");
    let mut epoch = loader.epoch();
    epoch.next().unwrap().unwrap();
    assert_eq!(settle(), 15, "one batch taken, two on their way");
    epoch.next().unwrap().unwrap();
    assert_eq!(settle(), 20);
}

#[test]
fn a_batch_lies_in_memory_as_it_says() {
    let loader = loader(numbers(6), LoaderOptions { workers: 2, ..LoaderOptions::evaluate(4) });
    let batch = loader.epoch().next().unwrap().unwrap();
    assert_eq!((batch.video_shape, batch.video.len()), ([4, 2, 3, 1, 1], 24));
    assert_eq!(batch.video[18..], [3.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(batch.token_ids[12..], [2, 5, 6, 0], "[CLS] red 3");
    assert_eq!(batch.token_mask, [[1., 1., 1., 0.]; 4].concat());
    assert_eq!((batch.identity.as_slice(), batch.captions[1].as_str()), ([0, 0, 1, 1].as_slice(), "red 1"));
    assert!(batch.wait_seconds > 0.0);
}

#[test]
fn burns_trait_sees_whole_epochs_and_slices() {
    fn indices(loader: &dyn DataLoader<burn_ndarray::NdArray, BatchResult>) -> Vec<usize> {
        loader.iter().flat_map(|batch| batch.unwrap().indices).collect()
    }
    let loader = loader(numbers(11), LoaderOptions { workers: 1, ..LoaderOptions::evaluate(4) });
    assert_eq!(indices(&loader), (0..11).collect::<Vec<_>>());
    let slice = DataLoader::<burn_ndarray::NdArray, BatchResult>::slice(&loader, 3, 9);
    assert_eq!((slice.num_items(), indices(&*slice)), (6, (3..9).collect()));
    let mut iter = slice.iter();
    iter.next();
    assert_eq!((iter.progress().items_processed, iter.progress().items_total), (4, 6));
}

#[test]
fn a_small_data_set_shrinks_the_batch() {
    let small = loader(numbers(3), train(32, 1));
    assert_eq!((small.batch_size(), small.batches(), small.items()), (3, 1, 3));
    assert_eq!(sequence(&small, 2).len(), 2);
    let tokenizer = Arc::new(Tokenizer::new(Vocabulary::from_words(["red"])).unwrap());
    let collate = Arc::new(TextCollate::new(tokenizer, 4, 2, 1));
    let empty = Loader::new(Arc::new(numbers(0)), collate.clone(), train(4, 1));
    assert!(empty.err().unwrap().to_string().contains("the data set has 0 items"));
    let zero = Loader::new(Arc::new(numbers(3)), collate, train(0, 1));
    assert!(zero.err().unwrap().to_string().contains("`batch`: is 0"));
}
