//! One question to a server, and what it answers.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Error, Timeout};

use super::{Fault, Patience};

/// Redirects followed for one question.
pub(super) const MOST_REDIRECTS: u32 = 10;

/// An HTTP client.
pub(super) struct Client {
    agent: Agent,
    stall: Duration,
}

/// The body of a good answer, and what was said of it.
pub(super) struct Reply {
    /// The byte of the file that the body begins with.
    pub from: u64,
    /// Bytes of the whole file, where that was said.
    pub total: Option<u64>,
    /// What the file's state is known by: its ETag, or when it was last changed.
    pub validator: Option<String>,
    body: Box<dyn Read + Send>,
    stall: Duration,
}

impl Client {
    /// A client that waits as `patience` says. Proxies are those of the environment (`ALL_PROXY`, `HTTPS_PROXY`,
    /// `HTTP_PROXY`, `NO_PROXY`), and so are roots of trust where `SSL_CERT_FILE` names some; else they are Mozilla's.
    pub(super) fn new(patience: &Patience) -> Self {
        let tls = match roots() {
            Some(roots) => TlsConfig::builder().root_certs(roots).build(),
            None => TlsConfig::default(),
        };
        let config = Agent::config_builder()
            .user_agent(concat!("gta/", env!("CARGO_PKG_VERSION")))
            // A file is taken as it is: a coded one could not be continued.
            .accept_encoding("identity")
            .http_status_as_error(false)
            .max_redirects(MOST_REDIRECTS)
            .max_idle_connections(0)
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            // Of each single read: a large file may take its time, silence may not.
            .timeout_per_read(Some(patience.stall))
            .timeout_per_write(Some(patience.stall))
            .tls_config(tls)
            .build();
        Self { agent: config.new_agent(), stall: patience.stall }
    }

    /// Asks for `url`, or for what follows the first bytes of it where they are held of the state that `held` names.
    ///
    /// The answer may be the whole file all the same: where the server cannot continue, or has another state.
    pub(super) fn get(&self, url: &str, held: Option<(u64, &str)>) -> Result<Reply, Fault> {
        let mut request = self.agent.get(url);
        if let Some((bytes, validator)) = held {
            request = request.header(header::RANGE, format!("bytes={bytes}-")).header(header::IF_RANGE, validator);
        }
        let at = held.map_or(0, |(bytes, _)| bytes);
        let response = request.call().map_err(|error| fault(error, self.stall, at, None))?;
        reply(response, held, self.stall)
    }
}

impl Reply {
    /// The next bytes into `block`; none at the end. `at` bytes of the file are held so far.
    pub(super) fn read(&mut self, block: &mut [u8], at: u64) -> Result<usize, Fault> {
        self.body.read(block).map_err(|error| fault(error.into(), self.stall, at, self.total))
    }
}

/// Takes a response for what it is.
fn reply(response: Response<Body>, held: Option<(u64, &str)>, stall: Duration) -> Result<Reply, Fault> {
    let (parts, body) = response.into_parts();
    let (status, headers) = (parts.status, &parts.headers);
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        // The server has less of the file than is held of it.
        if status == StatusCode::RANGE_NOT_SATISFIABLE && held.is_some() {
            return Err(Fault::Changed);
        }
        let retry_after = text(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        return Err(Fault::Status { code: status.as_u16(), retry_after });
    }
    if let Some(kind) = text(header::CONTENT_TYPE).filter(|kind| kind.to_ascii_lowercase().starts_with("text/html")) {
        return Err(Fault::Page(kind.to_owned()));
    }
    if let Some(coding) = text(header::CONTENT_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(Fault::Protocol(format!("the file coded as {coding}, which was not asked for")));
    }
    let validator = validator(headers);
    let (from, total) = if status == StatusCode::OK {
        (0, body.content_length())
    } else {
        let range = text(header::CONTENT_RANGE).unwrap_or_default();
        let (first, total) = content_range(range).ok_or_else(|| Fault::Protocol(format!("the range '{range}'")))?;
        match held {
            Some((bytes, _)) if bytes == first => {}
            Some((bytes, _)) => {
                return Err(Fault::Protocol(format!("bytes from {first} on, where those from {bytes} were asked for")));
            }
            None => return Err(Fault::Protocol("a part of the file, where all of it was asked for".into())),
        }
        // A server that does not look at If-Range continues another file.
        if held.is_some_and(|(_, old)| validator.as_deref().is_some_and(|new| new != old)) {
            return Err(Fault::Changed);
        }
        (first, total)
    };
    Ok(Reply { from, total, validator, body: Box::new(body.into_reader()), stall })
}

/// What the state of a file can be told from another by, in If-Range: a strong ETag, else the time of its last change.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let strong = text(header::ETAG).filter(|tag| tag.starts_with('"'));
    strong.or_else(|| text(header::LAST_MODIFIED)).map(str::to_owned)
}

/// First byte and size of the whole, of `bytes 5-9/10`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse::<u64>().ok()?);
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, total))
}

/// The certificates of the file that the environment names, for networks that have their own authority.
fn roots() -> Option<RootCerts> {
    let path = std::env::var_os("SSL_CERT_FILE")?;
    let pem = std::fs::read(&path)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "SSL_CERT_FILE cannot be read"))
        .ok()?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    (!certificates.is_empty()).then(|| RootCerts::Specific(Arc::new(certificates)))
}

/// An error of the client's, after `at` of `of` bytes.
fn fault(error: Error, stall: Duration, at: u64, of: Option<u64>) -> Fault {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
    let unreachable = |error: Error, passing| Fault::Unreachable { why: error.to_string(), passing };
    match error {
        Error::Timeout(Timeout::PerRead | Timeout::PerWrite) => Fault::Stalled { after: stall, at, of },
        Error::Io(error) if matches!(error.kind(), ConnectionAborted | ConnectionReset | UnexpectedEof) => {
            Fault::Dropped { at, of }
        }
        Error::TooManyRedirects => Fault::Redirects,
        Error::Protocol(error) => Fault::Protocol(error.to_string()),
        error @ (Error::Timeout(_) | Error::Io(_) | Error::HostNotFound | Error::ConnectionFailed) => {
            unreachable(error, true)
        }
        // An address, a proxy or a certificate that is wrong now is wrong a moment later.
        other => unreachable(other, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        for wrong in ["", "bytes", "bytes */10", "bytes 9-5/10", "bytes 5-10/10", "items 5-9/10", "bytes 5-9/x"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn weak_tags_do_not_tell_bytes_apart() {
        let mut headers = HeaderMap::new();
        assert_eq!(validator(&headers), None);
        headers.insert(header::ETAG, "W/\"a\"".parse().unwrap());
        assert_eq!(validator(&headers), None);
        headers.insert(header::LAST_MODIFIED, "Tue, 01 Sep 2020 00:00:00 GMT".parse().unwrap());
        assert_eq!(validator(&headers).as_deref(), Some("Tue, 01 Sep 2020 00:00:00 GMT"));
        headers.insert(header::ETAG, "\"a\"".parse().unwrap());
        assert_eq!(validator(&headers).as_deref(), Some("\"a\""));
    }
}
