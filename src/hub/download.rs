//! One file: from the cache, or from the hub into the cache.
//!
//! The requests are our own: hf-hub 0.5 sends the token to whatever host a file is redirected to, and has no limits of
//! time or of redirections. The cache is hf-hub's.

use super::address::{HubAddress, is_plain};
use super::error::{self, Failure};
use super::{Hub, checksum};
use crate::progress::ProgressSink;
use crate::{Error, Result, files};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

/// How long a connection, an answer or the bytes of one request may take: longer downloads go on in a new request.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests in a row that may bring nothing: a connection that breaks off is common for files of gigabytes.
const TRIES: usize = 3;

/// What a hub says of a file.
struct Found {
    commit: String,
    /// The checksum by which the hub knows it.
    name: String,
    bytes: u64,
}

impl Hub {
    /// The file `file` of the repository of `address`.
    pub(super) fn file(&self, address: &HubAddress, file: &str, progress: &ProgressSink) -> Result<PathBuf> {
        if let Some(path) = self.cached(address, file) {
            return Ok(path);
        }
        if self.offline {
            return Err(error::offline(address));
        }
        let url = self.url(address, file);
        let found = self.ask(&url).map_err(|failure| failure.of(address, &self.endpoint))?;
        if ![&found.name, &found.commit].into_iter().all(|name| is_plain(name)) {
            let problem = format!("{} gives it a name that cannot be a file's", self.endpoint);
            return Err(Error::setting(&address.text, problem, "use another mirror"));
        }
        let cache = self.cache().repo(Self::repo(address));
        let (blob, folder) = (cache.blob_path(&found.name), cache.pointer_path(&found.commit));
        let stored = || error::of_cache(address);
        fs::create_dir_all(blob.parent().unwrap_or(&self.cache)).map_err(stored())?;
        if !fs::metadata(&blob).is_ok_and(|facts| facts.len() == found.bytes) {
            self.fetch_blob(address, file, &url, &found, &blob, progress)?;
        }
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap_or(&folder)).map_err(stored())?;
        point(&path, &blob).map_err(stored())?;
        cache.create_ref(&found.commit).map_err(stored())?;
        Ok(path)
    }

    /// `file` in the cache, at the commit that is known for the revision or is the revision.
    fn cached(&self, address: &HubAddress, file: &str) -> Option<PathBuf> {
        let cache = self.cache().repo(Self::repo(address));
        let at_commit = cache.pointer_path(&address.revision).join(file);
        cache.get(file).or_else(|| at_commit.exists().then_some(at_commit))
    }

    fn url(&self, address: &HubAddress, file: &str) -> String {
        let repo = Self::repo(address);
        format!("{}/{}/resolve/{}/{file}", self.endpoint, repo.url(), repo.url_revision())
    }

    /// What the hub says of the file at `url`. The answer may be a redirection to where its bytes are.
    fn ask(&self, url: &str) -> std::result::Result<Found, Failure> {
        let first = self.get(&agent(0), url, Some("bytes=0-0"))?;
        let header = |headers: &HeaderMap, name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let headers = first.headers();
        let missing = |name: &'static str| Failure::NoHub(format!("its answer has no {name}"));
        let name = header(headers, "x-linked-etag").or_else(|| header(headers, "etag")).ok_or(missing("etag"))?;
        let commit = header(headers, "x-repo-commit").ok_or(missing("x-repo-commit"))?;
        let size = match header(headers, "x-linked-size").or_else(|| whole_size(headers)) {
            Some(size) => Some(size),
            None => whole_size(self.get(&agent(10), url, Some("bytes=0-0"))?.headers()),
        };
        let bytes = size.and_then(|size| size.parse().ok()).ok_or(missing("content-range"))?;
        Ok(Found { commit, name: name.trim_start_matches("W/").replace('"', ""), bytes })
    }

    /// A request of `url`. The token goes to the hub alone: where a redirection leads to another host, `agent` leaves it
    /// out.
    pub(super) fn get(
        &self,
        agent: &Agent,
        url: &str,
        range: Option<&str>,
    ) -> std::result::Result<Response<Body>, Failure> {
        let mut request = agent.get(url).header("user-agent", concat!("svitt/", env!("CARGO_PKG_VERSION")));
        if let Some(range) = range {
            request = request.header("range", range);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        Ok(request.call()?)
    }

    fn fetch_blob(
        &self,
        address: &HubAddress,
        file: &str,
        url: &str,
        found: &Found,
        blob: &Path,
        progress: &ProgressSink,
    ) -> Result<()> {
        let part = blob.with_extension("part");
        let mut output = files::open_own(&part, "delete it")?;
        if output.try_lock().is_err() {
            let problem = "another program is fetching it";
            return Err(Error::setting(&address.text, problem, "wait for it, and run this again"));
        }
        if output.metadata().is_ok_and(|facts| facts.len() >= found.bytes) {
            // What no request can complete is of another file, or was not recognised as whole.
            output.set_len(0).map_err(error::of_cache(address))?;
        }
        let what = format!("fetching {file} (kB)");
        let tell = |done: u64| progress.report(&what, (done / 1000) as usize, found.bytes.div_ceil(1000) as usize);
        let (mut tries, mut before) = (0, 0);
        while let Err(failure) = self.fetch_rest(url, found, &mut output, &tell) {
            let now = output.metadata().map_or(0, |facts| facts.len());
            tries = if now > before { 0 } else { tries + 1 };
            if tries == TRIES || !failure.may_pass() {
                return Err(failure.of(address, &self.endpoint));
            }
            if tries > 0 {
                log::warn!("{}: {failure}; trying again", address.text);
                std::thread::sleep(Duration::from_secs(tries as u64));
            }
            before = now;
        }
        output.sync_all().map_err(error::of_cache(address))?;
        if !checksum::agrees(&part, &found.name)? {
            fs::remove_file(&part).ok();
            let problem = format!("{file} is not what the hub has: its checksum differs");
            return Err(Error::setting(&address.text, problem, "run this again; if it stays so, use another mirror"));
        }
        fs::rename(&part, blob).map_err(error::of_cache(address))?;
        blob.parent().iter().for_each(|folder| files::sync_folder(folder));
        Ok(())
    }

    /// Appends to `output` what it lacks of the file at `url`.
    fn fetch_rest(
        &self,
        url: &str,
        found: &Found,
        output: &mut File,
        tell: &dyn Fn(u64),
    ) -> std::result::Result<(), Failure> {
        let mut done = output.metadata().map_err(Failure::Cache)?.len();
        if done == found.bytes {
            return Ok(());
        }
        let response = self.get(&agent(10), url, Some(&format!("bytes={done}-")))?;
        if response.status() != 206 {
            // It sends the whole file.
            done = 0;
            output.set_len(0).map_err(Failure::Cache)?;
        }
        output.seek(SeekFrom::Start(done)).map_err(Failure::Cache)?;
        let mut input = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        while done < found.bytes {
            let wanted = buffer.len().min((found.bytes - done) as usize);
            match input.read(&mut buffer[..wanted]) {
                Ok(0) => return Err(Failure::Broken("the connection ended early".to_owned())),
                Ok(count) => output.write_all(&buffer[..count]).map_err(Failure::Cache)?,
                Err(e) => return Err(Failure::Broken(e.to_string())),
            }
            done = output.stream_position().map_err(Failure::Cache)?;
            tell(done);
        }
        Ok(())
    }
}

