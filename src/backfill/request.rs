//! What a backfill is asked for, checked against the configuration, and the calls that it takes.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::history::History;
use super::range::{self, Moment, RangeError, pieces, show};
use crate::config::{Account, Config};
use crate::model::{Domain, Endpoint, Window, WindowRange};
use crate::plan::{Shard, batches};
use crate::provider::most_windows;

/// The most memory that readings may take: 31 days of 3,000 domains at both endpoints.
const MOST_BYTES: usize = 1 << 30;

/// The most rows (a domain's window) of one reply: about 10 MB of text, which fits `api.max_reply_bytes`
/// and is read within `api.timeout` as they are unless configured otherwise.
const MOST_ROWS: usize = 80_000;

/// What is asked for on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The windows end after this.
    pub start: Moment,
    /// And at or before this.
    pub end: Moment,
    /// Only these domains; all that are configured if empty.
    pub domains: Vec<Domain>,
    /// Only those of them that this one of several exporters owns.
    pub shard: Shard,
}

/// Why a request is refused; each message ends with the remedy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The times.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// A domain that no account reads.
    #[error("--domain {0} is not in the configuration: add it to an account's domains, or correct it")]
    UnknownDomain(Domain),
    /// A domain that is another shard's.
    #[error("--domain {0} belongs to shard {1}: run it with --shard={1}, or without --shard")]
    OfAnotherShard(Domain, Shard),
    /// More than is kept in memory.
    #[error(
        "the readings would take {needed} MiB of memory, and {most} MiB are allowed: divide the range, or the \
         domains with --domain"
    )]
    TooMuch {
        /// Whole MiB.
        needed: usize,
        /// Whole MiB.
        most: usize,
    },
}

/// A checked request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The windows.
    pub range: WindowRange,
    /// One line that is the same whenever the readings can be used: the journal's header.
    pub header: String,
    /// What is to be filled, by account and endpoint as in the configuration.
    pub histories: Vec<History>,
    /// How to fill it.
    pub calls: Vec<Call>,
}

/// Domains that are asked for together, for consecutive windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The account's place in the configuration.
    pub account: usize,
    /// Where.
    pub endpoint: Endpoint,
    /// For which windows.
    pub range: WindowRange,
    /// For which domains, each with the place of its history in the request.
    pub domains: Vec<(Domain, usize)>,
}

impl Call {
    /// How many windows it asks for, each once for every domain.
    #[must_use]
    pub fn windows(&self) -> usize {
        self.range.count() * self.domains.len()
    }

    /// The same without the domains that have been read already; `None` if none is left.
    #[must_use]
    pub fn without(mut self, read: &HashSet<(usize, WindowRange)>) -> Option<Self> {
        let range = self.range;
        self.domains
            .retain(|(_, history)| !read.contains(&(*history, range)));
        (!self.domains.is_empty()).then_some(self)
    }
}

impl Request {
    /// Checks what is wanted; `newest_settled` is the last window that may be asked for.
    ///
    /// # Errors
    /// Every problem at once, each with its remedy.
    pub fn new(wanted: &Wanted, config: &Config, newest_settled: Window) -> Result<Self, Vec<RequestError>> {
        let configured: HashSet<&Domain> = config
            .accounts
            .iter()
            .flat_map(|account| account.domains.iter().map(|domain| &domain.name))
            .collect();
        let mut problems: Vec<RequestError> = wanted
            .domains
            .iter()
            .filter_map(|domain| {
                if !configured.contains(domain) {
                    return Some(RequestError::UnknownDomain(domain.clone()));
                }
                let owner = wanted.shard.owner_of(domain);
                (owner != wanted.shard).then(|| RequestError::OfAnotherShard(domain.clone(), owner))
            })
            .collect();
        let range = range::windows(wanted.start, wanted.end, config.api.time_zone, newest_settled);
        match range {
            Ok(range) if problems.is_empty() => {
                let own = Config::of_shard(Cow::Borrowed(config), wanted.shard);
                Self::plan(&wanted.domains, &own, range).map_err(|e| vec![e])
            }
            Ok(_) => Err(problems),
            Err(error) => {
                problems.insert(0, error.into());
                Err(problems)
            }
        }
    }

