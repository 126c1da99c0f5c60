//! The simulator on a socket: accepts connections, answers calls, lets faults strike.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::model::{Domain, Endpoint, Window};
use crate::simulator::body::{self, Body, HangUp};
use crate::simulator::faults::{Fault, FaultPlan, RetryAfter, Struck};
use crate::simulator::log::{InFlight, RequestLog, RequestRecord};
use crate::simulator::options::SimulatorOptions;
use crate::simulator::reply::{self, Style};
use crate::simulator::request::{Accounts, Parameters, Refusal, Rules};
use crate::simulator::traffic::Truth;

/// Largest request body: 10,000 domain names of ordinary length fit.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Pause after a failed accept, so that a lack of file descriptors does not make the loop spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long a reply that is being written may take to end when the port closes: a client may have
/// stopped reading.
const STOP_GRACE: Duration = Duration::from_secs(1);
/// Where [`Fault::Redirect`] points.
const REDIRECT_TARGET: &str = "/redirected";
const HTML_PAGE: &str =
    "<!DOCTYPE html><html><head><title>Error</title></head><body>Service error</body></html>";

/// A running stand-in for the provider. Dropping it ends it without waiting; [`Simulator::stop`] waits.
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Mutex<Option<Serving>>,
    stop: CancellationToken,
}

/// One span of time in which the port is open.
struct Serving {
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    options: SimulatorOptions,
    accounts: RwLock<Accounts>,
    faults: FaultPlan,
    log: RequestLog,
}

