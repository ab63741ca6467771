use super::edl::{FrameRate, events};
use super::*;
use std::path::PathBuf;

fn result(rank: usize, path: impl Into<PathBuf>, [start, end]: [f64; 2]) -> SearchResult {
    let path = path.into();
    SearchResult {
        rank,
        score: 0.75,
        cosine: 0.5,
        matched: Some(0.25),
        log_odds: None,
        evidence: None,
        file: super::super::printable(&path),
        start,
        end,
        best: None,
        path,
    }
}

/// What somebody says in a video.
fn said() -> WordResult {
    WordResult {
        kind: "words",
        rank: 1,
        text: "- No, \"never\"\n!".into(),
        literal: 0.5,
        cosine: 0.25,
        evidence: Some(2.0),
        file: "v/s.mp4".into(),
        start: 1.0,
        end: 2.5,
        subtitles: "v/s.srt".into(),
        path: "/v/s.mp4".into(),
    }
}

#[test]
#[cfg(unix)]
fn csv_quotes_every_name_and_says_which_it_cannot_hold() {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"/v/\xff.mp4");
    let results = [result(1, "/v/a, \"b\"\n.mp4", [0.5, 10.0]), result(2, odd, [3.0, 4.0])];
    let list = ListFormat::Csv.list("x", &results, &[said()]).unwrap();
    let expected = "kind,rank,score,cosine,match,evidence,start,end,file,text\r\n\
                    clip,1,0.75,0.5,0.25,,0.5,10,\"/v/a, \"\"b\"\"\n.mp4\",\r\n\
                    clip,2,0.75,0.5,0.25,,3,4,/v/\\xFF.mp4,\r\n\
                    words,w1,0.5,0.25,,2,1,2.5,/v/s.mp4,\" - No, \"\"never\"\"\\n!\"\r\n";
    assert_eq!(list.text, expected);
    assert!(list.warnings.len() == 1 && list.warnings[0].contains("\\xFF.mp4: the name is not UTF-8"));
    let mut reader = ::csv::Reader::from_reader(list.text.as_bytes());
    let files: Vec<String> = reader.records().map(|line| line.unwrap()[8].to_owned()).collect();
    assert_eq!(files[0], "/v/a, \"b\"\n.mp4");
}

#[test]
#[cfg(unix)]
fn playlists_begin_and_end_with_the_clip_whatever_it_is_called() {
    use std::os::unix::ffi::OsStrExt;
    let odd = std::ffi::OsStr::from_bytes(b"/v/\xff 1\n.mp4");
    let results = [result(1, "/v/a, b.mp4", [65.0, 75.5]), result(2, odd, [0.0, 0.0])];
    let list = ListFormat::M3u.list("a \n b", &results, &[said()]).unwrap();
    let expected = "#EXTM3U\n#EXTENC:UTF-8\n#PLAYLIST:a \\n b\n\
                    #EXTINF:10.500,1. a, b.mp4 (1:05.0 to 1:15.5)\n\
                    #EXTVLCOPT:start-time=65.000\n#EXTVLCOPT:stop-time=75.500\n/v/a, b.mp4\n\
                    #EXTINF:0.000,2. \\xFF 1\\n.mp4 (0:00.0 to 0:00.0)\n\
                    #EXTVLCOPT:start-time=0.000\nfile:///v/%FF%201%0A.mp4\n\
                    #EXTINF:1.500,w1. s.mp4 (0:01.0 to 0:02.5): - No, \"never\"\\n!\n\
                    #EXTVLCOPT:start-time=1.000\n#EXTVLCOPT:stop-time=2.500\n/v/s.mp4\n";
    assert_eq!((list.text.as_str(), list.warnings.len()), (expected, 0));
}

