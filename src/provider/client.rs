//! One call over HTTP: sign, send, read with bounds, decode, and say what went wrong.

use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::decode::{DecodeError, decode};
use super::query_domains::decode_list;
use super::rows::Asked;
use super::trust::Trust;
use super::{request, signature, status};
use crate::clock::Clock;
use crate::config::{Account, Api};
use crate::model::{
    Answer, DateShift, Disposition, Domain, Endpoint, Failure, LIST_PATH, LabelledBy, ListPage,
    ListPageWanted, Reason, Units, WindowRange,
};
use crate::observer::Observer;
use crate::telemetry::chain;

/// Clocks that differ by more than this are a likely cause of refused signatures.
const NOTABLE_SKEW_SECONDS: i64 = 300;

/// The longest `Retry-After` that is believed: a slip at the provider must not silence an exporter for
/// longer than its values live (`poll.stale_after`, 40 minutes unless set).
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// So many characters of the provider's own words are told.
const MOST_OF_MSG: usize = 200;

/// Idle connections are closed before the provider is likely to close them under a request.
const POOL_IDLE: Duration = Duration::from_secs(55);

/// The HTTP client cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made; this is a defect, please report it with the log")]
pub struct ClientError(#[source] reqwest::Error);

/// Connections to the provider, shared by all that uses a clone of them.
#[derive(Clone, Debug)]
pub struct Connections(reqwest::Client);

/// The signature of a call, and what it was made of.
struct Signed {
    signature: SecretString,
    at: DateTime<Utc>,
    shift: DateShift,
}

/// Asks the provider on behalf of one account.
#[derive(Clone)]
pub struct Client {
    http: Connections,
    urls: [Url; Endpoint::ALL.len()],
    list_url: Url,
    api: Arc<Api>,
    username: String,
    secret_key: SecretString,
    signed: Arc<Mutex<Option<(NaiveDate, SecretString)>>>,
    units: Units,
    origin_ratio_label: LabelledBy,
    clock: Clock,
    observer: Arc<dyn Observer>,
}

impl Connections {
    /// Connections to `api.base_url`, which `trust` was read for; none is opened yet, and no file is read.
    ///
    /// # Errors
    /// The library refuses what it is told.
    pub fn new(api: &Api, trust: &Trust) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let builder = reqwest::Client::builder()
            .user_agent(concat!("jdcloud-cdn-exporter/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tls_backend_preconfigured(trust.config())
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true);
        // A proxy of the environment is for the world outside, not for a provider on this machine.
        let builder = if is_loopback(&api.base_url) {
            builder.no_proxy()
        } else {
            builder
        };
        builder.build().map(Self).map_err(ClientError)
    }
}

impl Client {
    /// A client of an account over shared connections.
    #[must_use]
    pub fn new(
        http: Connections,
        api: Arc<Api>,
        account: &Account,
        clock: Clock,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            http,
            urls: Endpoint::ALL.map(|endpoint| url(&api.base_url, endpoint.path())),
            list_url: url(&api.base_url, LIST_PATH),
            api,
            username: account.username.clone(),
            secret_key: account.secret_key.clone(),
            signed: Arc::default(),
            units: account.units,
            origin_ratio_label: account.origin_ratio_label,
            clock,
            observer,
        }
    }

    /// Makes one call, within `api.timeout` from connecting to the last byte.
    ///
    /// # Errors
    /// Whatever goes wrong is one [`Failure`], without secrets.
    pub async fn read(
        &self,
        endpoint: Endpoint,
        domains: &[Domain],
        range: WindowRange,
        shift: DateShift,
    ) -> Result<Answer, Failure> {
        let started = Instant::now();
        let outcome = self.in_time(self.call(endpoint, domains, range, shift)).await;
        let failure = outcome.as_ref().err().map(|failure| failure.reason);
        self.observer
            .request_finished(endpoint, started.elapsed(), failure);
        if let Ok(answer) = &outcome {
            self.observer.rejected(endpoint, answer.rejects);
        }
        outcome
    }

    /// Reads one page of the list of the account's domains, within the same time.
    ///
    /// # Errors
    /// As [`Client::read`]; no domain can be isolated here, so asking again is all that may help.
    pub async fn list(&self, wanted: ListPageWanted, shift: DateShift) -> Result<ListPage, Failure> {
        let signed = self.sign(shift);
        let call = async {
            let body = request::list_body(&self.username, &signed.signature, wanted).map_err(unwritten)?;
            self.exchange(self.list_url.clone(), body, &signed, |body| {
                decode_list(body, wanted.keep)
            })
            .await
        };
        self.in_time(call).await.map_err(|mut failure| {
            if matches!(failure.disposition, Disposition::Isolate | Disposition::Halve) {
                failure.disposition = Disposition::Stop;
            }
            failure
        })
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.api.timeout, call).await {
            Ok(outcome) => outcome,
            Err(_) => Err(transient(
                Reason::Timeout,
                format!(
                    "no whole reply within {}",
                    humantime::format_duration(self.api.timeout)
                ),
            )),
        }
    }

    async fn call(
        &self,
        endpoint: Endpoint,
        domains: &[Domain],
        range: WindowRange,
        shift: DateShift,
    ) -> Result<Answer, Failure> {
        let labelled_by = match endpoint {
            Endpoint::BandwidthFlow => LabelledBy::End,
            Endpoint::OriginRatio => self.origin_ratio_label,
        };
        // The provider knows windows by their labels, in requests as in replies.
        let range = labelled_by.labels_of(range);
        let signed = self.sign(shift);
        let body = request::body(
            &self.username,
            &signed.signature,
            domains,
            range,
            self.api.time_zone,
        )
        .map_err(unwritten)?;
        let url = self
            .urls
            .get(endpoint.index())
            .unwrap_or(&self.api.base_url)
            .clone();
        let asked = Asked {
            domains,
            range,
            zone: self.api.time_zone,
            units: self.units,
        };
        let mut answer = self
            .exchange(url, body, &signed, |body| decode(endpoint, body, &asked))
            .await?;
        for reading in answer.readings.iter_mut().flatten() {
            reading.window = labelled_by.meant_by(reading.window);
        }
        Ok(answer)
    }

    fn sign(&self, shift: DateShift) -> Signed {
        let at = self.clock.now();
        let date = signature::date(at, self.api.time_zone, shift);
        Signed {
            signature: self.signature(date),
            at,
            shift,
        }
    }

    /// Sends a body, reads the reply with bounds, and decodes it.
    async fn exchange<T>(
        &self,
        url: Url,
        body: Vec<u8>,
        signed: &Signed,
        decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, Failure> {
        let mut response = self
            .http
            .0
            .post(url)
            .body(body)
            .send()
            .await
            .map_err(not_answered)?;
        let code = response.status();
        let skew = self.note_skew(response.headers());
        let retry_after = retry_after(response.headers(), self.clock.now());
        if code == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure {
                reason: Reason::Throttled,
                disposition: Disposition::Retry { after: retry_after },
                message: "HTTP 429: the provider throttles; lower api.max_requests_per_second or raise \
                          poll.interval"
                    .to_owned(),
            });
        }
        let body = self.body(&mut response).await;
        let decoded = match body {
            // A failure in the provider's own words says more than its HTTP status; a success does not.
            Ok(body) if code == StatusCode::OK => decode(&body),
            Ok(body) => match decode(&body) {
                Err(DecodeError::Status { status, msg }) if status::is_documented(status) => {
                    Err(DecodeError::Status { status, msg })
                }
                _ => return Err(http_status(code, retry_after)),
            },
            Err(failure) if code == StatusCode::OK => return Err(failure),
            Err(_) => return Err(http_status(code, retry_after)),
        };
        decoded.map_err(|error| match error {
            DecodeError::Status { status: 7, msg } => self.signature_refused(signed, skew, &msg),
            DecodeError::Status { status, msg } => {
                let mut failure = self.status_failure(status, &signed.signature, &msg);
                if let Disposition::Retry { after } = &mut failure.disposition {
                    *after = retry_after;
                }
                failure
            }
            DecodeError::CutOff(_) => transient(Reason::Decode, error.to_string()),
            DecodeError::Malformed(message) => stop(Reason::Decode, message),
        })
    }

    /// The signature of a date. Nearly all calls want the one of the call before: it is the same for
    /// a whole day, and making it takes longer than writing the request.
    fn signature(&self, date: NaiveDate) -> SecretString {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*signed {
            Some((known, signature)) if *known == date => signature.clone(),
            _ => {
                let signature = signature::signature(&self.username, &self.secret_key, date);
                *signed = Some((date, signature.clone()));
                signature
            }
        }
    }

    /// Reads a body up to `api.max_reply_bytes`, counted as expanded.
    async fn body(&self, response: &mut reqwest::Response) -> Result<Vec<u8>, Failure> {
        let limit = self.api.max_reply_bytes;
        let too_large = || {
            stop(
                Reason::TooLarge,
                format!(
                    "the reply is larger than {limit} bytes: raise api.max_reply_bytes, or lower the account's \
                     batch size or poll.window"
                ),
            )
        };
        let announced = response
            .content_length()
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(0);
        if announced > limit {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(announced);
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err(too_large()),
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body),
                Err(error) => {
                    let message = format!("the reply's body broke off: {}", chain(&error.without_url()));
                    return Err(transient(Reason::Decode, message));
                }
            }
        }
    }

    /// How far the provider's clock is ahead of ours, in seconds, by the reply's `Date`.
    fn note_skew(&self, headers: &HeaderMap) -> Option<i64> {
        let date = http_date(headers.get(DATE)?)?;
        let skew = date.signed_duration_since(self.clock.now());
        self.observer.clock_skew(skew);
        Some(skew.num_seconds())
    }

    /// Status 7: near the date line another date may be meant; otherwise the clocks are compared.
    fn signature_refused(&self, signed: &Signed, skew: Option<i64>, msg: &str) -> Failure {
        let mut failure = self.status_failure(7, &signed.signature, msg);
        if let (DateShift::Today, Some(other)) =
            (signed.shift, signature::neighbour(signed.at, self.api.time_zone))
        {
            failure.disposition = Disposition::SignAgain(other);
        }
        if let Some(seconds) = skew.filter(|seconds| seconds.abs() > NOTABLE_SKEW_SECONDS) {
            failure.message = format!(
                "{}; likely cause: this machine's clock is {} {} the provider's",
                failure.message,
                humantime::format_duration(Duration::from_secs(seconds.unsigned_abs())),
                if seconds > 0 { "behind" } else { "ahead of" },
            );
        }
        failure
    }

    fn status_failure(&self, status: i64, signature: &SecretString, msg: &str) -> Failure {
        let meaning = status::meaning(status);
        let mut message = format!("status {status}: {}", meaning.remedy);
        let msg = self.without_secrets(msg, signature);
        if !msg.is_empty() {
            message = format!("{message} (the provider says: {msg})");
        }
        Failure {
            reason: meaning.reason,
            disposition: meaning.disposition,
            message,
        }
    }

    /// The provider's own words, cut to a line, in which it may repeat the request: the documents'
    /// return example carries the request's signature.
    fn without_secrets(&self, msg: &str, signature: &SecretString) -> String {
        if msg.contains("signature\\\"") || msg.contains("signature\"") {
            return "withheld, as it repeats the request".to_owned();
        }
        let text = [signature.expose_secret(), self.secret_key.expose_secret()]
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(msg.to_owned(), |text, secret| text.replace(*secret, "***"));
        without_digests(&text).chars().take(MOST_OF_MSG).collect()
    }
}