impl Simulator {
    /// Binds and serves.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(options: SimulatorOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            accounts: RwLock::new(Accounts::new(&options.accounts)),
            faults: FaultPlan::default(),
            log: RequestLog::new(options.log_limit),
            options,
        });
        let stop = CancellationToken::new();
        let serving = Serving::begin(listener, &shared, &stop);
        Ok(Self {
            address,
            shared,
            serving: Mutex::new(Some(serving)),
            stop,
        })
    }

    /// `http://127.0.0.1:PORT`, for `api.base_url`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The provider's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.shared.options.clock
    }

    /// What goes wrong; it may be changed at any time.
    #[must_use]
    pub fn faults(&self) -> &FaultPlan {
        &self.shared.faults
    }

    /// What a client should finally see for a window, in the provider's units.
    #[must_use]
    pub fn truth(&self, domain: &Domain, window: Window) -> Truth {
        self.shared.options.traffic.truth(domain, window)
    }

    /// What it answers for a window at this moment.
    #[must_use]
    pub fn visible(&self, domain: &Domain, window: Window) -> Option<Truth> {
        let now = self.clock().now();
        self.shared.options.traffic.visible(domain, window, now)
    }

    /// The newest requests to the endpoints, oldest first, at most `log_limit`.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.log.records()
    }

    /// How many requests an endpoint has had since the start.
    #[must_use]
    pub fn request_count(&self, endpoint: Endpoint) -> u64 {
        self.shared.log.total(endpoint)
    }

    /// How many requests went to no endpoint, or with another method than POST.
    #[must_use]
    pub fn stray_requests(&self) -> u64 {
        self.shared.log.strays()
    }

    /// The most requests that were under way at once, from the head of the request to the last byte
    /// of the reply.
    #[must_use]
    pub fn max_concurrency(&self) -> usize {
        self.shared.log.max_concurrency()
    }

    /// Gives a domain that both endpoints know to an account; `false` if there is no such account.
    #[must_use]
    pub fn add_domain(&self, username: &str, domain: &Domain) -> bool {
        self.accounts_mut(|accounts| accounts.add_domain(username, domain, false))
    }

    /// Gives a domain that only `bandwidth_flow` knows to an account; `false` if there is no such
    /// account.
    #[must_use]
    pub fn add_live_domain(&self, username: &str, domain: &Domain) -> bool {
        self.accounts_mut(|accounts| accounts.add_domain(username, domain, true))
    }

    /// Takes a domain from an account; `false` if it had none of that name.
    #[must_use]
    pub fn remove_domain(&self, username: &str, domain: &Domain) -> bool {
        self.accounts_mut(|accounts| accounts.remove_domain(username, domain))
    }

    fn accounts_mut<T>(&self, act: impl FnOnce(&mut Accounts) -> T) -> T {
        act(&mut self
            .shared
            .accounts
            .write()
            .unwrap_or_else(PoisonError::into_inner))
    }

    /// Closes the port and every connection: from here on connections are refused.
    pub async fn go_down(&self) {
        let mut serving = self.serving.lock().await;
        if let Some(serving) = serving.take() {
            serving.end().await;
        }
    }

    /// Opens the same port again after [`Simulator::go_down`].
    ///
    /// # Errors
    /// Another process has taken the port.
    pub async fn come_back(&self) -> io::Result<()> {
        let mut serving = self.serving.lock().await;
        if serving.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            *serving = Some(Serving::begin(listener, &self.shared, &self.stop));
        }
        Ok(())
    }

    /// Takes no more connections, lets replies that are being written end (those that a fault would
    /// keep open are broken off) and waits for it, about a second at most.
    pub async fn stop(self) {
        self.go_down().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Serving {
    fn begin(listener: TcpListener, shared: &Arc<Shared>, stop: &CancellationToken) -> Self {
        let stop = stop.child_token();
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, Arc::clone(shared), stop.clone(), tasks.clone()));
        Self { stop, tasks }
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken, tasks: TaskTracker) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection(stream, Arc::clone(&shared), stop.clone()));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, shared: Arc<Shared>, stop: CancellationToken) {
    // Without it a small reply may wait for the client's delayed acknowledgement; not vital.
    let _best_effort = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let service = {
        let (reset, stop) = (Arc::clone(&reset), stop.clone());
        service_fn(move |request| -> Pin<Box<dyn Future<Output = _> + Send>> {
            let call = Call {
                shared: Arc::clone(&shared),
                stop: stop.clone(),
            };
            let reset = Arc::clone(&reset);
            Box::pin(async move {
                let answer = call.answer(request).await;
                reset.store(matches!(answer, Err(HangUp::Reset)), Ordering::Relaxed);
                answer
            })
        })
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    {
        let mut served = std::pin::pin!(poll_fn(|context| {
            if stop.is_cancelled() {
                Pin::new(&mut connection).graceful_shutdown();
            }
            connection.poll_without_shutdown(context)
        }));
        tokio::select! {
            // A client that leaves in the middle is no matter here.
            _ = &mut served => {}
            () = stop.cancelled() => {
                let _ended_or_not = tokio::time::timeout(STOP_GRACE, served).await;
            }
        }
    }
    let stream = connection.into_parts().io.into_inner();
    if reset.load(Ordering::Relaxed) {
        // With no time to linger, closing the socket sends a reset.
        let _best_effort = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}

/// A body that counts as a request under way until it is sent or dropped.
struct Counted {
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
struct Call {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

impl Call {
    /// The reply, or how the connection ends without one.
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Counted>, HangUp> {
        let in_flight = self.shared.log.enter();
        let endpoint = match request.uri().path() {
            "/api/live/bandwidth_flow" => Some(Endpoint::BandwidthFlow),
            "/api/origin_ratio" => Some(Endpoint::OriginRatio),
            _ => None,
        };
        let now = self.shared.options.clock.now();
        let (mut response, skew) = match endpoint {
            Some(endpoint) if request.method() == Method::POST => {
                let (call, content_type_ok) = self.read(endpoint, request).await?;
                let domains = call.as_ref().map(Parameters::domains).unwrap_or_default();
                let struck = self.shared.faults.strike(endpoint, &domains);
                self.sleep(struck.latency).await?;
                let response = if content_type_ok || struck.carriage.is_some() {
                    let reply = self.reply(endpoint, call.as_ref(), &struck);
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
        endpoint: Endpoint,
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
        let record = |call: &Parameters| RequestRecord {
            endpoint,
            at: Instant::now(),
            username: call.username.trim().to_owned(),
            signature: SecretString::from(call.signature.trim()),
            domains: call.names().map(str::to_owned).collect(),
            start_time: call.start_time.clone(),
            end_time: call.end_time.clone(),
            user_agent,
        };
        self.shared.log.add(match &call {
            Some(call) => record(call),
            None => record(&Parameters::default()),
        });
        Ok((call, is_json))
    }

    /// What is said, before anything happens to it on the way.
    fn reply(&self, endpoint: Endpoint, call: Option<&Parameters>, struck: &Struck) -> String {
        let options = &self.shared.options;
        let habits = options.habits.union(struck.habits);
        if let Some(status) = struck.status {
            return reply::refusal(status, habits);
        }
        let now = options.clock.now();
        let question = {
            let accounts = self
                .shared
                .accounts
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            let rules = Rules {
                accounts: &accounts,
                domain_limit: options.limit(endpoint),
                time_zone: options.time_zone,
                now,
                other_day: struck.other_day,
            };
            call.ok_or(Refusal::BODY)
                .and_then(|call| rules.judge(endpoint, call))
        };
        match question {
            Err(Refusal(status)) => reply::refusal(status, habits),
            Ok(question) => {
                let style = Style {
                    time_zone: options.time_zone,
                    idle_ratio: options.idle_ratio,
                    habits,
                };
                reply::render(&question, &options.traffic, &style, now)
            }
        }
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

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
