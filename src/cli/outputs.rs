//! Output files of a command line must not be what it reads, or each other: that is found before any work is done.

use crate::{Error, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Flags that name a file to be written.
const FILES: [&str; 4] = ["--json", "--html", "--dump", "--png"];

/// Flags that name a folder with files of the program's own.
const FOLDERS: [&str; 3] = ["--index", "--checkpoint", "--init"];

/// Checks the files that `words` say are written.
///
/// # Errors
/// Two of them are one, one of them is there and is also read, or lies in a folder of an index or a checkpoint.
pub fn check(words: &[OsString]) -> Result<()> {
    let (mut outputs, mut others) = (Vec::new(), Vec::new());
    let mut flag = None;
    for word in words.iter().skip(1) {
        let text = word.to_string_lossy();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (Some(name.to_owned()), Some(PathBuf::from(value))),
            _ if text.starts_with("--") => (Some(text.clone().into_owned()), None),
            _ => (flag.take(), Some(PathBuf::from(word))),
        };
        let Some(value) = value else {
            flag = name;
            continue;
        };
        match name {
            Some(name) if FILES.contains(&name.as_str()) => outputs.push((name, value)),
            name => others.push((name.unwrap_or_default(), value)),
        }
    }
    for (at, (name, path)) in outputs.iter().enumerate() {
        let Some(real) = real(path) else { continue };
        let refuse = |problem: String| Err(Error::setting(name, problem, "give another file"));
        if let Some((other, _)) = outputs[..at].iter().find(|(_, other)| self::real(other) == Some(real.clone())) {
            return refuse(format!("{} is written by {other}, too", path.display()));
        }
        if others.iter().any(|(_, other)| other.is_file() && other.canonicalize().is_ok_and(|other| other == real)) {
            return refuse(format!("{} is read by this command and would be written over", path.display()));
        }
        let inside = |(name, folder): &&(String, PathBuf)| {
            FOLDERS.contains(&name.as_str()) && folder.canonicalize().is_ok_and(|folder| real.starts_with(folder))
        };
        if let Some((other, folder)) = others.iter().find(inside).filter(|_| real.is_file()) {
            return refuse(format!(
                "{} belongs to {} ({other}) and would be written over",
                path.display(),
                folder.display()
            ));
        }
    }
    Ok(())
}

/// The file that would be written: links followed, there or not; none for a device, pipe or stream.
fn real(path: &Path) -> Option<PathBuf> {
    match path.canonicalize() {
        Ok(real) => real.is_file().then_some(real),
        Err(_) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(parent.canonicalize().ok()?.join(path.file_name()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_or_written_already_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(path("index")).unwrap();
        for file in ["a.json", "index/manifest.json", "old.json"] {
            std::fs::write(path(file), "{}").unwrap();
        }
        let check = |words: &[&str]| check(&["svitt"].iter().chain(words).map(OsString::from).collect::<Vec<_>>());
        let (a, new, old) = (path("a.json"), path("new.json"), path("old.json"));
        let (index, manifest) = (path("index"), path("index/manifest.json"));
        check(&["data", "inspect", &a, "--json", &new]).unwrap();
        check(&["data", "inspect", &a, "--json", &old]).unwrap();
        check(&["eval", "--json", "/dev/null", "--dump=/dev/null"]).unwrap();
        check(&["query", "x", "--index", &index, "--json", &path("index/new.json")]).unwrap();
        let refused = |words: &[&str], problem: &str| {
            let message = check(words).unwrap_err().to_string();
            assert!(message.contains(problem), "{message}");
        };
        refused(&["data", "inspect", &a, "--json", &a], "is read by this command");
        refused(&["query", "x", "--json", &new, "--html", &new], "is written by --json, too");
        refused(&["query", "x", "--json", &format!("--html={new}"), "--json", &new], "is written by --html, too");
        refused(&["query", "x", "--index", &index, "--json", &manifest], "belongs to");
    }
}