/// The text without anything that looks like an MD5 digest, of whichever day and letter case.
fn without_digests(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, tail) = rest.split_at(start);
        let end = tail.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(tail.len());
        let (run, after) = tail.split_at(end);
        out.push_str(before);
        out.push_str(if run.len() >= 32 { "***" } else { run });
        rest = after;
    }
    out + rest
}

fn url(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

fn is_loopback(url: &Url) -> bool {
    let host = url
        .host_str()
        .unwrap_or_default()
        .trim_start_matches('[')
        .trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn transient(reason: Reason, message: String) -> Failure {
    Failure {
        reason,
        disposition: Disposition::Retry { after: None },
        message,
    }
}

fn stop(reason: Reason, message: String) -> Failure {
    Failure {
        reason,
        disposition: Disposition::Stop,
        message,
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn unwritten(error: serde_json::Error) -> Failure {
    stop(
        Reason::BadRequest,
        format!("the request cannot be written: {error}"),
    )
}

#[allow(clippy::needless_pass_by_value, reason = "it is the argument of map_err")]
fn not_answered(error: reqwest::Error) -> Failure {
    let what = if error.is_connect() {
        "cannot connect"
    } else {
        "the connection ended before a reply"
    };
    let error = error.without_url();
    transient(Reason::Connect, format!("{what}: {}", chain(told(&error))))
}

/// The cause that tells an operator something, below those of the libraries' own layers.
fn told(error: &reqwest::Error) -> &(dyn Error + 'static) {
    let mut told: &(dyn Error + 'static) = error;
    while let Some(cause) = told.source() {
        let text = told.to_string();
        if !text.starts_with("error sending request") && !text.starts_with("client error (") {
            break;
        }
        told = cause;
    }
    told
}

fn http_status(code: StatusCode, retry_after: Option<Duration>) -> Failure {
    let again = code.is_server_error() || code == StatusCode::REQUEST_TIMEOUT;
    let remedy = if again {
        "a fault at the provider; it is asked again"
    } else if code.is_redirection() {
        "redirects are not followed: check api.base_url"
    } else {
        "check api.base_url"
    };
    Failure {
        reason: Reason::HttpStatus,
        disposition: if again {
            Disposition::Retry { after: retry_after }
        } else {
            Disposition::Stop
        },
        message: format!("HTTP {}: {remedy}", code.as_u16()),
    }
}

/// `Retry-After`, in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?;
    let seconds = value
        .to_str()
        .ok()?
        .trim()
        .parse::<u64>()
        .ok()
        .map(Duration::from_secs);
    seconds
        .or_else(|| {
            Some(
                http_date(value)?
                    .signed_duration_since(now)
                    .to_std()
                    .unwrap_or_default(),
            )
        })
        .map(|wait| wait.min(LONGEST_RETRY_AFTER))
}

fn http_date(value: &HeaderValue) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(value.to_str().ok()?.trim())
        .ok()
        .map(|date| date.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layers of the libraries are no news to an operator: what the system says is.
    #[tokio::test]
    async fn a_refused_connection_is_told_without_the_layers_above_it() {
        let text = "api: {base_url: 'http://127.0.0.1:1'}\naccounts:\n  - username: u\n    secret_key: s\n    \
                    domains: [www.a.com]\n";
        let config = crate::config::parse(text, "test", &crate::config::Environment::default()).unwrap();
        let trust = Trust::read(&config.api).unwrap();
        let http = Connections::new(&config.api, &trust).unwrap().0;
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/secret", taken.local_addr().unwrap());
        drop(taken);
        let failure = not_answered(http.post(url).send().await.unwrap_err());
        assert_eq!(failure.reason, Reason::Connect);
        let begins = "cannot connect: tcp connect error: Connection refused";
        assert!(failure.message.starts_with(begins), "{}", failure.message);
        assert!(!failure.message.contains("secret"), "{}", failure.message);
    }

    #[test]
    fn digests_are_taken_out_of_the_providers_words() {
        let signature = "a35685491fd80a80b40a718c3a5c5c56";
        for (text, told) in [
            (format!("bad {signature}."), "bad ***."),
            (format!("bad {}", signature.to_uppercase()), "bad ***"),
            (format!("{signature}{signature}"), "***"),
            ("签名错误 code 7 deadbeef".to_owned(), "签名错误 code 7 deadbeef"),
            (String::new(), ""),
        ] {
            assert_eq!(without_digests(&text), told, "{text}");
        }
    }
}
