//! The simulator on a socket: opens and closes the port, accepts connections, serves them.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use std::{fmt, io};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::model::{Domain, Endpoint, Window};
use crate::simulator::answer::{Call, Shared};
use crate::simulator::body::HangUp;
use crate::simulator::faults::FaultPlan;
use crate::simulator::list::ListStyle;
use crate::simulator::log::{ListRequestRecord, RequestLog, RequestRecord};
use crate::simulator::options::SimulatorOptions;
use crate::simulator::request::Accounts;
use crate::simulator::traffic::{Script, Truth};

/// Pause after a failed accept, so that a lack of file descriptors does not make the loop spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How long a reply that is being written may take to end when the port closes: a client may have
/// stopped reading.
const STOP_GRACE: Duration = Duration::from_secs(1);

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
            traffic: RwLock::new(options.traffic.clone()),
            faults: FaultPlan::default(),
            log: RequestLog::new(options.log_limit),
            list_style: std::sync::Mutex::default(),
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
        self.shared.traffic().truth(domain, window)
    }

    /// What it answers for a window at this moment.
    #[must_use]
    pub fn visible(&self, domain: &Domain, window: Window) -> Option<Truth> {
        let now = self.clock().now();
        self.shared.traffic().visible(domain, window, now)
    }

    /// Puts other scripts in the place of those of the options. Windows that were told before are told
    /// anew by them, as when the provider revises its figures.
    pub fn set_scripts(&self, scripts: Vec<Script>) {
        let mut traffic = self
            .shared
            .traffic
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        traffic.scripts = scripts;
    }

    /// The newest requests to the endpoints, oldest first, at most `log_limit`.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.log.records()
    }

    /// The newest requests for pages of lists, oldest first, at most `log_limit`.
    #[must_use]
    pub fn list_requests(&self) -> Vec<ListRequestRecord> {
        self.shared.log.lists()
    }

    /// Changes how lists of domains are printed, from the next page on.
    pub fn restyle_lists(&self, change: impl FnOnce(&mut ListStyle)) {
        change(
            &mut self
                .shared
                .list_style
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
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

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
