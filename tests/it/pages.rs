//! The routes over a real socket: methods, negotiation, compression.

use std::io::Read as _;

use crate::fixture::{Running, Setup, millis};
use crate::page;
use crate::truth;

const DOMAINS: [&str; 1] = ["www.a.com"];

async fn running() -> Running {
    let mut setup = Setup::of(&DOMAINS);
    // Nothing changes while a test compares two scrapes.
    setup.interval = millis(3_600_000);
    let exporter = setup.start().await;
    exporter.until_gauges(&exporter.truth(&DOMAINS)).await;
    exporter
}

#[tokio::test]
async fn methods_and_paths() {
    let exporter = running().await;
    for (method, path, status, allow) in [
        ("GET", "/", 200, None),
        ("GET", "/metrics", 200, None),
        ("GET", "/metrics?name[]=x", 200, None),
        ("GET", "/-/healthy", 200, None),
        ("GET", "/-/ready", 200, None),
        ("GET", "/nothing", 404, None),
        ("GET", "/metrics/", 404, None),
        ("POST", "/metrics", 405, Some("GET, HEAD")),
        ("DELETE", "/", 405, Some("GET, HEAD")),
        ("GET", "/-/reload", 405, Some("POST, PUT")),
    ] {
        let reply = exporter.ask(method, path, &[]).await;
        assert_eq!(
            (reply.status, reply.header("allow")),
            (status, allow),
            "{method} {path}"
        );
        if method == "GET" && status != 405 {
            let head = exporter.ask("HEAD", path, &[]).await;
            assert_eq!((head.status, head.body.len()), (status, 0), "HEAD {path}");
            assert_eq!(
                head.header("content-type"),
                reply.header("content-type"),
                "{path}"
            );
            assert!(head.header("content-length").is_some(), "{path}");
        }
    }
    let landing = exporter.get("/").await;
    for text in ["/metrics", "jcloud_00", "bandwidth_flow", "origin_ratio"] {
        assert!(landing.text().contains(text), "{text}: {}", landing.text());
    }
    exporter.end().await;
}

#[tokio::test]
async fn format_and_compression_follow_the_q_values() {
    let exporter = running().await;
    let expected = exporter.truth(&DOMAINS);
    // What Prometheus 2.42 and 3.5 send, and what must not be taken by its letters.
    let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;\
                        q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                        application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;\
                        escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, open) in [
        (None, false),
        (Some("*/*"), false),
        (Some("text/html"), false),
        (Some(prometheus_2), true),
        (Some(prometheus_3), true),
        (
            Some("application/openmetrics-text;version=1.0.0;q=0.1,text/plain;version=0.0.4;q=0.9"),
            false,
        ),
        (
            Some("application/openmetrics-text;version=1.0.0;q=0,text/plain"),
            false,
        ),
    ] {
        for (encoding, gzip) in [
            (None, false),
            (Some("gzip"), true),
            (Some("gzip;q=0"), false),
            (Some("deflate, gzip;q=0.5"), true),
            (Some("gzip;q=0.1, identity;q=0.9"), false),
        ] {
            let mut headers = Vec::new();
            headers.extend(accept.map(|value| ("Accept", value)));
            headers.extend(encoding.map(|value| ("Accept-Encoding", value)));
            let reply = exporter.ask("GET", "/metrics", &headers).await;
            let case = format!("{accept:?} {encoding:?}");
            assert_eq!(reply.status, 200, "{case}");
            let kind = reply.header("content-type").unwrap();
            assert_eq!(
                kind.starts_with("application/openmetrics-text"),
                open,
                "{case}: {kind}"
            );
            assert_eq!(
                kind.starts_with("text/plain; version=0.0.4"),
                !open,
                "{case}: {kind}"
            );
            assert_eq!(reply.header("content-encoding"), gzip.then_some("gzip"), "{case}");
            assert_eq!(reply.header("vary"), Some("Accept, Accept-Encoding"), "{case}");
            let text = if gzip {
                let mut text = String::new();
                flate2::read::MultiGzDecoder::new(&reply.body[..])
                    .read_to_string(&mut text)
                    .unwrap();
                text
            } else {
                reply.text().to_owned()
            };
            assert_eq!(text.ends_with("# EOF\n"), open, "{case}");
            let shown = page::about_domains(&page::samples(&text));
            assert_eq!(truth::differences(&expected, &shown), [""; 0], "{case}");
        }
    }
    exporter.end().await;
}
