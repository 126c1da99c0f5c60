//! Sets up the log on standard error, and prints an error with its chain in one line.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::Duration;

use chrono::SecondsFormat;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::cli::{LogFormat, LogLevel};
use crate::clock::Clock;

/// The crate whose messages the level applies to.
const OWN_TARGET: &str = "jdcloud_cdn_exporter";

/// Starts logging to standard error for the whole process.
///
/// # Errors
/// If logging was started before.
pub fn init(level: LogLevel, format: LogFormat) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    match format {
        LogFormat::Logfmt => {
            tracing::subscriber::set_global_default(logfmt(level, Clock::System, std::io::stderr))
        }
        LogFormat::Json => {
            tracing::subscriber::set_global_default(json(level, Clock::System, std::io::stderr))
        }
    }
}

fn logfmt<W>(level: LogLevel, clock: Clock, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .event_format(Logfmt(Timestamps(clock)))
        .fmt_fields(LogfmtFields)
        // Standard error may be gone; the default complains about that on standard error.
        .log_internal_errors(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(filter(level)).with(layer)
}

fn json<W>(level: LogLevel, clock: Clock, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_timer(Timestamps(clock))
        .log_internal_errors(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(filter(level)).with(layer)
}

/// The level holds for our own messages. Other crates never get below `warn`: an HTTP client's
/// debug messages may carry a request's body, and so a signature.
fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    Targets::new()
        .with_default(own.min(LevelFilter::WARN))
        .with_target(OWN_TARGET, own)
}

/// The time of a line: `2016-10-23T09:15:00.000Z`.
struct Timestamps(Clock);

impl FormatTime for Timestamps {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let now = self.0.now();
        writer.write_str(&now.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// `ts=… level=info msg="…" key=value`, then the fields of the enclosing spans from the outside in.
/// The crate tracing-logfmt does the same but leaves control characters from U+007F up as they are.
struct Logfmt(Timestamps);

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            tracing::Level::TRACE => "trace",
            tracing::Level::DEBUG => "debug",
            tracing::Level::INFO => "info",
            tracing::Level::WARN => "warn",
            tracing::Level::ERROR => "error",
        };
        writer.write_str("ts=")?;
        self.0.format_time(&mut writer)?;
        write!(writer, " level={level}")?;
        context.format_fields(writer.by_ref(), event)?;
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                writer.write_str(&fields.fields)?;
            }
        }
        writeln!(writer)
    }
}

/// Fields as ` key=value`, each with a blank before it.
struct LogfmtFields;

impl<'w> FormatFields<'w> for LogfmtFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut pairs = Pairs {
            writer,
            result: Ok(()),
        };
        fields.record(&mut pairs);
        pairs.result
    }
}

struct Pairs<'w> {
    writer: Writer<'w>,
    result: fmt::Result,
}

impl Visit for Pairs<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let key = if field.name() == "message" {
            "msg"
        } else {
            field.name()
        };
        if self.result.is_ok() {
            self.result = write!(self.writer, " {key}={}", Escaped(value));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A value that cannot leave its place: bare where that is safe, else quoted with escapes for quotes,
/// backslashes, line breaks, control and invisible characters.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |byte: u8| byte.is_ascii_graphic() && !b"\"=\\".contains(&byte);
        if !self.0.is_empty() && self.0.bytes().all(bare) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                // Nothing but double quotes delimits a value.
                '\'' => f.write_char(c)?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        f.write_char('"')
    }
}

