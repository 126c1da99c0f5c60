//! What is served under which path, to which methods.

use std::str::FromStr;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderMap, HeaderValue, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode};

use super::negotiate::{self, Coding};
use super::status::{self, Language, Query, Status};
use super::targets;
use super::{Body, Handler};
use crate::exposition::{Format, Page, PageError, WindowsPage};

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// The pages that the status page has links to, besides the metrics; to that of the shards where there are
/// any.
const LINKED: [&str; 5] = ["/windows", "/api/status", TARGETS, "/-/healthy", "/-/ready"];

/// Where Prometheus discovers the shards.
const TARGETS: &str = "/sd";

/// What the routes need from the application.
pub trait Site: Send + Sync + 'static {
    /// The metrics as of now.
    ///
    /// # Errors
    /// A defect of the exporter.
    fn metrics(&self, format: Format, gzip: bool) -> impl Future<Output = Result<Page, PageError>> + Send;
    /// Every settled window as of now.
    ///
    /// # Errors
    /// A defect of the exporter.
    fn windows(
        &self,
        format: Format,
        gzip: bool,
    ) -> impl Future<Output = Result<WindowsPage, PageError>> + Send;
    /// Ok once every domain that is known at the start has been asked for once, otherwise what is missing.
    ///
    /// # Errors
    /// One line that says what is waited for.
    fn ready(&self) -> Result<(), String>;
    /// For the status page.
    fn status(&self) -> Status;
    /// Where all shards serve, in the order of their ordinals; none where the configuration does not say.
    fn shards(&self) -> Vec<String>;
    /// Reads the configuration again and applies it.
    ///
    /// # Errors
    /// Every problem, each naming file and key; nothing was changed then.
    fn reload(&self) -> impl Future<Output = Result<(), Vec<String>>> + Send;
}

/// Pages that have, or will have, a path of their own.
const RESERVED: [&str; 3] = ["/windows", TARGETS, "/api/status"];

/// A valid `--web.telemetry-path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetryPath(String);

impl TelemetryPath {
    /// With its leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TelemetryPath {
    fn default() -> Self {
        Self("/metrics".to_owned())
    }
}

impl FromStr for TelemetryPath {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        let problem = if !path.starts_with('/') || path.starts_with("//") {
            "it must begin with one slash"
        } else if RESERVED.contains(&path.trim_end_matches('/')) {
            "it is the path of another page"
        } else if path.starts_with("/-/") {
            "/-/ is kept for health and reload"
        } else if !path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
        {
            "only letters, digits and / - . _ ~ can stand in it"
        } else {
            return Ok(Self(path.to_owned()));
        };
        Err(format!(
            "telemetry path {path:?}: {problem}; for example /metrics"
        ))
    }
}

/// The handler behind the server.
pub struct Routes<S> {
    site: S,
    telemetry_path: TelemetryPath,
}

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Metrics,
    Status,
    StatusJson,
    Windows,
    Targets,
    Healthy,
    Ready,
    Reload,
}

impl Route {
    /// The `Allow` header.
    const fn methods(self) -> &'static str {
        match self {
            // Prometheus takes both for its own reload.
            Self::Reload => "POST, PUT",
            _ => "GET, HEAD",
        }
    }

    fn allows(self, method: &Method) -> bool {
        self.methods()
            .split(", ")
            .any(|allowed| allowed == method.as_str())
    }
}

impl<S: Site> Routes<S> {
    /// Routes that serve `site`, its metrics under `telemetry_path` (which may be `/`).
    pub const fn new(site: S, telemetry_path: TelemetryPath) -> Self {
        Self { site, telemetry_path }
    }

