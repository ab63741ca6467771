//! Samples that are made: a tar shard, a `tokenizer.json` of either kind, a picture of one pixel, and a PyTorch file
//! whose lists hold each other.

use serde_json::json;

/// Length of a block of a tar file, and where a header keeps its checksum.
const BLOCK: usize = 512;
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// A shard of one sample, with a long name and a pax header before its members.
pub(super) fn shard(video: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    member(&mut tar, "clip.mp4", b'0', video);
    member(&mut tar, "clip.txt", b'0', b"a red square moves left");
    member(&mut tar, "clip.json", b'0', br#"{"caption": "a red square", "duration": 2.5}"#);
    member(&mut tar, "pax", b'x', b"19 path=second.txt\n");
    member(&mut tar, "second", b'0', b"a blue disc");
    member(&mut tar, "././@LongLink", b'L', &[b"third/".repeat(30), b"third.txt\0".to_vec()].concat());
    member(&mut tar, "third", b'0', b"a green star");
    tar.extend([0; 2 * BLOCK]);
    mend_headers(&mut tar);
    tar
}

fn member(tar: &mut Vec<u8>, name: &str, kind: u8, content: &[u8]) {
    let mut header = [0; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000644\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    tar.extend(header);
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}

/// Recomputes the checksum of every block that looks like a header.
pub(super) fn mend_headers(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(BLOCK).filter(|block| &block[257..262] == b"ustar") {
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// A `tokenizer.json` of a few words, with `steps` before BERT's normaliser.
pub(super) fn tokenizer(steps: &[serde_json::Value]) -> Vec<u8> {
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "square", "##s"];
    let ids: serde_json::Map<_, _> = words.iter().enumerate().map(|(id, word)| (word.to_string(), id.into())).collect();
    let bert = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
        "strip_accents": null, "lowercase": true});
    let steps: Vec<_> = steps.iter().cloned().chain([bert]).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": steps},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": ids},
    })
    .to_string()
    .into_bytes()
}

/// A step that makes a thousand letters of one.
pub(super) fn amplifier() -> serde_json::Value {
    json!({"type": "Replace", "pattern": {"String": "a"}, "content": "a".repeat(1000)})
}

/// A PyTorch file of the old layout, of one tensor, whose configuration is a list of two lists of two lists, forty deep: 2⁴⁰ values
/// when it is written out.
pub(super) fn nested_lists() -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    // Each list goes to the memo and off the stack; the last one is the configuration.
    file.extend(b"\x80\x02}(X\x06\0\0\0config](K\x01eq\x000");
    for level in 1..40u8 {
        file.extend([b']', b'(', b'h', level - 1, b'h', level - 1, b'e', b'q', level, b'0']);
    }
    file.extend([b'h', 39]);
    // A tensor of two numbers; a file without any is refused before its configuration is looked at.
    file.extend(b"X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n");
    file.extend(b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0sX\x03\0\0\0cpuK\x02tQK\0");
    file.extend(b"(K\x02t(K\x01t\x89}tRu.\x80\x02]X\x01\0\0\0sa.");
    file.extend(2u64.to_le_bytes());
    file.extend([1f32, 2.0].map(f32::to_le_bytes).concat());
    file
}

/// A GIF of one pixel.
pub(super) fn picture() -> Vec<u8> {
    let mut gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    gif.extend(b",\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;");
    gif
}
