//! A real git server over HTTP on loopback: `git http-backend` behind a small HTTP/1.1 server. Owns the bare
//! repositories of its folder; runs on threads of its own, so that any test runtime may come and go.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;

use crate::error::{Error, Result};

/// No request of a test is larger; a larger one is answered 413.
const BODY_CAP: usize = 256 << 20;
/// Longest header line taken.
const LINE_CAP: u64 = 16 << 10;

#[derive(Debug, Default)]
struct State {
    root: PathBuf,
    on: AtomicBool,
    ended: AtomicBool,
    requests: AtomicU64,
    advertisements: AtomicU64,
    credentials: Mutex<Option<String>>,
}

/// The running server; ends when dropped.
#[derive(Debug)]
pub struct GitServer {
    state: Arc<State>,
    port: u16,
}

impl GitServer {
    /// Serves the bare repositories under `dir`, which is made where missing.
    ///
    /// # Errors
    /// When the folder or the port cannot be had.
    pub fn start(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(Error::file(dir))?;
        let no_port = |source| Error::Start {
            program: "the git http server".to_owned(),
            source,
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(no_port)?;
        let port = listener.local_addr().map_err(no_port)?.port();
        let state = Arc::new(State {
            root: dir.to_owned(),
            on: AtomicBool::new(true),
            ..State::default()
        });
        let accepting = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&accepting);
                // A broken connection is the client's to notice.
                std::thread::spawn(move || drop(serve(&state, stream)));
            }
        });
        Ok(Self { state, port })
    }

    /// Makes an empty bare repository `<name>.git` that takes pushes.
    ///
    /// # Errors
    /// When git fails.
    pub fn create(&self, name: &str) -> Result<PathBuf> {
        create_bare(&self.state.root, name)
    }

    /// The URL of a repository, without credentials.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}.git", self.port)
    }

    /// The port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on asks for basic authentication; `None` lets everybody in.
    pub fn require(&self, user_and_password: Option<(&str, &str)>) {
        let encode = |(user, password): (&str, &str)| {
            format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
            )
        };
        *self
            .state
            .credentials
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = user_and_password.map(encode);
    }

    /// Off: every connection is closed without an answer. On: it serves again.
    pub fn set_on(&self, on: bool) {
        self.state.on.store(on, Ordering::SeqCst);
    }

    /// All requests since the start.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// Requests for the list of refs since the start: an unchanged poll makes one and nothing else.
    #[must_use]
    pub fn advertisements(&self) -> u64 {
        self.state.advertisements.load(Ordering::SeqCst)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        // Wakes the accepting thread so that it sees the end and frees the port.
        drop(TcpStream::connect_timeout(
            &([127, 0, 0, 1], self.port).into(),
            Duration::from_secs(1),
        ));
    }
}

/// Makes an empty bare repository that serves any commit and takes pushes without asking.
pub(crate) fn create_bare(root: &Path, name: &str) -> Result<PathBuf> {
    let path = root.join(format!("{name}.git"));
    let git =
        |args: &[&str]| crate::process::run(crate::repo::git().arg("-C").arg(root).args(args)).map(drop);
    git(&[
        "init",
        "--quiet",
        "--bare",
        "--initial-branch=master",
        &path.display().to_string(),
    ])?;
    for setting in [
        "http.receivepack",
        "uploadpack.allowAnySHA1InWant",
        "uploadpack.allowFilter",
    ] {
        git(&["-C", &path.display().to_string(), "config", setting, "true"])?;
    }
    Ok(path)
}

struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

