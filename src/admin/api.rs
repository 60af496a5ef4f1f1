//! The control socket: what operators may ask, as JSON over HTTP on a Unix socket in the data directory.
//!
//! In: requests of the command line (`client.rs` is the other end). Out: JSON, or JSON lines for commands that take
//! long. The file system decides who may use it: mode 0600 from the first moment. Only the process that has the store's
//! lock binds it, so an existing socket file is a dead process's, and is replaced.

use std::convert::Infallible;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{self, Body};
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::Serialize;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};

use super::binlog_replay::BinlogReplays;
use super::control::{Control, ControlError};
use super::dead_letters;
use super::health::Health;
use super::live_rules::ReloadError;
use super::position::positions_of_store;
use super::replay::Replays;
use super::serve::{Answers, serve};
use super::view::binlog_replay::BinlogReplayRequest;
use super::view::position::PositionsView;
use super::view::status::{PauseRequest, Reloaded, ResetTargetRequest, ResumeRequest, StatusView, TargetView};
use super::view::store::{BackupRequest, BackupView, VerifiedView};
use super::view::{
    Discarded, EditRequest, EditedLetter, GroupsRequest, GroupsView, LetterBody, LetterView, ListRequest, Listing,
    ReplayRequest, ResolveRequest, ResolvedLetters, Selection,
};
use super::{ALIVE_PATH, SOCKET_NAME, SOCKET_PATH_BYTES_MAX};
use crate::pipeline::CommandRefused;

/// A selection of a hundred thousand numbers fits.
const REQUEST_BYTES_MAX: usize = 2 << 20;

/// A client that has not sent all of its request by then is disconnected: it takes the slot of another.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// At most so many reports wait for a slow reader; then the replay waits for it.
const REPORTS_AHEAD: usize = 64;

/// Why the control socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("control socket {}: {source}", path.display())]
    Bind { path: PathBuf, source: io::Error },
    #[error("control socket {}: its path has {bytes} bytes, the system's limit is {SOCKET_PATH_BYTES_MAX}; give --data a shorter path", path.display())]
    PathTooLong { path: PathBuf, bytes: usize },
}

/// The control socket, bound and not yet serving. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    file: SocketFile,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that is left is replaced at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl ControlSocket {
    /// Binds the data directory's socket. To be called while this process has the store: then an existing socket file
    /// is a dead process's.
    pub fn bind(data: &Path) -> Result<ControlSocket, Error> {
        let path = data.join(SOCKET_NAME);
        // Made under another name, closed to others, then renamed: no client can connect to a half-made one.
        let unfinished = data.join(".control");
        let bytes = path.as_os_str().as_bytes().len();
        if bytes > SOCKET_PATH_BYTES_MAX {
            return Err(Error::PathTooLong { path, bytes });
        }
        let bound = || {
            match std::fs::remove_file(&unfinished) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(&unfinished)?;
            std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(0o600))?;
            std::fs::rename(&unfinished, &path)?;
            Ok(listener)
        };
        match bound() {
            Ok(listener) => Ok(ControlSocket { listener, file: SocketFile(path) }),
            Err(source) => Err(Error::Bind { path, source }),
        }
    }

    /// Serves until `stop` turns true.
    pub async fn serve(self, api: AdminApi, stop: watch::Receiver<bool>) {
        let ControlSocket { listener, file } = self;
        serve(listener, router(api), Answers::Long, stop).await;
        drop(file);
    }
}

/// All commands that the socket accepts; clones are the same.
#[derive(Clone)]
pub struct AdminApi {
    pub control: Control,
    pub replays: Replays,
    pub binlog_replays: BinlogReplays,
    pub health: Health,
}

fn router(api: AdminApi) -> Router {
    Router::new()
        .route(ALIVE_PATH, get(alive))
        .route("/status", get(status))
        .route("/position", get(position))
        .route("/pause", post(pause))
        .route("/resume", post(resume))
        .route("/reload", post(reload))
        .route("/target/reset", post(reset_target))
        .route("/dead-letters/list", post(list))
        .route("/dead-letters/group", post(group))
        .route("/dead-letters/export", post(export))
        .route("/dead-letters/{number}", get(show))
        .route("/dead-letters/{number}/body", get(body_to_edit))
        .route("/dead-letters/edit", post(edit))
        .route("/dead-letters/resolve", post(resolve))
        .route("/dead-letters/discard", post(discard))
        .route("/dead-letters/replay", post(replay))
        .route("/dead-letters/preview", post(preview))
        .route("/replay-binlog", post(replay_binlog))
        .route("/store/verify", post(verify_store))
        .route("/store/backup", post(back_up_store))
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn(|request, next| whole_request(REQUEST_TIMEOUT, request, next)))
        .with_state(api)
}

