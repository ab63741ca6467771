//! Every format by its contents, and what is refused or warned of whatever the format.

use super::*;

fn options(benchmark: Benchmark, purpose: ImportPurpose) -> AnnotationOptions {
    AnnotationOptions { benchmark: Some(benchmark), purpose, ..AnnotationOptions::default() }
}

#[test]
fn every_format_is_detected_by_its_content() {
    for (name, format) in [
        ("webvid/results_2M_train.csv", AnnotationFormat::WebvidCsv),
        ("msrvtt/MSRVTT_JSFUSION_test.csv", AnnotationFormat::MsrvttCsv),
        ("msrvtt/MSRVTT_train.9k.csv", AnnotationFormat::MsrvttList),
        ("msrvtt/MSRVTT_data.json", AnnotationFormat::MsrvttJson),
        ("didemo/test_data.json", AnnotationFormat::DidemoJson),
        ("charades/Charades_v1_test.csv", AnnotationFormat::CharadesCsv),
        ("ssv2/something-something-v2-validation.json", AnnotationFormat::Ssv2Json),
        ("msrvtt_qa/test_qa.json", AnnotationFormat::MsrvttQaJson),
        ("anet_qa/test_q.json", AnnotationFormat::ActivitynetQaJson),
        ("anet_qa/test_a.json", AnnotationFormat::ActivitynetQaJson),
        ("agqa/test_balanced.txt", AnnotationFormat::AgqaJson),
        ("singularity/clips_train.json", AnnotationFormat::SingularityJson),
        ("singularity/didemo_ret_test.json", AnnotationFormat::SingularityJson),
        ("singularity/clips.jsonl", AnnotationFormat::JsonLines),
        ("singularity/clips.tsv", AnnotationFormat::Table),
        ("rtime/test.json", AnnotationFormat::RtimeJson),
        ("vitatecs/Direction.jsonl", AnnotationFormat::VitatecsLines),
        ("tempcompass/caption_matching.json", AnnotationFormat::TempcompassJson),
        ("testoftime/tempotl_didemo_test.csv", AnnotationFormat::TestoftimeCsv),
        ("testoftime/charades_testoftime.csv", AnnotationFormat::TestoftimeCsv),
        ("vilma/change-state-inverse.json", AnnotationFormat::VilmaJson),
        ("nextqa/val.csv", AnnotationFormat::NextqaCsv),
        ("nextqa/atp-hard-statements.csv", AnnotationFormat::NextqaCsv),
        ("ssv2_order/something-something-v2-validation.json", AnnotationFormat::Ssv2Json),
        ("anet/val_1.json", AnnotationFormat::SingularityJson),
        ("msvd/raw-captions.json", AnnotationFormat::MsvdJson),
        ("vatex/vatex_validation_v1.0.json", AnnotationFormat::VatexJson),
        ("lsmdc/LSMDC16_challenge_1000_publictect.csv", AnnotationFormat::LsmdcTable),
        ("msrvtt_mc/msrvtt_mc_test.json", AnnotationFormat::SingularityJson),
        ("msrvtt_mc/msrvtt_mc_test.jsonl", AnnotationFormat::JsonLines),
    ] {
        assert_eq!(detect(&sample(name), &Columns::default()).unwrap(), format, "{name}");
    }
}

#[test]
fn a_file_of_another_benchmark_is_refused_with_the_right_one_named() {
    let refused = |name: &str, benchmark| {
        import(&sample(name), &options(benchmark, ImportPurpose::Evaluate)).unwrap_err().to_string()
    };
    let message = refused("didemo/test_data.json", Benchmark::Msrvtt);
    assert!(message.contains("belongs to didemo, not to msrvtt") && message.contains("MSRVTT_JSFUSION_test.csv"));
    let message = refused("webvid/results_2M_train.csv", Benchmark::Charades);
    assert!(message.contains("it is for pretraining"), "{message}");
    let message = refused("singularity/didemo_ret_test.json", Benchmark::Charades);
    assert!(message.contains("is named after didemo, not charades"), "{message}");
    let message = refused("singularity/clips_train.json", Benchmark::AnetQa);
    assert!(message.contains("holds no questions"), "{message}");
    let message = refused("singularity/clips_qa.json", Benchmark::Msrvtt);
    assert!(message.contains("holds questions"), "{message}");
}

