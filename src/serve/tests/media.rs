//! Videos in ranges, pictures of clips, previews.

use super::Videos;

#[test]
fn videos_are_sent_in_ranges() {
    let videos = Videos::new();
    let server = videos.serve();
    let whole = std::fs::read(videos.path("videos/a.mp4")).unwrap();
    let found = server.get("/api/search?q=red&top=1", &[]).json();
    let address = format!("/video/{}", found["results"][0]["video"].as_str().unwrap());
    let all = server.get(&address, &[]);
    assert_eq!((all.status, all.header("accept-ranges"), all.body == whole), (200, Some("bytes"), true));
    let part = server.get(&address, &["Range: bytes=100-299"]);
    let expected = format!("bytes 100-299/{}", whole.len());
    assert_eq!((part.status, part.header("content-range")), (206, Some(expected.as_str())));
    assert_eq!(part.body, whole[100..300]);
    let tail = server.get(&address, &["Range: bytes=-10"]);
    assert_eq!((tail.status, &tail.body[..]), (206, &whole[whole.len() - 10..]));
    assert_eq!(server.get(&address, &["Range: bytes=99999999-"]).status, 416);
    let head = server.send(&format!("HEAD {address} HTTP/1.1"), &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some(whole.len().to_string().as_str())));
    assert!(head.body.is_empty());
}

#[test]
fn clips_have_four_pictures() {
    let videos = Videos::new();
    let server = videos.serve();
    let found = server.get("/api/search?q=red&top=1", &[]).json();
    let id = found["results"][0]["id"].as_str().unwrap();
    let pictures: Vec<Vec<u8>> = (0..4)
        .map(|n| {
            let reply = server.get(&format!("/thumb/{id}?n={n}"), &[]);
            assert_eq!((reply.status, reply.header("content-type")), (200, Some("image/jpeg")));
            reply.body
        })
        .collect();
    assert!(pictures[0] != pictures[3] && pictures.iter().all(|picture| picture.starts_with(&[0xff, 0xd8])));
    let frame = crate::search::decode_picture(&pictures[0]).unwrap();
    assert!(frame.width <= 400 && frame.height <= 300 && frame.width > 16, "{} x {}", frame.width, frame.height);
    assert_eq!(server.get(&format!("/thumb/{id}?n=x"), &[]).status, 400);
    assert_eq!(server.get(&format!("/thumb/{}-1", id.split('-').next().unwrap()), &[]).status, 404);
}

/// What no browser plays is transcoded for them, the clip alone.
#[test]
fn a_preview_is_a_file_that_browsers_play() {
    if !svitt_video::ffmpeg_available() {
        return crate::skipped::skipped("ffmpeg");
    }
    let videos = Videos::new();
    let server = videos.serve();
    let found = server.get("/api/search?q=blue&top=1", &[]).json();
    let id = found["results"][0]["id"].as_str().unwrap();
    for _ in 0..2 {
        let reply = server.get(&format!("/preview/{id}"), &[]);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("video/mp4")));
        assert_eq!(&reply.body[4..8], b"ftyp");
    }
    assert_eq!(server.get(&format!("/preview/{id}"), &["Range: bytes=0-7"]).body.len(), 8);
}