/// Hands a request on when all of it is there.
async fn whole_request(within: Duration, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match tokio::time::timeout(within, body::to_bytes(body, REQUEST_BYTES_MAX)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, body.into())).await,
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

/// As `/healthz` of the admin port.
async fn alive(State(shared): State<AdminApi>) -> Response {
    match shared.health.alive() {
        Ok(()) => "alive\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

async fn status(State(shared): State<AdminApi>) -> Result<Json<StatusView>, ControlError> {
    shared.control.status().await.map(Json)
}

async fn position(State(shared): State<AdminApi>) -> Result<Json<PositionsView>, dead_letters::Error> {
    positions_of_store(&shared.control.letters).await.map(Json)
}

async fn verify_store(State(shared): State<AdminApi>) -> Result<Json<VerifiedView>, dead_letters::Error> {
    shared.control.letters.verify_store().await.map(Json)
}

async fn back_up_store(
    State(shared): State<AdminApi>,
    Json(request): Json<BackupRequest>,
) -> Result<Json<BackupView>, dead_letters::Error> {
    shared.control.letters.back_up_store(&request).await.map(Json)
}

async fn pause(State(shared): State<AdminApi>, Json(request): Json<PauseRequest>) -> Result<Json<()>, ControlError> {
    shared.control.pause(request).await.map(Json)
}

async fn resume(State(shared): State<AdminApi>, Json(request): Json<ResumeRequest>) -> Result<Json<()>, ControlError> {
    shared.control.resume(request).await.map(Json)
}

async fn reload(State(shared): State<AdminApi>) -> Result<Json<Reloaded>, ControlError> {
    // On a task of its own: once begun it runs to its end, also when the client has gone.
    let control = shared.control;
    let reloaded = tokio::spawn(async move { control.reload().await }).await;
    reloaded.unwrap_or(Err(ControlError::Reload(ReloadError::Aborted))).map(Json)
}

async fn reset_target(
    State(shared): State<AdminApi>,
    Json(request): Json<ResetTargetRequest>,
) -> Result<Json<TargetView>, ControlError> {
    shared.control.reset_target(&request).await.map(Json)
}

async fn list(
    State(shared): State<AdminApi>,
    Json(request): Json<ListRequest>,
) -> Result<Json<Listing>, dead_letters::Error> {
    shared.control.letters.list(&request).await.map(Json)
}

async fn group(
    State(shared): State<AdminApi>,
    Json(request): Json<GroupsRequest>,
) -> Result<Json<GroupsView>, dead_letters::Error> {
    shared.control.letters.group(&request).await.map(Json)
}

async fn export(State(shared): State<AdminApi>, Json(selection): Json<Selection>) -> Response {
    let (sender, reports) = mpsc::channel(REPORTS_AHEAD);
    // Ends by itself once the connection is gone and with it the receiver.
    tokio::spawn(async move { shared.control.letters.export(&selection, &sender).await });
    json_lines(reports)
}

async fn show(
    State(shared): State<AdminApi>,
    UrlPath(number): UrlPath<u64>,
) -> Result<Json<Option<LetterView>>, dead_letters::Error> {
    let Control { letters, rules, .. } = &shared.control;
    letters.show(number, || Some(rules.now())).await.map(Json)
}

async fn body_to_edit(
    State(shared): State<AdminApi>,
    UrlPath(number): UrlPath<u64>,
) -> Result<Json<LetterBody>, dead_letters::Error> {
    let Control { letters, rules, .. } = &shared.control;
    letters.body(number, &rules.now()).await.map(Json)
}

async fn edit(
    State(shared): State<AdminApi>,
    Json(request): Json<EditRequest>,
) -> Result<Json<EditedLetter>, dead_letters::Error> {
    let Control { letters, rules, .. } = &shared.control;
    letters.edit(&request, Some(&rules.now())).await.map(Json)
}

async fn resolve(
    State(shared): State<AdminApi>,
    Json(request): Json<ResolveRequest>,
) -> Result<Json<ResolvedLetters>, dead_letters::Error> {
    shared.control.letters.resolve(&request).await.map(Json)
}

async fn discard(
    State(shared): State<AdminApi>,
    Json(selection): Json<Selection>,
) -> Result<Json<Discarded>, dead_letters::Error> {
    shared.control.letters.discard(&selection).await.map(Json)
}

async fn replay(State(shared): State<AdminApi>, Json(request): Json<ReplayRequest>) -> Response {
    let (sender, reports) = mpsc::channel(REPORTS_AHEAD);
    // Ends by itself once the connection is gone and with it the receiver.
    tokio::spawn(async move { shared.replays.replay(&request, &sender).await });
    json_lines(reports)
}

async fn preview(State(shared): State<AdminApi>, Json(request): Json<ReplayRequest>) -> Response {
    let (sender, previews) = mpsc::channel(REPORTS_AHEAD);
    tokio::spawn(async move { shared.replays.preview(&request, &sender).await });
    json_lines(previews)
}

async fn replay_binlog(State(shared): State<AdminApi>, Json(request): Json<BinlogReplayRequest>) -> Response {
    let (sender, reports) = mpsc::channel(REPORTS_AHEAD);
    tokio::spawn(async move { shared.binlog_replays.run(&request, &sender).await });
    json_lines(reports)
}

impl IntoResponse for dead_letters::Error {
    fn into_response(self) -> Response {
        let status = match self {
            dead_letters::Error::NothingSelected
            | dead_letters::Error::Selection(_)
            | dead_letters::Error::Unconfirmed(_)
            | dead_letters::Error::NoNote => StatusCode::BAD_REQUEST,
            dead_letters::Error::NoSuchLetter { .. } | dead_letters::Error::NoSuchRule(_) => StatusCode::NOT_FOUND,
            dead_letters::Error::UnderWay { .. }
            | dead_letters::Error::NotEditable { .. }
            | dead_letters::Error::ResolvedAlready { .. } => StatusCode::CONFLICT,
            dead_letters::Error::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            dead_letters::Error::Store(_) | dead_letters::Error::Aborted => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.to_string()).into_response()
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        let status = match &self {
            ControlError::NoSuchRule(_) | ControlError::NoSuchTarget(_) => StatusCode::NOT_FOUND,
            ControlError::Refused(CommandRefused::Store { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
            ControlError::Refused(_) => StatusCode::CONFLICT,
            ControlError::WrongPlace { .. } | ControlError::NeedsDaemon => StatusCode::BAD_REQUEST,
            ControlError::Stopping | ControlError::Reload(ReloadError::Stopping) => StatusCode::SERVICE_UNAVAILABLE,
            ControlError::Reload(ReloadError::Faulty(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            ControlError::Silent | ControlError::Reload(ReloadError::Aborted) => StatusCode::INTERNAL_SERVER_ERROR,
            ControlError::Letters(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.to_string()).into_response()
    }
}

fn json_lines<T: Serialize + Send + 'static>(items: mpsc::Receiver<T>) -> Response {
    let lines = stream::unfold(items, |mut items| async move {
        let item = items.recv().await?;
        let mut line = serde_json::to_vec(&item).expect("reports are plain data");
        line.push(b'\n');
        Some((Ok::<_, Infallible>(line), items))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

#[cfg(test)]
mod tests {
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_send_all_of_its_request_is_disconnected() {
        let within = Duration::from_millis(100);
        let router = Router::new()
            .route("/", post(async |body: String| body))
            .layer(middleware::from_fn(move |request, next| whole_request(within, request, next)));
        let service = TowerToHyperService::new(router);
        for (body, status) in [
            (Body::from("{}"), StatusCode::OK),
            (Body::from_stream(stream::pending::<Result<String, Infallible>>()), StatusCode::REQUEST_TIMEOUT),
            (Body::from(vec![b' '; REQUEST_BYTES_MAX + 1]), StatusCode::BAD_REQUEST),
        ] {
            let request = Request::post("/").body(body).expect("a request");
            assert_eq!(service.call(request).await.expect("infallible").status(), status);
        }
    }
}