#[test]
fn unusable_records_are_refused_for_scoring_and_warned_about_on_inspection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clips.json");
    for (text, problem) in [
        ("[]", "no records"),
        (r#"[{"video":"a.mp4","caption":" "}]"#, "such as a.mp4: record 1 (line 1): its caption is missing or empty"),
        (r#"[{"video":"a.mp4","caption":"x"},{"video":"b.mp4"}]"#, "such as b.mp4: record 2 (line 1): its caption"),
        (r#"[{"video":"a.mp4","caption":"x","id":7},{"video":"b.mp4","caption":"y","id":7}]"#, "first 7"),
        (r#"[{"video":"a.mp4","question":"who","question_id":3}]"#, "without an answer, first 3"),
    ] {
        std::fs::write(&path, text).unwrap();
        let refused =
            import(&path, &AnnotationOptions { purpose: ImportPurpose::Evaluate, ..AnnotationOptions::default() });
        assert!(refused.unwrap_err().to_string().contains(problem), "{text}");
        let warnings = import(&path, &AnnotationOptions::default()).unwrap().warnings.join("\n");
        assert!(warnings.contains(problem.trim_start_matches("no ")), "{text}: {warnings}");
    }
    std::fs::write(&path, r#"[{"video":"a/1.mp4","caption":"x"},{"video":"b/1.mp4","caption":"y"}]"#).unwrap();
    let warnings = import(&path, &AnnotationOptions::default()).unwrap().warnings.join("\n");
    assert!(warnings.contains("such as a/1.mp4 and b/1.mp4"), "{warnings}");
}

#[test]
fn counts_that_differ_from_the_published_split_are_both_stated() {
    let imported = import(&sample("charades/Charades_v1_test.csv"), &AnnotationOptions::default()).unwrap();
    let expected = "3 videos and 3 texts were found, while the published split has 1863 and 1863";
    assert!(imported.warnings.iter().any(|warning| warning == expected), "{:?}", imported.warnings);
}

#[test]
fn a_broken_file_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clips.json");
    std::fs::write(&path, "[{\"video\": \"a.mp4\", \"caption\": \"x\"},\n {\"video\": }]").unwrap();
    let message = import(&path, &AnnotationOptions::default()).unwrap_err().to_string();
    assert!(message.contains("clips.json") && message.contains("line 2 column 12"), "{message}");
}

/// Reads `content` as a file called `name` for `purpose`.
fn read(name: &str, content: impl AsRef<[u8]>, purpose: ImportPurpose) -> Result<ImportedAnnotations> {
    read_with(name, content, AnnotationOptions { purpose, ..AnnotationOptions::default() })
}

fn read_with(name: &str, content: impl AsRef<[u8]>, options: AnnotationOptions) -> Result<ImportedAnnotations> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    import(&path, &options)
}

#[test]
fn captions_of_punctuation_are_warned_about() {
    let content = r#"[{"video": "a.mp4", "caption": "a"}, {"video": "b.mp4", "caption": "?!"}]"#;
    let expected = "1 captions hold nothing but punctuation, the first that of `b.mp4`";
    for purpose in [ImportPurpose::Inspect, ImportPurpose::Train, ImportPurpose::Evaluate] {
        assert_eq!(read("m.json", content, purpose).unwrap().warnings, [expected]);
    }
}

/// Videos and captions of `imported`, one a line.
fn pairs(imported: &ImportedAnnotations) -> Vec<String> {
    let line = |record: &Record| format!("{}: {}", record.media, record.captions.join(" | "));
    imported.records.iter().map(line).collect()
}

#[test]
fn every_usual_name_of_video_and_caption_is_read_alike() {
    let expected = ["red.mp4: a red square, big", "blue.mp4: a \"blue\" square"];
    for (video, caption) in [
        ("video", "caption"),
        ("Video", "Caption"),
        ("VIDEO", "captions"),
        ("video_path", "text"),
        ("videoPath", "Text"),
        ("path", "text"),
        ("file path", "title"),
        ("filename", "sentence"),
        ("image", "description"),
        ("media", "captions"),
        ("videoID", "desc"),
        ("youtube_id", "name"),
    ] {
        let object =
            |media: &str, text: &str| serde_json::json!({video: media, "score": 5.1, caption: text, "url": "u"});
        let list = [object("red.mp4", "a red square, big"), object("blue.mp4", "a \"blue\" square")];
        let lines = format!("{}\n\n{}\n", list[0], list[1]);
        let table = |part: &str| {
            let header = [video, "score", caption, "url"].join(part);
            let row = |media: &str, text: &str| [media, "5.1", text, "u"].join(part);
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let [red, blue] = [quoted("a red square, big"), quoted("a \"blue\" square")];
            format!("{header}\r\n{}\r\n\r\n{}", row("red.mp4", &red), row("blue.mp4", &blue))
        };
        let list = serde_json::to_string(&list).unwrap();
        for content in
            [&list, &format!("\u{feff}\n{list}"), &lines, &table(","), &table(";"), &table("\t"), &table("|")]
        {
            for purpose in [ImportPurpose::Inspect, ImportPurpose::Train, ImportPurpose::Evaluate] {
                let imported = read("any.txt", content, purpose).unwrap();
                assert_eq!(pairs(&imported), expected, "{content}");
                let further: Vec<_> = imported.further.iter().map(|(name, count)| (name.as_str(), *count)).collect();
                assert_eq!(further, [("score", 2), ("url", 2)], "{content}");
                assert!(imported.warnings[0].contains("further columns are not used: score (2), url (2)"));
            }
        }
    }
}

#[test]
fn spans_are_read_under_every_usual_name() {
    for (start, end) in [
        ("start", "end"),
        ("Start", "End"),
        ("start_time", "end_time"),
        ("Start_timestamp", "End_timestamp"),
        ("begin", "stop"),
        ("startSec", "endSec"),
    ] {
        let table = format!("video,caption,{start},{end}\nred.mp4,a,100,1:41\nblue.mp4,b,,\ngrey.mp4,c,nan,7.5\n");
        let json = format!(
            r#"[{{"video": "red.mp4", "caption": "a", "{start}": 100, "{end}": "1:41"}}, {{"video": "blue.mp4",
            "caption": "b", "{start}": null}}, {{"video": "grey.mp4", "caption": "c", "{start}": NaN, "{end}": 7.5}}]"#
        );
        for content in [table, json] {
            let spans: Vec<_> =
                read("m", content, ImportPurpose::Train).unwrap().records.iter().map(|r| (r.start, r.end)).collect();
            assert_eq!(spans, [(Some(100.0), Some(101.0)), (None, None), (None, Some(7.5))], "{start}");
        }
    }
    let pairs =
        r#"{"v_a": {"duration": 9, "timestamps": [[0, 2.5], [2, "0:09"]], "sentences": ["he sits", "he stands"]}}"#;
    let imported = read("m.json", pairs, ImportPurpose::Train).unwrap();
    let spans: Vec<_> =
        imported.records.iter().map(|r| (r.media.as_str(), r.start, r.end, r.captions[0].as_str())).collect();
    assert_eq!(spans, [("v_a", Some(0.0), Some(2.5), "he sits"), ("v_a", Some(2.0), Some(9.0), "he stands")]);
    let panda = "videoID,url,timestamp,caption\nQ1,u,\"[['0:00:14.7', '0:00:20'], ['0:00:20', '0:00:31']]\",\"['it\u{2019}s a', 'b, c']\"\n";
    let imported = read("m.csv", panda, ImportPurpose::Evaluate).unwrap();
    let spans: Vec<_> = imported.records.iter().map(|r| (r.start, r.end, r.captions[0].as_str())).collect();
    assert_eq!(spans, [(Some(14.7), Some(20.0), "it\u{2019}s a"), (Some(20.0), Some(31.0), "b, c")]);
    let date = r#"[{"video": "a.mp4", "caption": "x", "timestamp": "2019-03-04"}]"#;
    assert_eq!(read("m.json", date, ImportPurpose::Train).unwrap().further.keys().collect::<Vec<_>>(), ["timestamp"]);
}

