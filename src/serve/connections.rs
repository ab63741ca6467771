//! The listening socket and its connections: how many there may be, and how long and large the head of a request.

use crate::progress::StopFlag;
use crate::{Error, Result};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// An address to listen on.
pub type Address = std::net::IpAddr;

/// Connections at a time. A browser opens six.
const MOST_CONNECTIONS: usize = 128;

/// Bytes of a request's head.
const MOST_HEAD: usize = 32 << 10;

/// Time for a request's head to arrive, and for a connection to stand idle.
const HEAD_TIME: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 15 });

/// Time for running answers after the server was asked to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How soon a stop is noticed.
const POLL: Duration = Duration::from_millis(50);

/// Listens on `host` and `port`.
///
/// # Errors
/// The port is taken, or the address is none of this machine.
pub(super) async fn bind(host: Address, port: u16) -> Result<TcpListener> {
    let address = SocketAddr::new(host, port);
    let remedy = "choose another option `port` (0 for any free one), or another option `host`";
    TcpListener::bind(address)
        .await
        .map_err(|problem| Error::setting("port", format!("{address} cannot be listened on: {problem}"), remedy))
}

/// Answers requests until `stop` is set, and then those that are being answered.
pub(super) async fn accept(listener: TcpListener, router: Router, stop: StopFlag) {
    let (running, room) = (GracefulShutdown::new(), Arc::new(Semaphore::new(MOST_CONNECTIONS)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(MOST_HEAD);
    while !stop.is_set() {
        let next = async {
            // The place first: what is cut off here by a poll is no connection that was taken.
            let place = room.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        let (stream, place) = tokio::select! {
            taken = next => taken,
            () = sleep(POLL) => continue,
        };
        // A connection that broke before it was taken, or too many open files: the next one may do better.
        let (Ok((stream, _)), Ok(place)) = (stream, place) else {
            sleep(POLL).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = running.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            let _ = connection.await;
            drop(place);
        });
    }
    let _ = timeout(LAST_ANSWERS, running.shutdown()).await;
}
