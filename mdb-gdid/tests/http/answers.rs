//! The client against answers that no server of ours would send, and errors on their way.

use std::net::SocketAddr;
use std::sync::Arc;

use mdb_gdid::{
    AdvanceError, AllocateFuture, AuthorityError, AuthorityId, BlockSize, BlockSource, Gdid,
    HttpAuthorities, Place, RangeKey, ScopeName, SequenceName, SequenceState, StatusFuture,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{
    Memory, Server, TOKEN, allocate, chain, client, client_of, ids, raise, scope, sequence, status,
};

/// A server that gives the same answer to each request; `{attempt}` in it is the request's.
async fn scripted(status: &str, body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (status, body) = (status.to_owned(), body.to_owned());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            // What is posted ends with its attempt.
            let whole = |request: &[u8]| {
                request.ends_with(b"}")
                    || request.starts_with(b"GET") && request.ends_with(b"\r\n\r\n")
            };
            while !whole(&request) {
                stream.read_buf(&mut request).await.unwrap();
            }
            let request = String::from_utf8(request).unwrap();
            let attempt = request.rsplit(r#""attempt":""#).next().unwrap();
            let attempt = attempt.trim_end_matches("\"}");
            let body = body.replace("{attempt}", attempt);
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            // Whoever does not want a long answer hangs up.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

async fn block_error(status: &str, body: &str) -> AuthorityError {
    let client = client(&[scripted(status, body).await]);
    allocate(&client, 10).await.unwrap_err()
}

fn block(first: &str, count: &str) -> String {
    format!(r#"{{"first":"{first}","count":{count},"attempt":"{{attempt}}"}}"#)
}

#[tokio::test]
async fn a_right_answer_with_something_new_in_it_is_taken() {
    let body = r#"{"first":"0:0:7","count":10,"attempt":"{attempt}","new":[1]}"#;
    let client = client(&[scripted("200 OK", body).await]);
    let found = allocate(&client, 10).await.unwrap();
    assert_eq!(
        (found.first(), found.count()),
        (Gdid::new(0, 0, 7).unwrap(), 10)
    );
}

#[tokio::test]
async fn blocks_that_can_not_be_are_refused() {
    let beyond = Gdid::MAX_COUNTER - 8;
    for body in [
        block("0:0:1", "0"),
        block("0:0:1", "11"),
        block("0:0:1", "65536"),
        block("0:0:1", "-1"),
        block("0:0:0", "1"),
        block("0:16:1", "1"),
        block(&format!("0:0:{beyond}"), "10"),
        block("4294967295:0:1", "1"),
        block("0:9:1", "1"),
        r#"{"first":"0:0:1","count":1}"#.to_owned(),
        r#"{"first":"0:0:1","count":1,"attempt":"0000000000000000"}"#.to_owned(),
        r#"{"count":1,"attempt":"{attempt}"}"#.to_owned(),
        "<html>Welcome to the hotel's network</html>".to_owned(),
        String::new(),
    ] {
        let error = block_error("200 OK", &body).await;
        assert!(
            matches!(error, AuthorityError::Refused { .. }),
            "{body}: {error:?}"
        );
        assert!(!error.is_transient());
    }
    let foreign = chain(&block_error("200 OK", &block("0:9:1", "1")).await);
    assert!(
        foreign.contains("authority 9, which is not one"),
        "{foreign}"
    );
}

#[tokio::test]
async fn statuses_that_no_server_of_ours_sends() {
    for (status, transient) in [
        ("302 Found", false),
        ("204 No Content", false),
        ("403 Forbidden", false),
        ("404 Not Found", false),
        ("408 Request Timeout", true),
        ("429 Too Many Requests", true),
        ("500 Internal Server Error", true),
        ("502 Bad Gateway", true),
    ] {
        let error = block_error(status, "").await;
        assert_eq!(error.is_transient(), transient, "{status}: {error:?}");
        let refused = matches!(error, AuthorityError::Refused { .. });
        assert_eq!(refused, !transient, "{status}: {error:?}");
        assert!(chain(&error).contains(&status[..3]), "{}", chain(&error));
    }
    let error = block_error(
        "400 Bad Request",
        "{\"error\":\"a\\u001b[31m\",\"code\":\"no_such\"}",
    );
    let error = chain(&error.await);
    assert!(error.ends_with("it answered 400: a [31m"), "{error}");
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    let error = block_error("200 OK", &" ".repeat(300_000)).await;
    assert!(
        matches!(error, AuthorityError::Unavailable { .. }),
        "{error:?}"
    );
    assert!(chain(&error).contains("longer than"), "{}", chain(&error));
}

#[tokio::test]
async fn a_floor_has_to_be_confirmed_for_each_authority() {
    let told = |last: &str, attempt: &str| {
        let authority =
            format!(r#"{{"last":"{last}","blocks":0,"outstanding":0,"lapses_after_ms":0}}"#);
        format!(r#"{{"authorities":[{authority}],"attempt":"{attempt}"}}"#)
    };
    for (body, why) in [
        (told("0:0:98", "{attempt}"), "still below the floor"),
        (told("0:5:99", "{attempt}"), "answers for authority 5"),
        (told("0:0:99", "0f"), "an answer to another request"),
        (
            r#"{"authorities":[],"attempt":"{attempt}"}"#.to_owned(),
            "no authority",
        ),
    ] {
        let client = client_of(0, &[scripted("200 OK", &body).await]);
        let error = raise(&client, 100).await.unwrap_err();
        assert!(matches!(error, AuthorityError::Refused { .. }), "{error:?}");
        assert!(chain(&error).contains(why), "{}", chain(&error));
    }
    let only_0 = scripted("200 OK", &told("0:0:99", "{attempt}")).await;
    assert!(raise(&client_of(0, &[only_0]), 100).await.is_ok());
    let error = raise(&client(&[only_0]), 100).await.unwrap_err();
    assert!(chain(&error).contains("none of the hosts has confirmed authority 1"));
}

#[tokio::test]
async fn a_status_that_is_an_answer_to_another_request_is_refused() {
    let body =
        r#"{"authorities":[{"last":"0:0:9","blocks":1,"outstanding":0,"lapses_after_ms":0}]}"#;
    let error = status(&client(&[scripted("200 OK", body).await]))
        .await
        .unwrap_err();
    assert!(matches!(error, AuthorityError::Refused { .. }), "{error:?}");
}

/// Fails in one way.
#[derive(Debug)]
struct Failing(AuthorityError);

impl BlockSource for Failing {
    fn allocate<'a>(
        &'a self,
        _: &'a ScopeName,
        _: &'a SequenceName,
        _: BlockSize,
    ) -> AllocateFuture<'a> {
        Box::pin(async { Err(self.0.clone()) })
    }

    fn raise<'a>(&'a self, _: &'a ScopeName, _: &'a SequenceName, _: RangeKey) -> StatusFuture<'a> {
        Box::pin(async { Err(self.0.clone()) })
    }

    fn status<'a>(&'a self, _: &'a ScopeName, _: &'a SequenceName) -> StatusFuture<'a> {
        Box::pin(async { Err(self.0.clone()) })
    }
}

