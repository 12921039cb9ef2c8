//! The clients that people use, each as a process.

use std::net::SocketAddr;
use std::process::Command;

use crate::http::Answer;
use crate::server::Server;

/// A POST by Python's `http.client`, with headers and body as given.
const PYTHON: &str = r#"
import http.client, json, sys
host, path, headers, body = sys.argv[1:]
connection = http.client.HTTPConnection(host)
connection.request("POST", path, body, json.loads(headers))
answer = connection.getresponse()
head = [f"HTTP/1.1 {answer.status} {answer.reason}"] + [f"{n}: {v}" for n, v in answer.getheaders()]
sys.stdout.write("\r\n".join(head) + "\r\n\r\n" + answer.read().decode())
"#;

/// A POST by `fetch`, the form built with `URLSearchParams`.
const FETCH: &str = r"
const [host, path, headers, pairs] = process.argv.slice(1);
const form = new URLSearchParams();
for (const [name, value] of JSON.parse(pairs)) form.append(name, value);
const options = { method: 'POST', headers: new Headers(JSON.parse(headers)), body: form, redirect: 'follow' };
fetch(`http://${host}${path}`, options).then(async answer => {
  const head = [...answer.headers].map(([n, v]) => `${n}: ${v}\r\n`).join('');
  process.stdout.write(`HTTP/1.1 ${answer.status} ${answer.statusText}\r\n${head}\r\n${await answer.text()}`);
});
";

/// A POST as Axios makes it on Node: the form by `stringify`, the request by `http.request`.
const AXIOS: &str = r"
const http = require('http');
const qs = require('querystring');
const [host, path, headers, pairs] = process.argv.slice(1);
const body = qs.stringify(Object.fromEntries(JSON.parse(pairs)));
const [hostname, port] = host.split(':');
const accept = { 'Accept': 'application/json, text/plain, */*', 'Content-Length': Buffer.byteLength(body) };
const options = { hostname, port, path, method: 'POST', headers: { ...accept, ...JSON.parse(headers) } };
http.request(options, answer => {
  let head = `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\n`;
  for (let i = 0; i < answer.rawHeaders.length; i += 2) head += `${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}\r\n`;
  process.stdout.write(head + '\r\n');
  answer.pipe(process.stdout);
}).end(body);
";

/// Runs a command line as a shell does. `BASE` in it stands for the server, scheme included.
pub(crate) fn curl(server: &Server, line: &str) -> Answer {
    let arguments = line.trim().strip_prefix("curl ").expect("a curl command");
    let arguments = arguments.replace("BASE", &format!("http://{}", server.address));
    shell(&format!("curl --include --silent --show-error --max-time 60 {arguments}"))
}

/// Runs a line of shell that prints a response, headers included.
pub(crate) fn shell(line: &str) -> Answer {
    output(Command::new("sh").args(["-c", line]), line)
}

pub(crate) fn python(server: &Server, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON]);
    command.args([&host(server.address), path, &object(headers), body]);
    output(&mut command, "python3")
}

pub(crate) fn fetch(
    server: &Server,
    path: &str,
    headers: &[(&str, &str)],
    pairs: &[(&str, &str)],
) -> Answer {
    node(FETCH, server, path, headers, pairs)
}

pub(crate) fn axios(
    server: &Server,
    path: &str,
    headers: &[(&str, &str)],
    pairs: &[(&str, &str)],
) -> Answer {
    node(AXIOS, server, path, headers, pairs)
}

fn node(
    script: &str,
    server: &Server,
    path: &str,
    headers: &[(&str, &str)],
    pairs: &[(&str, &str)],
) -> Answer {
    let pairs = serde_json::to_string(pairs).unwrap();
    let mut command = Command::new("node");
    command.args(["-e", script, "--"]);
    command.args([&host(server.address), path, &object(headers), &pairs]);
    output(&mut command, "node")
}

fn host(address: SocketAddr) -> String {
    address.to_string()
}

fn object(pairs: &[(&str, &str)]) -> String {
    let members = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into()));
    serde_json::Value::Object(members.collect()).to_string()
}

/// The response that the program printed.
fn output(command: &mut Command, name: &str) -> Answer {
    let printed = stdout(command, name);
    Answer::read(&mut printed.as_slice(), true).unwrap_or_else(|error| {
        panic!("{name} printed no response: {error}: {}", String::from_utf8_lossy(&printed))
    })
}

/// What the program printed. One that is not installed fails the test: a client that was not tried must not
/// count as one that works.
pub(crate) fn stdout(command: &mut Command, name: &str) -> Vec<u8> {
    let output = match without_proxy(command).output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {name}: {error}. It has to be installed for this test."),
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{name} failed, or is not installed: {}: {complaint}",
        output.status
    );
    output.stdout
}

/// A proxy from the environment has no business on the loopback interface.
pub(crate) fn without_proxy(command: &mut Command) -> &mut Command {
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    command
}
