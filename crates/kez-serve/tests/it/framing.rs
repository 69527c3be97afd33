//! Requests whose borders others may see elsewhere, and heads that are too much.

use tokio::io::AsyncWriteExt as _;

use crate::support::{Answer, Setup, until_closed};

const SMUGGLED: &str = "GET /hello HTTP/1.1\r\nHost: smuggled\r\n\r\n";

/// Each is refused with 400 and the connection closed: whatever follows is never read as a request.
#[tokio::test]
async fn smuggling_shapes_are_refused() {
    let server = Setup::default().start();
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let get = "GET /hello HTTP/1.1\r\nHost: a\r\n";
    let shapes = [
        (
            "length, then chunked",
            format!("{post}Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunked, then length",
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n"),
        ),
        ("two lengths", format!("{post}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}")),
        ("a length twice", format!("{post}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}")),
        ("a list of lengths", format!("{post}Content-Length: 2, 2\r\n\r\n{{}}")),
        ("a signed length", format!("{post}Content-Length: +2\r\n\r\n{{}}")),
        ("a hexadecimal length", format!("{post}Content-Length: 0x2\r\n\r\n{{}}")),
        ("a length with a leading zero", format!("{post}Content-Length: 02\r\n\r\n{{}}")),
        ("a length of 20 digits", format!("{post}Content-Length: 10000000000000000000\r\n\r\n{{}}")),
        ("a length far to the right", format!("{post}Content-Length: {}2\r\n\r\n{{}}", " ".repeat(60))),
        ("chunked far to the right", format!("{post}Transfer-Encoding:{}chunked\r\n\r\n", " ".repeat(60))),
        ("an empty length", format!("{post}Content-Length:\r\n\r\n{{}}")),
        ("a length beyond 2^64", format!("{post}Content-Length: 18446744073709551618\r\n\r\n{{}}")),
        ("a length with a space before its colon", format!("{post}Content-Length : 2\r\n\r\n{{}}")),
        ("chunked, not last", format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")),
        ("gzip, chunked", format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
        (
            "chunked twice",
            format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        ("xchunked", format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")),
        ("chunked after a vertical tab", format!("{post}Transfer-Encoding:\u{b}chunked\r\n\r\n0\r\n\r\n")),
        (
            "a coding with a space before its colon",
            format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "chunked in HTTP/1.0",
            post.replace("HTTP/1.1", "HTTP/1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("a bad chunk size", format!("{post}Transfer-Encoding: chunked\r\n\r\n0x1\r\n{{\r\n0\r\n\r\n")),
        (
            "a chunk size beyond 2^64",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n"),
        ),
        ("a chunk size ended by LF", format!("{post}Transfer-Encoding: chunked\r\n\r\n2\n{{}}\r\n0\r\n\r\n")),
        (
            "a chunk longer than its size",
            format!("{post}Transfer-Encoding: chunked\r\n\r\n1\r\n{{}}\r\n0\r\n\r\n"),
        ),
        ("a folded line", format!("{get}X-A: b\r\n folded\r\n\r\n")),
        ("a folded first line", "GET /hello HTTP/1.1\r\n Host: a\r\n\r\n".to_owned()),
        ("bare LF", "GET /hello HTTP/1.1\nHost: a\n\n".to_owned()),
        ("one bare LF", format!("{get}X-A: b\n\r\n")),
        ("a bare LF at the end", format!("{get}\n")),
        ("a bare CR in a value", format!("{get}X-A: b\rX-B: c\r\n\r\n")),
        ("a NUL in a value", format!("{get}X-A: b\0\r\n\r\n")),
        ("a space in a name", format!("{get}X A: b\r\n\r\n")),
        ("a line without a colon", format!("{get}X-A\r\n\r\n")),
        ("an empty name", format!("{get}: b\r\n\r\n")),
        ("no host", "GET /hello HTTP/1.1\r\n\r\n".to_owned()),
        ("two hosts", format!("{get}Host: b\r\n\r\n")),
        ("a space in the target", "GET /hel lo HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("a version of the future", "GET /hello HTTP/3.0\r\nHost: a\r\n\r\n".to_owned()),
        ("no version", "GET /hello\r\n\r\n".to_owned()),
        ("no method", " /hello HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\r\n\r\n".to_owned()),
    ];
    for (what, bytes) in shapes {
        let said = server.say(bytes + SMUGGLED).await;
        assert_eq!(said.matches("x-request-id: ").count(), 1, "{what}: {said}");
        let answer = Answer::parse(&said);
        assert_eq!(answer.status, 400, "{what}: {said}");
        answer.expect_problem(400, "bad_request");
        assert_eq!(answer.header("connection"), Some("close"), "{what}: {said}");
    }
}

/// What decides about the borders of messages is judged as a whole, however it arrives.
#[tokio::test]
async fn a_length_in_two_pieces_hides_no_request_behind_it() {
    let server = Setup::default().start();
    let mut stream = server.connect().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ";
    stream.write_all(format!("{head}{}", "0".repeat(60)).as_bytes()).await.unwrap();
    server.ask("GET /hello", "", "").await; // meanwhile the first piece is read
    // A body that looks like the head of a request with a long body, which would swallow what is behind it.
    let body = "first-line-of-a-head\r\nContent-Length: 9999\r\n\r\n";
    let length = body.len();
    let behind = "GET /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(format!("{length}\r\n\r\n{body}{behind}0\r\n\r\n").as_bytes()).await.unwrap();
    let said = until_closed(&mut stream).await;
    assert_eq!(said.matches("x-request-id: ").count(), 1, "{said}");
    Answer::parse(&said).expect_problem(400, "bad_request");
}

#[tokio::test]
async fn http_2_without_asking_is_closed() {
    let server = Setup::default().start();
    let said = server.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(!said.contains(" 200 "), "{said}");
}

#[tokio::test]
async fn a_good_request_after_another_is_read_where_the_first_ended() {
    let server = Setup::default().start();
    let first =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n";
    let body = "\"\n\nContent-Length: 1\n\n    \"";
    assert_eq!(body.len(), 27);
    let second = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let said = server.say(format!("{first}{body}{second}")).await;
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
    assert!(said.contains(body) && said.ends_with("hello"), "{said}");
}

#[tokio::test]
async fn a_chunked_body_is_read_and_is_the_last_of_its_connection() {
    let server = Setup::default().start();
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let chunked = "Transfer-Encoding: Chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nX-Trailer: z\r\n\r\n";
    let said = server.say(format!("{post}{chunked}{SMUGGLED}")).await;
    let answer = Answer::parse(&said);
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"), "{said}");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn too_much_head_is_refused() {
    let server = Setup::default().start();
    let long = "x".repeat(20 * 1024);
    server
        .ask("GET /hello", &format!("X-Long: {long}\r\n"), "")
        .await
        .expect_problem(431, "headers_too_large");
    let unended = Answer::parse(&server.say(format!("GET /hello HTTP/1.1\r\nX-Long: {long}")).await);
    unended.expect_problem(431, "headers_too_large");
    let many = "X-Many: 1\r\n".repeat(63);
    server.ask("GET /hello", &many, "").await.expect_problem(431, "headers_too_large");
    let many = "X-Many: 1\r\n".repeat(62);
    assert_eq!(server.ask("GET /hello", &many, "").await.status, 200);
}

#[tokio::test]
async fn too_long_a_target_is_refused() {
    let server = Setup::default().start();
    let target = |bytes: usize| format!("GET /hello?{}", "q".repeat(bytes - "/hello?".len()));
    assert_eq!(server.ask(&target(4 * 1024), "", "").await.status, 200);
    server.ask(&target(4 * 1024 + 1), "", "").await.expect_problem(414, "uri_too_long");
}

#[tokio::test]
async fn a_head_limit_below_what_hyper_can_do_is_raised() {
    let server = Setup::limits(|limits| limits.head_bytes_max = 1).start();
    assert_eq!(server.ask("GET /hello", "", "").await.status, 200);
}
