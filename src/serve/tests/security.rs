//! A test for every sentence of what `docs/search.md` says of security.

use super::{Reply, Videos, read};
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// "A name that leads to this machine is not enough."
#[test]
fn requests_for_another_host_get_nothing() {
    let videos = Videos::new();
    let server = videos.serve();
    let port = server.port;
    for host in ["evil.example", "127.0.0.1", "127.0.0.1:1", "192.168.1.1", "", "127.0.0.1.evil.example"] {
        let named =
            if host.contains("evil") || host.contains("192") { format!("{host}:{port}") } else { host.to_owned() };
        let reply = server.get("/api/status", &[&format!("Host: {named}")]);
        assert!([400, 403].contains(&reply.status), "{named:?}: {}", reply.status);
        assert!(!String::from_utf8_lossy(&reply.body).contains("videos"), "{named}");
    }
    let absolute = server.send(&format!("GET http://evil.example:{port}/api/status HTTP/1.1"), &[]);
    assert_eq!(absolute.status, 403);
    let twice = server.get("/api/status", &[&format!("Host: {}", server.host()), "Host: evil.example"]);
    assert!([400, 403].contains(&twice.status));
    for host in [format!("localhost:{port}"), format!("[::1]:{port}"), server.host()] {
        assert_eq!(server.get("/api/status", &[&format!("Host: {host}")]).status, 200, "{host}");
    }
}

/// "Pages of other sites get nothing."
#[test]
fn requests_across_sites_get_nothing() {
    let videos = Videos::new();
    let server = videos.serve();
    for line in
        ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"]
    {
        for path in ["/api/search?q=red", "/api/status", "/app.js", "/openapi.json"] {
            assert_eq!(server.get(path, &[line]).status, 403, "{line} {path}");
        }
        assert_eq!(server.send(&format!("POST /api/picture HTTP/1.1\r\n{line}"), b"x").status, 403, "{line}");
    }
    let other_port = format!("Origin: http://127.0.0.1:{}", server.port ^ 1);
    assert_eq!(server.get("/api/status", &[&other_port]).status, 403);
    let own = format!("Origin: http://{}", server.host());
    let reply = server.get("/api/status", &[&own, "Sec-Fetch-Site: same-origin"]);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), None, "nobody else may read it");
    let link = server.get("/", &["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"]);
    assert_eq!(link.status, 200, "a link to the page may stand anywhere");
}

/// "Beyond this machine a token is asked for."
#[test]
fn an_open_server_asks_for_its_token() {
    let videos = Videos::new();
    assert!(videos.serve().token.is_none());
    let server = videos.serve_on("0.0.0.0", None);
    let token = server.token.clone().unwrap();
    for path in ["/", "/api/status", "/app.js", "/video/x", "/?token=wrong", "/api/status?token=x"] {
        assert_eq!(server.get(path, &[]).status, 401, "{path}");
    }
    assert_eq!(server.get(&format!("/api/status?token={token}"), &[]).status, 401, "only the page takes it so");
    let welcome = server.get(&format!("/?token={token}"), &[]);
    assert_eq!((welcome.status, welcome.header("location")), (303, Some("/")));
    let cookie = welcome.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = format!("Cookie: other=1; {}", cookie.split(';').next().unwrap());
    let bearer = format!("Authorization: Bearer {token}");
    for line in [&cookie, &bearer] {
        assert_eq!(server.get("/api/status", &[line]).status, 200, "{line}");
    }
    assert_eq!(server.get("/api/status", &[&format!("Authorization: Bearer {}", &token[1..])]).status, 401);
    assert_eq!(server.get("/api/status", &[&bearer, "Host: evil.example"]).status, 403, "a token is no way around");
}

