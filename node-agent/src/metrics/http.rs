//! The port. Nothing here changes anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::Exporter;

/// How soon a port that is taken is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Opens the port and serves, for as long as the process lives. A port that is taken is tried again: metrics are no
/// reason to let I/O wait, and an agent that is being replaced may still have it.
pub async fn listen(address: SocketAddr, exporter: Arc<Exporter>) {
    let mut told = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !told => tracing::warn!(
                %error,
                "cannot listen on {address} for /metrics, /healthz and /readyz: free it, or choose another with --listen"
            ),
            Err(_) => {}
        }
        told = true;
        tokio::time::sleep(TRY_AGAIN).await;
    };
    tracing::info!(%address, "metrics are served");
    serve(listener, exporter).await;
}

/// Serves on a port that is open.
pub async fn serve(listener: TcpListener, exporter: Arc<Exporter>) {
    if let Err(error) = axum::serve(listener, router(exporter)).await {
        tracing::error!(%error, "the HTTP server ended");
    }
}

/// The three pages.
fn router(exporter: Arc<Exporter>) -> Router {
    let openmetrics = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    let for_ready = Arc::clone(&exporter);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readiness(&for_ready) }))
        .route("/metrics", get(move || async move { (openmetrics, exporter.render().await) }))
}

/// Not whether LUNs can be served: a node that lacks a module says so in its LunNode, and its agent is as it
/// should be.
fn readiness(exporter: &Exporter) -> impl IntoResponse + use<> {
    if exporter.is_ready() {
        return (StatusCode::OK, "ok\n");
    }
    let why = "it is not yet known which LUNs this node is to serve: the API server, or the directory of manifests, \
               has not been read whole\n";
    (StatusCode::SERVICE_UNAVAILABLE, why)
}
