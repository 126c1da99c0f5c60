//! Puts the web configuration file in front of a handler: rate limit, headers, passwords. It holds
//! for every route, health endpoints included, as for every exporter with that file.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use tokio::time::Instant;

use super::auth::{Passwords, Verdict};
use super::routes::plain;
use super::web_file::Loaded;
use super::{Body, Handler, WebFile};

/// A handler behind the web configuration file, if there is one.
pub struct Guard<H> {
    inner: H,
    web_file: Option<Arc<WebFile>>,
    passwords: Passwords,
}

impl<H> Guard<H> {
    /// Lets only those requests through to `inner` that the file admits.
    pub fn new(inner: H, web_file: Option<Arc<WebFile>>) -> Self {
        Self {
            inner,
            web_file,
            passwords: Passwords::default(),
        }
    }

    /// The response to a request that is not let through.
    async fn refusal(&self, loaded: &Loaded, request: &Request<Incoming>) -> Option<Response<Body>> {
        if !loaded.admits(Instant::now()) {
            return Some(plain(StatusCode::TOO_MANY_REQUESTS, "too many requests\n"));
        }
        if loaded.config.users.is_empty() {
            return None;
        }
        match self
            .passwords
            .check(&loaded.config.users, request.headers().get(AUTHORIZATION))
            .await
        {
            Verdict::Welcome => None,
            Verdict::Refused => {
                let mut response = plain(StatusCode::UNAUTHORIZED, "user and password are needed\n");
                let challenge =
                    HeaderValue::from_static("Basic realm=\"jdcloud-cdn-exporter\", charset=\"UTF-8\"");
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
                Some(response)
            }
            Verdict::Busy => {
                let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "too many logins at once\n");
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from_static("1"));
                Some(response)
            }
        }
    }
}

impl<H: Handler> Handler for Guard<H> {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let Some(file) = &self.web_file else {
            return self.inner.handle(request).await;
        };
        let loaded = file.current().await;
        let mut response = match self.refusal(&loaded, &request).await {
            Some(refusal) => refusal,
            None => self.inner.handle(request).await,
        };
        for (name, value) in &loaded.config.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }
}
