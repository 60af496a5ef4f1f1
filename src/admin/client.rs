//! The control socket's other end: how a command reaches the daemon that runs on its data directory.
//!
//! In: requests of the command line. Out: what the daemon says, streams line by line. Opens a connection for each request
//! and keeps none. A connection to the socket shows whether a daemon runs; a file that no process listens on means no.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::view::binlog_replay::{BinlogReplayReport, BinlogReplayRequest};
use super::view::position::PositionsView;
use super::view::status::{PauseRequest, Reloaded, ResetTargetRequest, ResumeRequest, StatusView, TargetView};
use super::view::store::{BackupRequest, BackupView, VerifiedView};
use super::view::{
    Discarded, EditRequest, EditedLetter, ExportReport, GroupsRequest, GroupsView, LetterBody, LetterView, ListRequest,
    Listing, Preview, ReplayReport, ReplayRequest, ResolveRequest, ResolvedLetters, Selection,
};
use super::{ALIVE_PATH, SOCKET_NAME, SOCKET_PATH_BYTES_MAX};

/// The largest answer that is read as a whole: one dead letter with its row, or a list. Rows may have 64 MiB and more.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// The longest line of a stream. A dry run's line contains a whole request.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Lines that are read before they are printed.
const LINES_AHEAD: usize = 64;

/// How long a daemon may take to show that it answers at all. It does so in milliseconds, whatever it is busy with.
const SIGN_OF_LIFE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the head of an answer may take to what is done in a turn of the loop or one write to the disk: the daemon's own
/// limits are shorter. Other answers may take as long as what they are about.
const SHORT_ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("control socket {}: {source}", path.display())]
    Connect { path: PathBuf, source: io::Error },
    /// The message of the daemon.
    #[error("{0}")]
    Refused(String),
    #[error(
        "the running rowhook (control socket {}) has not answered for {} s; look at its log; if it hangs, start it again",
        path.display(),
        waited.as_secs()
    )]
    Silent { path: PathBuf, waited: Duration },
    #[error("the running rowhook broke off: {0}")]
    BrokenOff(String),
    #[error("unexpected response ({0}): command line and daemon are of different versions")]
    Unintelligible(String),
}

/// A daemon that runs on the data directory.
#[derive(Debug, Clone)]
pub struct Daemon {
    socket: PathBuf,
}

impl Daemon {
    /// Connects to the data directory's socket, and waits for a sign of life. None: no daemon runs there.
    pub async fn connect(data: &Path) -> Result<Option<Daemon>, Error> {
        Daemon::connect_within(SIGN_OF_LIFE_TIMEOUT, data).await
    }

