//! What TLS can have against a host, told from real handshakes.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::{Run, Setup, simulator};

/// An authority and what it has signed.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A server, alive as long as its tasks, that does nothing beyond the handshake, with a certificate for a name.
    async fn server(&self, name: &str, expired: bool) -> (u16, JoinSet<()>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The client's refusal is what the test is after.
                drop(acceptor.accept(stream).await);
            }
        });
        (port, serving)
    }
}

/// Checks against a server, trusting one authority only.
async fn check(port: u16, trusted: &Authority) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, &trusted.pem).unwrap();
    let environment = [("SSL_CERT_FILE", path.to_str().unwrap())];
    let setup = Setup {
        environment: &environment,
        ..Setup::of(format!("https://localhost:{port}"))
    };
    setup.check().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_with_a_certificate_has_its_own_words() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let namesake = Authority::new("ours");
    for (name, expired, trusted, what, remedy) in [
        (
            "localhost",
            false,
            &theirs,
            "this machine does not trust who issued the certificate of localhost",
            "install the package ca-certificates",
        ),
        (
            "localhost",
            false,
            &namesake,
            "this machine does not trust who issued the certificate of localhost",
            "install the package ca-certificates",
        ),
        (
            "localhost",
            true,
            &ours,
            "the certificate of localhost is not valid at the time that this machine's clock shows, ",
            "set the clock if it is wrong",
        ),
        (
            "other.example.com",
            false,
            &ours,
            "the certificate is for another name than localhost",
            "correct the host in api.base_url",
        ),
        // The handshake itself works: what fails is that nobody answers after it.
        (
            "localhost",
            false,
            &ours,
            "closed the connection without a reply",
            "scheme and port",
        ),
    ] {
        let (port, serving) = ours.server(name, expired).await;
        let run = check(port, trusted).await;
        drop(serving);
        assert_eq!(run.code, Some(1), "{run:?}");
        for endpoint in ["bandwidth_flow", "origin_ratio"] {
            let block = run.block(endpoint);
            assert!(block.contains(what), "{what}: {block}");
            assert!(block.contains(remedy), "{what}: {block}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_to_a_plain_port_is_told() {
    let simulator = simulator().await;
    let run = check(simulator.address().port(), &Authority::new("ours")).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.out.contains("answers, but does not speak TLS"), "{run:?}");
}