/// "Only files of the index are sent, by ids that say nothing of their paths."
#[test]
fn only_indexed_files_are_sent() {
    let videos = Videos::new();
    std::fs::write(videos.path("videos/secret.mp4"), b"not indexed").unwrap();
    let server = videos.serve();
    let absolute = videos.path("videos/secret.mp4").display().to_string();
    let encoded = absolute.replace('/', "%2f");
    for place in [
        "/secret.mp4",
        "/../videos/secret.mp4",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2e%2e/etc/passwd",
        &absolute,
        &format!("/{encoded}"),
        "/",
        "/\0",
        "/-0",
    ] {
        for route in ["/video", "/thumb", "/preview"] {
            let reply = server.get(&format!("{route}{place}"), &[]);
            assert!([400, 404].contains(&reply.status), "{route}{place}: {}", reply.status);
            assert!(!reply.body.windows(11).any(|window| window == b"not indexed"));
        }
    }
    let found = server.get("/api/search?q=red", &[]).json();
    let id = found["results"][0]["video"].as_str().unwrap();
    assert_eq!((id.len(), server.get(&format!("/video/{id}"), &[]).status), (24, 200));
}

/// "Links that lead out of the indexed folders are not followed, nor files that were put in another's place."
#[test]
#[cfg(unix)]
fn links_and_exchanged_files_are_not_followed() {
    use std::os::unix::fs::symlink;
    let videos = Videos::new();
    let secret = videos.path("secret.mp4");
    std::fs::write(&secret, vec![b's'; 4_000]).unwrap();
    symlink(&secret, videos.path("videos/link.mp4")).unwrap();
    videos.index("videos/link.mp4", [1.0, 0.0, 0.0]);
    let server = videos.serve();
    let found = server.get("/api/search?q=red", &[]).json();
    let ids: Vec<_> = (0..2).map(|n| found["results"][n]["video"].as_str().unwrap().to_owned()).collect();
    assert!(found["results"][0]["name"] == "link.mp4" && found["results"][1]["name"] == "a.mp4", "{found}");
    let reply = server.get(&format!("/video/{}", ids[0]), &[]);
    assert_eq!((reply.status, reply.json()["error"].as_str().unwrap().contains("leads out")), (403, true));
    assert_eq!(server.get(&format!("/thumb/{}-0", ids[0]), &[]).status, 403);
    // The indexed file becomes a link to something else, and then another file.
    let own = videos.path("videos/a.mp4");
    std::fs::remove_file(&own).unwrap();
    symlink(&secret, &own).unwrap();
    assert_eq!(server.get(&format!("/video/{}", ids[1]), &[]).status, 403);
    std::fs::remove_file(&own).unwrap();
    std::fs::write(&own, b"something else").unwrap();
    assert_eq!(server.get(&format!("/video/{}", ids[1]), &[]).status, 410);
    std::fs::remove_file(&own).unwrap();
    assert_eq!(server.get(&format!("/video/{}", ids[1]), &[]).status, 410);
}

/// "Every answer has a fixed type, which browsers may not guess."
#[test]
fn types_are_fixed_and_not_guessed() {
    let videos = Videos::new();
    std::fs::write(videos.path("videos/page.html"), "<script>alert(1)</script>").unwrap();
    videos.index("videos/page.html", [0.9, 0.0, 0.3]);
    let server = videos.serve();
    let found = server.get("/api/search?q=red", &[]).json();
    let kind = |name: &str| {
        let result = found["results"].as_array().unwrap().iter().find(|result| result["name"] == name).unwrap();
        let reply = server.get(&format!("/video/{}", result["video"].as_str().unwrap()), &[]);
        assert_eq!((reply.status, reply.header("x-content-type-options")), (200, Some("nosniff")));
        reply.header("content-type").unwrap().to_owned()
    };
    assert_eq!(kind("page.html"), "application/octet-stream");
    assert_eq!(kind("a.mp4"), "video/mp4");
    assert_eq!(kind("b & <i>.webm"), "video/webm");
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/api/status", "application/json"),
        ("/nowhere", "application/json"),
    ] {
        assert_eq!(server.get(path, &[]).header("content-type"), Some(kind), "{path}");
    }
}

