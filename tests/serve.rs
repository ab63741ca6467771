//! `svitt search serve` from the outside: in a browser, stopped, killed.

use crate::driven_browser::DrivenPage;
use crate::project::{checkpoint, fixture, refusal, svitt};
use crate::skipped::skipped;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A file's name that would be markup, if it were taken for any.
const ODD: &str = "<img src=x onerror=alert(1)> & 'b'.mp4";

/// A running server and its address.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(svitt());
        command.args(["search", "serve"]).args(arguments).args(["--port", "0", "--checkpoint"]).arg(checkpoint());
        let mut child = command.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        assert!(address.starts_with("http://127.0.0.1:"), "{address}");
        Self { child, address }
    }

    /// Asks it to stop, as a system does; returns its exit code.
    fn stop(&mut self) -> Option<i32> {
        let started = Instant::now();
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        let code = self.child.wait().unwrap().code();
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        code
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("videos/deep")).unwrap();
    for (from, to) in [("bframes.mp4", "a.mp4"), ("fragmented.mp4", ODD), ("vp9.webm", "deep/c.webm")] {
        fs::copy(fixture(from), dir.path().join("videos").join(to)).unwrap();
    }
    dir
}

/// Cards whose name is `name`.
fn named(name: &str) -> String {
    format!("[...document.querySelectorAll('.name')].filter((one) => one.textContent === {}).length", json!(name))
}

#[test]
fn the_page_searches_plays_filters_and_grows() {
    let dir = folder();
    let mut served = Served::start(dir.path(), &["videos"]);
    let Some(mut page) = DrivenPage::open(&served.address, [1100, 800]) else { return skipped("a browser") };
    page.wait("state.clips === 3 && !state.status.indexing.running");
    page.evaluate("document.activeElement.blur()");
    page.press("/");
    page.type_text("the red square moves left");
    page.wait("document.querySelectorAll('.card').length === 3");
    assert_eq!(page.evaluate(&named(ODD)), json!(1), "a name is text");
    assert_eq!(page.evaluate("document.querySelectorAll('.name *').length"), json!(0));
    page.wait("[...document.querySelectorAll('.play img')].every((one) => one.complete && one.naturalWidth > 10)");
    page.picture("serve-wide");

    play_by_keys(&mut page);
    page.press("m");
    page.wait("!document.getElementById('like').hidden && document.querySelectorAll('.card').length === 2");
    page.evaluate("document.getElementById('like-clear').click()");
    page.evaluate("document.getElementById('query').focus()");
    page.type_text("the blue circle");
    page.wait("document.querySelectorAll('.card').length === 3");
    // Filters.
    let choose = |id: &str, value: &str| {
        format!(
            "{{ const one = document.getElementById('{id}'); one.value = {value}; one.dispatchEvent(new Event('change')); }}"
        )
    };
    page.evaluate(&choose("folder", "[...one.options].find((option) => option.textContent.endsWith('deep')).value"));
    page.wait(&format!("document.querySelectorAll('.card').length === 1 && {} === 1", named("c.webm")));
    page.evaluate(&choose("folder", "''"));
    page.evaluate(&choose("after", "'2090-01-01'"));
    page.wait("document.querySelectorAll('.card').length === 0 && document.getElementById('message').textContent.includes('Nothing in here fits')");
    page.evaluate(&choose("after", "''"));
    page.wait("document.querySelectorAll('.card').length === 3");

    words_are_marked(&mut page, dir.path());
    // The folder grows, and the open page with it.
    fs::copy(fixture("rotated.mov"), dir.path().join("videos/a new one.mov")).unwrap();
    page.wait(&format!("{} === 1", named("a new one.mov")));
    looks(&mut page);
    let (complaints, requests) = page.complaints_and_requests();
    assert!(complaints.is_empty(), "{complaints:?}");
    // The browser's own controls have their icons in such addresses.
    let own = |url: &String| url.starts_with(&served.address) || url.starts_with("data:image/svg+xml");
    assert!(requests.len() > 20 && requests.iter().all(own), "{requests:?}");
    assert_eq!(served.stop(), Some(0));
}