/// Follows `redirects` redirections; waits for a connection, an answer and its bytes for [`PATIENCE`] each.
pub(super) fn agent(redirects: u32) -> Agent {
    let config = Agent::config_builder()
        .max_redirects(redirects)
        .max_redirects_will_error(redirects > 0)
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_recv_body(Some(PATIENCE));
    config.build().into()
}

/// The size in `content-range: bytes 0-0/SIZE`.
fn whole_size(headers: &HeaderMap) -> Option<String> {
    let range = headers.get("content-range")?.to_str().ok()?;
    range.rsplit('/').next().map(str::to_owned)
}

/// Makes `path` a link to `blob`, relative as the hub's tools make it, or a copy where there are no links.
fn point(path: &Path, blob: &Path) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    #[cfg(unix)]
    {
        // PATH is ROOT/snapshots/COMMIT/FILE, BLOB is ROOT/blobs/NAME.
        let root = blob.parent().and_then(Path::parent).unwrap_or(blob);
        let depth = path.strip_prefix(root).map_or(0, |below| below.components().count().saturating_sub(1));
        let up: PathBuf = std::iter::repeat_n("..", depth).collect();
        std::os::unix::fs::symlink(up.join(blob.strip_prefix(root).unwrap_or(blob)), path)
    }
    #[cfg(not(unix))]
    fs::copy(blob, path).map(|_| ())
}
