//! Answers one HTTP request: reads the call, asks the pure rooms, lets faults strike.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use secrecy::SecretString;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::Endpoint;
use crate::simulator::body::{self, Body, HangUp};
use crate::simulator::faults::{Fault, FaultPlan, RetryAfter, Struck, Target};
use crate::simulator::list::{self, ListStyle};
use crate::simulator::log::{InFlight, ListRequestRecord, RequestLog, RequestRecord};
use crate::simulator::options::SimulatorOptions;
use crate::simulator::reply::{self, Style};
use crate::simulator::request::{Accounts, Parameters, Refusal, Rules};
use crate::simulator::traffic::Traffic;

/// Largest request body: 10,000 domain names of ordinary length fit.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Where [`Fault::Redirect`] points.
const REDIRECT_TARGET: &str = "/redirected";
const HTML_PAGE: &str =
    "<!DOCTYPE html><html><head><title>Error</title></head><body>Service error</body></html>";

/// What every connection shares.
pub(super) struct Shared {
    pub(super) options: SimulatorOptions,
    pub(super) accounts: RwLock<Accounts>,
    /// That of the options, with the scripts of now.
    pub(super) traffic: RwLock<Traffic>,
    pub(super) faults: FaultPlan,
    pub(super) log: RequestLog,
    pub(super) list_style: Mutex<ListStyle>,
}

