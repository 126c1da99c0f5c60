//! The page that a person sees first: links, version and the state of each account and endpoint.

use std::fmt::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};

use crate::model::{AccountName, Endpoint, Reason};

/// What the landing page tells of the polls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// In the order of the configuration.
    pub accounts: Vec<AccountStatus>,
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
         <p><a href=\"{path}\">Metrics</a> · <a href=\"/-/healthy\">Healthy</a> · <a href=\"/-/ready\">Ready</a></p>\n\
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
    html.write_str("</table>\n</body>\n</html>\n")
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
    fn shows_every_endpoint_and_escapes_names() {
        let status = Status {
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
