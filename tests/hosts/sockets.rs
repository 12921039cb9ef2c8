//! What arrives on a socket and is not one tidy request.

use annul::policy::Limits;

use crate::http::{form, request};
use crate::programs;
use crate::server::Server;

const BASIC: (&str, &str) = ("Authorization", "Basic d2ViOndlYi1zZWNyZXQ=");
const ORIGIN: (&str, &str) = ("Origin", "http://127.0.0.1:3000");

#[test]
fn one_connection_serves_many_requests() {
    let server = Server::start("standard");
    let mut connection = server.connect();
    for (token, left) in [("at-4", "at-1"), ("at-1", "at-3"), ("at-3", "at-machine")] {
        connection.write(form("/revoke", &[BASIC], &format!("token={token}")));
        connection.answer().assert_empty(200);
        server.assert_dead(&[token]);
        server.assert_alive(&[left]);
    }
    // An error does not end the connection either.
    connection.write(form("/revoke", &[BASIC], "nothing"));
    connection.answer().assert_error(400, "invalid_request");
    connection.write(request("GET", "/healthz", &[], ""));
    assert_eq!(connection.answer().status, 200);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start("standard");
    let mut connection = server.connect();
    let bearer = [("Authorization", "Bearer at-4")];
    let resource = request("GET", "/resource", &bearer, "");
    let revoke = form("/revoke", &[BASIC], "token=at-4");
    let unknown = form("/revoke", &[], "token=at-4&client_id=nobody");
    connection.write([resource.clone(), revoke, resource, unknown].concat());
    let statuses = [(); 4].map(|()| connection.answer().status);
    assert_eq!(statuses, [200, 200, 401, 401]);
}

#[test]
fn a_body_beyond_the_limit_is_413_and_one_at_the_limit_is_read() {
    let server = Server::start("standard");
    let limit = Limits::default().body_bytes;
    let start = "token=at-4&padding=";
    // Padding in many parameters would be refused for their number, in one for its length: use the token.
    let long = |bytes: usize| format!("token={}", "x".repeat(bytes - "token=".len()));
    let answer = server.post("/revoke", &[BASIC], &long(limit));
    answer.assert_empty(200);
    let answer = server.post("/revoke", &[BASIC], &long(limit + 1));
    answer.assert_error(413, "invalid_request");
    // A live token in front does not help.
    let body = format!("{start}{}", "x".repeat(limit));
    let answer = server.post("/revoke", &[BASIC], &body);
    answer.assert_error(413, "invalid_request");
    server.assert_alive(&["at-4"]);
}

#[test]
fn a_long_body_is_read_to_its_end_so_that_the_answer_is_not_lost() {
    let server = Server::start("standard");
    for _ in 0..20 {
        let mut connection = server.connect();
        let body = "x".repeat(3_000_000);
        connection.write(form("/revoke", &[BASIC], &format!("token=at-4&padding={body}")));
        connection.answer().assert_error(413, "invalid_request");
        // It was read, so the connection is still good.
        connection.write(request("GET", "/healthz", &[], ""));
        assert_eq!(connection.answer().status, 200);
    }
    server.assert_alive(&["at-4"]);
}

#[test]
fn a_chunked_body_is_a_body() {
    let server = Server::start("standard");
    let head = "POST /revoke HTTP/1.1\r\nHost: server.example\r\nTransfer-Encoding: chunked\r\n\
        Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Basic d2ViOndlYi1zZWNyZXQ=\r\n\r\n";
    let mut connection = server.connect();
    connection.write(head);
    connection.write("5\r\ntoken\r\n");
    connection.write("3\r\n=at\r\n2\r\n-4\r\n0\r\n\r\n");
    connection.answer().assert_empty(200);
    server.assert_dead(&["at-4"]);
    // curl sends one too, when asked to.
    let line = "curl BASE/revoke -u web:web-secret -H 'Transfer-Encoding: chunked' -d token=at-1";
    programs::curl(&server, line).assert_empty(200);
    server.assert_dead(&["at-1"]);
}

#[test]
fn a_chunked_body_beyond_the_limit_is_413() {
    let server = Server::start("standard");
    let mut connection = server.connect();
    connection.write(
        "POST /revoke HTTP/1.1\r\nHost: server.example\r\nTransfer-Encoding: chunked\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Basic d2ViOndlYi1zZWNyZXQ=\r\n\r\n\
         c\r\ntoken=at-4&x\r\n",
    );
    let limit = Limits::default().body_bytes;
    // One byte more than fits, and no end: it must be answered all the same.
    let rest = limit - "token=at-4&x".len() + 1;
    connection.write(format!("{rest:x}\r\n{}\r\n", "x".repeat(rest)));
    connection.answer().assert_error(413, "invalid_request");
    server.assert_alive(&["at-4"]);
}

#[test]
fn a_body_that_breaks_off_revokes_nothing() {
    let server = Server::start("standard");
    let whole = form("/revoke", &[BASIC], "token=at-4&token_type_hint=access_token");
    let cut = whole.find("&token_type_hint").unwrap();
    let mut connection = server.connect();
    connection.write(&whole.as_bytes()[..cut]);
    let answered = connection.finish();
    assert!(!answered.starts_with(b"HTTP/1.1 200"));
    server.assert_alive(&["at-4", "rt-4"]);
}