/// Subtitles that are put beside a video are found and marked; a click plays them. The results can be saved.
fn words_are_marked(page: &mut DrivenPage, folder: &Path) {
    let cue = "1\n00:00:00,200 --> 00:00:00,600\nGood <b>morning</b> &lt;img src=x&gt; everybody\n";
    fs::write(folder.join("videos/deep/c.en.srt"), cue).unwrap();
    page.wait("state.status.words === 1");
    page.evaluate("{ const one = document.getElementById('query'); one.value = 'good morning'; one.dispatchEvent(new Event('input')); }");
    page.wait("!document.getElementById('said').hidden");
    let shown = page.evaluate("document.querySelector('.said .text').textContent");
    assert_eq!(shown, json!("“Good morning <img src=x> everybody”"));
    let marked = "[...document.querySelectorAll('.said mark')].map((one) => one.textContent)";
    assert_eq!(page.evaluate(marked), json!(["Good", "morning"]));
    let links = "[...document.querySelectorAll('#save a')].map((one) => one.getAttribute('href'))";
    let links: Vec<String> = serde_json::from_value(page.evaluate(links)).unwrap();
    assert!(links.len() == 3 && links[2] == "/api/search?q=good+morning&top=48&format=edl", "{links:?}");
    page.picture("serve-words");
    page.evaluate("document.querySelector('.said').click()");
    page.wait("document.getElementById('player').open && video.readyState >= 2 && video.currentTime >= 0.15");
    page.press("Escape");
    page.wait("!document.getElementById('player').open && document.activeElement === document.querySelector('.said')");
    page.evaluate("document.activeElement.blur()");
}

/// The first card, with Enter: its video stands in its span; Escape closes it and comes back to the card.
fn play_by_keys(page: &mut DrivenPage) {
    page.press("ArrowDown");
    page.press("ArrowRight");
    page.press("ArrowLeft");
    assert_eq!(page.evaluate("document.activeElement === document.querySelector('.play')"), json!(true));
    page.press("Enter");
    page.wait("document.getElementById('player').open && document.getElementById('video').readyState >= 2");
    let [start, end, now] = ["state.results[0].start", "state.results[0].end", "video.currentTime"]
        .map(|script| page.evaluate(script).as_f64().unwrap());
    assert!(now >= start && now <= end + 0.2, "{now} in {start} to {end}");
    assert!(page.evaluate("video.currentSrc").as_str().unwrap().contains("#t="));
    page.picture("serve-player");
    page.press("Escape");
    page.wait("!document.getElementById('player').open && document.activeElement === document.querySelector('.play')");
}

/// Dark, and as narrow as a small phone: nothing sticks out.
fn looks(page: &mut DrivenPage) {
    let ground = |page: &mut DrivenPage| page.evaluate("getComputedStyle(document.body).backgroundColor");
    let light = ground(page);
    page.prefer("dark");
    assert_ne!(ground(page), light);
    page.picture("serve-dark");
    page.resize([360, 740]);
    page.wait("innerWidth === 360");
    page.wait("[...document.querySelectorAll('.play img')].slice(0, 2).every((one) => one.complete)");
    assert_eq!(page.evaluate("document.documentElement.scrollWidth <= 360"), json!(true));
    let outside = "[...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > 361 && !one.closest('.name, .detail, .chip, dialog')).map((one) => one.tagName + '#' + one.id)";
    assert_eq!(page.evaluate(outside), json!([]));
    page.picture("serve-360-dark");
    page.prefer("light");
    page.picture("serve-360");
}

