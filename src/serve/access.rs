//! Who may ask. A page of another site that a person happens to have open must get nothing: neither by a name that
//! leads to this machine (DNS rebinding), nor by a request across sites. Beyond this machine a token is asked for.

use super::refusal::Refusal;
use super::state::Shared;
use crate::digest::sha256_hex;
use crate::{Error, Result};
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, ORIGIN, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// No script, style or picture of anybody else, none within the page, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; \
                      connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// The cookie that a browser beyond this machine brings.
const COOKIE_NAME: &str = "svitt-token";

/// Names and tokens that are accepted.
#[derive(Clone, Debug)]
pub(super) struct Access {
    address: SocketAddr,
    /// None where only this machine can connect.
    token: Option<String>,
}

impl Access {
    /// The rules of a server that listens on `address`.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(address: SocketAddr) -> Result<Self> {
        let token = if address.ip().is_loopback() { None } else { Some(random_token()?) };
        Ok(Self { address, token })
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What must be brought, where anybody can connect.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Whether a request that is for `host` (`NAME[:PORT]`) was meant for this server. Rebinding needs a name: numbers
    /// cannot be made to lead here, and the only name that always does is `localhost`.
    fn is_meant(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => (name, port.parse().ok()),
            _ => (host, Some(80)),
        };
        let number = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let known = match number {
            // Anybody may reach an open server by any of its numbers; a closed one is this machine's.
            Ok(number) => self.token.is_some() || number.is_loopback(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        };
        known && port == Some(self.address.port())
    }

    fn check(&self, request: &Request) -> Result<(), Refusal> {
        let headers = request.headers();
        let host = text(headers, HOST)?.ok_or_else(|| Refusal::forbidden("the request names no host"))?;
        let named = request.uri().authority().map_or(host, |authority| authority.as_str());
        if !self.is_meant(host) || named != host || headers.get_all(HOST).iter().count() > 1 {
            return Err(Refusal::forbidden("the request is for another host"));
        }
        if text(headers, ORIGIN)?.is_some_and(|origin| origin != format!("http://{host}")) {
            return Err(Refusal::forbidden("the request comes from another site"));
        }
        // Browsers say so of pictures and scripts, too, which bring no origin.
        let site = text(headers, HeaderName::from_static("sec-fetch-site"))?;
        let mode = text(headers, HeaderName::from_static("sec-fetch-mode"))?;
        let link = request.uri().path() == "/" && mode == Some("navigate");
        if !site.is_none_or(|site| ["same-origin", "none"].contains(&site) || link) {
            return Err(Refusal::forbidden("the request comes from another site"));
        }
        Ok(())
    }

    /// Whether the request brings the token, where one is needed.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies = cookies.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        let cookies = cookies.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value);
        bearer.into_iter().chain(cookies).any(|given| same(given, token))
    }

    /// The answer to the first request of a browser, `/?token=…`: a cookie, and the page without the token in its
    /// address.
    fn welcome(&self, request: &Request) -> Option<Response> {
        let token = self.token.as_ref().filter(|_| request.uri().path() == "/")?;
        let given = request.uri().query()?.strip_prefix("token=").filter(|given| same(given, token))?;
        let cookie = format!("{COOKIE_NAME}={given}; HttpOnly; SameSite=Strict; Path=/");
        Some((StatusCode::SEE_OTHER, [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)]).into_response())
    }
}

/// Compared by their hashes, so that the time it takes says nothing of where they differ.
fn same(given: &str, token: &str) -> bool {
    sha256_hex(given) == sha256_hex(token)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Refusal> {
    let read = headers.get(&name).map(HeaderValue::to_str).transpose();
    read.map_err(|_| Refusal::forbidden(format!("the header {name} is not text")))
}

fn random_token() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|problem| Error::Fault(format!("no random numbers: {problem}")))?;
    Ok(sha256_hex(bytes))
}

/// Refuses what nobody may ask, and adds the headers that bind the browser to every answer.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = match refused(&shared.access, &request) {
        Some(answer) => answer,
        // At most so many at a time; the rest is told to come again instead of waiting.
        None => match shared.room.clone().try_acquire_owned() {
            Ok(_place) => next.run(request).await,
            Err(_) => Refusal::busy().into_response(),
        },
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The answer to a request that goes no further.
fn refused(access: &Access, request: &Request) -> Option<Response> {
    if let Err(refusal) = access.check(request) {
        return Some(refusal.into_response());
    }
    if let Some(answer) = access.welcome(request) {
        return Some(answer);
    }
    let sentence = "open the address with the token that the server printed";
    let unknown = || Refusal::new(StatusCode::UNAUTHORIZED, sentence).into_response();
    (!access.is_known(request.headers())).then(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_be_rebound_are_meant() {
        let closed = Access::new("127.0.0.1:8080".parse().unwrap()).unwrap();
        for good in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080", "127.1.2.3:8080"] {
            assert!(closed.is_meant(good), "{good}");
        }
        for bad in
            ["evil.example:8080", "localhost", "127.0.0.1:81", "192.168.0.2:8080", "localhost.evil.example:8080", ""]
        {
            assert!(!closed.is_meant(bad), "{bad}");
        }
        let open = Access::new("0.0.0.0:80".parse().unwrap()).unwrap();
        assert!(open.is_meant("192.168.0.2") && open.is_meant("[fe80::1]") && !open.is_meant("my-host"));
        assert_eq!(open.token().map(str::len), Some(64));
        assert_ne!(open.token(), Access::new("0.0.0.0:80".parse().unwrap()).unwrap().token());
    }
}
