//! Addresses of a hub among the words of a command line.

use super::progress;
use crate::Result;
use crate::hub::{Hub, SCHEME};
use std::ffi::OsString;

/// `words` with what each `hf://…` and `--flag=hf://…` names fetched and put in its place; none if there is none.
///
/// # Errors
/// Those of [`Hub::fetch`].
pub fn local_words(words: &[OsString]) -> Result<Option<Vec<OsString>>> {
    if !words.iter().any(|word| address(word).is_some()) {
        return Ok(None);
    }
    let (hub, progress) = (Hub::from_env(), progress::shown());
    let local = words.iter().map(|word| {
        let Some((flag, address)) = address(word) else { return Ok(word.clone()) };
        let mut local = OsString::from(flag);
        local.push(hub.fetch(address, &progress)?);
        Ok(local)
    });
    local.collect::<Result<_>>().map(Some)
}

/// What stands before the address in `word`, and the address.
fn address(word: &OsString) -> Option<(&str, &str)> {
    let word = word.to_str()?;
    let flag = match word.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") && value.starts_with(SCHEME) => flag.len() + 1,
        _ => 0,
    };
    word[flag..].starts_with(SCHEME).then(|| word.split_at(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_and_other_words_are_left_alone() {
        let found = |word: &str| address(&OsString::from(word)).map(|(flag, at)| (flag.to_owned(), at.to_owned()));
        assert_eq!(found("hf://a/b"), Some((String::new(), "hf://a/b".to_owned())));
        assert_eq!(found("--init=hf://a/b"), Some(("--init=".to_owned(), "hf://a/b".to_owned())));
        assert_eq!(found("what is hf://a/b?"), None);
        assert_eq!(found("x=hf://a/b"), None);
        assert!(local_words(&["svitt".into(), "eval".into()]).unwrap().is_none());
    }
}