    /// The response to a request for `target` (path and query), of which the body plays no part. For HEAD it is the response to
    /// GET: the server leaves the body out but not its length.
    pub async fn respond(&self, method: &Method, target: &str, headers: &HeaderMap) -> Response<Body> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Some(route) = self.route(path) else {
            return plain(StatusCode::NOT_FOUND, "no such page; / has links to all\n");
        };
        if !route.allows(method) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static(route.methods()));
            return response;
        }
        match route {
            Route::Status | Route::StatusJson => self.status(route, query, headers).await,
            Route::Metrics | Route::Windows => self.exposition(route, headers).await,
            Route::Targets => self.targets(),
            Route::Healthy => plain(StatusCode::OK, "jdcloud-cdn-exporter is healthy.\n"),
            Route::Ready => match self.site.ready() {
                Ok(()) => plain(StatusCode::OK, "jdcloud-cdn-exporter is ready.\n"),
                Err(missing) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("{missing}\n")),
            },
            Route::Reload => match self.site.reload().await {
                Ok(()) => plain(StatusCode::OK, "configuration reloaded\n"),
                Err(problems) => plain(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("nothing was changed:\n{}\n", problems.join("\n")),
                ),
            },
        }
    }

    fn route(&self, path: &str) -> Option<Route> {
        match path {
            path if path == self.telemetry_path.0 => Some(Route::Metrics),
            "/" => Some(Route::Status),
            "/api/status" => Some(Route::StatusJson),
            "/windows" => Some(Route::Windows),
            TARGETS => Some(Route::Targets),
            "/-/healthy" => Some(Route::Healthy),
            "/-/ready" => Some(Route::Ready),
            "/-/reload" => Some(Route::Reload),
            _ => None,
        }
    }

    async fn exposition(&self, route: Route, headers: &HeaderMap) -> Response<Body> {
        let format = negotiate::format(headers);
        let mut response = if let Some(coding) = negotiate::coding(headers) {
            let gzip = coding == Coding::Gzip;
            let response = match route {
                Route::Windows => self.site.windows(format, gzip).await.map(windows_page),
                _ => self.site.metrics(format, gzip).await.map(metrics_page),
            };
            response.unwrap_or_else(|error| plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))
        } else {
            plain(
                StatusCode::NOT_ACCEPTABLE,
                "Accept-Encoding leaves neither gzip nor identity\n",
            )
        };
        response
            .headers_mut()
            .insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        response
    }

    fn targets(&self) -> Response<Body> {
        let shards = self.site.shards();
        if shards.is_empty() {
            return plain(
                StatusCode::NOT_FOUND,
                "no shards are listed: write where each of them serves, as host:port, under the key shards of the \
                 configuration\n",
            );
        }
        match targets::document(&shards) {
            Ok(json) => respond(StatusCode::OK, JSON, Body::from(json)),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        }
    }

    async fn status(&self, route: Route, query: &str, headers: &HeaderMap) -> Response<Body> {
        let query = match Query::parse(query) {
            Ok(query) => query,
            Err(problem) => return plain(StatusCode::BAD_REQUEST, format!("{problem}\n")),
        };
        let status = self.site.status();
        let language = query.language.unwrap_or_else(|| Language::negotiate(headers));
        let links: Vec<String> = LINKED
            .into_iter()
            .filter(|path| *path != TARGETS || !self.site.shards().is_empty())
            .map(str::to_owned)
            .collect();
        let telemetry_path = self.telemetry_path.clone();
        // With many domains this takes a while, in which other requests and the polls go on.
        let rendered = tokio::task::spawn_blocking(move || {
            if route == Route::StatusJson {
                return status::json(&status, &query).map(|json| (JSON, Body::from(json)));
            }
            let mut pages = vec![telemetry_path.as_str()];
            pages.extend(links.iter().map(String::as_str));
            let html = status::html(&status, &query, language, &pages);
            Ok((HTML, Body::from(html)))
        });
        let Ok(Ok((content_type, body))) = rendered.await else {
            return plain(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the status cannot be shown; this is a defect, please report it with the log\n",
            );
        };
        let mut response = respond(StatusCode::OK, content_type, body);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
            ),
        );
        if route == Route::Status {
            headers.insert(VARY, HeaderValue::from_static("Accept-Language"));
            headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
        }
        response
    }
}

impl<S: Site> Handler for Routes<S> {
    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        self.respond(request.method(), target, request.headers()).await
    }
}

