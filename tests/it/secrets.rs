//! No secret and no signature leaves the process but in the request it belongs to.

use jdcloud_cdn_exporter::model::Endpoint;
use jdcloud_cdn_exporter::simulator::Fault;
use secrecy::ExposeSecret as _;

use crate::binary::Exporter;
use crate::fixture::SECRET_KEY;
use crate::http;
use crate::truth::{self, Samples};

/// The program at trace level, while every kind of failure strikes that has words of its own.
#[tokio::test]
async fn neither_the_log_nor_any_page_shows_a_secret_or_a_signature() {
    let mut exporter = Exporter::start(&[], |command| {
        command.arg("--log.level=trace");
    })
    .await;
    for (fault, reason) in [
        (Fault::Status(7), "signature"),
        (Fault::Status(20), "unknown_user"),
        (Fault::Status(2), "bad_request"),
        (Fault::Redirect, "http_status"),
        (Fault::ResetBeforeReply, "connect"),
        (Fault::HtmlPage, "decode"),
        (Fault::ClockSkew(86_400), ""),
        (Fault::OtherDay, "signature"),
    ] {
        let endpoint = Endpoint::OriginRatio;
        let labels = [("endpoint", endpoint.name()), ("reason", reason)];
        let failures = truth::series("jdcloud_cdn_exporter_api_request_failures_total", &labels);
        let before = exporter.simulator.request_count(endpoint);
        // What is answered in the end has no reason, and so no series.
        let count = |samples: &Samples| samples.get(&failures).copied().unwrap_or(0.0);
        let failed = count(&exporter.until_samples("any scrape", |_| true).await);
        exporter.simulator.faults().set(endpoint, fault);
        exporter
            .until_samples(&format!("{fault}"), |samples| {
                exporter.simulator.request_count(endpoint) > before
                    && (reason.is_empty() || count(samples) > failed)
            })
            .await;
        if matches!(fault, Fault::Status(7)) {
            // Near midnight in Beijing the call is signed again before the poll fails.
            exporter
                .program
                .until("the refused signature", |said| {
                    said.contains("reason=signature").then_some(())
                })
                .await;
        }
    }
    exporter.simulator.faults().clear_all();
    let mut told = Vec::new();
    for path in ["/", "/metrics", "/-/ready"] {
        let reply = http::request(exporter.address, "GET", path, &[]).await.unwrap();
        told.push(reply.text().to_owned());
    }
    exporter.program.signal("HUP");
    exporter
        .program
        .until("the reload", |said| {
            said.contains("configuration reloaded").then_some(())
        })
        .await;
    exporter.program.signal("TERM");
    exporter.program.ended().await;
    told.push(exporter.program.said());

    let log = exporter.program.stderr();
    assert!(
        log.contains("level=trace") || log.contains("level=debug"),
        "{log}"
    );
    assert!(log.contains("reason=signature"), "{log}");
    let mut secrets = vec![SECRET_KEY.to_owned()];
    for record in exporter.simulator.requests() {
        secrets.push(record.signature.expose_secret().to_owned());
    }
    secrets.sort();
    secrets.dedup();
    assert!(secrets.len() >= 2 && secrets.iter().all(|secret| secret.len() == 32));
    for secret in &secrets {
        for text in &told {
            assert!(!text.contains(secret.as_str()), "a secret is shown:\n{text}");
        }
    }
    // A request's body has this key and nothing else has.
    assert!(!log.contains("\"signature\""), "{log}");
}
