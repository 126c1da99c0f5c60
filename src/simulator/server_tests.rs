//! The simulator over real sockets, read byte by byte, so that no client library smooths anything over.

use std::time::Duration;

use chrono::{TimeZone as _, Utc};
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::*;
use crate::clock::ManualClock;
use crate::simulator::body;
use crate::simulator::faults::{Fault, RetryAfter, Rule};
use crate::simulator::habits::Habit;
use crate::simulator::options::{OwnedDomain, SimulatedAccount};
use crate::simulator::traffic::{Effect, Traffic};

const FLOW: &str = "/api/live/bandwidth_flow";
const RATIO: &str = "/api/origin_ratio";
/// The documents' credentials and the md5sum of them for 2016-10-23.
const BODY: &str = r#"{"username":"jcloud_00","signature":"a35685491fd80a80b40a718c3a5c5c56","domain":"www.a.com","start_time":"2016-10-23 07:00","end_time":"2016-10-23 07:10"}"#;
/// No wait in these tests is longer.
const PATIENCE: Duration = Duration::from_secs(20);

fn domain() -> Domain {
    Domain::parse("www.a.com").unwrap()
}

/// A simulator at 12:00 in Beijing on 2016-10-23, and its clock.
async fn simulator() -> (Simulator, ManualClock) {
    let clock = ManualClock::new(Utc.with_ymd_and_hms(2016, 10, 23, 4, 0, 0).unwrap());
    let options = SimulatorOptions {
        accounts: vec![SimulatedAccount {
            username: "jcloud_00".to_owned(),
            secret_key: SecretString::from("e7a31b1c5ea0efa9aa2f29c6559f7d61"),
            domains: vec![OwnedDomain::new(domain())],
        }],
        traffic: Traffic::prompt(7),
        ..SimulatorOptions::new(Clock::Manual(clock.clone()))
    };
    (Simulator::start(options).await.unwrap(), clock)
}