#[test]
fn columns_and_separators_may_be_named() {
    let named = |purpose| AnnotationOptions {
        purpose,
        columns: Columns {
            video: Some("clip file".into()),
            caption: Some("What".into()),
            start: Some("von".into()),
            end: Some("bis".into()),
            separator: None,
        },
        ..AnnotationOptions::default()
    };
    let table = "clip file^What^video^von^bis\na.mp4^x^other.mp4^1^2.5\n";
    let json = r#"[{"clip file": "a.mp4", "What": "x", "video": "other.mp4", "von": 1, "bis": 2.5}]"#;
    for purpose in [ImportPurpose::Inspect, ImportPurpose::Train, ImportPurpose::Evaluate] {
        let mut options = named(purpose);
        assert_eq!(pairs(&read_with("m", json, options.clone()).unwrap()), ["a.mp4: x"]);
        options.columns.separator = Some('^');
        let imported = read_with("m", table, options).unwrap();
        assert_eq!((pairs(&imported), imported.records[0].end), (vec!["a.mp4: x".to_owned()], Some(2.5)));
        assert_eq!(imported.further.keys().collect::<Vec<_>>(), ["video"]);
    }
    let webvid = "videoid,name,page_idx,page_dir,duration,contentUrl\n7,a dog,1,p/q,PT00H00M17S,u\n";
    assert_eq!(pairs(&read("w.csv", webvid, ImportPurpose::Train).unwrap()), ["p/q/7.mp4: a dog"]);
    let columns = Columns { video: Some("videoid".into()), ..Columns::default() };
    let options = AnnotationOptions { columns, ..AnnotationOptions::default() };
    assert_eq!(pairs(&read_with("w.csv", webvid, options).unwrap()), ["7: a dog"]);
    let message = read_with("m.csv", "video,caption\na,b\n", named(ImportPurpose::Train)).unwrap_err().to_string();
    assert!(
        message.contains("setting `video_key`") && message.contains("clip file") && message.contains("video, caption")
    );
    let message = read("m.csv", "clip_no,words\n1,a\n", ImportPurpose::Train).unwrap_err().to_string();
    assert!(message.contains("no column for the video") && message.contains("option `video_key`"), "{message}");
    let message = read("m.csv", "video,words\n1,a\n", ImportPurpose::Train).unwrap_err().to_string();
    assert!(message.contains("no column for the caption; its columns are video, words"), "{message}");
    assert!(message.contains("option `caption_key`"), "{message}");
}