fn metrics_page(page: Page) -> Response<Body> {
    let mut response = respond(StatusCode::OK, page.content_type, Body::new(page.parts));
    if let Some(coding) = page.content_encoding {
        response
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

fn windows_page(page: WindowsPage) -> Response<Body> {
    match page {
        WindowsPage::Whole(page) => metrics_page(page),
        WindowsPage::Pieces { content_type, text } => respond(StatusCode::OK, content_type, Body::made(text)),
    }
}

/// A page of plain text.
pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    respond(status, PLAIN, Body::from(text))
}

fn respond(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use hyper::header::{ACCEPT, ACCEPT_ENCODING};
    use proptest::prelude::*;

    use super::*;
    use crate::exposition::WindowsText;
    use crate::model::{Snapshot, VisibilityRule};
    use chrono::{DateTime, TimeDelta};
    use std::sync::Arc;

    const RULE: VisibilityRule = VisibilityRule {
        settle: TimeDelta::minutes(10),
        stale_after: TimeDelta::minutes(40),
        horizon: TimeDelta::hours(1),
    };

    struct Stub {
        ready: bool,
        shards: Vec<String>,
    }

    impl Site for Stub {
        async fn metrics(&self, format: Format, gzip: bool) -> Result<Page, PageError> {
            Ok(Page {
                content_type: format.content_type(),
                content_encoding: gzip.then_some("gzip"),
                parts: vec!["up 1\n".into()],
            })
        }
        async fn windows(&self, format: Format, gzip: bool) -> Result<WindowsPage, PageError> {
            let page = self.metrics(format, gzip).await?;
            if gzip {
                return Ok(WindowsPage::Whole(page));
            }
            let snapshot = Snapshot::new(1, RULE, Vec::new());
            Ok(WindowsPage::Pieces {
                content_type: format.content_type(),
                text: WindowsText::new(Arc::new(snapshot), DateTime::UNIX_EPOCH, format),
            })
        }
        fn ready(&self) -> Result<(), String> {
            if self.ready {
                Ok(())
            } else {
                Err("first round under way".to_owned())
            }
        }
        fn status(&self) -> Status {
            Status::default()
        }
        fn shards(&self) -> Vec<String> {
            self.shards.clone()
        }
        async fn reload(&self) -> Result<(), Vec<String>> {
            if self.ready {
                Ok(())
            } else {
                Err(vec!["problem one".to_owned(), "problem two".to_owned()])
            }
        }
    }

    async fn ask(ready: bool, method: &str, path: &str, headers: &HeaderMap) -> (u16, HeaderMap, String) {
        let site = Stub {
            ready,
            shards: Vec::new(),
        };
        ask_of(site, method, path, headers).await
    }

    async fn ask_of(site: Stub, method: &str, path: &str, headers: &HeaderMap) -> (u16, HeaderMap, String) {
        use http_body_util::BodyExt;
        let routes = Routes::new(site, TelemetryPath::default());
        let method = method.parse().unwrap();
        let (parts, body) = routes.respond(&method, path, headers).await.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (parts.status.as_u16(), parts.headers, text)
    }

    #[tokio::test]
    async fn listed_shards_are_offered_to_prometheus_and_without_any_the_key_is_named() {
        let with = |shards: &[&str]| Stub {
            ready: true,
            shards: shards.iter().map(|&shard| shard.to_owned()).collect(),
        };
        let none = HeaderMap::new();
        let (status, headers, text) = ask_of(with(&["a.com:1", "b.com:2"]), "GET", "/sd", &none).await;
        assert_eq!(
            (status, headers[CONTENT_TYPE].as_bytes()),
            (200, &b"application/json"[..])
        );
        assert!(text.contains("{\"targets\":[\"b.com:2\"],"), "{text}");
        let (status, headers, text) = ask_of(with(&[]), "GET", "/sd", &none).await;
        assert_eq!(
            (status, headers[CONTENT_TYPE].as_bytes()),
            (404, PLAIN.as_bytes())
        );
        assert!(
            text.contains("under the key shards of the configuration"),
            "{text}"
        );
        for (shards, linked) in [(&[][..], false), (&["a.com:1"], true)] {
            let (_, _, page) = ask_of(with(shards), "GET", "/", &none).await;
            assert_eq!(page.contains("<a href=\"/sd\">"), linked, "{page}");
        }
    }

    #[tokio::test]
    async fn every_route_and_method() {
        for (ready, method, path, status, allow) in [
            (true, "GET", "/", 200, None),
            (true, "HEAD", "/metrics", 200, None),
            (true, "GET", "/?q=a&sort=flow&lang=zh", 200, None),
            (true, "GET", "/?sort=size", 400, None),
            (true, "GET", "/api/status", 200, None),
            (true, "GET", "/api/status?limit=0", 400, None),
            (true, "POST", "/api/status", 405, Some("GET, HEAD")),
            (true, "GET", "/metrics?q=a", 200, None),
            (true, "GET", "/windows", 200, None),
            (true, "HEAD", "/windows", 200, None),
            (true, "POST", "/windows", 405, Some("GET, HEAD")),
            (true, "GET", "/windows/", 404, None),
            (true, "GET", "/sd", 404, None),
            (true, "POST", "/sd", 405, Some("GET, HEAD")),
            (true, "GET", "/-/healthy", 200, None),
            (false, "GET", "/-/healthy", 200, None),
            (true, "GET", "/-/ready", 200, None),
            (false, "GET", "/-/ready", 503, None),
            (true, "POST", "/-/reload", 200, None),
            (true, "PUT", "/-/reload", 200, None),
            (false, "POST", "/-/reload", 500, None),
            (true, "GET", "/-/reload", 405, Some("POST, PUT")),
            (true, "POST", "/metrics", 405, Some("GET, HEAD")),
            (true, "DELETE", "/", 405, Some("GET, HEAD")),
            (true, "OPTIONS", "/-/healthy", 405, Some("GET, HEAD")),
            (true, "GET", "/metrics/", 404, None),
            (true, "GET", "/favicon.ico", 404, None),
            (true, "POST", "/nothing", 404, None),
        ] {
            let (got, headers, _) = ask(ready, method, path, &HeaderMap::new()).await;
            assert_eq!(got, status, "{method} {path}");
            assert_eq!(
                headers.get(ALLOW).map(|value| value.to_str().unwrap()),
                allow,
                "{method} {path}"
            );
            assert_eq!(headers[CACHE_CONTROL], "no-store");
            assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }

    #[tokio::test]
    async fn metrics_are_negotiated() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/openmetrics-text"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let (status, got, body) = ask(true, "GET", "/metrics", &headers).await;
        assert_eq!((status, body.as_str()), (200, "up 1\n"));
        assert_eq!(
            got[CONTENT_TYPE],
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        assert_eq!(got[CONTENT_ENCODING], "gzip");
        assert_eq!(got[VARY], "Accept, Accept-Encoding");

        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity;q=0"));
        let (status, got, _) = ask(true, "GET", "/metrics", &headers).await;
        assert_eq!(status, 406);
        assert_eq!(got[VARY], "Accept, Accept-Encoding");
    }

    #[tokio::test]
    async fn windows_are_negotiated() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/openmetrics-text"));
        let (status, got, body) = ask(true, "GET", "/windows", &headers).await;
        assert_eq!((status, body.as_str()), (200, "# EOF\n"));
        assert_eq!(
            got[CONTENT_TYPE],
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        assert_eq!(got.get(CONTENT_ENCODING), None);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let (_, got, body) = ask(true, "GET", "/windows", &headers).await;
        assert_eq!(
            (&got[CONTENT_ENCODING], body.as_str()),
            (&HeaderValue::from_static("gzip"), "up 1\n")
        );
        assert_eq!(got[VARY], "Accept, Accept-Encoding");
    }

    #[tokio::test]
    async fn html_allows_nothing_foreign_and_reload_lists_every_problem() {
        let (_, headers, body) = ask(true, "GET", "/", &HeaderMap::new()).await;
        assert!(
            headers[CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .starts_with("default-src 'none'")
        );
        for path in ["/metrics", "/api/status", "/-/healthy", "/-/ready"] {
            assert!(body.contains(&format!("<a href=\"{path}\">")), "{path}");
        }
        let (_, _, body) = ask(false, "POST", "/-/reload", &HeaderMap::new()).await;
        assert!(body.contains("problem one\nproblem two\n"), "{body}");
    }

    #[tokio::test]
    async fn the_status_page_is_in_the_readers_language() {
        use hyper::header::ACCEPT_LANGUAGE;
        for (target, accepted, tag) in [
            ("/", "en", "en"),
            ("/", "zh-CN,en;q=0.5", "zh-Hans"),
            ("/?lang=en", "zh-CN", "en"),
            ("/?lang=zh", "en", "zh-Hans"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(accepted));
            let (_, got, body) = ask(true, "GET", target, &headers).await;
            assert!(
                body.contains(&format!("<html lang=\"{tag}\">")),
                "{target} {accepted}"
            );
            assert_eq!(got[CONTENT_LANGUAGE], tag);
            assert_eq!(got[VARY], "Accept-Language");
        }
        let (_, got, body) = ask(true, "GET", "/api/status", &HeaderMap::new()).await;
        assert_eq!(got[CONTENT_TYPE], "application/json");
        assert!(
            serde_json::from_str::<serde_json::Value>(&body)
                .unwrap()
                .is_object()
        );
    }

    #[tokio::test]
    async fn the_telemetry_path_may_be_the_root() {
        let routes = Routes::new(
            Stub {
                ready: true,
                shards: Vec::new(),
            },
            "/".parse().unwrap(),
        );
        let response = routes.respond(&Method::GET, "/", &HeaderMap::new()).await;
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            "text/plain; version=0.0.4; charset=utf-8"
        );
    }

    #[test]
    fn telemetry_paths() {
        for path in ["/metrics", "/", "/a/b-c_d.e~f"] {
            assert_eq!(path.parse::<TelemetryPath>().unwrap().as_str(), path);
        }
        for path in [
            "",
            "metrics",
            "//metrics",
            "/-/healthy",
            "/windows",
            "/sd/",
            "/a?b",
            "/a b",
            "/a%20b",
            "/ü",
            "/\"><script>",
        ] {
            assert!(
                path.parse::<TelemetryPath>().unwrap_err().contains("/metrics"),
                "{path}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_path_has_an_outcome(path in prop_oneof!["/[ -~]{0,20}", Just(TARGETS.to_owned())]) {
            let site = Stub { ready: true, shards: Vec::new() };
            let routes = Routes::new(site, TelemetryPath::default());
            let known = [
                "/", "/api/status", "/metrics", "/windows", "/sd", "/-/healthy", "/-/ready", "/-/reload",
            ];
            let known = known.contains(&path.as_str());
            prop_assert_eq!(routes.route(&path).is_some(), known);
        }
    }
}
