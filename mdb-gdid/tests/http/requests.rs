//! The server against requests byte for byte, above all those that no client of ours would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Gated, Memory, PATIENCE, Server, TOKEN, options};

/// Sends bytes on a connection of its own, and reads until the server closes it.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer));
    read.await.unwrap().unwrap();
    answer
}

/// The status and body of the answer to a request with a token.
async fn ask(address: SocketAddr, request_line: &str, body: &str) -> (u16, String) {
    let length = body.len();
    let request = format!(
        "{request_line} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    parts(&raw(address, &request).await)
}

fn parts(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

fn code(body: &str) -> String {
    let error: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(error["error"].as_str().unwrap().len() > 10, "{error}");
    error["code"].as_str().unwrap().to_owned()
}

const BLOCK: &str = "POST /gdid/v1/block";

fn block(size: &str) -> String {
    format!(r#"{{"scope":"shop.main","sequence":"user","size":{size}}}"#)
}

#[tokio::test]
async fn the_protocol_byte_for_byte() {
    let server = Server::start(Memory::new(3)).await;
    let address = server.address();
    let answer = ask(address, BLOCK, &block("100")).await;
    assert_eq!(answer, (200, r#"{"first":"0:3:1","count":100}"#.to_owned()));

    let with_attempt = r#"{"scope":"Shop.Main","sequence":"User","size":1,"attempt":"x"}"#;
    let answer = ask(address, BLOCK, with_attempt).await;
    let expected = r#"{"first":"0:3:101","count":1,"attempt":"x"}"#;
    assert_eq!(answer, (200, expected.to_owned()), "names in any case");

    let floor = r#"{"scope":"shop.main","sequence":"user","floor":"0:0:250000"}"#;
    let (status, body) = ask(address, "POST /gdid/v1/floor", floor).await;
    assert_eq!(status, 200);
    let start =
        r#"{"authorities":[{"last":"0:3:249999","blocks":2,"outstanding":2,"lapses_after_ms":"#;
    assert!(body.starts_with(start), "{body}");
    assert!(body.ends_with(r#","notes":[]}]}"#), "{body}");

    let unused = "GET /gdid/v1/status?scope=shop.main&sequence=unused";
    let expected = r#"{"authorities":[{"last":"0:3:0","blocks":0,"outstanding":0,"lapses_after_ms":0,"notes":[]}]}"#;
    assert_eq!(ask(address, unused, "").await, (200, expected.to_owned()));
    let (_, body) = ask(address, &format!("{unused}&attempt=x"), "").await;
    assert!(body.ends_with(r#""notes":[]}],"attempt":"x"}"#), "{body}");
}

#[tokio::test]
async fn sizes_above_1024_become_1024() {
    let server = Server::start(Memory::new(0)).await;
    let mut first = 1;
    for (size, count) in [
        ("1", 1),
        ("1024", 1024),
        ("1025", 1024),
        ("4294967295", 1024),
    ] {
        let answer = ask(server.address(), BLOCK, &block(size)).await;
        let expected = format!(r#"{{"first":"0:0:{first}","count":{count}}}"#);
        assert_eq!(answer, (200, expected), "{size}");
        first += count;
    }
}

#[tokio::test]
async fn bad_requests_take_no_ids() {
    let memory = Memory::new(0);
    let server = Server::start(memory.clone()).await;
    let address = server.address();
    let refused = async |request_line: &str, body: &str, status: u16, expected: &str| {
        let (found, answer) = ask(address, request_line, body).await;
        let context = format!("{request_line} {body}: {answer}");
        assert_eq!(found, status, "{context}");
        assert_eq!(code(&answer), expected, "{context}");
    };
    let sizes = [
        "0",
        "-1",
        "4294967296",
        "18446744073709551616",
        "1.5",
        "1e3",
        "\"8\"",
        "null",
        "true",
        "[]",
        "",
    ];
    for size in sizes {
        refused(BLOCK, &block(size), 400, "bad_request").await;
    }
    let long = "x".repeat(81);
    for name in [
        "",
        "a/b",
        "../a",
        "a b",
        ".a",
        "a-",
        "grün",
        "a\\u0000b",
        &long,
    ] {
        for (scope, sequence) in [(name, "user"), ("shop", name)] {
            let body = format!(r#"{{"scope":"{scope}","sequence":"{sequence}","size":1}}"#);
            refused(BLOCK, &body, 400, "bad_request").await;
        }
    }
    let attempt = format!(r#"{{"scope":"s","sequence":"s","size":1,"attempt":"{long}"}}"#);
    let unknown = r#"{"scope":"s","sequence":"s","size":1,"vicinity":7}"#;
    for body in [
        "",
        "{",
        "[]",
        "7",
        r#"{"scope":"s","sequence":"s"}"#,
        &attempt,
        unknown,
    ] {
        refused(BLOCK, body, 400, "bad_request").await;
    }
    for floor in [
        "",
        "1",
        "0:1:5",
        "0:0:1152921504606846976",
        "4294967296:0:0",
        "-1:0:0",
    ] {
        let body = format!(r#"{{"scope":"s","sequence":"s","floor":"{floor}"}}"#);
        refused("POST /gdid/v1/floor", &body, 400, "bad_request").await;
    }
    let long_attempt = format!("?scope=s&sequence=t&attempt={long}");
    for query in [
        &long_attempt,
        "",
        "?scope=s",
        "?scope=s&sequence=a%2Fb",
        "?scope=s&sequence=t&x=y",
    ] {
        refused(
            &format!("GET /gdid/v1/status{query}"),
            "",
            400,
            "bad_request",
        )
        .await;
    }
    refused("GET /", "", 404, "not_found").await;
    refused("POST /gdid/v2/block", &block("1"), 404, "not_found").await;
    refused("GET /gdid/v1/block", "", 405, "method_not_allowed").await;
    refused("POST /health", "", 405, "method_not_allowed").await;
    let long_body = block(&"1".repeat(5_000));
    refused(BLOCK, &long_body, 413, "too_large").await;
    assert_eq!(memory.blocks(), 0);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_bounded_too() {
    let server = Server::start(Memory::new(0)).await;
    let chunk = format!("400\r\n{}\r\n", " ".repeat(1024)).repeat(8);
    let request = format!(
        "{BLOCK} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunk}0\r\n\r\n"
    );
    let (status, body) = parts(&raw(server.address(), &request).await);
    assert_eq!((status, code(&body).as_str()), (413, "too_large"));
}

#[tokio::test]
async fn without_the_token_there_is_no_answer() {
    let memory = Memory::new(0);
    let server = Server::start(memory.clone()).await;
    let body = block("1");
    for authorization in [
        String::new(),
        "authorization: Bearer another-token-altogether\r\n".to_owned(),
        format!("authorization: Basic {TOKEN}\r\n"),
        format!("authorization: Bearer {TOKEN}\r\nauthorization: Bearer {TOKEN}\r\n"),
        format!("x-token: Bearer {TOKEN}\r\n"),
    ] {
        for request_line in [BLOCK, "POST /gdid/v1/floor", "GET /gdid/v1/status"] {
            let request = format!(
                "{request_line} HTTP/1.1\r\nhost: a\r\n{authorization}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            let answer = raw(server.address(), &request).await;
            let (status, body) = parts(&answer);
            assert_eq!(
                (status, code(&body).as_str()),
                (401, "unauthorized"),
                "{request}"
            );
            assert!(answer.contains("www-authenticate: Bearer\r\n"), "{answer}");
            assert!(!answer.contains(TOKEN), "{answer}");
        }
    }
    assert_eq!(memory.blocks(), 0);
}

#[tokio::test]
async fn health_and_counts_need_no_token_and_name_nothing() {
    let server = Server::start(Memory::new(0)).await;
    let address = server.address();
    ask(address, BLOCK, &block("7")).await;
    ask(address, BLOCK, &block("0")).await;
    let get = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        parts(&raw(address, &request).await)
    };
    assert_eq!(get("/health").await, (200, r#"{"health":"ok"}"#.to_owned()));
    let (status, counts) = get("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "mdb_gdid_requests_total{operation=\"block\",outcome=\"ok\"} 1\n",
        "mdb_gdid_requests_total{operation=\"block\",outcome=\"bad_request\"} 1\n",
        "mdb_gdid_request_duration_seconds_count{operation=\"block\"} 2\n",
        "mdb_gdid_ids_total 7\n",
        "# EOF\n",
    ] {
        assert!(counts.contains(line), "{line} is not in {counts}");
    }
    assert!(!counts.to_lowercase().contains("shop"), "{counts}");
    let only_this_one = async {
        while !get("/metrics").await.1.contains("mdb_gdid_connections 1\n") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, only_this_one).await.unwrap();
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_closed() {
    let options = options().with_head_timeout(Duration::from_millis(50));
    let server = Server::start_with(Memory::new(0), options).await;
    let address = server.address();
    let closed = async {
        for beginning in ["", "POST /gdid/v1/block HTTP/1.1\r\nhost: a\r\nautho"] {
            let answer = raw(address, beginning).await;
            assert!(answer.is_empty() || answer.contains(" 408 "), "{answer}");
        }
        // An answered request does not keep the connection either.
        let answer = raw(address, "GET /health HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(answer.contains(" 200 "), "{answer}");
    };
    // Less than hyper's own limit, which is 30 s.
    tokio::time::timeout(Duration::from_secs(25), closed)
        .await
        .unwrap();
}

#[tokio::test]
async fn slow_bodies_and_slow_sources_time_out() {
    let gated = Gated::new(0);
    let options = options().with_request_timeout(Duration::from_millis(50));
    let server = Server::start_with(gated.clone(), options).await;
    let cut = format!(
        "{BLOCK} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 60\r\nconnection: close\r\n\r\n{{\"sc"
    );
    let (status, body) = parts(&raw(server.address(), &cut).await);
    assert_eq!((status, code(&body).as_str()), (503, "timed_out"));
    assert_eq!(gated.memory.blocks(), 0);

    let (status, body) = ask(server.address(), BLOCK, &block("1")).await;
    assert_eq!((status, code(&body).as_str()), (503, "timed_out"));
    assert_eq!(gated.memory.blocks(), 1, "its ids are lost");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait() {
    let gated = Gated::new(0);
    let server = Server::start_with(gated.clone(), options().with_max_connections(2)).await;
    let address = server.address();
    let ask_one = move || tokio::spawn(async move { ask(address, BLOCK, &block("1")).await });
    let asked = [ask_one(), ask_one(), ask_one(), ask_one()];
    gated.wait_entered(2).await;
    assert_eq!(gated.memory.blocks(), 2, "the others are not even accepted");
    gated.gate.add_permits(4);
    for asked in asked {
        assert_eq!(asked.await.unwrap().0, 200);
    }
}