#[test]
fn timecodes_count_frames_without_dropping_numbers() {
    let [pal, ntsc, film] = [25.0, 29.9698, 23.977].map(FrameRate::of);
    assert_eq!((pal.rate, pal.count, pal.varies), (25.0, 25, false));
    assert!((ntsc.rate - 30_000.0 / 1001.0).abs() < 1e-9 && ntsc.count == 30 && !ntsc.varies);
    assert!((film.rate - 24_000.0 / 1001.0).abs() < 1e-9 && film.count == 24);
    assert_eq!(pal.timecode(25 * 3661 + 7), "01:01:01:07");
    // After an hour by the clock 29.97 has counted 107,892 frames: 3.6 s less than an hour by its timecodes.
    assert_eq!(ntsc.timecode((3600.0 * ntsc.rate).round() as u64), "00:59:56:12");
    let varying = FrameRate::of(17.3);
    assert_eq!((varying.rate, varying.count, varying.varies), (17.0, 17, true));
    assert_eq!(FrameRate::of(f64::NAN).count, 25);
}

#[test]
fn events_follow_one_another_and_name_their_source() {
    let results = [
        result(1, "/v/my clip.mp4", [1.0, 3.0]),
        result(2, "/gone.mp4", [0.0, 1.0]),
        result(3, "/w/my clip.mov", [0.5, 1.0]),
        result(4, "/v/my clip.mp4", [0.0, 0.0]),
        result(5, "/v/\u{e9}.mp4", [0.0, 1.0]),
    ];
    let rate = |fps| Ok(FrameRate::of(fps));
    let rates = [rate(25.0), Err("it is gone".to_owned()), rate(50.0), rate(25.0), rate(25.0)];
    let list = events("a red\nsquare", &results.iter().map(Entry::Clip).collect::<Vec<_>>(), &rates);
    let lines: Vec<&str> =
        list.text.lines().filter(|line| !line.starts_with("* S") && !line.starts_with("* N")).collect();
    assert_eq!(lines[..2], ["TITLE: a red\\nsquare", "FCM: NON-DROP FRAME"]);
    let expected = [
        "001  MY_CLIP  V     C        00:00:01:00 00:00:03:00 01:00:00:00 01:00:02:00",
        "* FROM CLIP NAME: my clip.mp4",
        "* LEFT OUT: /gone.mp4",
        "002  MY_CLIP2 V     C        00:00:00:25 00:00:01:00 01:00:02:00 01:00:02:13",
        "* FROM CLIP NAME: my clip.mov",
        "003  MY_CLIP  V     C        00:00:00:00 00:00:00:01 01:00:02:13 01:00:02:14",
        "* FROM CLIP NAME: my clip.mp4",
        "004  CLIP     V     C        00:00:00:00 00:00:01:00 01:00:02:14 01:00:03:14",
        "* FROM CLIP NAME: \u{e9}.mp4",
    ];
    assert_eq!(lines[2..], expected);
    assert_eq!(list.warnings[0], "rank 2 is left out of the list: it is gone");
    assert!(list.text.contains("* NOTE: rank 2 is left out of the list: it is gone\n"), "{}", list.text);
    assert!(list.warnings.len() == 2 && list.warnings[1].contains("that of the first, 25.000"));
    assert!(list.text.contains("* SOURCE FILE: /w/my clip.mov\n* SOURCE FRAME RATE: 50.000\n"), "{}", list.text);
}

#[test]
fn an_edl_reads_the_frame_rate_and_has_a_limit() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/svitt-video/tests/fixtures/bframes.mp4");
    let list = ListFormat::Edl
        .list("x", &[result(1, &fixture, [0.0, 0.5])], &[WordResult { path: fixture, ..said() }])
        .unwrap();
    assert!(list.text.contains("001  BFRAMES  V     C        00:00:00:00 ") && list.warnings.is_empty(), "{list:?}");
    assert!(list.text.ends_with("* COMMENT: - No, \"never\"\\n!\n"), "{list:?}");
    let many: Vec<SearchResult> = (0..1000).map(|rank| result(rank, "/v.mp4", [0.0, 1.0])).collect();
    assert!(ListFormat::Edl.list("x", &many, &[]).unwrap_err().to_string().contains("from 0 to 999"));
}
