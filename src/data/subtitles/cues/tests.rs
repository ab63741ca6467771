use super::*;

fn said(text: &str) -> Vec<(f64, f64, String)> {
    parse(text).cues.into_iter().map(|cue| (cue.start, cue.end, cue.text)).collect()
}

fn cue(start: f64, end: f64, text: &str) -> (f64, f64, String) {
    (start, end, text.to_owned())
}

#[test]
fn subrip_is_read_whatever_its_line_ends_and_gaps() {
    let text = "1\n00:00:01,000 --> 00:00:02,500\nGood <i>morning</i>\n{\\an8}everybody\n\n\
                2\n00:00:03,000 --> 00:00:04,000\nYes.\n3\n00:01:00,250 --> 01:00:00,000\n1984\n";
    let expected = [cue(1.0, 2.5, "Good morning everybody"), cue(3.0, 4.0, "Yes."), cue(60.25, 3600.0, "1984")];
    for ends in ["\n", "\r\n", "\r"] {
        assert_eq!(said(&text.replace('\n', ends)), expected, "{ends:?}");
    }
}

#[test]
fn webvtt_is_read_without_its_header_notes_styles_and_settings() {
    let text = "WEBVTT - a title\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\nSTYLE\n::cue { color: red }\n\n\
                NOTE a remark\nof two lines\n\nintro\n00:01.000 --> 00:02.000 align:start position:10%\n\
                <v Bob>Fish &amp; chips, 3 < 4</v>\n\n01:00:00.5 --> 01:00:01 line:0\n<00:01.000><c>la</c> &nbsp;la & so\n";
    assert_eq!(said(text), [cue(1.0, 2.0, "Fish & chips, 3 < 4"), cue(3600.5, 3601.0, "la la & so")]);
}

#[test]
fn overlapping_cues_stay_and_backward_ones_are_counted() {
    let text = "00:05.000 --> 00:09.000\nsecond\n\n00:01.000 --> 00:06.000\nfirst\n\n00:08.000 --> 00:07.000\nbackward\n\n\
                never --> ever\nx\n\n99999:00:00.000 --> 99999:00:01.000\nfar away\n\n00:10.000 --> 00:11.000\n<i></i>\n";
    let found = parse(text);
    assert_eq!(said(text), [cue(1.0, 6.0, "first"), cue(5.0, 9.0, "second")]);
    assert_eq!(found.unread, 3);
}

#[test]
fn times_are_those_of_the_formats_and_no_others() {
    let good = [("1:02:03,5", 3723.5), ("02:03.250", 123.25), ("00:00", 0.0), ("100:00:00", 360_000.0)];
    good.iter().for_each(|(text, expected)| assert_eq!(seconds(text), Some(*expected), "{text}"));
    for bad in ["", "1", ":1", "1:", "-1:00", "1:2:3:4", "a:b", "1.5:00", "1e3:00", "NaN:00", "9999999999:00"] {
        assert_eq!(seconds(bad), None, "{bad}");
    }
}

#[test]
fn files_of_other_encodings_and_sizes_are_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.srt");
    let message = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        read_subtitles(&path).unwrap_err().to_string()
    };
    let text = "1\n00:00:01,000 --> 00:00:02,000\ncaf\u{e9}\n";
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(message(&wide).contains("iconv -f UTF-16"), "{}", message(&wide));
    let latin: Vec<u8> = text.chars().map(|letter| letter as u8).collect();
    assert!(message(&latin).contains("line 3 is not UTF-8 text"), "{}", message(&latin));
    assert!(message(&[0, 1, 2, 3, 0, 0, 0, 0]).contains("is no text file"));
    std::fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    assert!(read_subtitles(&path).unwrap_err().to_string().contains("larger than the 16 MiB"));
    std::fs::write(&path, [b"\xef\xbb\xbf", text.as_bytes()].concat()).unwrap();
    assert_eq!(read_subtitles(&path).unwrap().cues, [Cue { start: 1.0, end: 2.0, text: "caf\u{e9}".into() }]);
}

/// Neither panics nor quadratic time, whatever the bytes are.
#[test]
fn hostile_text_is_read_in_time() {
    let started = std::time::Instant::now();
    let times = "00:00:01,000 --> 00:00:02,000\n";
    assert_eq!(said(&(times.to_owned() + &"<a".repeat(1 << 19))).len(), 1);
    assert_eq!(said(&times.repeat(50_000)).len(), 0, "no words");
    assert!(said(&"-->".repeat(1 << 19)).is_empty());
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
    let mut rng = svitt_ops::rng::Rng::new(9, &[]);
    let pieces = ["<", "&", "{", "\\", "-->", "00:", "01.5", "\n", "\r", "\u{e9}", "}", ">", "amp;", " ", "x", "\u{0}"];
    for _ in 0..5_000 {
        let text: String = (0..rng.below(30)).map(|_| pieces[rng.below(pieces.len())]).collect();
        let _ = parse(&text);
    }
}
