//! `healthcheck` against servers of every kind: which of them serve.

use std::net::SocketAddr;
use std::time::Duration;

use jdcloud_cdn_exporter::healthcheck::probe;
use jdcloud_cdn_exporter::web::{Limits, ListenAddress, WebFile};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket};

use crate::access::Authority;
use crate::support::{PATIENCE, TestSite, start};

fn listen(address: SocketAddr) -> Vec<ListenAddress> {
    vec![address.to_string().parse().unwrap()]
}

/// What the probe says of one address, good or bad.
async fn told(addresses: &[ListenAddress], patience: Duration) -> Result<String, String> {
    match probe(addresses, patience).await {
        Ok(healthy) => Ok(healthy.iter().map(ToString::to_string).collect()),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn a_server_serves_whatever_its_web_configuration_says() {
    let authority = Authority::new();
    let hash = bcrypt::hash("s3cret", 4).unwrap();
    let users = format!("basic_auth_users:\n  alice: {hash}\n");
    let client = "  client_auth_type: RequireAnyClientCert\n";
    let plain_users = authority.folder.path().join("users.yml");
    std::fs::write(&plain_users, &users).unwrap();
    for (web_file, scheme, expected) in [
        (None, "http", "answers 200"),
        (
            Some(WebFile::open(&plain_users).unwrap()),
            "http",
            "answers 401, so it serves",
        ),
        (Some(authority.web_file("")), "https", "answers 200"),
        (
            Some(authority.web_file(&users)),
            "https",
            "answers 401, so it serves",
        ),
        (
            Some(authority.web_file(client)),
            "https",
            "asks for a client certificate",
        ),
        (
            Some(authority.web_file(&format!("{client}  max_version: TLS12\n"))),
            "https",
            "asks for a client certificate",
        ),
    ] {
        let server = start(TestSite::default(), Limits::default(), web_file);
        let said = told(&listen(server.address), PATIENCE).await.unwrap();
        assert!(
            said.starts_with(&format!("healthy: {scheme}://{}/-/healthy ", server.address))
                && said.contains(expected),
            "{said}"
        );
    }
}

#[tokio::test]
async fn every_address_is_asked_and_every_interface_over_loopback() {
    let server = start(TestSite::default(), Limits::default(), None);
    let port = server.address.port();
    for host in ["", "0.0.0.0", "localhost", "[::]"] {
        let address = format!("{host}:{port}").parse().unwrap();
        let said = told(&[address], PATIENCE).await.unwrap();
        assert!(said.contains(&format!("http://127.0.0.1:{port}/")), "{said}");
    }
    let (_kept, nobody) = nobody();
    let addresses = [listen(server.address), listen(nobody)].concat();
    let said = told(&addresses, PATIENCE).await.unwrap_err();
    assert!(
        said.starts_with(&format!("unhealthy: {nobody}: nothing listens on {nobody}")),
        "{said}"
    );
}

#[tokio::test]
async fn what_does_not_serve_is_told() {
    let (_kept, nobody) = nobody();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let talk = |answer: &'static str| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(answer.as_bytes()).await;
                // Closing on unread bytes would reset the connection, and the answer could be lost.
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            }
        };
        (address, serving)
    };
    let (other, others) = talk("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    let (mail, mails) = talk("220 mail.example ESMTP\r\n").await;
    let short = Duration::from_millis(200);
    let judged = async {
        for (address, patience, expected) in [
            (nobody.to_string(), PATIENCE, "nothing listens on"),
            (
                silent.local_addr().unwrap().to_string(),
                short,
                "no answer within 0.2 s",
            ),
            (other.to_string(), PATIENCE, "answers 404 Not Found"),
            (mail.to_string(), PATIENCE, "no good answer over HTTP or TLS: "),
            // TEST-NET-1 of RFC 5737 belongs to nobody.
            (
                "192.0.2.1:10530".to_owned(),
                PATIENCE,
                "192.0.2.1:10530 is no address of this machine",
            ),
            (":0".to_owned(), PATIENCE, "port 0 stands for any port"),
        ] {
            let said = told(&[address.parse().unwrap()], patience).await.unwrap_err();
            assert!(
                said.starts_with(&format!("unhealthy: {address}: ")) && said.contains(expected),
                "{said}"
            );
        }
    };
    tokio::select! {
        () = judged => {}
        () = others => {}
        () = mails => {}
    }
}

/// An address of this machine on which nobody listens, nor can while the socket is kept.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
