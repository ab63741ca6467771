//! Addresses of files on a hub.

use crate::{Error, Result};
use hf_hub::RepoType;

/// What an address begins with.
pub const SCHEME: &str = "hf://";

/// The branch that is meant when none is named.
const MAIN: &str = "main";

/// A repository of a hub, or a file of it.
#[derive(Clone, Debug)]
pub struct HubAddress {
    /// As it was written.
    pub text: String,
    /// Of models, or of datasets.
    pub(super) kind: RepoType,
    /// `owner/name`.
    pub repository: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// A path inside the repository; the whole model without one.
    pub file: Option<String>,
}

impl HubAddress {
    /// Parses `hf://owner/name[/file][@revision]`, `hf://owner/name@revision/file`, and the same behind
    /// `hf://datasets/`.
    ///
    /// # Errors
    /// Another form, or a part that could lead out of the cache.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |problem: &str| {
            let remedy = "write hf://owner/name, hf://owner/name/file or hf://owner/name/file@revision";
            Error::setting(text, problem, remedy)
        };
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| wrong("is no address of a hub"))?;
        let (kind, rest) = match rest.strip_prefix("datasets/") {
            Some(rest) => (RepoType::Dataset, rest),
            None => (RepoType::Model, rest.strip_prefix("models/").unwrap_or(rest)),
        };
        let mut parts = rest.splitn(3, '/');
        let (owner, name) = (parts.next().unwrap_or_default(), parts.next().ok_or_else(|| wrong("lacks a name"))?);
        let (name, at_name) = split_revision(name);
        let (file, at_file) = parts.next().map(split_revision).unwrap_or_default();
        let revision = match (at_name, at_file) {
            (Some(_), Some(_)) => return Err(wrong("has two revisions")),
            (at_name, at_file) => at_name.or(at_file).unwrap_or(MAIN),
        };
        let plain = |part: &str| is_plain(part) && !part.contains("--");
        if !(plain(owner) && plain(name)) {
            return Err(wrong("has an owner or name that no repository can have"));
        }
        let mut inner = revision.split('/').chain(file.split('/').filter(|_| !file.is_empty()));
        if !inner.all(is_plain_name) {
            return Err(wrong("has a file or revision that no repository can have"));
        }
        Ok(Self {
            text: text.to_owned(),
            kind,
            repository: format!("{owner}/{name}"),
            revision: revision.to_owned(),
            file: (!file.is_empty()).then(|| file.to_owned()),
        })
    }
}

fn split_revision(part: &str) -> (&str, Option<&str>) {
    part.rsplit_once('@').map_or((part, None), |(before, revision)| (before, Some(revision)))
}

/// Whether `part` is made of the letters of repositories' names and stays where it is put.
pub(super) fn is_plain(part: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && part.len() <= 128 && part.chars().all(letter) && part.chars().any(|c| c != '.')
}

/// Whether `part` can be the name of a file or folder, and part of an address as it is.
pub(super) fn is_plain_name(part: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "-_.+=,()~!".contains(c);
    !part.is_empty() && part.len() <= 255 && part.chars().all(letter) && part.chars().any(|c| c != '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_understood() {
        let parts = |text: &str| {
            let address = HubAddress::parse(text).unwrap();
            (address.repository, address.file.unwrap_or_default(), address.revision)
        };
        let own = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(parts("hf://a/b"), own("a/b", "", "main"));
        assert_eq!(parts("hf://a/b@v1"), own("a/b", "", "v1"));
        assert_eq!(parts("hf://a/b/c/d.pth"), own("a/b", "c/d.pth", "main"));
        assert_eq!(parts("hf://a/b/c.pth@refs/pr/3"), own("a/b", "c.pth", "refs/pr/3"));
        assert_eq!(parts("hf://a/b@v1/c.pth"), own("a/b", "c.pth", "v1"));
        assert!(matches!(HubAddress::parse("hf://datasets/a/b/c.json").unwrap().kind, RepoType::Dataset));
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        let refused = ["a/b", "hf://a", "hf:///b", "hf://a/..", "hf://../b", "hf://a/b/../../c", "hf://a/b@../x"];
        let also = ["hf://a/b//c", "hf://a/b/c?d", "hf://a/b@v/c@w", "hf://a/b/c\u{1b}", "hf://a/b@", "hf://a--x/b"];
        for text in refused.into_iter().chain(also) {
            let message = HubAddress::parse(text).unwrap_err().to_string();
            assert!(message.contains("hf://owner/name/file"), "{text:?}: {message}");
        }
    }
}