    async fn connect_within(limit: Duration, data: &Path) -> Result<Option<Daemon>, Error> {
        let socket = data.join(SOCKET_NAME);
        // Where no socket can be, no daemon can have made one.
        if socket.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES_MAX {
            return Ok(None);
        }
        match UnixStream::connect(&socket).await {
            Ok(stream) => {
                let daemon = Daemon { socket };
                // Any answer will do. What else goes wrong, the request itself will say.
                let alive = daemon.send_over(stream, Method::GET, ALIVE_PATH, &());
                let _ = daemon.within(limit, async { Ok(alive.await) }).await?;
                Ok(Some(daemon))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(source) => Err(Error::Connect { source: denied(source), path: socket }),
        }
    }

    /// Whether its delivery loop answers; if not, [`Error::Refused`] says why.
    pub async fn alive(&self) -> Result<(), Error> {
        self.send_short(Method::GET, ALIVE_PATH, &()).await.map(drop)
    }

    pub async fn status(&self) -> Result<StatusView, Error> {
        whole(self.send_short(Method::GET, "/status", &()).await?).await
    }

    pub async fn positions(&self) -> Result<PositionsView, Error> {
        whole(self.send_short(Method::GET, "/position", &()).await?).await
    }

    pub async fn verify_store(&self) -> Result<VerifiedView, Error> {
        whole(self.send(Method::POST, "/store/verify", &()).await?).await
    }

    pub async fn back_up_store(&self, request: &BackupRequest) -> Result<BackupView, Error> {
        whole(self.send(Method::POST, "/store/backup", request).await?).await
    }

    pub async fn pause(&self, request: &PauseRequest) -> Result<(), Error> {
        whole(self.send_short(Method::POST, "/pause", request).await?).await
    }

    pub async fn resume(&self, request: &ResumeRequest) -> Result<(), Error> {
        whole(self.send_short(Method::POST, "/resume", request).await?).await
    }

    pub async fn reload(&self) -> Result<Reloaded, Error> {
        whole(self.send(Method::POST, "/reload", &()).await?).await
    }

    /// The target as it was before.
    pub async fn reset_target(&self, request: &ResetTargetRequest) -> Result<TargetView, Error> {
        whole(self.send_short(Method::POST, "/target/reset", request).await?).await
    }

    pub async fn list(&self, request: &ListRequest) -> Result<Listing, Error> {
        whole(self.send(Method::POST, "/dead-letters/list", request).await?).await
    }

    pub async fn group(&self, request: &GroupsRequest) -> Result<GroupsView, Error> {
        whole(self.send(Method::POST, "/dead-letters/group", request).await?).await
    }

    pub async fn export(&self, selection: &Selection) -> Result<mpsc::Receiver<ExportReport>, Error> {
        let answer = self.send(Method::POST, "/dead-letters/export", selection).await?;
        Ok(lines(answer, |error| ExportReport::Failed { message: error.to_string() }))
    }

    /// None: there is no such dead letter.
    pub async fn show(&self, number: u64) -> Result<Option<LetterView>, Error> {
        whole(self.send_short(Method::GET, &format!("/dead-letters/{number}"), &()).await?).await
    }

    /// The body that a replay would send.
    pub async fn body(&self, number: u64) -> Result<LetterBody, Error> {
        whole(self.send_short(Method::GET, &format!("/dead-letters/{number}/body"), &()).await?).await
    }

    pub async fn edit(&self, request: &EditRequest) -> Result<EditedLetter, Error> {
        whole(self.send_short(Method::POST, "/dead-letters/edit", request).await?).await
    }

    pub async fn resolve(&self, request: &ResolveRequest) -> Result<ResolvedLetters, Error> {
        let path = "/dead-letters/resolve";
        whole(match request.selection.numbers.as_slice() {
            [_] => self.send_short(Method::POST, path, request).await?,
            _ => self.send(Method::POST, path, request).await?,
        })
        .await
    }

    pub async fn discard(&self, selection: &Selection) -> Result<Discarded, Error> {
        whole(self.send(Method::POST, "/dead-letters/discard", selection).await?).await
    }

    pub async fn replay(&self, request: &ReplayRequest) -> Result<mpsc::Receiver<ReplayReport>, Error> {
        let answer = self.send(Method::POST, "/dead-letters/replay", request).await?;
        Ok(lines(answer, |error| ReplayReport::Failed { message: error.to_string() }))
    }

    pub async fn preview(&self, request: &ReplayRequest) -> Result<mpsc::Receiver<Preview>, Error> {
        let answer = self.send(Method::POST, "/dead-letters/preview", request).await?;
        Ok(lines(answer, |error| Preview::Failed { message: error.to_string() }))
    }

    pub async fn replay_binlog(
        &self,
        request: &BinlogReplayRequest,
    ) -> Result<mpsc::Receiver<BinlogReplayReport>, Error> {
        let answer = self.send(Method::POST, "/replay-binlog", request).await?;
        Ok(lines(answer, |error| BinlogReplayReport::Failed { message: error.to_string() }))
    }

    /// As [`Daemon::send`], with a limit for the head of the answer.
    async fn send_short(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Response<Incoming>, Error> {
        self.within(SHORT_ANSWER_TIMEOUT, self.send(method, path, body)).await
    }

    async fn within<T>(&self, limit: Duration, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let silent = || Error::Silent { path: self.socket.clone(), waited: limit };
        timeout(limit, answer).await.unwrap_or_else(|_| Err(silent()))
    }

    async fn send(&self, method: Method, path: &str, body: &impl Serialize) -> Result<Response<Incoming>, Error> {
        let failed = |source| Error::Connect { path: self.socket.clone(), source: denied(source) };
        let stream = UnixStream::connect(&self.socket).await.map_err(failed)?;
        self.send_over(stream, method, path, body).await
    }

    async fn send_over(
        &self,
        stream: UnixStream,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Response<Incoming>, Error> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken_off)?;
        // Ends with the answer, or with its receiver.
        tokio::spawn(connection);
        let body = serde_json::to_vec(body).map_err(|error| Error::Unintelligible(error.to_string()))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("method, path and headers are literal");
        let answer = sender.send_request(request).await.map_err(broken_off)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = String::from_utf8_lossy(&collect(answer).await?).trim().to_string();
        Err(if text.is_empty() { Error::Unintelligible(status.to_string()) } else { Error::Refused(text) })
    }
}

/// The socket is for the daemon's own user, and for root.
fn denied(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    let uid = rustix::process::geteuid().as_raw();
    let fix = "run this command as the user that rowhook runs as: sudo -u rowhook rowhook ...";
    io::Error::new(error.kind(), format!("{error}: this command runs as uid {uid}; fix: {fix}"))
}

fn broken_off(error: hyper::Error) -> Error {
    Error::BrokenOff(error.to_string())
}

async fn collect(answer: Response<Incoming>) -> Result<Bytes, Error> {
    let limited = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
    Ok(limited.collect().await.map_err(|error| Error::BrokenOff(error.to_string()))?.to_bytes())
}

async fn whole<T: DeserializeOwned>(answer: Response<Incoming>) -> Result<T, Error> {
    let bytes = collect(answer).await?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Unintelligible(error.to_string()))
}