fn request(method: &str, path: &str, content_type: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nuser-agent: test/1\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn send(simulator: &Simulator, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(simulator.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// A reply as it came.
struct Reply {
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Reads a head and a body of known length, or as much of it as comes.
async fn receive(stream: &mut TcpStream) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if timeout(PATIENCE, stream.read_buf(&mut bytes)).await.unwrap()? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut reply = Reply {
        head: String::from_utf8(bytes[..end].to_vec()).unwrap(),
        body: bytes[end..].to_vec(),
    };
    let length: usize = reply
        .header("content-length")
        .map_or(0, |text| text.parse().unwrap());
    while reply.body.len() < length {
        if timeout(PATIENCE, stream.read_buf(&mut reply.body))
            .await
            .unwrap()?
            == 0
        {
            break;
        }
    }
    Ok(reply)
}

async fn call(simulator: &Simulator, path: &str) -> io::Result<Reply> {
    receive(&mut send(simulator, &request("POST", path, "application/json", BODY)).await).await
}

async fn call_with(simulator: &Simulator, fault: Fault) -> io::Result<Reply> {
    simulator.faults().set(Endpoint::OriginRatio, fault);
    call(simulator, RATIO).await
}

/// Bytes of the stream until it ends or there are at least `enough`.
async fn read_until(stream: &mut TcpStream, enough: usize) -> usize {
    let mut buffer = vec![0; 1 << 20];
    let mut count = 0;
    while count < enough {
        match timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap() {
            Ok(0) | Err(_) => break,
            Ok(n) => count += n,
        }
    }
    count
}

#[tokio::test]
async fn both_endpoints_answer_with_the_truth() {
    let (simulator, _) = simulator().await;
    // 07:00 in Beijing.
    let truth = simulator.truth(&domain(), Window::ending_at(1_477_177_200).unwrap());
    let flow = call(&simulator, FLOW).await.unwrap();
    assert_eq!(flow.status(), 200);
    assert_eq!(
        flow.header("content-type"),
        Some("application/json;charset=UTF-8")
    );
    let flow = flow.json();
    assert_eq!(flow["status"], 0);
    assert_eq!(flow["data"].as_array().unwrap().len(), 3);
    let values = &flow["data"][0]["2016-10-23 07:00"]["www.a.com"];
    assert_eq!(values["bandwidth"].as_f64(), Some(truth.bandwidth_mbps));
    assert_eq!(values["flow"].as_f64(), Some(truth.flow_mb));
    let ratio = call(&simulator, RATIO).await.unwrap().json();
    let row = &ratio["data"][0]["data"][0];
    assert_eq!(row["time"], 1_477_177_200);
    assert_eq!(row["bandwidth"].as_f64(), Some(truth.edge_mbps));
    assert_eq!(row["originBandwidth"].as_f64(), Some(truth.origin_mbps));
    assert_eq!(row["originRatio"].as_f64(), truth.origin_ratio_percent);
}

#[tokio::test]
async fn scripts_can_be_changed_while_it_runs() {
    let (simulator, _) = simulator().await;
    let window = Window::ending_at(1_477_177_200).unwrap();
    let plain = simulator.truth(&domain(), window);
    simulator.set_scripts(vec![Script {
        domain: domain(),
        first: window,
        last: window,
        effect: Effect::OriginRatio(81.5),
    }]);
    let ratio = call(&simulator, RATIO).await.unwrap().json();
    let rows = &ratio["data"][0]["data"];
    assert_eq!(rows[0]["originRatio"].as_f64(), Some(81.5));
    assert_ne!(rows[1]["originRatio"].as_f64(), Some(81.5));
    assert_eq!(
        simulator.visible(&domain(), window),
        Some(simulator.truth(&domain(), window))
    );
    simulator.set_scripts(Vec::new());
    assert_eq!(simulator.truth(&domain(), window), plain);
}

#[tokio::test]
async fn the_signature_is_checked_by_the_simulators_own_clock() {
    let (simulator, clock) = simulator().await;
    clock.set(Utc.with_ymd_and_hms(2016, 10, 23, 16, 0, 0).unwrap());
    assert_eq!(call(&simulator, RATIO).await.unwrap().json()["status"], 7);
    clock.set(Utc.with_ymd_and_hms(2016, 10, 23, 15, 59, 59).unwrap());
    assert_eq!(call(&simulator, RATIO).await.unwrap().json()["status"], 0);
    let refused = call_with(&simulator, Fault::OtherDay).await.unwrap();
    assert_eq!(refused.json()["status"], 7);
    clock.set(Utc.with_ymd_and_hms(2016, 10, 23, 16, 0, 0).unwrap());
    assert_eq!(call(&simulator, RATIO).await.unwrap().json()["status"], 0);
}

#[tokio::test]
async fn a_connection_serves_several_calls_and_each_is_recorded() {
    let (simulator, _) = simulator().await;
    let text = request("POST", RATIO, "application/json; charset=utf-8", BODY);
    let mut stream = send(&simulator, &text).await;
    receive(&mut stream).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(receive(&mut stream).await.unwrap().json()["status"], 0);
    assert_eq!(simulator.request_count(Endpoint::OriginRatio), 2);
    let records = simulator.requests();
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].domains, ["www.a.com"]);
    assert_eq!(records[1].start_time, "2016-10-23 07:00");
    assert_eq!(records[1].end_time.as_deref(), Some("2016-10-23 07:10"));
    assert_eq!(records[1].user_agent.as_deref(), Some("test/1"));
    assert_eq!(simulator.max_concurrency(), 1);
}

#[tokio::test]
async fn what_is_no_call_is_refused() {
    let (simulator, _) = simulator().await;
    for (method, path, content_type, body, status) in [
        ("GET", RATIO, "application/json", "", 405),
        ("POST", "/api/other", "application/json", BODY, 404),
        ("POST", RATIO, "text/plain", BODY, 415),
        ("POST", RATIO, "application/json", "{", 200),
    ] {
        let mut stream = send(&simulator, &request(method, path, content_type, body)).await;
        let reply = receive(&mut stream).await.unwrap();
        assert_eq!(reply.status(), status, "{method} {path} {content_type}");
        match status {
            405 => assert_eq!(reply.header("allow"), Some("POST")),
            200 => assert_eq!(reply.json()["status"], 2),
            _ => {}
        }
    }
    assert_eq!(simulator.stray_requests(), 2);
}

#[tokio::test]
async fn faults_of_the_head() {
    let (simulator, _) = simulator().await;
    for code in [500, 502, 503, 429] {
        let fault = Fault::HttpStatus {
            code,
            retry_after: None,
        };
        let reply = call_with(&simulator, fault).await.unwrap();
        assert_eq!((reply.status(), reply.header("retry-after")), (code, None));
    }
    for (retry_after, value) in [
        (RetryAfter::Seconds(7), "7"),
        (RetryAfter::Date(7), "Sun, 23 Oct 2016 04:00:07 GMT"),
    ] {
        let fault = Fault::HttpStatus {
            code: 429,
            retry_after: Some(retry_after),
        };
        let reply = call_with(&simulator, fault).await.unwrap();
        assert_eq!(reply.header("retry-after"), Some(value));
    }
    let reply = call_with(&simulator, Fault::Redirect).await.unwrap();
    assert_eq!(
        (reply.status(), reply.header("location")),
        (302, Some("/redirected"))
    );
    let reply = call_with(&simulator, Fault::ContentType).await.unwrap();
    assert_eq!(reply.header("content-type"), Some("text/html"));
    assert_eq!(reply.json()["status"], 0);
    let reply = call_with(&simulator, Fault::ClockSkew(-3_600)).await.unwrap();
    assert_eq!(reply.header("date"), Some("Sun, 23 Oct 2016 03:00:00 GMT"));
    let started = Instant::now();
    call_with(&simulator, Fault::Latency(Duration::from_millis(30)))
        .await
        .unwrap();
    assert!(started.elapsed() >= Duration::from_millis(30));
    let other = call(&simulator, FLOW).await.unwrap();
    assert_eq!(other.header("date"), Some("Sun, 23 Oct 2016 04:00:00 GMT"));
}

#[tokio::test]
async fn faults_of_the_connection() {
    let (simulator, _) = simulator().await;
    let closed = call_with(&simulator, Fault::CloseBeforeReply)
        .await
        .err()
        .unwrap();
    assert_eq!(closed.kind(), io::ErrorKind::UnexpectedEof);
    let reset = call_with(&simulator, Fault::ResetBeforeReply)
        .await
        .err()
        .unwrap();
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
    let cut_off = call_with(&simulator, Fault::CutOff).await.unwrap();
    let length: usize = cut_off.header("content-length").unwrap().parse().unwrap();
    assert_eq!(cut_off.body.len(), length / 2);
    simulator.go_down().await;
    let refused = TcpStream::connect(simulator.address()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    simulator.come_back().await.unwrap();
    assert_eq!(call(&simulator, FLOW).await.unwrap().json()["status"], 0);
}

#[tokio::test]
async fn faults_of_the_body() {
    let (simulator, _) = simulator().await;
    let empty = call_with(&simulator, Fault::EmptyBody).await.unwrap();
    assert_eq!((empty.status(), empty.body.len()), (200, 0));
    let page = call_with(&simulator, Fault::HtmlPage).await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.body.starts_with(b"<!DOCTYPE html>"));
    let invalid = call_with(&simulator, Fault::InvalidUtf8).await.unwrap();
    assert!(std::str::from_utf8(&invalid.body).is_err());
    let nested = call_with(&simulator, Fault::DeepNesting(100)).await.unwrap();
    let nested = String::from_utf8(nested.body).unwrap();
    assert_eq!(nested.matches('[').count(), 100);
    for fault in [Fault::Gzip, Fault::Bomb] {
        let packed = call_with(&simulator, fault).await.unwrap();
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert_eq!(&packed.body[..2], [0x1f, 0x8b]);
        assert!(packed.body.len() < 1 << 20);
    }
    let status = call_with(&simulator, Fault::Status(-1)).await.unwrap();
    assert_eq!(status.json()["status"], -1);
    let habit = call_with(&simulator, Fault::Habit(Habit::UpperCaseNames))
        .await
        .unwrap();
    assert_eq!(habit.json()["data"][0]["domain"], "WWW.A.COM");
}

#[tokio::test]
async fn bodies_without_an_end_go_on_until_the_client_leaves() {
    let (simulator, _) = simulator().await;
    for (fault, enough) in [
        (Fault::Endless, 20 << 20),
        (Fault::Oversize, body::SWOLLEN_BYTES),
        (Fault::Drip(Duration::from_millis(1)), 200),
    ] {
        simulator.faults().set(Endpoint::OriginRatio, fault);
        let mut stream = send(&simulator, &request("POST", RATIO, "application/json", BODY)).await;
        assert!(read_until(&mut stream, enough).await >= enough, "{fault}");
    }
    // The clients have left: nothing holds the port.
    timeout(PATIENCE, simulator.stop()).await.unwrap();
}

#[tokio::test]
async fn a_drip_gives_one_byte_a_frame() {
    let (simulator, _) = simulator().await;
    let fault = Fault::Drip(Duration::from_millis(20));
    let mut stream = {
        simulator.faults().set(Endpoint::OriginRatio, fault);
        send(&simulator, &request("POST", RATIO, "application/json", BODY)).await
    };
    let started = Instant::now();
    let mut bytes = Vec::new();
    // Each byte is a chunk of its own: its size in a line, the byte in a line.
    while bytes
        .windows(6)
        .filter(|six| six.starts_with(b"1\r\n") && six.ends_with(b"\r\n"))
        .count()
        < 10
    {
        assert_ne!(
            timeout(PATIENCE, stream.read_buf(&mut bytes))
                .await
                .unwrap()
                .unwrap(),
            0
        );
    }
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn hanging_calls_count_as_under_way_and_end_with_the_simulator() {
    let (simulator, _) = simulator().await;
    simulator.faults().set(Endpoint::OriginRatio, Fault::Hang);
    let text = request("POST", RATIO, "application/json", BODY);
    let mut streams = [send(&simulator, &text).await, send(&simulator, &text).await];
    let both_arrived = async {
        while simulator.request_count(Endpoint::OriginRatio) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, both_arrived).await.unwrap();
    assert_eq!(simulator.max_concurrency(), 2);
    // The other endpoint answers meanwhile, and no byte has come from this one.
    assert_eq!(call(&simulator, FLOW).await.unwrap().json()["status"], 0);
    let mut byte = [0];
    let nothing = timeout(Duration::from_millis(50), streams[0].read(&mut byte)).await;
    assert!(nothing.is_err());
    timeout(PATIENCE, simulator.stop()).await.unwrap();
    for mut stream in streams {
        assert_eq!(read_until(&mut stream, 1).await, 0);
    }
}

#[tokio::test]
async fn dropping_it_closes_the_port() {
    let (simulator, _) = simulator().await;
    let address = simulator.address();
    drop(simulator);
    let closed = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn after_every_fault_of_the_catalogue_the_next_call_is_good() {
    let (simulator, _) = simulator().await;
    let plain = call(&simulator, RATIO).await.unwrap().body;
    for fault in Fault::catalogue() {
        let endpoint = Endpoint::OriginRatio;
        simulator.faults().add(endpoint, Rule::always(fault).times(1));
        let struck = simulator.request_count(endpoint) + 1;
        let stream = send(&simulator, &request("POST", RATIO, "application/json", BODY)).await;
        // The client leaves once the call has arrived, before or in the middle of the reply.
        let arrived = async {
            while simulator.request_count(endpoint) < struck {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, arrived).await.unwrap();
        drop(stream);
        simulator.faults().clear(endpoint);
        assert_eq!(call(&simulator, RATIO).await.unwrap().body, plain, "{fault}");
    }
}

#[tokio::test]
async fn domains_can_be_given_and_taken_while_it_runs() {
    let (simulator, _) = simulator().await;
    assert!(simulator.remove_domain("jcloud_00", &domain()));
    assert_eq!(call(&simulator, RATIO).await.unwrap().json()["status"], 15);
    assert!(simulator.add_live_domain("jcloud_00", &domain()));
    assert_eq!(call(&simulator, RATIO).await.unwrap().json()["status"], 15);
    assert_eq!(call(&simulator, FLOW).await.unwrap().json()["status"], 0);
    assert!(simulator.add_domain("jcloud_00", &domain()));
    assert_eq!(call(&simulator, RATIO).await.unwrap().json()["status"], 0);
}
