//! A small web server on loopback: hands requests to `git http-backend`, or to a scripted handler. Optional TLS.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

type Handler = dyn Fn(&Request, &mut dyn Stream) + Send + Sync;

pub(crate) struct WebServer {
    port: u16,
    tls: bool,
    log: Arc<Mutex<Vec<Request>>>,
}

impl WebServer {
    /// Serves the repositories under `root`.
    pub(crate) fn git(root: &Path) -> Self {
        let root = root.to_owned();
        Self::start(None, move |request, out| backend(&root, request, out, "200 OK"))
    }

    pub(crate) fn git_tls(root: &Path, config: rustls::ServerConfig) -> Self {
        let root = root.to_owned();
        Self::start(Some(Arc::new(config)), move |request, out| {
            backend(&root, request, out, "200 OK");
        })
    }

    pub(crate) fn scripted(handler: impl Fn(&Request, &mut dyn Stream) + Send + Sync + 'static) -> Self {
        Self::start(None, handler)
    }

    fn start(
        tls: Option<Arc<rustls::ServerConfig>>,
        handler: impl Fn(&Request, &mut dyn Stream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            tls: tls.is_some(),
            log: Arc::default(),
        };
        let (log, handler) = (server.log.clone(), Arc::new(handler) as Arc<Handler>);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, handler, tls) = (log.clone(), handler.clone(), tls.clone());
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
                    match tls {
                        None => serve(stream, &log, &*handler),
                        Some(config) => {
                            let session = rustls::ServerConnection::new(config).unwrap();
                            serve(rustls::StreamOwned::new(session, stream), &log, &*handler);
                        }
                    }
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}/repo.git", self.port)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.log.lock().unwrap().len()
    }
}

fn serve(mut stream: impl Read + Write, log: &Mutex<Vec<Request>>, handler: &Handler) {
    let Some(request) = read_request(&mut stream) else {
        return;
    };
    log.lock().unwrap().push(request.clone());
    handler(&request, &mut stream);
    let _ = stream.flush();
}

fn read_request(stream: &mut dyn Read) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|v| v.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
    })
}

/// Answers with what `git http-backend` says (CGI).
pub(crate) fn backend(root: &Path, request: &Request, out: &mut dyn Stream, status: &str) {
    let answer = cgi(&root.to_path_buf(), request);
    let split = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let own = head
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or(status)
        .to_owned();
    let head = head
        .lines()
        .filter(|line| !line.starts_with("Status"))
        .collect::<Vec<_>>()
        .join("\r\n");
    let _ = write!(out, "HTTP/1.1 {own}\r\n{head}\r\nConnection: close\r\n\r\n");
    let _ = out.write_all(answer.get(split + 4..).unwrap_or_default());
}

pub(crate) fn cgi(root: &PathBuf, request: &Request) -> Vec<u8> {
    let mut child = Command::new("git")
        .args(["-c", "safe.directory=*", "http-backend"])
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env(
            "CONTENT_TYPE",
            request.headers.get("content-type").map_or("", String::as_str),
        )
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git http-backend is installed");
    let mut stdin = child.stdin.take().unwrap();
    let body = request.body.clone();
    thread::spawn(move || {
        let _ = stdin.write_all(&body);
    });
    child.wait_with_output().unwrap().stdout
}

/// A complete answer with a status line, headers and a body.
pub(crate) fn answer(out: &mut dyn Stream, status: &str, headers: &str, body: &[u8]) {
    let _ = write!(
        out,
        "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = out.write_all(body);
}

pub(crate) const REFS_TYPE: &str = "Content-Type: application/x-git-upload-pack-advertisement\r\n";
pub(crate) const PACK_TYPE: &str = "Content-Type: application/x-git-upload-pack-result\r\n";

pub(crate) fn packet(data: &[u8]) -> Vec<u8> {
    [format!("{:04x}", data.len() + 4).as_bytes(), data].concat()
}
