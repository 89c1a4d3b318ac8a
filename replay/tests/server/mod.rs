//! A web server on this machine that misbehaves as it is told.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// No test needs more requests, nor longer.
const MOST_REQUESTS: usize = 64;
const LONGEST: Duration = Duration::from_secs(60);

/// What was asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method and path, such as `GET /x`.
    pub line: String,
    headers: HashMap<String, String>,
}

impl Request {
    /// A header by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte asked for, where not all are.
    pub fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    status: String,
    headers: Vec<String>,
    body: Vec<u8>,
    hold: bool,
}

impl Answer {
    /// A status with a body and its length.
    pub fn new(status: &str, body: &[u8]) -> Self {
        let headers = vec![format!("Content-Length: {}", body.len())];
        Self { status: status.into(), headers, body: body.into(), hold: false }
    }

    /// Nothing at all, not even a status.
    pub fn silence() -> Self {
        Self { status: String::new(), headers: Vec::new(), body: Vec::new(), hold: true }
    }

    /// With another header, which takes the place of one of the same name.
    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.headers.retain(|header| !header.starts_with(&format!("{name}:")));
        self.headers.push(format!("{name}: {value}"));
        self
    }

    /// Without a header.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|header| !header.starts_with(&format!("{name}:")));
        self
    }

    /// Only the first bytes of the body; then the connection ends.
    pub fn cut(mut self, bytes: usize) -> Self {
        self.body.truncate(bytes);
        self
    }

    /// The connection stays open, silent.
    pub fn hold(mut self) -> Self {
        self.hold = true;
        self
    }
}

/// A file as a good server gives it: whole, or what follows of the state that is held.
pub fn file(request: &Request, content: &[u8], tag: &str) -> Answer {
    let held = request.header("if-range").is_none_or(|held| held == tag);
    match request.from().filter(|_| held) {
        Some(from) if from < content.len() => Answer::new("206 Partial Content", &content[from..])
            .with("Content-Range", format_args!("bytes {from}-{}/{}", content.len() - 1, content.len())),
        Some(_) => {
            let size = format!("bytes */{}", content.len());
            Answer::new("416 Range Not Satisfiable", b"").with("Content-Range", size)
        }
        None => Answer::new("200 OK", content),
    }
    .with("ETag", tag)
    .with("Content-Type", "application/octet-stream")
}

type Script = Box<dyn FnMut(usize, &Request) -> Answer + Send>;

/// A server, until it is dropped.
pub struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// One that answers the request of each number, from 0, as `script` says.
    pub fn new(script: impl FnMut(usize, &Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, stop) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::<AtomicBool>::default());
        let (seen, stopped) = (requests.clone(), stop.clone());
        let thread = thread::spawn(move || serve(&listener, Box::new(script), &seen, &stopped));
        Self { port, requests, stop, thread: Some(thread) }
    }

    /// The address of a file there.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking(), "the server panicked");
    }
}

fn serve(listener: &TcpListener, mut script: Script, seen: &Mutex<Vec<Request>>, stop: &AtomicBool) {
    let began = Instant::now();
    let mut silent = Vec::new();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) && began.elapsed() < LONGEST && number < MOST_REQUESTS {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(2));
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let Some(request) = asked(&mut stream) else { continue };
        seen.lock().unwrap().push(request.clone());
        let answer = script(number, &request);
        number += 1;
        let headers: String = answer.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let head = match answer.status.as_str() {
            "" => String::new(),
            status => format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n"),
        };
        // Who asked may have gone away.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&answer.body));
        if answer.hold {
            silent.push(stream);
        }
    }
}

/// The request of a connection; one to a proxy to connect elsewhere is granted, and the one after it taken.
fn asked(stream: &mut TcpStream) -> Option<Request> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let head = head(stream)?;
    if head.starts_with("CONNECT ") {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
        return asked(stream);
    }
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers = lines.filter_map(|line| line.split_once(": "));
    Some(Request { line, headers: headers.map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned())).collect() })
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 1 << 14 {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}