/// "The page may load nothing from elsewhere, run no script within itself, and stand in no frame."
#[test]
fn the_policy_is_strict_and_on_every_answer() {
    let videos = Videos::new();
    let server = videos.serve();
    let strict = |reply: &Reply| {
        let policy = reply.header("content-security-policy").unwrap_or_default();
        let parts = [
            "default-src 'none'",
            "script-src 'self';",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ];
        parts.iter().all(|part| policy.contains(part)) && !policy.contains("unsafe") && !policy.contains('*')
    };
    for path in ["/", "/app.js", "/api/status", "/nowhere", "/video/x", "/api/search"] {
        assert!(strict(&server.get(path, &[])), "{path}");
    }
    assert!(strict(&server.get("/", &["Host: evil.example"])), "refusals, too");
    let page = String::from_utf8(server.get("/", &[]).body).unwrap();
    assert!(!page.contains("://") && !page.contains("<style") && !page.contains(" style="), "{page}");
    let handler =
        |rest: &str| rest.split(['=', ' ', '>']).next().is_some_and(|name| rest[name.len()..].starts_with('='));
    assert!(!page.split(" on").skip(1).any(handler), "{page}");
    assert_eq!(page.matches("<script").count(), page.matches("<script src=\"/").count());
    for (path, outside) in [("/app.js", "://"), ("/style.css", "url("), ("/style.css", "@import")] {
        assert!(!String::from_utf8(server.get(path, &[]).body).unwrap().contains(outside), "{path} has {outside}");
    }
}

/// "Sizes, times and numbers of requests are bounded."
#[test]
fn sizes_of_requests_are_bounded() {
    let videos = Videos::new();
    let server = videos.serve();
    let large = vec![0; (16 << 20) + 1];
    assert_eq!(server.send("POST /api/picture HTTP/1.1", &large).status, 413);
    let head = server.get("/api/status", &[&format!("X-Long: {}", "x".repeat(400 << 10))]);
    assert!([0, 431].contains(&head.status), "{}", head.status);
    for path in [
        format!("/api/search?q={}", "x".repeat(1_001)),
        "/api/search?q=red&top=201".into(),
        "/api/search?q=red&top=0".into(),
        "/api/search?q=red&rerank=65".into(),
        "/api/search?q=red&longer=nan".into(),
        "/api/search?q=red&longer=-1".into(),
        "/api/search?q=red&unknown=1".into(),
        "/api/search?q=red&after=soon".into(),
        "/api/search".into(),
    ] {
        let reply = server.get(&path, &[]);
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.json()["error"].as_str().is_some_and(|sentence| sentence.len() > 10));
    }
    for method in ["PUT", "DELETE", "POST", "OPTIONS", "TRACE"] {
        assert_eq!(server.send(&format!("{method} /api/status HTTP/1.1"), &[]).status, 405, "{method}");
    }
}

#[test]
fn a_head_that_does_not_end_is_cut_off() {
    let videos = Videos::new();
    let server = videos.serve();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {}\r\nX: ", server.host()).unwrap();
    let started = Instant::now();
    assert_eq!(read(stream).status, 0);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn too_many_requests_are_told_to_come_again() {
    let videos = Videos::new();
    let server = videos.serve();
    let ask = || {
        let started = Instant::now();
        (server.get("/api/search?q=slow", &[]).status, started.elapsed())
    };
    let replies: Vec<(u16, Duration)> = thread::scope(|scope| {
        let asked: Vec<_> = (0..60).map(|_| scope.spawn(ask)).collect();
        thread::sleep(Duration::from_millis(1_500));
        // The rest need not be waited for.
        server.stop.set();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let refused: Vec<_> = replies.iter().filter(|(status, _)| *status == 503).collect();
    // At once, not after all that waits.
    assert!(!refused.is_empty() && refused.iter().all(|(_, taken)| taken.as_millis() < 1_400), "{replies:?}");
    assert!(replies.iter().any(|(status, _)| *status == 200), "{replies:?}");
}