#[tokio::test]
async fn errors_of_the_authority_arrive_as_what_they_are() {
    let (place, sequence) = (Place::new("the disks"), sequence());
    let source = || mdb_gdid::Cause::from("a file of the server's machine");
    let unavailable = AuthorityError::Unavailable {
        place: place.clone(),
        sequence: sequence.clone(),
        source: source(),
    };
    let corrupt = AuthorityError::Corrupt {
        place: place.clone(),
        sequence: sequence.clone(),
        source: source(),
    };
    let all_failed = |failures: [&AuthorityError; 2]| AuthorityError::AllFailed {
        sequence: sequence.clone(),
        source: Box::new(failures[0].clone()),
        failures: failures.map(Clone::clone).into(),
    };
    let errors = [
        unavailable.clone(),
        corrupt.clone(),
        AuthorityError::Exhausted {
            place: place.clone(),
            sequence: sequence.clone(),
            source: AdvanceError::ErasExhausted { era: 7 },
        },
        AuthorityError::WentBack {
            place: place.clone(),
            authority: AuthorityId::new(3).unwrap(),
            sequence: sequence.clone(),
            found: RangeKey::new(0, 5).unwrap(),
            seen: RangeKey::new(1, 6).unwrap(),
        },
        AuthorityError::Closed {
            place: place.clone(),
            sequence: sequence.clone(),
            source: source(),
        },
        AuthorityError::Refused {
            place: place.clone(),
            sequence: sequence.clone(),
            source: source(),
        },
    ];
    let passed_on = async |error: AuthorityError| {
        let server = Server::start(Arc::new(Failing(error))).await;
        let client = client(&[server.address()]);
        let failures = [
            allocate(&client, 1).await.unwrap_err(),
            raise(&client, 1).await.unwrap_err(),
            status(&client).await.unwrap_err(),
        ];
        for failure in &failures {
            let told = chain(failure);
            assert!(told.contains(&server.address().to_string()), "{told}");
            assert!(!told.contains("a file of"), "{told}");
        }
        failures
    };
    for error in errors {
        let expected = std::mem::discriminant(&error);
        for found in passed_on(error).await {
            assert_eq!(std::mem::discriminant(&found), expected, "{found:?}");
            if let AuthorityError::WentBack {
                authority,
                found,
                seen,
                ..
            } = &found
            {
                let parts = (authority.get(), found.to_string(), seen.to_string());
                assert_eq!(parts, (3, "0:5".to_owned(), "1:6".to_owned()));
            }
            if let AuthorityError::Exhausted { source, .. } = &found {
                assert_eq!(*source, AdvanceError::ErasExhausted { era: 7 });
            }
        }
    }
    for found in passed_on(all_failed([&corrupt, &unavailable])).await {
        assert!(
            matches!(found, AuthorityError::Unavailable { .. }),
            "{found:?}"
        );
    }
    for found in passed_on(all_failed([&corrupt, &corrupt])).await {
        assert!(matches!(found, AuthorityError::Corrupt { .. }), "{found:?}");
    }
}

