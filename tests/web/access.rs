//! TLS, client certificates and passwords over real sockets.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jdcloud_cdn_exporter::web::{Limits, WebFile};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use crate::support::{TestSite, connect, header, response, send, start, status, until_closed, within};

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A folder with the certificates of a small authority: `ca.pem`, `server.crt`, `server.key`.
pub(crate) struct Authority {
    pub(crate) folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self {
            folder: tempfile::tempdir().unwrap(),
            issuer,
        };
        authority.write("ca.pem", &authority.issuer.pem());
        let (certificate, key) = authority.issue("localhost");
        authority.write("server.crt", &certificate);
        authority.write("server.key", &key);
        authority
    }

    /// Certificate and key as PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (
            params.signed_by(&key, &self.issuer).unwrap().pem(),
            key.serialize_pem(),
        )
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.path().join(file), text).unwrap();
    }

    /// A web configuration with TLS and these further lines.
    pub(crate) fn web_file(&self, lines: &str) -> WebFile {
        self.write(
            "web.yml",
            &format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{lines}"),
        );
        WebFile::open(&self.folder.path().join("web.yml")).unwrap()
    }
}

/// The response to a request over TLS, as far as it gets.
async fn fetch(
    address: SocketAddr,
    authority: &Path,
    client: Option<&(String, String)>,
    versions: &[&'static SupportedProtocolVersion],
) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority.join("ca.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    let stream = connect(address).await;
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = within(connector.connect("localhost".try_into().unwrap(), stream))
        .await
        .ok()?;
    // In TLS 1.3 a client only learns of its refusal when it reads.
    tokio::io::AsyncWriteExt::write_all(&mut stream, GET.as_bytes())
        .await
        .ok()?;
    let mut first = [0];
    within(tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first))
        .await
        .ok()?;
    let (head, body) = response(&mut stream, true).await;
    assert_eq!(body, b"up 1\n");
    Some(format!("h{head}"))
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

#[tokio::test]
async fn tls_serves_and_plain_http_to_it_is_told_so() {
    let authority = Authority::new();
    let server = start(
        TestSite::default(),
        Limits::default(),
        Some(authority.web_file("")),
    );
    for versions in [BOTH, &[&version::TLS12], &[&version::TLS13]] {
        assert!(
            fetch(server.address, authority.folder.path(), None, versions)
                .await
                .unwrap()
                .starts_with("http/1.1 200 ")
        );
    }
    // A request with a body too: what is left unread must not take the answer with it.
    let long = format!(
        "POST / HTTP/1.1\r\nContent-Length: 50000\r\n\r\n{}",
        "x".repeat(50_000)
    );
    for request in [GET, &long] {
        let mut plain = connect(server.address).await;
        send(&mut plain, request).await;
        let (head, body) = response(&mut plain, true).await;
        assert!(head.starts_with("http/1.1 400 "), "{head}");
        let body = String::from_utf8(body).unwrap();
        assert_eq!(
            body,
            "this port speaks TLS: write https:// instead of http://\r\n"
        );
        assert_eq!(until_closed(&mut plain).await, b"");
    }
    // What is neither gets an alert and no page.
    let mut neither = connect(server.address).await;
    send(&mut neither, "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}").await;
    let got = until_closed(&mut neither).await;
    assert!(!got.starts_with(b"HTTP/"), "{got:?}");
}

#[tokio::test]
async fn plain_http_to_tls_that_goes_on_for_ever_is_cut_off() {
    let authority = Authority::new();
    let limits = Limits {
        head: std::time::Duration::from_millis(200),
        ..Limits::default()
    };
    let server = start(TestSite::default(), limits, Some(authority.web_file("")));
    let mut talks = connect(server.address).await;
    send(&mut talks, "GET / HTTP/1.1\r\n").await;
    let got = until_closed(&mut talks).await;
    assert!(got.starts_with(b"HTTP/1.1 400 "), "{got:?}");
    // The client's side stays open; the server's end is seen by the write that fails.
    within(async {
        while tokio::io::AsyncWriteExt::write_all(&mut talks, b"x")
            .await
            .is_ok()
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_off() {
    let authority = Authority::new();
    let limits = Limits {
        head: std::time::Duration::from_millis(200),
        ..Limits::default()
    };
    let server = start(TestSite::default(), limits, Some(authority.web_file("")));
    let mut silent = connect(server.address).await;
    assert_eq!(until_closed(&mut silent).await, b"");
}

#[tokio::test]
async fn versions_suites_and_curves_hold() {
    let authority = Authority::new();
    for (lines, tls12, tls13) in [
        (
            "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n",
            true,
            false,
        ),
        (
            "  min_version: TLS13\n  curve_preferences: [CurveP384]\n",
            false,
            true,
        ),
        // The server's certificate is ECDSA, so no suite is left for TLS 1.2.
        (
            "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]\n",
            false,
            true,
        ),
    ] {
        let server = start(
            TestSite::default(),
            Limits::default(),
            Some(authority.web_file(lines)),
        );
        let folder = authority.folder.path();
        assert_eq!(
            fetch(server.address, folder, None, &[&version::TLS12])
                .await
                .is_some(),
            tls12,
            "{lines}"
        );
        assert_eq!(
            fetch(server.address, folder, None, &[&version::TLS13])
                .await
                .is_some(),
            tls13,
            "{lines}"
        );
    }
}

#[tokio::test]
async fn client_certificates_by_policy() {
    let authority = Authority::new();
    let trusted = authority.issue("scraper.example");
    let stranger = Authority::new().issue("scraper.example");
    let ca = "  client_ca_file: ca.pem\n";
    let names = |names: &str| format!("{ca}  client_allowed_sans: [{names}]\n");
    for (policy, lines, without, with_stranger, with_trusted) in [
        ("NoClientCert", String::new(), true, true, true),
        ("RequestClientCert", String::new(), true, true, true),
        ("RequireAnyClientCert", String::new(), false, true, true),
        ("RequireClientCert", String::new(), false, true, true),
        ("VerifyClientCertIfGiven", ca.to_owned(), true, false, true),
        ("VerifyClientCertIfGiven", String::new(), true, false, false),
        ("RequireAndVerifyClientCert", ca.to_owned(), false, false, true),
        ("RequireAndVerifyClientCert", String::new(), false, false, false),
        (
            "RequireAndVerifyClientCert",
            names("other.example, scraper.example"),
            false,
            false,
            true,
        ),
        (
            "RequireAndVerifyClientCert",
            names("other.example, '*.example', example"),
            false,
            false,
            false,
        ),
    ] {
        let lines = format!("  client_auth_type: {policy}\n{lines}");
        let server = start(
            TestSite::default(),
            Limits::default(),
            Some(authority.web_file(&lines)),
        );
        for only in [&version::TLS12, &version::TLS13] {
            let versions = &[only];
            for (client, expected) in [
                (None, without),
                (Some(&stranger), with_stranger),
                (Some(&trusted), with_trusted),
            ] {
                let got = fetch(server.address, authority.folder.path(), client, versions).await;
                assert_eq!(
                    got.is_some(),
                    expected,
                    "{lines} {versions:?} {}",
                    client.map_or("", |(certificate, _)| certificate)
                );
            }
        }
    }
}

#[tokio::test]
async fn passwords_and_headers_hold_for_every_route() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    fs::write(
        &path,
        format!("basic_auth_users:\n  alice: {hash}\nhttp_server_config:\n  headers:\n    X-Frame-Options: deny\n    Content-Security-Policy: sandbox\n"),
    )
    .unwrap();
    let server = start(
        TestSite::default(),
        Limits::default(),
        Some(WebFile::open(&path).unwrap()),
    );
    for route in ["/metrics", "/", "/sd", "/-/healthy", "/nothing"] {
        for (credentials, right) in [
            ("alice:s3cret", true),
            ("alice:wrong", false),
            ("bob:s3cret", false),
        ] {
            let mut stream = connect(server.address).await;
            let encoded = STANDARD.encode(credentials);
            send(
                &mut stream,
                &format!("GET {route} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {encoded}\r\n\r\n"),
            )
            .await;
            let (head, _) = response(&mut stream, true).await;
            assert_eq!(
                !head.starts_with("http/1.1 401 "),
                right,
                "{route} {credentials}: {head}"
            );
            assert_eq!(header(&head, "www-authenticate").is_some(), !right, "{head}");
            assert_eq!(header(&head, "x-frame-options"), Some("deny"));
            assert_eq!(
                header(&head, "content-security-policy"),
                Some("sandbox"),
                "the file's header takes our place"
            );
        }
        assert_eq!(status(server.address, route).await, 401);
    }
}

#[tokio::test]
async fn the_rate_limit_counts_all_requests() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    fs::write(&path, "rate_limit:\n  interval: 1h\n  burst: 2\n").unwrap();
    let server = start(
        TestSite::default(),
        Limits::default(),
        Some(WebFile::open(&path).unwrap()),
    );
    for expected in [200, 200, 429, 429] {
        assert_eq!(status(server.address, "/metrics").await, expected);
    }
}
