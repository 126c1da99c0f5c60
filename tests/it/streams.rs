//! Accounts over HTTP/2, where all requests of a connection share its streams.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::binary::command;
use crate::process::Program;

/// Of one connection; an account may have more requests under way.
const STREAMS: u32 = 4;
/// No request is given up before this, so that nothing frees a stream.
const TIMEOUT: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(30);

/// The username and version of every request so far.
type Seen = Arc<Mutex<Vec<(String, Version)>>>;

async fn answer(request: Request<Incoming>, seen: Seen) -> Result<Response<Full<Bytes>>, Infallible> {
    let version = request.version();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let username = body["username"].as_str().unwrap().to_owned();
    let hangs = username == "stuck";
    seen.lock().unwrap().push((username, version));
    if hangs {
        std::future::pending::<()>().await;
    }
    Ok(Response::new(Full::from(r#"{"status":0,"msg":"","data":[]}"#)))
}

/// A provider that speaks HTTP/2 and never answers one of its accounts; and who has signed for it.
async fn provider(seen: &Seen) -> (u16, String, JoinSet<()>) {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let trusted = params.self_signed(&authority).unwrap().pem();
    let issuer = Issuer::new(params, authority);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::clone(seen);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
            connections.spawn(async move {
                let stream = acceptor.accept(stream).await.unwrap();
                let service = service_fn(move |request| answer(request, Arc::clone(&seen)));
                // The client's leaving at the end is no matter here.
                let _ = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .max_concurrent_streams(STREAMS)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (port, trusted, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_requests_hang_leaves_the_streams_of_another_free() {
    let seen = Seen::default();
    let (port, trusted, _serving) = provider(&seen).await;
    let directory = tempfile::tempdir().unwrap();
    let (file, authority) = (
        directory.path().join("exporter.yaml"),
        directory.path().join("ca.pem"),
    );
    std::fs::write(&authority, trusted).unwrap();
    let account = |username: &str, domains: usize| {
        let names: Vec<String> = (0..domains)
            .map(|i| format!("{{name: d{i}.{username}.com, endpoints: [bandwidth_flow]}}"))
            .collect();
        format!(
            "  - {{username: {username}, secret_key: made-up, domains: [{}]}}\n",
            names.join(", ")
        )
    };
    let text = format!(
        "api: {{base_url: \"https://localhost:{port}\", timeout: {}s}}\npoll: {{interval: 1s}}\naccounts:\n{}{}",
        TIMEOUT.as_secs(),
        account("stuck", 8),
        account("other", 1)
    );
    std::fs::write(&file, text).unwrap();
    let mut command = command(&[
        &format!("--config.file={}", file.display()),
        "--web.listen-address=127.0.0.1:0",
    ]);
    command.env("SSL_CERT_FILE", &authority);
    let program = Program::start(&mut command).unwrap();

    let count = |username: &str| {
        let seen = seen.lock().unwrap();
        seen.iter().filter(|(name, _)| name == username).count()
    };
    let streams = usize::try_from(STREAMS).unwrap();
    let began = Instant::now();
    // The streams of the one are used up, and the other goes on.
    let mut before = None;
    loop {
        if before.is_none() && count("stuck") >= streams {
            before = Some(count("other"));
        }
        if before.is_some_and(|before| count("other") >= before + 3) {
            break;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{} of one, {} of the other; {}",
            count("stuck"),
            count("other"),
            program.said()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(count("stuck"), streams);
    assert!(
        seen.lock()
            .unwrap()
            .iter()
            .all(|(_, version)| *version == Version::HTTP_2)
    );
}