#[tokio::test]
async fn the_end_of_the_eras_is_told() {
    let end = SequenceState::new(SequenceState::LAST_ERA, Gdid::MAX_COUNTER).unwrap();
    let server = Server::start(Memory::at(0, end)).await;
    let error = allocate(&client(&[server.address()]), 1).await.unwrap_err();
    let AuthorityError::Exhausted { source, .. } = error else {
        panic!("{error:?}");
    };
    let era = SequenceState::LAST_ERA;
    assert_eq!(source, AdvanceError::ErasExhausted { era });
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_never_shown() {
    let server = Server::start(Memory::new(0)).await;
    let wrong = "another-token-altogether";
    let url = format!("http://{}", server.address()).parse().unwrap();
    let options = mdb_gdid::HttpOptions::new(vec![url], ids(&[0]), wrong.into())
        .with_place(Place::new("here"));
    let shown = format!("{options:?}");
    assert!(!shown.contains(wrong), "{shown}");
    let client = HttpAuthorities::new(options).unwrap();
    let error = client
        .allocate(&scope(), &sequence(), BlockSize::MAX)
        .await
        .unwrap_err();
    assert!(matches!(error, AuthorityError::Refused { .. }), "{error:?}");
    let told = chain(&error);
    let expected = format!(
        "here (http://{}) refused what it was asked about sequence `user`: it answered 401: a token",
        server.address()
    );
    assert!(told.starts_with(&expected), "{told}");
    let shown = format!("{client:?} {error:?} {told}");
    assert!(!shown.contains(wrong) && !shown.contains(TOKEN), "{shown}");
}