/// The lines of a stream as they come; an error is the last item. Dropping the receiver ends the connection.
fn lines<T: DeserializeOwned + Send + 'static>(
    answer: Response<Incoming>,
    failed: fn(Error) -> T,
) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    tokio::spawn(async move {
        if let Err(error) = read_lines(answer.into_body(), &sender).await {
            // A receiver that was dropped does not need the reason.
            let _ = sender.send(failed(error)).await;
        }
    });
    receiver
}

async fn read_lines<T: DeserializeOwned>(mut body: Incoming, sender: &mpsc::Sender<T>) -> Result<(), Error> {
    let mut line = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(mut bytes) = frame.map_err(broken_off)?.into_data() else { continue };
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            line.extend_from_slice(&bytes[..end]);
            bytes.advance(end + 1);
            let item = serde_json::from_slice(&line).map_err(|error| Error::Unintelligible(error.to_string()))?;
            line.clear();
            if sender.send(item).await.is_err() {
                return Ok(());
            }
        }
        line.extend_from_slice(&bytes);
        if line.len() > LINE_BYTES_MAX {
            return Err(Error::Unintelligible(format!("a line of more than {LINE_BYTES_MAX} bytes")));
        }
    }
    if line.is_empty() { Ok(()) } else { Err(Error::BrokenOff("its last line is incomplete".to_string())) }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn a_daemon_that_does_not_answer_is_not_waited_for_for_ever() {
        let data = tempfile::tempdir().expect("a directory");
        // The system takes connections for it, and nothing reads them, as of a process that is stopped.
        let _stuck = UnixListener::bind(data.path().join(SOCKET_NAME)).expect("a socket");
        let error = Daemon::connect_within(Duration::from_secs(1), data.path()).await.expect_err("it is stuck");
        assert!(error.to_string().contains("has not answered for 1 s; look at its log"), "{error}");
    }
}