impl Shared {
    fn list_style(&self) -> ListStyle {
        self.list_style
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn traffic(&self) -> RwLockReadGuard<'_, Traffic> {
        self.traffic.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that counts as a request under way until it is sent or dropped.
pub(super) struct Counted {
    body: Body,
    _in_flight: InFlight,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = HangUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HangUp>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What one request needs.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    /// Ends what a fault would keep going for ever.
    pub(super) stop: CancellationToken,
}

impl Call {
    /// The reply, or how the connection ends without one.
    pub(super) async fn answer(self, request: Request<Incoming>) -> Result<Response<Counted>, HangUp> {
        let in_flight = self.shared.log.enter();
        let target = match request.uri().path() {
            "/api/live/bandwidth_flow" => Some(Target::Read(Endpoint::BandwidthFlow)),
            "/api/origin_ratio" => Some(Target::Read(Endpoint::OriginRatio)),
            "/api/queryDomains" => Some(Target::List),
            _ => None,
        };
        let now = self.shared.options.clock.now();
        let (mut response, skew) = match target {
            Some(target) if request.method() == Method::POST => {
                let (call, content_type_ok) = self.read(target, request).await?;
                let domains = match (&call, target) {
                    (None, _) => Vec::new(),
                    (Some(call), Target::Read(_)) => call.domains(),
                    (Some(call), Target::List) => self.accounts().listed(&call.username),
                };
                let struck = self.shared.faults.strike(target, &domains);
                self.sleep(struck.latency).await?;
                let response = if content_type_ok || struck.carriage.is_some() {
                    let reply = self.reply(target, call.as_ref(), &struck);
                    self.carry(reply, &struck).await?
                } else {
                    html(StatusCode::UNSUPPORTED_MEDIA_TYPE)
                };
                (response, struck.skew_seconds)
            }
            Some(_) => {
                self.shared.log.add_stray();
                let mut response = html(StatusCode::METHOD_NOT_ALLOWED);
                set(&mut response, header::ALLOW, "POST");
                (response, 0)
            }
            None => {
                self.shared.log.add_stray();
                (html(StatusCode::NOT_FOUND), 0)
            }
        };
        let date = http_date(now + TimeDelta::seconds(skew));
        set(&mut response, header::DATE, &date);
        Ok(response.map(|body| Counted {
            body,
            _in_flight: in_flight,
        }))
    }

    /// The parameters of a call, and whether it was declared as JSON; keeps a record of it.
    async fn read(
        &self,
        target: Target,
        request: Request<Incoming>,
    ) -> Result<(Option<Parameters>, bool), HangUp> {
        let text = |name| {
            request
                .headers()
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let is_json = text(header::CONTENT_TYPE)
            .and_then(|value| value.split(';').next())
            .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"));
        let user_agent = text(header::USER_AGENT).map(str::to_owned);
        let body = Limited::new(request.into_body(), MAX_REQUEST_BYTES).collect();
        // An unreadable body is the client's doing: there is nobody to answer, or nothing to say.
        let body = body.await.map_err(|_| HangUp::Close)?.to_bytes();
        let call: Option<Parameters> = serde_json::from_slice(&body).ok();
        let unread = Parameters::default();
        let read = call.as_ref().unwrap_or(&unread);
        match target {
            Target::Read(endpoint) => self.shared.log.add(RequestRecord {
                endpoint,
                at: Instant::now(),
                username: read.username.trim().to_owned(),
                signature: SecretString::from(read.signature.trim()),
                domains: read.names().map(str::to_owned).collect(),
                start_time: read.start_time.clone(),
                end_time: read.end_time.clone(),
                user_agent,
            }),
            Target::List => self.shared.log.add_list(ListRequestRecord {
                at: Instant::now(),
                username: read.username.trim().to_owned(),
                page_number: read.page_number,
                page_size: read.page_size,
            }),
        }
        Ok((call, is_json))
    }

    /// What is said, before anything happens to it on the way.
    fn reply(&self, target: Target, call: Option<&Parameters>, struck: &Struck) -> String {
        let options = &self.shared.options;
        let habits = options.habits.union(struck.habits);
        if let Some(status) = struck.status {
            return reply::refusal(status, habits);
        }
        let now = options.clock.now();
        let accounts = self.accounts();
        let rules = Rules {
            accounts: &accounts,
            domain_limit: match target {
                Target::Read(endpoint) => options.limit(endpoint),
                Target::List => 0,
            },
            time_zone: options.time_zone,
            now,
            other_day: struck.other_day,
        };
        let replied = call.ok_or(Refusal::BODY).and_then(|call| match target {
            Target::Read(endpoint) => {
                let question = rules.judge(endpoint, call)?;
                let style = Style {
                    time_zone: options.time_zone,
                    idle_ratio: options.idle_ratio,
                    origin_ratio_label: options.origin_ratio_label,
                    habits,
                };
                Ok(reply::render(&question, &self.shared.traffic(), &style, now))
            }
            Target::List => {
                let domains = rules.judge_list(call)?;
                let style = self.shared.list_style();
                Ok(list::page(
                    &domains,
                    call.page_number,
                    call.page_size,
                    &style,
                    habits,
                ))
            }
        });
        replied.unwrap_or_else(|Refusal(status)| reply::refusal(status, habits))
    }

    fn accounts(&self) -> RwLockReadGuard<'_, Accounts> {
        self.shared
            .accounts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How it is sent, or what is sent instead.
    async fn carry(&self, reply: String, struck: &Struck) -> Result<Response<Body>, HangUp> {
        let Some(fault) = struck.carriage else {
            return Ok(json(body::whole(reply)));
        };
        Ok(match fault {
            Fault::HttpStatus { code, retry_after } => {
                let mut response =
                    html(StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
                let value = match retry_after {
                    None => None,
                    Some(RetryAfter::Seconds(seconds)) => Some(seconds.to_string()),
                    Some(RetryAfter::Date(seconds)) => {
                        let now = self.shared.options.clock.now();
                        Some(http_date(now + TimeDelta::seconds(i64::from(seconds))))
                    }
                };
                if let Some(value) = value {
                    set(&mut response, header::RETRY_AFTER, &value);
                }
                response
            }
            Fault::Redirect => {
                let mut response = html(StatusCode::FOUND);
                set(&mut response, header::LOCATION, REDIRECT_TARGET);
                response
            }
            Fault::CloseBeforeReply => return Err(HangUp::Close),
            Fault::ResetBeforeReply => return Err(HangUp::Reset),
            Fault::Hang => {
                self.stop.cancelled().await;
                return Err(HangUp::Close);
            }
            Fault::Drip(interval) => json(body::drip(reply, interval, self.stop.clone())),
            Fault::Endless => json(body::endless(self.stop.clone())),
            Fault::CutOff => {
                let length = reply.len().to_string();
                let mut response = json(body::cut_off(reply));
                set(&mut response, header::CONTENT_LENGTH, &length);
                response
            }
            Fault::EmptyBody => json(body::whole(Bytes::new())),
            Fault::HtmlPage => html(StatusCode::OK),
            Fault::InvalidUtf8 => json(body::whole(body::invalid_utf8(&reply))),
            Fault::DeepNesting(depth) => json(body::whole(body::nested(depth))),
            Fault::Bomb => gzipped(body::bomb(&reply))?,
            Fault::Oversize => json(body::swollen(reply)),
            Fault::ContentType => {
                let mut response = json(body::whole(reply));
                set(&mut response, header::CONTENT_TYPE, "text/html");
                response
            }
            Fault::Gzip => gzipped(body::gzip(&reply))?,
            // These never are a carriage: see `Struck`.
            Fault::Status(_)
            | Fault::ClockSkew(_)
            | Fault::Latency(_)
            | Fault::OtherDay
            | Fault::Habit(_) => json(body::whole(reply)),
        })
    }

    async fn sleep(&self, time: Duration) -> Result<(), HangUp> {
        if time.is_zero() {
            return Ok(());
        }
        let slept = self.stop.run_until_cancelled(tokio::time::sleep(time)).await;
        slept.ok_or(HangUp::Close)
    }
}

fn json(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    set(
        &mut response,
        header::CONTENT_TYPE,
        "application/json;charset=UTF-8",
    );
    response
}

fn gzipped(body: Option<Body>) -> Result<Response<Body>, HangUp> {
    let mut response = json(body.ok_or(HangUp::Close)?);
    set(&mut response, header::CONTENT_ENCODING, "gzip");
    Ok(response)
}

fn html(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::whole(HTML_PAGE));
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "text/html");
    response
}

/// Sets a header to a text of our own, which always is a valid value.
fn set(response: &mut Response<Body>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The form of `Date` and `Retry-After`: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
fn http_date(instant: DateTime<Utc>) -> String {
    instant.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