    fn plan(only: &[Domain], config: &Config, range: WindowRange) -> Result<Self, RequestError> {
        let wanted = |domain: &&Domain| only.is_empty() || only.contains(domain);
        let groups: Vec<(usize, &Account, Endpoint, Vec<Domain>)> = config
            .accounts
            .iter()
            .enumerate()
            .flat_map(|(place, account)| {
                Endpoint::ALL.map(|endpoint| {
                    let domains = account.domains_of(endpoint).filter(wanted).cloned().collect();
                    (place, account, endpoint, domains)
                })
            })
            .collect();
        fits(range, &groups)?;
        let mut header = header_start(config, range);
        let mut histories = Vec::new();
        let mut calls = Vec::new();
        for (account, settings, endpoint, domains) in groups {
            let mut places = HashMap::new();
            for domain in &domains {
                places.insert(domain.clone(), histories.len());
                histories.push(History::new(domain.clone(), endpoint, range));
            }
            let batch = settings.batch(endpoint);
            header.push_str(&header_part(settings, endpoint, batch, &domains));
            for batch in batches(&domains, batch) {
                let batch: Vec<(Domain, usize)> = batch
                    .into_iter()
                    .filter_map(|domain| places.get(&domain).map(|place| (domain, *place)))
                    .collect();
                for range in pieces(range, windows_a_call(endpoint, batch.len())) {
                    calls.push(Call {
                        account,
                        endpoint,
                        range,
                        domains: batch.clone(),
                    });
                }
            }
        }
        Ok(Self {
            range,
            header,
            histories,
            calls,
        })
    }
}

/// How many windows a call asks for: as many as the provider answers for and a reply may hold.
fn windows_a_call(endpoint: Endpoint, domains: usize) -> u32 {
    let rows = u32::try_from(MOST_ROWS / domains.max(1)).unwrap_or(u32::MAX);
    most_windows(endpoint).min(rows)
}

fn fits(range: WindowRange, groups: &[(usize, &Account, Endpoint, Vec<Domain>)]) -> Result<(), RequestError> {
    const MIB: usize = 1 << 20;
    let a_window: usize = groups
        .iter()
        .map(|(_, _, endpoint, domains)| domains.len() * endpoint.width() * size_of::<f64>())
        .sum();
    let needed = range.count().saturating_mul(a_window);
    if needed > MOST_BYTES {
        return Err(RequestError::TooMuch {
            needed: needed.div_ceil(MIB),
            most: MOST_BYTES / MIB,
        });
    }
    Ok(())
}

/// What makes readings usable for another run, on one line and without secrets: JSON strings have no
/// line breaks.
fn header_start(config: &Config, range: WindowRange) -> String {
    let zone = config.api.time_zone;
    format!(
        "jdcloud-cdn-exporter backfill 1 {} {} {}",
        show(range.first, zone),
        show(range.last, zone),
        serde_json::Value::from(config.api.base_url.as_str()),
    )
}