fn serve(state: &State, stream: TcpStream) -> std::io::Result<()> {
    if !state.on.load(Ordering::SeqCst) {
        return Ok(());
    }
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_write_timeout(Some(Duration::from_secs(60)))?;
    let mut out = stream.try_clone()?;
    let Some(request) = read_request(&mut BufReader::new(stream), &mut out)? else {
        return answer(&mut out, "413 Content Too Large", &[], b"too large\n");
    };
    state.requests.fetch_add(1, Ordering::SeqCst);
    if request.target.contains("/info/refs") {
        state.advertisements.fetch_add(1, Ordering::SeqCst);
    }
    let wanted = state
        .credentials
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    if wanted.is_some() && request.header("authorization") != wanted.as_deref() {
        let ask = [("WWW-Authenticate", "Basic realm=\"e2e\"")];
        return answer(&mut out, "401 Unauthorized", &ask, b"credentials please\n");
    }
    backend(state, &request, &mut out)
}

/// Reads one request; `None` when it is larger than any test sends.
fn read_request(input: &mut impl BufRead, out: &mut impl Write) -> std::io::Result<Option<Request>> {
    let mut words = read_line(input)?;
    words.truncate(4096);
    let mut parts = words.split(' ').map(str::to_owned);
    let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let line = read_line(input)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        if headers.len() == 100 {
            return Ok(None);
        }
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request {
        method,
        target,
        headers,
        body: Vec::new(),
    };
    if request.header("expect").is_some() {
        out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if request
        .header("transfer-encoding")
        .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    {
        loop {
            let line = read_line(input)?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16);
            let size = size.map_err(std::io::Error::other)?;
            if request.body.len().saturating_add(size) > BODY_CAP {
                return Ok(None);
            }
            input.take(size as u64).read_to_end(&mut request.body)?;
            read_line(input)?;
            if size == 0 {
                return Ok(Some(request));
            }
        }
    }
    let length: usize = request
        .header("content-length")
        .and_then(|value| value.parse().ok())
        .unwrap_or(0);
    if length > BODY_CAP {
        return Ok(None);
    }
    input.take(length as u64).read_to_end(&mut request.body)?;
    Ok(Some(request))
}

fn read_line(input: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = Vec::new();
    input.take(LINE_CAP).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn answer(out: &mut impl Write, status: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<()> {
    write!(
        out,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    )?;
    for (name, value) in headers {
        write!(out, "{name}: {value}\r\n")?;
    }
    out.write_all(b"\r\n")?;
    out.write_all(body)?;
    out.flush()
}

/// Hands a request to `git http-backend` as CGI (RFC 3875) and its answer back as it comes.
fn backend(state: &State, request: &Request, out: &mut TcpStream) -> std::io::Result<()> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    if path.contains("..") {
        return answer(out, "400 Bad Request", &[], b"no\n");
    }
    let mut command = crate::repo::git();
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &state.root)
        .env("GIT_HTTP_EXPORT_ALL", "1");
    command
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query);
    command.env("REMOTE_ADDR", "127.0.0.1").env("REMOTE_USER", "e2e");
    command.env("CONTENT_LENGTH", request.body.len().to_string());
    let passed = [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
        ("accept-encoding", "HTTP_ACCEPT_ENCODING"),
    ];
    for (header, variable) in passed {
        if let Some(value) = request.header(header) {
            command.env(variable, value);
        }
    }
    pipe(command, &request.body, out)
}

fn pipe(mut command: Command, body: &[u8], out: &mut TcpStream) -> std::io::Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let sent = std::thread::scope(|scope| {
        // The backend answers while it still reads: writing and reading must not wait for each other.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(body)));
        stdout.map_or(Ok(()), |stdout| relay(&mut BufReader::new(stdout), out))
    });
    if sent.is_err() {
        child.kill()?;
    }
    child.wait()?;
    sent
}

fn relay(from: &mut impl BufRead, out: &mut TcpStream) -> std::io::Result<()> {
    let (mut status, mut headers) = ("200 OK".to_owned(), String::new());
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            break;
        }
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("status") => status = value.trim().to_owned(),
            _ => headers.push_str(&format!("{line}\r\n")),
        }
    }
    write!(out, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")?;
    std::io::copy(from, out)?;
    out.flush()
}
