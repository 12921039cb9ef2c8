//! Just enough of an HTTP client to see every byte that matters.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A server that says nothing for this long has failed the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// One response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads one response, interim ones skipped. `has_body` is false for the answer to a `HEAD`.
    pub(crate) fn read(from: &mut impl BufRead, has_body: bool) -> std::io::Result<Self> {
        let mut status = line(from)?;
        let mut headers = Vec::new();
        loop {
            let header = line(from)?;
            if let Some((name, value)) = header.split_once(':') {
                headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            } else if status.contains(" 100") {
                status = line(from)?;
            } else {
                break;
            }
        }
        let status = status
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_else(|| panic!("not a status line: {status}"));
        let mut answer = Self { status, headers, body: Vec::new() };
        assert_eq!(answer.header("transfer-encoding"), None);
        let length = answer.header("content-length").map(|l| l.parse().unwrap());
        if has_body && status != 204 {
            answer.body.resize(length.expect("a length"), 0);
            from.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// The value of the header, which must not stand twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands twice");
        value
    }

    /// The names of the headers, without those that the connection adds.
    pub(crate) fn header_names(&self) -> BTreeSet<&str> {
        let names = self.headers.iter().map(|(name, _)| name.as_str());
        names.filter(|name| !matches!(*name, "connection" | "content-length" | "date")).collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// An empty answer with this status.
    #[track_caller]
    pub(crate) fn assert_empty(&self, status: u16) {
        assert_eq!((self.status, self.text()), (status, ""));
        if status != 204 {
            assert_eq!(self.header("content-length"), Some("0"));
        }
    }

    /// An error with this status and code; gives its description.
    #[track_caller]
    pub(crate) fn assert_error(&self, status: u16, code: &str) -> String {
        let body = self.json();
        let error = body.get("error").and_then(|error| error.as_str());
        assert_eq!((self.status, error), (status, Some(code)), "{body}");
        // RFC 6749 section 5.2 and RFC 9110 section 15.5.2 on what goes with it.
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("www-authenticate").is_some(), status == 401);
        let description = body.get("error_description").and_then(|text| text.as_str());
        description.unwrap_or_default().to_owned()
    }
}

fn line(from: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// One connection, kept open.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what the server may not want to read to the end.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes);
    }

    pub(crate) fn answer(&mut self) -> Answer {
        Answer::read(&mut self.0, true).unwrap()
    }

    /// Asks a server that may be gone at any moment.
    pub(crate) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Option<Answer> {
        self.0.get_mut().write_all(bytes.as_ref()).ok()?;
        // An answer that breaks off is none.
        self.0.fill_buf().ok().filter(|bytes| !bytes.is_empty())?;
        Answer::read(&mut self.0, true).ok()
    }

    pub(crate) fn answer_to_head(&mut self) -> Answer {
        Answer::read(&mut self.0, false).unwrap()
    }

    /// Waits until the server says that it wants the body (RFC 9110 section 15.2.1).
    pub(crate) fn continued(&mut self) {
        assert_eq!(line(&mut self.0).unwrap(), "HTTP/1.1 100 Continue");
        assert_eq!(line(&mut self.0).unwrap(), "");
    }

    /// Sends no more, and reads until the server sends no more.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let _ = self.0.get_ref().shutdown(Shutdown::Write);
        let mut rest = Vec::new();
        // A reset is an end too: the server had enough.
        let _ = self.0.read_to_end(&mut rest);
        rest
    }
}

/// The bytes of a request.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: server.example\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The bytes of a request with a form.
pub(crate) fn form(path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    request("POST", path, &[&[form], headers].concat(), body)
}