#[test]
fn r7009_03_every_other_method_is_405() {
    let server = Server::start("standard");
    for path in ["/revoke", "/logout", "/introspect"] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "post"] {
            let bytes = request(method, path, &[BASIC], "token=at-4&refresh_token=rt-4");
            let answer = server.send(bytes);
            answer.assert_error(405, "invalid_request");
            assert_eq!(answer.header("allow"), Some("POST, OPTIONS"), "{method}");
        }
        let mut connection = server.connect();
        connection.write(request("HEAD", path, &[BASIC], ""));
        let answer = connection.answer_to_head();
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST, OPTIONS")));
        // No body came: the next answer begins where it should.
        connection.write(request("GET", "/healthz", &[], ""));
        assert_eq!(connection.answer().status, 200);
    }
    server.assert_alive(&["at-4", "rt-4"]);
}

#[test]
fn r7009_12_the_query_string_carries_no_token() {
    let server = Server::start("standard");
    let answer = server.post("/revoke?token=at-2", &[], "client_id=spa");
    answer.assert_error(400, "invalid_request");
    let answer = server.post("/revoke?client_id=spa", &[], "token=at-2");
    answer.assert_error(401, "invalid_client");
    server.assert_alive(&["at-2"]);
}

#[test]
fn r7009_50_a_preflight_from_a_registered_origin() {
    let server = Server::start("standard");
    let asks = |origin| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization"),
        ];
        server.send(request("OPTIONS", "/revoke", &headers, ""))
    };
    let answer = asks("http://127.0.0.1:3000");
    answer.assert_empty(204);
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some("http://127.0.0.1:3000"));
    let methods = answer.header("access-control-allow-methods");
    assert_eq!(methods, Some("POST"));
    let headers = answer.header("access-control-allow-headers").unwrap();
    assert!(headers.contains("authorization"), "{headers}");
    assert_eq!(answer.header("vary"), Some("Origin"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    for stranger in ["http://127.0.0.1:3001", "https://127.0.0.1:3000", "null"] {
        let answer = asks(stranger);
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
}

#[test]
fn r7009_51_a_page_can_read_errors_too() {
    let server = Server::start("standard");
    let bodies = [
        ("token=at-2&client_id=spa", 200),
        ("client_id=spa", 400),
        ("token=at-2&client_id=nobody", 401),
    ];
    for (body, status) in bodies {
        let answer = server.post("/revoke", &[ORIGIN], body);
        assert_eq!(answer.status, status);
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some("http://127.0.0.1:3000"), "{body}");
    }
}

#[test]
fn cli_09_two_authorization_headers_are_refused() {
    let server = Server::start("standard");
    let answer = server.post("/revoke", &[BASIC, BASIC], "token=at-4");
    answer.assert_error(400, "invalid_request");
    server.assert_alive(&["at-4"]);
}

#[test]
fn garbage_harms_nobody() {
    let server = Server::start("standard");
    let long_header = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let two_lengths = "POST /revoke HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 10\r\n\r\ntoken=at-4";
    let smuggled =
        "POST /revoke HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: x\r\n\r\n";
    let garbage: [&[u8]; 9] = [
        b"\0\0\0\0\0\0\0\0",
        // The beginning of a TLS handshake.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /revoke HTTP/9.9\r\n\r\n",
        b"POST /revoke HTTP/1.1\r\nContent-Length: -1\r\n\r\ntoken=at-4",
        b"POST  /revoke\r\n\r\n",
        long_header.as_bytes(),
        two_lengths.as_bytes(),
        smuggled.as_bytes(),
    ];
    for bytes in garbage {
        let mut connection = server.connect();
        connection.try_write(bytes);
        let answered = connection.finish();
        assert!(!answered.starts_with(b"HTTP/1.1 200"));
        assert!(!answered.starts_with(b"HTTP/1.1 5"));
    }
    // Nobody who is half way through a request keeps others from being served.
    let mut stuck = server.connect();
    stuck.write("POST /revoke HTTP/1.1\r\nHost:");
    assert_eq!(server.get("/healthz", &[]).status, 200);
    server.assert_alive(&["at-1", "rt-1", "at-2", "rt-2", "at-4", "rt-4"]);
}

#[test]
fn undecodable_bodies_are_400_and_never_echoed() {
    let server = Server::start("standard");
    let bodies: [&[u8]; 4] =
        [b"token=%zz-needle", b"token=%", b"token=\xff\xfe-needle", b"token=needle&token=needle"];
    for body in bodies {
        let head = form("/revoke", &[BASIC], "");
        let head = head.replace("Content-Length: 0", &format!("Content-Length: {}", body.len()));
        let answer = server.send([head.as_bytes(), body].concat());
        answer.assert_error(400, "invalid_request");
        assert!(!answer.text().contains("needle"));
    }
}