fn header_part(account: &Account, endpoint: Endpoint, batch: usize, domains: &[Domain]) -> String {
    let names: Vec<&str> = domains.iter().map(Domain::as_str).collect();
    format!(
        " {} {:?} {:?} {endpoint} {batch} {}",
        serde_json::Value::from(account.username.as_str()),
        account.units,
        account.origin_ratio_label,
        serde_json::Value::from(names),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Environment};
    use proptest::prelude::*;

    /// One account of so many domains at both endpoints, and one domain at `bandwidth_flow` only.
    fn config(domains: usize, batch: usize) -> Config {
        let names: Vec<String> = (1..=domains).map(|i| format!("d{i}.example.com")).collect();
        let text = format!(
            "accounts:\n  - username: someone\n    secret_key: a made-up key\n    origin_ratio_batch: {batch}\n    \
             domains: [{}, {{name: live.example.com, endpoints: [bandwidth_flow]}}]\n",
            names.join(", ")
        );
        config::parse(&text, "test", &Environment::default()).unwrap()
    }

    fn wanted(start: &str, end: &str, domains: &[&str]) -> Wanted {
        Wanted {
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
            domains: domains.iter().map(|name| Domain::parse(name).unwrap()).collect(),
            shard: Shard::WHOLE,
        }
    }

    fn request(wanted: &Wanted, config: &Config) -> Result<Request, Vec<String>> {
        let newest_settled = Window::ending_at(1_800_000_000).unwrap();
        Request::new(wanted, config, newest_settled)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_month_takes_the_calls_that_the_spans_and_batches_ask_for() {
        let month = request(&wanted("2025-03-01", "2025-04-01", &[]), &config(3, 2)).unwrap();
        let shapes: Vec<_> = month
            .calls
            .iter()
            .map(|call| (call.endpoint, call.domains.len(), call.range.count()))
            .collect();
        let flow = [
            (Endpoint::BandwidthFlow, 1, 8_640),
            (Endpoint::BandwidthFlow, 1, 288),
        ];
        let ratio = |domains| {
            let week = (Endpoint::OriginRatio, domains, 2_016);
            [week, week, week, week, (Endpoint::OriginRatio, domains, 3 * 288)]
        };
        let expected: Vec<_> = [flow.repeat(4), ratio(2).to_vec(), ratio(1).to_vec()].concat();
        assert_eq!(shapes, expected);
    }

    #[test]
    fn a_large_batch_asks_for_fewer_windows() {
        let week = request(&wanted("2025-03-01", "2025-03-08", &[]), &config(200, 200)).unwrap();
        for call in week
            .calls
            .iter()
            .filter(|call| call.endpoint == Endpoint::OriginRatio)
        {
            assert!(
                call.windows() <= MOST_ROWS && call.domains.len() == 200,
                "{}",
                call.windows()
            );
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let problems = request(
            &wanted(
                "2025-03-01T00:01",
                "2025-03-02",
                &["a.com", "d1.example.com", "b.com"],
            ),
            &config(1, 1),
        );
        let problems = problems.unwrap_err();
        assert_eq!(problems.len(), 3);
        assert!(
            problems[0].starts_with("--start 2025-03-01T00:01:00 "),
            "{problems:?}"
        );
        assert!(
            problems[1].starts_with("--domain a.com is not in the configuration"),
            "{problems:?}"
        );
    }

    /// `d1.example.com` is shard 1's of 2: a literal of `plan::shard`.
    #[test]
    fn a_shard_reads_its_own_domains_and_sends_others_home() {
        let of_shard = |shard: &str, domains: &[&str]| Wanted {
            shard: shard.parse().unwrap(),
            ..wanted("2025-03-01", "2025-03-02", domains)
        };
        let all = |shard| -> Vec<String> {
            let request = request(&of_shard(shard, &[]), &config(40, 20)).unwrap();
            let names = request.histories.iter().map(|history| history.domain.to_string());
            names.collect()
        };
        let (first, second) = (all("0/2"), all("1/2"));
        assert!(second.contains(&"d1.example.com".to_owned()) && !first.is_empty());
        // Both endpoints of 40 domains, and the live one.
        assert_eq!(first.len() + second.len(), 81);
        assert!(first.iter().all(|name| !second.contains(name)));
        assert_eq!(
            request(&of_shard("0/2", &["d1.example.com"]), &config(1, 1)).unwrap_err(),
            ["--domain d1.example.com belongs to shard 1/2: run it with --shard=1/2, or without --shard"]
        );
        assert!(request(&of_shard("1/2", &["d1.example.com"]), &config(1, 1)).is_ok());
    }

    #[test]
    fn what_does_not_fit_in_memory_is_refused() {
        // 40 years of 288 windows a day, 16 bytes for each of 65 domains and 24 for 64.
        let problems = request(&wanted("1985-01-01", "2025-01-01", &[]), &config(64, 20)).unwrap_err();
        let needed: usize = 14_610 * 288 * (65 * 16 + 64 * 24);
        let expected = format!(
            "the readings would take {} MiB of memory, and 1024 MiB",
            needed.div_ceil(1 << 20)
        );
        assert!(problems[0].starts_with(&expected), "{problems:?}");
    }

    #[test]
    fn the_header_changes_with_the_request_and_holds_no_secret() {
        let march = wanted("2025-03-01", "2025-04-01", &[]);
        let header = |wanted: &Wanted, config: &Config| request(wanted, config).unwrap().header;
        let first = header(&march, &config(3, 2));
        assert_eq!(first, header(&march, &config(3, 2)));
        assert!(!first.contains("made-up") && !first.contains('\n'), "{first}");
        for other in [
            header(&wanted("2025-03-01", "2025-03-31", &[]), &config(3, 2)),
            header(
                &wanted("2025-03-01", "2025-04-01", &["d1.example.com"]),
                &config(3, 2),
            ),
            header(&march, &config(4, 2)),
            header(&march, &config(3, 3)),
        ] {
            assert_ne!(first, other);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        /// Whatever the range, the domains and the batches: every window of every history is asked for
        /// exactly once, within the span limits.
        #[test]
        fn calls_ask_for_each_window_once(days in 1_u32..70, domains in 1_usize..12, batch in 1_usize..8) {
            let start: Moment = "2024-12-31".parse().unwrap();
            let config = config(domains, batch);
            let last = Window::ending_at(start.resolve(config.api.time_zone).timestamp()).unwrap().plus(days * 288);
            let end = show(last, config.api.time_zone).parse().unwrap();
            let request = request(&Wanted { start, end, domains: Vec::new(), shard: Shard::WHOLE }, &config).unwrap();
            let mut asked: HashMap<usize, Vec<WindowRange>> = HashMap::new();
            for call in &request.calls {
                prop_assert!(call.domains.len() <= config.accounts[0].batch(call.endpoint));
                let span = match call.endpoint {
                    Endpoint::BandwidthFlow => 30 * 288,
                    Endpoint::OriginRatio => 7 * 288,
                };
                prop_assert!(call.range.count() <= span);
                for (domain, history) in &call.domains {
                    prop_assert_eq!(&request.histories[*history].domain, domain);
                    prop_assert_eq!(request.histories[*history].endpoint, call.endpoint);
                    asked.entry(*history).or_default().push(call.range);
                }
            }
            prop_assert_eq!(asked.len(), 2 * domains + 1);
            for mut ranges in asked.into_values() {
                ranges.sort_by_key(|range| range.first);
                prop_assert_eq!(ranges.iter().map(|range| range.count()).sum::<usize>(), request.range.count());
                prop_assert_eq!(ranges[0].first, request.range.first);
                prop_assert!(ranges.windows(2).all(|pair| pair[0].last.plus(1) == pair[1].first));
            }
        }
    }
}
