//! `healthcheck`: asks the exporter on this machine whether it serves, for a container that has neither
//! a shell nor another client.
//!
//! It finds out by itself whether the exporter speaks TLS, and needs no password: a server that asks for
//! one, or for a client's certificate, serves.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use crate::web::ListenAddress;

/// One address is given up after this, which is below the 5 s that a container's health check is
/// usually given.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// Where the exporter says that it serves.
const PATH: &str = "/-/healthy";

/// The exporter serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthy {
    url: String,
    seen: Seen,
}

/// By what it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Answer(StatusCode),
    /// It refused the handshake because the probe has no certificate to show.
    WantsCertificate,
}

impl fmt::Display for Healthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        match self.seen {
            Seen::Answer(StatusCode::OK) => write!(f, "healthy: {url} answers 200"),
            Seen::Answer(status) => write!(
                f,
                "healthy: {url} answers {}, so it serves; the probe gives no password",
                status.as_u16()
            ),
            Seen::WantsCertificate => write!(
                f,
                "healthy: {url} asks for a client certificate, so it serves; the probe has none"
            ),
        }
    }
}

/// Why the exporter is not known to serve, with the remedy where there is one.
#[derive(Debug, thiserror::Error)]
#[error("unhealthy: {place}: {problem}")]
pub struct Unhealthy {
    place: String,
    problem: String,
}

/// Asks the exporter at each address that it listens on; every one must answer.
///
/// # Errors
/// The first address that does not, and why.
pub async fn probe(addresses: &[ListenAddress], patience: Duration) -> Result<Vec<Healthy>, Unhealthy> {
    let mut found = Vec::new();
    for address in addresses {
        found.push(probe_one(address, patience).await.map_err(|problem| Unhealthy {
            place: address.to_string(),
            problem,
        })?);
    }
    Ok(found)
}

async fn probe_one(address: &ListenAddress, patience: Duration) -> Result<Healthy, String> {
    if address.port == 0 {
        return Err("port 0 stands for any port; give the one that the exporter listens on".to_owned());
    }
    tokio::time::timeout(patience, async {
        let mut problem = None;
        for candidate in candidates(address).await? {
            match ask(candidate).await {
                Ok(healthy) => return Ok(healthy),
                // The first one tells more: ::1 is only the second try.
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        Err(problem.unwrap_or_else(|| "the name has no address".to_owned()))
    })
    .await
    .unwrap_or_else(|_| Err(format!("no answer within {} s", patience.as_secs_f32())))
}

/// What to connect to for an address to listen on: "every address" is reached over loopback.
async fn candidates(address: &ListenAddress) -> Result<Vec<SocketAddr>, String> {
    let Some(host) = &address.host else {
        return Ok(loopback(address.port));
    };
    let found = tokio::net::lookup_host((host.as_str(), address.port))
        .await
        .map_err(|error| format!("the name cannot be resolved: {error}"))?;
    Ok(found
        .flat_map(|found| {
            if found.ip().is_unspecified() {
                loopback(found.port())
            } else {
                vec![found]
            }
        })
        .collect())
}

fn loopback(port: u16) -> Vec<SocketAddr> {
    [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ]
    .map(|ip| SocketAddr::new(ip, port))
    .to_vec()
}

/// Plain HTTP first, then TLS: what answers the former with something else may speak the latter.
async fn ask(address: SocketAddr) -> Result<Healthy, String> {
    let answered = |scheme: &str, status: StatusCode| judge(format!("{scheme}://{address}{PATH}"), status);
    let plain = match exchange(connect(address).await?, address).await {
        // So a port of TLS answers plain HTTP, ours and many others.
        Ok(status @ StatusCode::BAD_REQUEST) => format!("http://{address}{PATH} answers {status}"),
        Ok(status) => return answered("http", status),
        Err(error) => crate::telemetry::chain(&error),
    };
    let config = any_certificate().map_err(|error| format!("TLS cannot be spoken: {error}"))?;
    match TlsConnector::from(Arc::new(config))
        .connect(ServerName::from(address.ip()), connect(address).await?)
        .await
    {
        Ok(stream) => match exchange(stream, address).await {
            Ok(status) => answered("https", status),
            // TLS 1.3 refuses a client without a certificate only after the handshake.
            Err(error) if wants_certificate(&error) => Ok(wanting(address)),
            Err(error) => Err(format!("no answer over TLS: {error}")),
        },
        Err(error) if wants_certificate(&error) => Ok(wanting(address)),
        Err(_) => Err(format!("no good answer over HTTP or TLS: {plain}")),
    }
}

fn judge(url: String, status: StatusCode) -> Result<Healthy, String> {
    // The exporter asks for a password before it looks at the path, limits the rate before that.
    match status {
        StatusCode::OK | StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => Ok(Healthy {
            url,
            seen: Seen::Answer(status),
        }),
        other => Err(format!("{url} answers {other}")),
    }
}

fn wanting(address: SocketAddr) -> Healthy {
    Healthy {
        url: format!("https://{address}{PATH}"),
        seen: Seen::WantsCertificate,
    }
}

/// Connects to an address of this machine and to no other: the socket is bound to it first, which only
/// works for one's own. It is what makes it right to look at no certificate.
async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let connecting = async {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.bind(SocketAddr::new(address.ip(), 0))?;
        socket.connect(address).await
    };
    connecting.await.map_err(|error: io::Error| match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("nothing listens on {address}; give the exporter's own --web.listen-address")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is no address of this machine, and no other is asked")
        }
        _ => format!("cannot connect to {address}: {error}"),
    })
}

/// One request; the status of its answer.
async fn exchange<S>(stream: S, address: SocketAddr) -> Result<StatusCode, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = hyper::Uri::from_static(PATH);
    if let Ok(host) = address.to_string().parse() {
        request.headers_mut().insert(hyper::header::HOST, host);
    }
    let answer = sender.send_request(request);
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer.map(|response| response.status()),
        ended = &mut connection => match ended {
            // The cause of a broken connection; `answer` would only say that it was closed.
            Err(error) => Err(error),
            Ok(()) => answer.await.map(|response| response.status()),
        },
    }
}

/// Whether the server's alert in an error's chain says that it wants the client's certificate.
fn wants_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            .or_else(|| error.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) = inner {
            return true;
        }
        cause = error.source();
    }
    false
}

/// TLS that takes any certificate: the probe asks its own machine only, sends nothing secret, and a
/// certificate names the host as others know it, hardly 127.0.0.1.
fn any_certificate() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = AnyCertificate(Arc::clone(&provider));
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// Takes every certificate, but its key must have signed the handshake.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
