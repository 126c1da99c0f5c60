//! The page that a person sees first: links, version and the state of each account and endpoint.

use std::fmt::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::model::{AccountName, Endpoint, Reason, SettleReport};

/// What the landing page tells of the polls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// In the order of the configuration.
    pub accounts: Vec<AccountStatus>,
    /// What the last day taught of how long windows change.
    pub settle: Option<SettleReport>,
}

/// One account on the landing page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStatus {
    /// The `account` label.
    pub name: AccountName,
    /// Those that the account's domains are read through.
    pub endpoints: Vec<EndpointStatus>,
}

/// One endpoint of an account on the landing page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Which.
    pub endpoint: Endpoint,
    /// When a call last succeeded.
    pub last_success: Option<DateTime<Utc>>,
    /// Why a call last failed, if it failed since.
    pub last_failure: Option<Reason>,
    /// Every domain has been asked for once, whatever came of it.
    pub first_round_done: bool,
}

/// The page as HTML; nothing in it needs a script or another file.
pub(super) fn page(status: &Status, telemetry_path: &str) -> String {
    let mut html = String::new();
    // Writing into a String cannot fail.
    let _ = write_page(&mut html, status, telemetry_path);
    html
}

fn write_page(html: &mut String, status: &Status, telemetry_path: &str) -> fmt::Result {
    let version = env!("CARGO_PKG_VERSION");
    let path = Escaped(telemetry_path);
    write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>JD Cloud CDN exporter</title>\n\
         <style>body{{font-family:sans-serif;margin:2em}}td,th{{text-align:left;padding:.2em 1.5em .2em 0}}</style>\n\
         </head>\n<body>\n<h1>JD Cloud CDN exporter</h1>\n<p>Version {version}</p>\n\
         <p><a href=\"{path}\">Metrics</a> · <a href=\"/windows\">Windows</a> · <a href=\"/-/healthy\">Healthy</a> · <a href=\"/-/ready\">Ready</a></p>\n\
         <table>\n<tr><th>Account</th><th>Endpoint</th><th>First round</th><th>Last success</th><th>Last failure</th></tr>\n"
    )?;
    for account in &status.accounts {
        for endpoint in &account.endpoints {
            let round = if endpoint.first_round_done {
                "done"
            } else {
                "under way"
            };
            let success = endpoint.last_success.map_or_else(
                || "never".to_owned(),
                |at| at.to_rfc3339_opts(SecondsFormat::Secs, true),
            );
            let failure = endpoint.last_failure.map_or("none", Reason::name);
            writeln!(
                html,
                "<tr><td>{}</td><td>{}</td><td>{round}</td><td>{success}</td><td>{}</td></tr>",
                Escaped(account.name.as_str()),
                Escaped(endpoint.endpoint.name()),
                Escaped(failure),
            )?;
        }
    }
    html.write_str("</table>\n")?;
    if let Some(settle) = &status.settle {
        writeln!(html, "<p>{}</p>", Settle(settle))?;
    }
    html.write_str("</body>\n</html>\n")
}

/// One sentence or two on how old a window must be.
struct Settle<'a>(&'a SettleReport);

impl fmt::Display for Settle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SettleReport {
            present,
            learned,
            enough,
            windows,
        } = self.0;
        let (minutes, seconds) = (present.num_minutes(), present.num_seconds() % 60);
        write!(f, "A window counts as settled {minutes} min")?;
        if seconds != 0 {
            write!(f, " {seconds} s")?;
        }
        let origin = if *learned { "learned" } else { "as configured" };
        write!(f, " after its end ({origin}). ")?;
        match enough {
            _ if *windows == 0 => f.write_str("No window was seen to appear over the last day."),
            Some(enough) => write!(
                f,
                "Of {windows} windows seen to appear over the last day, fewer than 1 in 1,000 changed more than {} \
                 min after their end: that would have been enough.",
                enough.num_minutes()
            ),
            None => write!(
                f,
                "Of {windows} windows seen to appear over the last day, 1 in 1,000 or more still changed 30 min \
                 after their end."
            ),
        }
    }
}

/// Text that means itself inside HTML, also within a quoted attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_which_settle_would_have_been_enough() {
        let minutes = chrono::TimeDelta::minutes;
        for (present, learned, enough, windows, expected) in [
            (
                minutes(10),
                false,
                Some(minutes(4)),
                1_234,
                "A window counts as settled 10 min after its end (as configured). Of 1234 windows seen to appear over the last day, fewer than 1 in 1,000 changed more than 4 min",
            ),
            (
                chrono::TimeDelta::seconds(90),
                true,
                None,
                7,
                "settled 1 min 30 s after its end (learned). Of 7 windows seen to appear over the last day, 1 in 1,000 or more still changed 30 min",
            ),
            (
                minutes(10),
                true,
                None,
                0,
                "(learned). No window was seen to appear",
            ),
        ] {
            let status = Status {
                settle: Some(SettleReport {
                    present,
                    learned,
                    enough,
                    windows,
                }),
                ..Status::default()
            };
            let html = page(&status, "/metrics");
            assert!(html.contains(expected), "{expected} in {html}");
        }
    }

    #[test]
    fn shows_every_endpoint_and_escapes_names() {
        let status = Status {
            settle: None,
            accounts: vec![AccountStatus {
                name: AccountName::new("a<script>&\"'"),
                endpoints: vec![
                    EndpointStatus {
                        endpoint: Endpoint::BandwidthFlow,
                        last_success: DateTime::from_timestamp(1_700_000_000, 0),
                        last_failure: None,
                        first_round_done: true,
                    },
                    EndpointStatus {
                        endpoint: Endpoint::OriginRatio,
                        last_success: None,
                        last_failure: Some(Reason::Timeout),
                        first_round_done: false,
                    },
                ],
            }],
        };
        let html = page(&status, "/m\"etrics");
        for expected in [
            "<a href=\"/m&quot;etrics\">",
            "<a href=\"/windows\">",
            "<a href=\"/-/healthy\">",
            "<a href=\"/-/ready\">",
            "<td>a&lt;script&gt;&amp;&quot;&#39;</td><td>bandwidth_flow</td><td>done</td><td>2023-11-14T22:13:20Z</td><td>none</td>",
            "<td>origin_ratio</td><td>under way</td><td>never</td><td>timeout</td>",
        ] {
            assert!(html.contains(expected), "{expected} in {html}");
        }
        assert!(!html.contains("<script"));
    }
}