#[test]
fn a_stray_quote_swallows_no_row() {
    let rows = |quoted: &str, part: &str| {
        let mut lines = vec![["video", "caption"].join(part)];
        lines
            .extend((1..9).map(|n| [format!("{n}.mp4").as_str(), if n == 3 { quoted } else { "a square" }].join(part)));
        lines.join("\n")
    };
    // With tabs, quotes are marks; with commas an open one is an error that names its line.
    for quoted in ["\"tis a square", "\"", "a 12\" square", "\"so\" he said", "\"\"\"", "5' 3\""] {
        let imported = read("m.tsv", rows(quoted, "\t"), ImportPurpose::Evaluate).unwrap();
        assert_eq!((imported.records.len(), imported.records[2].captions[0].as_str()), (8, quoted));
    }
    for quoted in ["\"tis a square", "\"", "\"so\" he said", "\"\"\"", "\"a\"b"] {
        let message = read("m.csv", rows(quoted, ","), ImportPurpose::Train).unwrap_err().to_string();
        assert!(message.contains("m.csv: line 4 opens a quote"), "{message}");
    }
    for (quoted, text) in
        [("\"a \"\"square\"\"\"", "a \"square\""), ("a 12\" square", "a 12\" square"), ("\"\u{e9}, b\"", "\u{e9}, b")]
    {
        assert_eq!(read("m.csv", rows(quoted, ","), ImportPurpose::Train).unwrap().records[2].captions, [text]);
    }
    let quoted = "video\tcaption\n1.mp4\t\"a \"\"red\"\" one\"\n2.mp4\tb\n";
    assert_eq!(pairs(&read("m.tsv", quoted, ImportPurpose::Train).unwrap()), ["1.mp4: a \"red\" one", "2.mp4: b"]);
    let lines = "video,caption\n1.mp4,\"first, then\nsecond\n\nthird\"\n2.mp4,b\n";
    let imported = read("m.csv", lines, ImportPurpose::Train).unwrap();
    assert_eq!(imported.records[0].captions, ["first, then\nsecond\n\nthird"]);
    let lines = "video\tcaption\n0.mp4\ta\n1.mp4\t\"first\nsecond\"\n2.mp4\tb\n";
    let message = read("m.tsv", lines, ImportPurpose::Train).unwrap_err().to_string();
    assert!(message.contains("m.tsv: line 3 opens a quote that it does not close"), "{message}");
}