/// An error and its sources in one line: `cannot poll: connection refused`. Control characters are
/// escaped, and a source that an error repeats at its end is not printed twice. In the log:
/// `tracing::error!(error = chain(&error), "…")`; a bare `error` field shows no sources in JSON.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// A wait as the log shows it: to the millisecond, as a timer counts.
#[must_use]
pub fn waited(wait: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// Keeps the log of tests about it.
#[cfg(test)]
pub(crate) mod kept {
    use std::io;
    use std::sync::{Arc, Mutex, OnceLock};

    use tracing::Dispatch;

    use super::{Clock, LogLevel, logfmt};

    /// What was logged.
    #[derive(Clone, Default)]
    pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        /// The lines since the last look, from the level on.
        pub(crate) fn take(&self) -> Vec<String> {
            let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
            let without_time = |line: &str| line.split_once(' ').unwrap().1.to_owned();
            text.lines().map(without_time).collect()
        }
    }

    /// What this thread logs from `info` on, until the guard is dropped.
    pub(crate) fn keep(clock: Clock) -> (Sink, tracing::subscriber::DefaultGuard) {
        /// While there is one subscriber, the first thread that comes to a line of the log decides for
        /// all of them whether somebody wants it, also a thread of another test that has none. With
        /// two, both are asked.
        static ANOTHER: OnceLock<Dispatch> = OnceLock::new();
        ANOTHER.get_or_init(|| Dispatch::new(logfmt(LogLevel::Info, Clock::System, io::sink)));
        let sink = Sink::default();
        let writer = {
            let sink = sink.clone();
            move || sink.clone()
        };
        let guard = tracing::subscriber::set_default(logfmt(LogLevel::Info, clock, writer));
        (sink, guard)
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::kept::Sink;
    use super::*;
    use crate::clock::ManualClock;

    fn clock() -> Clock {
        // 2016-10-23 17:15:00 in Beijing.
        let now = DateTime::from_timestamp(1_477_214_100, 0).unwrap();
        Clock::Manual(ManualClock::new(now))
    }

    fn logged(format: LogFormat, level: LogLevel, write: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = {
            let sink = sink.clone();
            move || sink.clone()
        };
        match format {
            LogFormat::Logfmt => tracing::subscriber::with_default(logfmt(level, clock(), writer), write),
            LogFormat::Json => tracing::subscriber::with_default(json(level, clock(), writer), write),
        }
        sink.text()
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot poll")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("no connection: refused\nlevel=info")]
    struct Middle(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("refused\nlevel=info")]
    struct Inner;

    #[test]
    fn logfmt_lines_hold_the_event_and_its_spans() {
        let text = logged(LogFormat::Logfmt, LogLevel::Info, || {
            let span = tracing::info_span!("poll", account = "jcloud_00");
            let _entered = span.enter();
            tracing::info!(domain = %"www.a.com", windows = 12, ok = true, empty = "", "poll done");
        });
        assert_eq!(
            text,
            "ts=2016-10-23T09:15:00.000Z level=info msg=\"poll done\" domain=www.a.com windows=12 ok=true \
             empty=\"\" account=jcloud_00\n"
        );
    }

    #[test]
    fn no_value_can_forge_a_line_or_a_field() {
        let evil = "x\" level=error\r\nts=1 \u{1b}[2J\u{85}\u{9b}\u{2028}\u{7f}é";
        let text = logged(LogFormat::Logfmt, LogLevel::Info, || {
            tracing::warn!(reply = evil, shown = %evil, "{evil}");
        });
        let escaped = r#""x\" level=error\r\nts=1 \u{1b}[2J\u{85}\u{9b}\u{2028}\u{7f}é""#;
        assert_eq!(
            text,
            format!("ts=2016-10-23T09:15:00.000Z level=warn msg={escaped} reply={escaped} shown={escaped}\n")
        );
        let text = logged(LogFormat::Json, LogLevel::Info, || {
            tracing::warn!(reply = evil, "reply");
        });
        assert_eq!(text.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["reply"], evil);
        assert_eq!(value["message"], "reply");
        assert_eq!(value["level"], "WARN");
        assert_eq!(value["timestamp"], "2016-10-23T09:15:00.000Z");
    }

    #[test]
    fn no_level_lets_other_crates_talk_below_warn() {
        for format in [LogFormat::Logfmt, LogFormat::Json] {
            let text = logged(format, LogLevel::Trace, || {
                tracing::info!(target: "hyper::client", "hush");
                tracing::trace!(target: "reqwest", "hush");
                tracing::warn!(target: "hyper::client", "heard-warn");
                tracing::trace!("heard-trace");
            });
            assert!(!text.contains("hush"), "{text}");
            assert!(
                text.contains("heard-warn") && text.contains("heard-trace"),
                "{text}"
            );
        }
        let text = logged(LogFormat::Logfmt, LogLevel::Error, || {
            tracing::warn!(target: "hyper::client", "hush");
            tracing::warn!("hush");
            tracing::error!("heard");
        });
        assert!(!text.contains("hush") && text.contains("heard"), "{text}");
    }

    #[test]
    fn an_error_is_told_with_its_sources_in_one_line() {
        let error = Outer(Middle(Inner));
        assert_eq!(chain(&error), "cannot poll: no connection: refused\\nlevel=info");
        let text = logged(LogFormat::Logfmt, LogLevel::Info, || {
            tracing::error!(error = chain(&error), "poll failed");
        });
        assert!(
            text.ends_with(
                "msg=\"poll failed\" error=\"cannot poll: no connection: refused\\\\nlevel=info\"\n"
            ),
            "{text}"
        );
    }
}
