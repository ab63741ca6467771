//! Pages in a real browser: Chromium without a window.

use crate::skipped::skipped;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A browser that opens pages, and where screenshots are kept.
pub struct Browser {
    program: PathBuf,
    shots: PathBuf,
}

impl Browser {
    /// The program that `SVITT_BROWSER` names, which must then work, or one of the usual names; none where there is
    /// none. CI names one.
    pub fn find() -> Option<Self> {
        let named = std::env::var_os("SVITT_BROWSER").map(PathBuf::from);
        let usual = ["chromium", "chromium-browser", "google-chrome"].map(PathBuf::from);
        let works = |program: &PathBuf| {
            let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
            version.is_ok_and(|status| status.success())
        };
        let program = match named {
            Some(program) => {
                assert!(works(&program), "SVITT_BROWSER names {}, which does not run", program.display());
                program
            }
            None => usual.into_iter().find(works)?,
        };
        let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
        std::fs::create_dir_all(&shots).unwrap();
        Some(Self { program, shots })
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The folder of screenshots.
    pub fn shots(&self) -> &Path {
        &self.shots
    }

    fn run(&self, page: &Path, extra: &[String]) -> (String, String) {
        let profile = tempfile::tempdir().unwrap();
        let output = Command::new(&self.program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(extra)
            .arg(format!("file://{}", page.canonicalize().unwrap().display()))
            .output()
            .unwrap();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).into()
    }

    /// What the browser complains about in `page`, and the page as it built it.
    pub fn open(&self, page: &Path) -> (Vec<String>, String) {
        let (dom, log) = self.run(page, &["--dump-dom".to_owned()]);
        (log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect(), dom)
    }

    /// A picture of `page`, `width` × `height` RGB pixels, kept as `name.png`.
    pub fn picture(&self, page: &Path, name: &str, [width, height]: [usize; 2]) -> Vec<[u8; 3]> {
        let shot = self.shots.join(format!("{name}.png"));
        let _ = std::fs::remove_file(&shot);
        self.run(page, &[format!("--screenshot={}", shot.display()), format!("--window-size={width},{height}")]);
        let mut decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&shot).unwrap()));
        decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        println!("screenshot: {}", shot.display());
        let samples = info.color_type.samples();
        pixels[..info.buffer_size()].chunks_exact(samples).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
    }

    /// Opens a report and asserts that it has no console errors and no requests, and that every chart is drawn.
    pub fn assert_fine(&self, page: &Path, name: &str, size: [usize; 2]) -> String {
        let (complaints, dom) = self.open(page);
        assert!(complaints.is_empty(), "{name}: {complaints:?}");
        assert!(dom.contains("</h1>"), "{name} is empty");
        let pixels = self.picture(page, name, size);
        for chart in dom.split("<svg class=\"chart\"").skip(1) {
            let title = chart.split("aria-label=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            assert!(chart.contains("class=\"line") || chart.contains("<circle"), "{name}: `{title}` has no marks");
            for colour in chart.split("stroke=\"#").skip(1).filter_map(|rest| rest.get(..6)) {
                let rgb = [0, 2, 4].map(|at| u8::from_str_radix(&colour[at..at + 2], 16).unwrap());
                let near = |pixel: &&[u8; 3]| pixel.iter().zip(rgb).all(|(a, b)| a.abs_diff(b) < 40);
                let marks = pixels.iter().filter(near).count();
                assert!(marks > 20, "{name}: #{colour} of `{title}` is on {marks} pixels");
            }
        }
        dom
    }
}

#[test]
fn the_browser_reports_what_goes_wrong_in_a_page() {
    let Some(browser) = Browser::find() else { return skipped("a browser") };
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.html");
    std::fs::write(&bad, "<!doctype html><h1>x</h1><script>missing.call()</script>").unwrap();
    let (complaints, dom) = browser.open(&bad);
    assert!(complaints.iter().any(|line| line.contains("missing is not defined")), "{complaints:?}");
    assert!(dom.contains("<h1>x</h1>"));
    let policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'\">";
    std::fs::write(&bad, format!("<!doctype html>{policy}<h1>x</h1><img src=\"http://127.0.0.1:9/x.png\">")).unwrap();
    assert!(!browser.open(&bad).0.is_empty(), "a picture from the network is refused and said");
}
