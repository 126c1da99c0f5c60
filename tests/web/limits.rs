//! Rude, slow and many clients.

use std::sync::Arc;
use std::time::Duration;

use jdcloud_cdn_exporter::exposition::{Format, WindowsText};
use jdcloud_cdn_exporter::web::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::{
    PATIENCE, TestSite, WEEK_END, connect, header, response, send, start, status, until_closed, week, within,
};

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
/// A bound that a test wants to see reached.
const SHORT: Duration = Duration::from_millis(200);
/// 64 MiB, more than any socket buffer holds.
const LARGE: usize = 1_024;

#[tokio::test]
async fn a_connection_serves_many_requests_and_head_is_get_without_body() {
    let server = start(TestSite::default(), Limits::default(), None);
    let mut stream = connect(server.address).await;
    for _ in 0..3 {
        send(&mut stream, GET).await;
        let (get, body) = response(&mut stream, true).await;
        assert!(get.starts_with("http/1.1 200 "), "{get}");
        assert_eq!(body, b"up 1\n");
        send(&mut stream, &GET.replace("GET", "HEAD")).await;
        let (head, _) = response(&mut stream, false).await;
        let without_date = |head: &str| {
            head.lines()
                .filter(|line| !line.starts_with("date:"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(without_date(&head), without_date(&get));
    }
    // Pipelined requests are answered in turn.
    send(&mut stream, &format!("{GET}{GET}")).await;
    assert_eq!(response(&mut stream, true).await.1, b"up 1\n");
    assert_eq!(response(&mut stream, true).await.1, b"up 1\n");
}

#[tokio::test]
async fn other_methods_and_paths() {
    let server = start(TestSite::default(), Limits::default(), None);
    for (request, expected, allow) in [
        ("POST /metrics", "405", Some("get, head")),
        ("GET /-/reload", "405", Some("post, put")),
        ("GET /nothing", "404", None),
        ("GET http://x/-/healthy", "200", None),
        ("GET /-/healthy?a=b", "200", None),
    ] {
        let mut stream = connect(server.address).await;
        send(&mut stream, &format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let (head, _) = response(&mut stream, true).await;
        assert_eq!(head.split(' ').nth(1), Some(expected), "{request}");
        assert_eq!(header(&head, "allow"), allow, "{request}");
    }
}

#[tokio::test]
async fn heads_that_never_end_are_cut_off() {
    let server = start(
        TestSite::default(),
        Limits {
            head: SHORT,
            ..Limits::default()
        },
        None,
    );
    for beginning in ["", "GET /metrics HTTP/1.1\r\nX-Slow: "] {
        let started = Instant::now();
        let (mut reader, mut writer) = connect(server.address).await.into_split();
        within(writer.write_all(beginning.as_bytes())).await.unwrap();
        // One byte every now and then must not prolong it.
        let drip = async {
            while beginning.is_empty() || writer.write_all(b"a").await.is_ok() {
                tokio::time::sleep(SHORT / 10).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            got = until_closed(&mut reader) => assert_eq!(got, b"", "{beginning}"),
            () = drip => {}
        }
        assert!(started.elapsed() >= SHORT, "{beginning}: closed too early");
    }
}

#[tokio::test]
async fn a_second_request_that_drips_is_cut_off_but_an_idle_connection_stays() {
    let server = start(
        TestSite::default(),
        Limits {
            head: SHORT,
            ..Limits::default()
        },
        None,
    );
    let mut idle = connect(server.address).await;
    send(&mut idle, GET).await;
    response(&mut idle, true).await;
    let mut dripping = connect(server.address).await;
    send(&mut dripping, GET).await;
    response(&mut dripping, true).await;
    send(&mut dripping, "GET /me").await;
    assert_eq!(until_closed(&mut dripping).await, b"");
    // The idle one is older and still served.
    send(&mut idle, GET).await;
    assert_eq!(response(&mut idle, true).await.1, b"up 1\n");
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end() {
    let server = start(
        TestSite::default(),
        Limits {
            idle: SHORT,
            ..Limits::default()
        },
        None,
    );
    let mut stream = connect(server.address).await;
    send(&mut stream, GET).await;
    response(&mut stream, true).await;
    let idle_since = Instant::now();
    assert_eq!(until_closed(&mut stream).await, b"");
    assert!(idle_since.elapsed() >= SHORT / 2);
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let limits = Limits {
        head_bytes: 8_192,
        header_lines: 10,
        ..Limits::default()
    };
    let server = start(TestSite::default(), limits, None);
    for head in [
        format!("GET /metrics HTTP/1.1\r\nX-Large: {}\r\n\r\n", "a".repeat(20_000)),
        format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(11)),
    ] {
        let mut stream = connect(server.address).await;
        // The server may close while this is still being sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let got = String::from_utf8(until_closed(&mut stream).await).unwrap();
        assert!(got.is_empty() || got.starts_with("HTTP/1.1 431 "), "{got}");
    }
    assert_eq!(status(server.address, "/metrics").await, 200);
}

#[tokio::test]
async fn bodies_are_not_read() {
    let site = TestSite::default();
    site.go.notify_one();
    let server = start(site, Limits::default(), None);
    let mut stream = connect(server.address).await;
    send(
        &mut stream,
        "POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n",
    )
    .await;
    let (head, _) = response(&mut stream, true).await;
    assert!(head.starts_with("http/1.1 413 "), "{head}");
    until_closed(&mut stream).await;
    // One that is promised but never comes does not hold up the answer, nor does one without end.
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let mut stream = connect(server.address).await;
        send(
            &mut stream,
            &format!("POST /metrics HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"),
        )
        .await;
        let (head, _) = response(&mut stream, true).await;
        assert!(head.starts_with("http/1.1 405 "), "{head}");
        until_closed(&mut stream).await;
    }
}

#[tokio::test]
async fn a_reader_that_takes_a_byte_at_a_time_is_cut_off_and_delays_nobody() {
    let site = TestSite {
        pieces: LARGE,
        ..TestSite::default()
    };
    let server = start(
        site,
        Limits {
            response: SHORT,
            ..Limits::default()
        },
        None,
    );
    let mut slow = connect(server.address).await;
    send(&mut slow, GET).await;
    let mut taken = 0_usize;
    let cut_off = async {
        while let Ok(1..) = slow.read(&mut [0]).await {
            taken += 1;
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    // The bytes in the system's buffers would take a byte-wise reader for ever: once the server has
    // hung up, the rest is read at once.
    let health = async { assert_eq!(status(server.address, "/-/healthy").await, 200) };
    let _ = tokio::join!(tokio::time::timeout(SHORT * 3, cut_off), health);
    let rest = until_closed(&mut slow).await.len();
    assert!(
        taken + rest < LARGE * 64 * 1_024,
        "the whole page was delivered: {taken} + {rest}"
    );
}

#[tokio::test]
async fn a_reader_that_is_quick_gets_a_large_page_whole() {
    let site = TestSite {
        pieces: LARGE,
        ..TestSite::default()
    };
    let server = start(site, Limits::default(), None);
    let mut stream = connect(server.address).await;
    send(&mut stream, GET).await;
    assert_eq!(response(&mut stream, true).await.1.len(), LARGE * 64 * 1_024);
}

#[tokio::test]
async fn above_the_cap_the_longest_waiting_makes_room_and_health_is_answered() {
    let server = start(
        TestSite::default(),
        Limits {
            connections: 8,
            ..Limits::default()
        },
        None,
    );
    let mut oldest = connect(server.address).await;
    send(&mut oldest, GET).await;
    response(&mut oldest, true).await;
    let mut flood = Vec::new();
    for _ in 0..40 {
        let mut stream = connect(server.address).await;
        send(&mut stream, "GET /drip").await;
        flood.push(stream);
    }
    assert_eq!(
        until_closed(&mut oldest).await,
        b"",
        "the oldest idle connection was closed"
    );
    for _ in 0..5 {
        assert_eq!(status(server.address, "/-/healthy").await, 200);
        assert_eq!(status(server.address, "/metrics").await, 200);
    }
    assert_eq!(until_closed(&mut flood[0]).await, b"");
}

#[tokio::test]
async fn slow_readers_at_the_cap_make_room_too() {
    let site = TestSite {
        pieces: LARGE,
        ..TestSite::default()
    };
    let limits = Limits {
        connections: 4,
        response_grace: Duration::ZERO,
        ..Limits::default()
    };
    let server = start(site, limits, None);
    let mut readers = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(server.address).await;
        send(&mut stream, GET).await;
        // Its response has begun.
        within(stream.read_u8()).await.unwrap();
        readers.push(stream);
    }
    assert_eq!(status(server.address, "/-/healthy").await, 200);
}

#[tokio::test]
async fn a_panic_in_a_handler_ends_only_its_connection() {
    let site = TestSite {
        broken: true,
        ..TestSite::default()
    };
    let server = start(site, Limits::default(), None);
    let mut other = connect(server.address).await;
    send(&mut other, GET).await;
    response(&mut other, true).await;
    let mut stream = connect(server.address).await;
    send(&mut stream, "GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(until_closed(&mut stream).await, b"");
    send(&mut other, GET).await;
    assert_eq!(response(&mut other, true).await.1, b"up 1\n");
    assert_eq!(status(server.address, "/metrics").await, 200);
}

#[tokio::test]
async fn stopping_closes_what_waits_and_finishes_what_runs() {
    let site = TestSite::default();
    let server = start(site.clone(), Limits::default(), None);
    let mut fresh = connect(server.address).await;
    let mut half = connect(server.address).await;
    send(&mut half, "GET /me").await;
    let mut idle = connect(server.address).await;
    send(&mut idle, GET).await;
    response(&mut idle, true).await;
    let mut running = connect(server.address).await;
    send(&mut running, "POST /-/reload HTTP/1.1\r\nHost: x\r\n\r\n").await;
    within(site.begun.notified()).await;

    server.stop.cancel();
    for waiting in [&mut fresh, &mut half, &mut idle] {
        assert_eq!(until_closed(waiting).await, b"");
    }
    assert!(
        tokio::net::TcpStream::connect(server.address).await.is_err(),
        "nothing listens any more"
    );
    assert!(!server.ended.is_finished(), "the running response is waited for");
    site.go.notify_one();
    let (head, _) = response(&mut running, true).await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(header(&head, "connection"), Some("close"));
    within(server.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let site = TestSite::default();
    let server = start(
        site.clone(),
        Limits {
            drain: SHORT,
            ..Limits::default()
        },
        None,
    );
    let mut running = connect(server.address).await;
    send(&mut running, "POST /-/reload HTTP/1.1\r\nHost: x\r\n\r\n").await;
    within(site.begun.notified()).await;
    let stopped = Instant::now();
    server.stop.cancel();
    within(server.ended).await.unwrap().unwrap();
    assert!(stopped.elapsed() >= SHORT && stopped.elapsed() < PATIENCE);
    assert_eq!(until_closed(&mut running).await, b"");
}

/// Half a megabyte for each of so many domains: more than any socket buffer holds.
const DOMAINS: usize = 32;

#[tokio::test]
async fn windows_are_sent_in_chunks_while_they_are_made() {
    let site = TestSite {
        pieces: DOMAINS,
        ..TestSite::default()
    };
    let server = start(site, Limits::default(), None);
    let mut stream = connect(server.address).await;
    let get = "GET /windows HTTP/1.1\r\nHost: x\r\n\r\n";
    // On one connection, so each page must end properly.
    send(&mut stream, &get.replace("GET", "HEAD")).await;
    send(&mut stream, get).await;
    send(
        &mut stream,
        &get.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
    )
    .await;
    let all = String::from_utf8(until_closed(&mut stream).await).unwrap();
    let heads: Vec<_> = all
        .match_indices("HTTP/1.1 200 OK")
        .map(|(place, _)| place)
        .collect();
    let [head, first, second] = heads[..] else {
        panic!("{heads:?}")
    };
    assert!(!all[head..first].contains("jdcloud_cdn_window"));
    for response in [&all[first..second], &all[second..]] {
        let (head, chunks) = response.split_once("\r\n\r\n").unwrap();
        let head = head.to_lowercase();
        assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
        assert_eq!(header(&head, "content-length"), None);
        let expected: Vec<_> = WindowsText::new(Arc::new(week(DOMAINS)), WEEK_END, Format::Text).collect();
        assert!(unchunked(chunks).as_bytes() == expected.concat());
        assert!(expected.len() > DOMAINS, "{}", expected.len());
    }
}

/// The text of a chunked body (RFC 9112, section 7.1), which must be whole.
fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        body = rest[size..].strip_prefix("\r\n").unwrap();
        if size == 0 {
            assert_eq!(body, "");
            return text;
        }
    }
}

#[tokio::test]
async fn a_slow_reader_of_windows_is_cut_off() {
    let site = TestSite {
        pieces: DOMAINS,
        ..TestSite::default()
    };
    let limits = Limits {
        response: SHORT,
        ..Limits::default()
    };
    let server = start(site, limits, None);
    let mut slow = connect(server.address).await;
    send(&mut slow, "GET /windows HTTP/1.1\r\nHost: x\r\n\r\n").await;
    // It reads nothing until the server has hung up, of which another connection knows nothing.
    let began = Instant::now();
    while began.elapsed() < SHORT * 3 {
        assert_eq!(status(server.address, "/-/healthy").await, 200);
    }
    let got = until_closed(&mut slow).await;
    assert!(
        !got.ends_with(b"0\r\n\r\n"),
        "the whole page was delivered: {}",
        got.len()
    );
}