/// What a browser cannot play is shown as pictures, and as a preview where there is ffmpeg. Where a measured threshold
/// says that nothing fits, nothing is shown until it is asked for.
#[test]
fn the_page_shows_what_browsers_cannot_play_and_says_when_nothing_fits() {
    if !svitt_video::ffmpeg_available() {
        return skipped("ffmpeg");
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("videos")).unwrap();
    fs::copy(fixture("mpeg4.avi"), dir.path().join("videos/old.avi")).unwrap();
    let served = Served::start(dir.path(), &["videos", "--index", "ix"]);
    let address = format!("{}/#q=the+red+square", served.address);
    let Some(mut page) = DrivenPage::open(&address, [900, 700]) else { return skipped("a browser") };
    page.wait("document.querySelectorAll('.card').length === 1");
    page.evaluate("document.querySelector('.play').click()");
    page.wait("!document.getElementById('moments').hidden || document.getElementById('player-note').textContent.includes('preview of the clip')");
    page.wait("document.getElementById('player-note').textContent === 'A preview of the clip, without sound.' && video.videoWidth > 10");
    page.picture("serve-preview");
    page.press("Escape");
    page.wait("!document.getElementById('player').open");
    let file = dir.path().join("ix/calibration.json");
    let mut kept: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let rates = json!({"false_answers": 1.0, "misses": 2.0});
    kept["figures"] = json!({"chosen_by": 10, "measured_on": 10, "both": rates, "vectors": rates});
    (kept["vectors"], kept["both"]) = (json!(1e6), json!(1e6));
    fs::write(&file, kept.to_string()).unwrap();
    page.wait("state.status.calibrated === true");
    page.evaluate("document.getElementById('query').select()");
    page.type_text("the blue circle");
    page.wait("document.querySelectorAll('.card').length === 0 && document.getElementById('message').textContent.includes('Nothing in here fits “the blue circle”')");
    page.picture("serve-nothing-fits");
    page.evaluate("document.getElementById('nearest').click()");
    page.wait("document.querySelectorAll('.card').length === 1");
    let (complaints, _) = page.complaints_and_requests();
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Two indexes on one page: all of them apart, or a chosen one.
#[test]
fn several_indexes_are_shown_apart() {
    let dir = folder();
    for (index, videos) in [("one", "videos"), ("two", "videos/deep")] {
        let mut command = Command::new(svitt());
        command.args(["search", "index", videos, "--index", index, "--checkpoint"]).arg(checkpoint());
        assert!(command.current_dir(dir.path()).output().unwrap().status.success());
    }
    let served = Served::start(dir.path(), &["one", "two"]);
    let Some(mut page) = DrivenPage::open(&served.address, [1100, 800]) else { return skipped("a browser") };
    page.wait("state.clips === 4 && !document.getElementById('indexes').hidden");
    page.type_text("the red square moves left");
    page.wait("document.querySelectorAll('.card').length === 4");
    let headings = "[...document.querySelectorAll('#results .index')].map((one) => one.textContent)";
    assert_eq!(page.evaluate(headings), json!(["one", "two"]));
    page.wait("[...document.querySelectorAll('.play img')].every((one) => one.complete && one.naturalWidth > 10)");
    page.picture("serve-two-indexes");
    page.evaluate(
        "{ const one = document.getElementById('index'); one.value = '1'; one.dispatchEvent(new Event('change')); }",
    );
    page.wait(&format!("document.querySelectorAll('.card').length === 1 && {} === 1", named("c.webm")));
    page.wait("document.getElementById('folder').options.length === 2 && location.hash.includes('index=1')");
    page.evaluate("document.querySelector('.play').click()");
    page.wait("document.getElementById('player').open && document.getElementById('video').readyState >= 2");
    page.press("Escape");
    page.wait("!document.getElementById('player').open");
    let (complaints, _) = page.complaints_and_requests();
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Killed at any moment while it indexes, it loses nothing that it had told of.
#[test]
fn a_killed_server_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("videos")).unwrap();
    for n in 0..24 {
        fs::copy(fixture("fragmented.mp4"), dir.path().join(format!("videos/{n}.mp4"))).unwrap();
    }
    let mut told = 0;
    for kill in 0..6 {
        let mut served = Served::start(dir.path(), &["videos", "--clip-seconds", "0.5", "--batch", "1"]);
        let status = |address: &str| -> u64 {
            let answer = Command::new("curl").args(["-sS", &format!("{address}/api/status")]).output().unwrap();
            let status: Value = serde_json::from_slice(&answer.stdout).unwrap();
            status["files"].as_u64().unwrap()
        };
        assert!(status(&served.address) >= told, "{told} were told before kill {kill}");
        std::thread::sleep(Duration::from_millis(60 * kill));
        told = status(&served.address);
        served.child.kill().unwrap();
        served.child.wait().unwrap();
    }
    let mut served = Served::start(dir.path(), &["videos", "--clip-seconds", "0.5", "--batch", "1"]);
    assert_eq!(served.stop(), Some(0), "stopped while it indexes or watches");
    let index = svitt::index::Index::open(dir.path().join("svitt-index")).unwrap();
    assert!(index.damage().is_empty() && index.files().count() as u64 >= told);
}

#[test]
fn what_cannot_be_served_is_named() {
    let dir = folder();
    let serve = |arguments: &[&str]| {
        let mut command = Command::new(svitt());
        command.args(["search", "serve"]).args(arguments).arg("--checkpoint").arg(checkpoint());
        refusal(&command.current_dir(dir.path()).output().unwrap())
    };
    assert!(serve(&[]).contains("there is no index here"));
    assert!(serve(&["nowhere"]).contains("nowhere"));
    assert!(serve(&["videos", "--host", "example.org"]).contains("--host"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let message = serve(&["videos", "--port", &port]);
    assert!(message.contains("--port") && message.contains("cannot be listened on"), "{message}");
}
