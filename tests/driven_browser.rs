//! A browser that a test drives: Chromium without a window, told what to do through its debugging pipe.

use crate::browser::Browser;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A page in the browser, what happened in it, and where its screenshots are kept.
pub struct DrivenPage {
    child: Child,
    to: File,
    from: BufReader<File>,
    session: Option<String>,
    sent: u64,
    events: Vec<Value>,
    browser: Browser,
    _folder: tempfile::TempDir,
}

impl DrivenPage {
    /// Opens `address` in a window of `width` × `height` pixels; none where there is no browser.
    pub fn open(address: &str, size: [usize; 2]) -> Option<Self> {
        let browser = Browser::find()?;
        let folder = tempfile::tempdir().unwrap();
        let [to, from] = ["to", "from"].map(|name| folder.path().join(name));
        assert!(Command::new("mkfifo").arg(&to).arg(&from).status().unwrap().success());
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" "$@" 3<to 4>from"#]).arg(browser.program()).current_dir(folder.path());
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]);
        // What the browser itself would ask the network for.
        command.args(["--disable-background-networking", "--disable-component-update", "--no-first-run"]);
        command.arg("--autoplay-policy=no-user-gesture-required");
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Each waits for the other end.
        let to = OpenOptions::new().write(true).open(to).unwrap();
        let from = BufReader::new(File::open(from).unwrap());
        let mut page = Self { child, to, from, session: None, sent: 0, events: Vec::new(), browser, _folder: folder };
        let target = page.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = page.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        page.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        ["Page", "Runtime", "Network", "Log"]
            .iter()
            .for_each(|domain| drop(page.call(&format!("{domain}.enable"), json!({}))));
        page.resize(size);
        page.call("Page.navigate", json!({"url": address}));
        page.wait("document.readyState === 'complete'");
        Some(page)
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).unwrap();
            bytes.pop();
            let message: Value = serde_json::from_slice(&bytes).expect("the browser has ended");
            if message["id"].as_u64() == Some(self.sent) {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// The value of `script` in the page.
    #[track_caller]
    pub fn evaluate(&mut self, script: &str) -> Value {
        let parameters = json!({"expression": script, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until `condition` holds in the page, for half a minute.
    #[track_caller]
    pub fn wait(&mut self, condition: &str) {
        let started = Instant::now();
        while self.evaluate(condition) != json!(true) {
            let page = if started.elapsed() > Duration::from_secs(30) {
                self.evaluate("document.body.innerText")
            } else {
                json!(null)
            };
            assert!(page.is_null(), "{condition} does not come to hold in {page}");
            sleep(Duration::from_millis(50));
        }
    }

    /// Types `text` where the cursor is.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Presses a key by its name (`Enter`, `ArrowDown`, `m`).
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            letter => u32::from(letter.to_ascii_uppercase().as_bytes()[0]),
        };
        let mut down = json!({"type": "keyDown", "key": key, "windowsVirtualKeyCode": code});
        if key == "Enter" || key.len() == 1 {
            down["text"] = json!(if key == "Enter" { "\r" } else { key });
        }
        self.call("Input.dispatchKeyEvent", down);
        self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key, "windowsVirtualKeyCode": code}));
    }

    /// Makes the window so large.
    pub fn resize(&mut self, [width, height]: [usize; 2]) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Makes the person prefer dark pages, or light ones.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// Keeps a picture of the window as `name.png`.
    pub fn picture(&mut self, name: &str) {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let path = self.browser.shots().join(format!("{name}.png"));
        let bytes = BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        println!("screenshot: {}", path.display());
    }

    /// What the browser complained about, and every address that was asked for.
    pub fn complaints_and_requests(&mut self) -> (Vec<String>, Vec<String>) {
        self.evaluate("1");
        let of = |method: &'static str| {
            self.events.iter().filter(move |event| event["method"] == method).map(|event| &event["params"])
        };
        let thrown = of("Runtime.exceptionThrown").map(|params| params["exceptionDetails"].to_string());
        let logged = of("Runtime.consoleAPICalled").filter(|params| params["type"] == "error").map(Value::to_string);
        let noted = of("Log.entryAdded").filter(|params| params["entry"]["level"] == "error").map(Value::to_string);
        let asked = of("Network.requestWillBeSent").map(|params| params["request"]["url"].as_str().unwrap().to_owned());
        (thrown.chain(logged).chain(noted).collect(), asked.collect())
    }
}

impl Drop for DrivenPage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