#[test]
fn one_bad_record_is_left_out_of_training_and_refused_in_evaluation() {
    let bad_json = [
        r#"{"video": "bad.mp4", "caption": ""}"#,
        r#"{"video": "bad.mp4", "caption": null}"#,
        r#"{"video": "bad.mp4", "caption": []}"#,
        r#"{"video": "bad.mp4", "caption": ["", " "]}"#,
        r#"{"video": "bad.mp4", "captoin": "x"}"#,
        r#"{"video": "bad.mp4", "caption": {"en": "x"}}"#,
        r#"{"video": "bad.mp4", "caption": "x", "start": "soon"}"#,
        r#"{"video": "bad.mp4", "caption": "x", "start": -1}"#,
        r#"{"video": "bad.mp4", "caption": "x", "start": [1, 2]}"#,
        r#"{"video": "bad.mp4", "caption": "x", "end": {"s": 2}}"#,
        r#"{"video": "bad.mp4", "caption": "x", "span": [1]}"#,
        r#"{"video": "bad.mp4", "caption": "x", "segment": "soon"}"#,
        r#"{"video": "bad.mp4", "caption": "x", "timestamps": [["soon", 2]]}"#,
        r#"{"video": "bad.mp4", "caption": "x", "start": 5, "end": 5}"#,
        r#"{"video": "", "caption": "bad.mp4"}"#,
        r#"["bad.mp4", "x"]"#,
        r#"{"video": "bad.mp4", "question": "", "answer": "x"}"#,
        r#"{"video": "bad.mp4", "question": "who?", "answer": ""}"#,
    ];
    let bad_rows = [
        "bad.mp4,NaN",
        "bad.mp4,<NA>",
        "bad.mp4, null",
        "None,bad.mp4",
        "bad.mp4,\"\"",
        "bad.mp4,",
        ",bad.mp4",
        "bad.mp4",
        "bad.mp4,x,y",
    ];
    let good = |n: usize| format!(r#"{{"video": "{n}.mp4", "caption": "x"}}"#);
    let json = |bad: &str| format!("[{},\n{bad},\n{}]", good(0), (1..4).map(good).collect::<Vec<_>>().join(","));
    let lines = |bad: &str| format!("{}\n{bad}\n{}\n{}\n{}\n", good(0), good(1), good(2), good(3));
    let table = |bad: &str| format!("video,caption\n0.mp4,x\n{bad}\n1.mp4,x\n2.mp4,x\n3.mp4,x\n");
    let webvid = |bad: &str| format!("videoid,name,page_dir\n0,x,p\n{bad}\n1,x,p\n2,x,p\n3,x,p\n");
    let contents = bad_json.iter().flat_map(|bad| [json(bad), lines(bad)]);
    let contents = contents.chain(bad_rows.iter().map(|bad| table(bad)));
    let contents = contents.chain(["{\"video\": \"bad.mp4\", \"caption\": ", "{\"video\": bad.mp4}"].map(lines));
    for content in contents.chain([webvid("bad.mp4,,p"), webvid(",bad.mp4,p"), webvid("bad.mp4,x,y,p")]) {
        let trained = read("m", &content, ImportPurpose::Train).unwrap_or_else(|e| panic!("{content}: {e}"));
        assert_eq!((trained.records.len(), trained.left_out_count), (4, 1), "{content}");
        let Unreadable { media, reason } = &trained.left_out[0];
        let place = |text: &str| text.contains("(line 2)") || text.contains("(line 3)");
        let named = media.contains("bad.mp4") || place(media) || place(reason);
        assert!(named && trained.warnings.iter().any(|w| w.contains("1 of 5 records are left out")), "{trained:?}");
        let message = read("m", &content, ImportPurpose::Evaluate).unwrap_err().to_string();
        assert!(message.contains("1 of 5 records") && message.contains("option `allow_missing`"), "{message}");
        let options =
            AnnotationOptions { purpose: ImportPurpose::Evaluate, allow_missing: true, ..AnnotationOptions::default() };
        let scored = read_with("m", &content, options).unwrap();
        assert_eq!((scored.records.len(), scored.left_out_count), (4, 1), "{content}");
        assert!(read("m", &content, ImportPurpose::Inspect).is_ok());
    }
    let many = format!("[{}, {}]", good(0), [bad_json[0]; 3].join(","));
    let message = read("m.json", many, ImportPurpose::Train).unwrap_err().to_string();
    assert!(message.contains("3 of 4 records cannot be used and 2 are allowed"), "{message}");
}

#[test]
fn foreign_encodings_are_told_with_the_command_that_converts_them() {
    let wide: Vec<u8> = "video,caption\na.mp4,x\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let message = read("m.csv", [b"\xff\xfe", &wide[..]].concat(), ImportPurpose::Train).unwrap_err().to_string();
    assert!(message.contains("is UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8 m.csv"), "{message}");
    let message =
        read("m.csv", b"video,caption\na.mp4,x\nb.mp4,caf\xe9\n", ImportPurpose::Train).unwrap_err().to_string();
    assert!(message.contains("line 3 is not UTF-8") && message.contains("iconv -f WINDOWS-1252"), "{message}");
    let message = read("m.csv", b"video,caption\ra.mp4,x\r", ImportPurpose::Train).unwrap_err().to_string();
    assert!(message.contains("tr '\\r' '\\n'"), "{message}");
    let message = read("m.json", b"[{\"video\": \"\xff\"}]", ImportPurpose::Train).unwrap_err().to_string();
    assert!(message.contains("m.json") && message.contains("line 1"), "{message}");
}

#[test]
fn hostile_files_are_refused_before_they_fill_the_memory() {
    let field = format!("video,caption\na.mp4,\"{}", "x".repeat(3 << 20));
    let message = read("m.csv", field, ImportPurpose::Train).unwrap_err().to_string();
    assert!(message.contains("line 2 is longer than 1 MiB"), "{message}");
    let field = format!("video,caption\na.mp4,\"{}", "x\n".repeat(1 << 20));
    let message = read("m.csv", field, ImportPurpose::Train).unwrap_err().to_string();
    assert!(message.contains("line 2 opens a quote that is not closed within 1 MiB and 1,000 lines"), "{message}");
    let caption =
        format!(r#"[{{"video": "a.mp4", "caption": "{}"}}, {{"video": "b.mp4", "caption": "y"}}]"#, "x".repeat(70_000));
    let trained = read("m.json", caption, ImportPurpose::Train).unwrap();
    assert_eq!(pairs(&trained), ["b.mp4: y"]);
    assert!(trained.left_out[0].reason.contains("70000 bytes, more than 65536"), "{:?}", trained.left_out);
    let caption = format!(r#"[{{"video": "a.mp4", "caption": "{}"}}]"#, "x".repeat(5 << 20));
    let message = read("m.json", caption, ImportPurpose::Train).unwrap_err().to_string();
    assert!(message.contains("longer than 4 MiB"), "{message}");
    let deep = "[".repeat(100_000);
    assert!(read("m.json", deep, ImportPurpose::Train).unwrap_err().to_string().contains("recursion limit"));
    let many = format!("[{}{{}}]", "{},".repeat(20_000));
    let imported = read("m.json", many, ImportPurpose::Inspect);
    assert!(imported.is_err(), "an empty record has the keys of no format");
    let many = format!(r#"[{{"video": "a.mp4", "caption": "x"}}{}]"#, ",{}".repeat(20_000));
    let inspected = read("m.json", many, ImportPurpose::Inspect).unwrap();
    assert_eq!((inspected.left_out_count, inspected.left_out.len()), (20_000, MOST_LISTED));
    #[cfg(unix)]
    for device in ["/dev/zero", "/dev/null"] {
        assert!(
            import(Path::new(device), &AnnotationOptions::default())
                .unwrap_err()
                .to_string()
                .contains("not a regular file")
        );
    }
}

#[test]
fn control_characters_of_a_file_do_not_reach_the_terminal() {
    let escape = "\u{1b}]0;title\u{7}";
    for content in [
        format!("vid{escape}eo,caption\na,b\n"),
        format!("video,caption,start\na,b,{escape}\n"),
        format!("video,caption\n{escape},\n"),
        format!("[{{\"video\": \"a\", \"{}\": 1}}]", "\\u001b]0;t"),
        format!("[{{\"video\": \"{}\", \"caption\": \"\"}}]", "\\u001b]0;t"),
    ] {
        let message = read("m", content, ImportPurpose::Train).unwrap_err().to_string();
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

#[test]
fn a_table_that_looks_like_a_release_keeps_its_spans_and_counts_its_further_columns() {
    for part in [",", ";", "\t"] {
        let row = |cells: [&str; 6]| cells.join(part);
        let header = row(["key", "video_id", "sentence", "start_time", "End", "fps"]);
        let rows = [header, row(["r0", "v0", "x", "1.5", "0:04", "9"]), row(["r1", "v1", "y", "", "", "9"])];
        let read = read("m.csv", rows.join("\n"), ImportPurpose::Train).unwrap();
        let spans: Vec<_> = read.records.iter().map(|record| (record.start, record.end)).collect();
        assert_eq!(spans, [(Some(1.5), Some(4.0)), (None, None)], "{part}");
        assert_eq!(read.further["fps"], 2);
    }
    let release = "videoid,contentUrl,duration,page_dir,name,,score\n7,u,PT3S,p,x,0,5\n";
    let read = read("m.csv", release, ImportPurpose::Train).unwrap();
    assert_eq!((read.records[0].media.as_str(), read.format), ("p/7.mp4", AnnotationFormat::WebvidCsv));
    assert_eq!(read.further.keys().collect::<Vec<_>>(), ["(no name)", "score"]);
}

#[test]
fn an_empty_caption_among_several_with_spans_costs_no_more_than_itself() {
    let spans = r#""timestamps": [[0, 1], "[1, 2]", [2, null]]"#.replace("\"[1, 2]\"", "[\"1\", \"0:02\"]");
    let bad = format!(r#"{{"video": "v.mp4", "captions": ["a", "", "c"], {spans}}}"#);
    let good: String =
        (0..8).map(|n| format!(r#"{{"video": "{n}.mp4", "caption": "x", "span": "[0.5, 2]"}},"#)).collect();
    let read = read("m.json", format!("[{good}{bad}]"), ImportPurpose::Train).unwrap();
    assert_eq!((read.records.len(), read.left_out_count, read.total), (10, 1, 11));
    assert_eq!((read.records[0].start, read.records[0].end), (Some(0.5), Some(2.0)));
    let last = &read.records[9];
    assert_eq!((last.captions.join(""), last.start, last.end), ("c".to_owned(), Some(2.0), None));
    assert!(read.left_out[0].reason.contains("caption is missing or empty"), "{:?}", read.left_out);
}

#[test]
fn multiple_choice_captions_are_chosen_between() {
    for name in ["msrvtt_mc/msrvtt_mc_test.json", "msrvtt_mc/msrvtt_mc_test.jsonl"] {
        let imported = import(&sample(name), &options(Benchmark::MsrvttMc, ImportPurpose::Evaluate)).unwrap();
        let choice = imported.records[0].choice.as_ref().unwrap();
        assert_eq!((choice.texts.len(), choice.texts[choice.right].as_str()), (5, "a hall goes from dark to bright"));
        assert!(imported.records[0].media.starts_with("video90001") && imported.records[0].captions.is_empty());
    }
    let message =
        import(&sample("msrvtt_mc/msrvtt_mc_test.json"), &options(Benchmark::Msrvtt, ImportPurpose::Evaluate));
    assert!(message.unwrap_err().to_string().contains("is named after msrvtt-mc, not msrvtt"));
}

#[test]
fn paragraphs_of_activitynet_are_of_whole_videos_where_they_are_retrieved() {
    let paragraphs = import(&sample("anet/val_1.json"), &options(Benchmark::Anet, ImportPurpose::Evaluate)).unwrap();
    let first = &paragraphs.records[0];
    assert_eq!((first.media.as_str(), first.start, first.end), ("v_aaaaaaaaaaa", None, None));
    assert_eq!(first.captions, ["A lamp is dark. Then the lamp is bright."]);
    let spans = import(&sample("anet/val_1.json"), &AnnotationOptions::default()).unwrap();
    assert_eq!((spans.records.len(), spans.records[1].start), (3, Some(2.0)));
}

#[test]
fn nobody_can_choose_among_one_text_or_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Type.jsonl");
    let line = |wrong: &str| {
        let head = r#"{"src_dataset": "MSRVTT", "video_name": "a.mp4", "aspect": "Type", "caption": "a cat","#;
        format!("{head} \"counterfactual\": \"{wrong}\"}}\n")
    };
    std::fs::write(&path, line("a dog") + &line(" ")).unwrap();
    let refused = import(&path, &options(Benchmark::Vitatecs, ImportPurpose::Evaluate)).unwrap_err().to_string();
    assert!(refused.contains("record 2 (line 2): one of its texts is missing or empty"), "{refused}");
    let refused = import(&sample("rtime/test.json"), &options(Benchmark::Msrvtt, ImportPurpose::Evaluate));
    assert!(refused.unwrap_err().to_string().contains("belongs to rtime, not to msrvtt"));
}
