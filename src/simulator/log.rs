//! What was asked, for tests to read: a bounded log and counters.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;
use tokio::time::Instant;

use crate::model::Endpoint;

/// One request to an endpoint, as it came; a text that the body lacks is empty.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// Where it was asked.
    pub endpoint: Endpoint,
    /// When its body had arrived.
    pub at: Instant,
    /// The `username`.
    pub username: String,
    /// The `signature`, which `Debug` does not print.
    pub signature: SecretString,
    /// The `domain` list, parted at commas, without blanks.
    pub domains: Vec<String>,
    /// The `start_time`.
    pub start_time: String,
    /// The `end_time`, if there was one.
    pub end_time: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
}

/// One request for a page of a list of domains, as it came.
#[derive(Clone, Debug)]
pub struct ListRequestRecord {
    /// When its body had arrived.
    pub at: Instant,
    /// The `username`.
    pub username: String,
    /// The `pageNumber`, if there was one.
    pub page_number: Option<usize>,
    /// The `pageSize`, if there was one.
    pub page_size: Option<usize>,
}

/// What the simulator has seen.
#[derive(Debug, Default)]
pub(super) struct RequestLog {
    limit: usize,
    newest: Mutex<VecDeque<RequestRecord>>,
    newest_lists: Mutex<VecDeque<ListRequestRecord>>,
    total: [AtomicU64; Endpoint::ALL.len()],
    strays: AtomicU64,
    under_way: Arc<UnderWay>,
}

#[derive(Debug, Default)]
struct UnderWay {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// Counts as a request under way until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<UnderWay>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RequestLog {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    pub(super) fn enter(&self) -> InFlight {
        let now = self.under_way.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.under_way.most.fetch_max(now, Ordering::Relaxed);
        InFlight(Arc::clone(&self.under_way))
    }

    pub(super) fn max_concurrency(&self) -> usize {
        self.under_way.most.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, record: RequestRecord) {
        if let Some(total) = self.total.get(record.endpoint.index()) {
            total.fetch_add(1, Ordering::Relaxed);
        }
        self.keep(&self.newest, record);
    }

    pub(super) fn add_list(&self, record: ListRequestRecord) {
        self.keep(&self.newest_lists, record);
    }

    fn keep<T>(&self, newest: &Mutex<VecDeque<T>>, record: T) {
        if self.limit == 0 {
            return;
        }
        let mut newest = newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.len() == self.limit {
            newest.pop_front();
        }
        newest.push_back(record);
    }

    pub(super) fn lists(&self) -> Vec<ListRequestRecord> {
        let newest = self.newest_lists.lock().unwrap_or_else(PoisonError::into_inner);
        newest.iter().cloned().collect()
    }

    pub(super) fn records(&self) -> Vec<RequestRecord> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.iter().cloned().collect()
    }

    pub(super) fn total(&self, endpoint: Endpoint) -> u64 {
        self.total
            .get(endpoint.index())
            .map_or(0, |total| total.load(Ordering::Relaxed))
    }

    pub(super) fn add_stray(&self) {
        self.strays.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn strays(&self) -> u64 {
        self.strays.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(start_time: &str) -> RequestRecord {
        RequestRecord {
            endpoint: Endpoint::OriginRatio,
            at: Instant::now(),
            username: String::new(),
            signature: SecretString::from("f7e472560b470a8d1892ea57626390d6"),
            domains: Vec::new(),
            start_time: start_time.to_owned(),
            end_time: None,
            user_agent: None,
        }
    }

    #[test]
    fn the_newest_are_kept_and_all_are_counted() {
        let log = RequestLog::new(2);
        for start in ["a", "b", "c"] {
            log.add(record(start));
        }
        let kept: Vec<String> = log.records().into_iter().map(|r| r.start_time).collect();
        assert_eq!(kept, ["b", "c"]);
        assert_eq!(log.total(Endpoint::OriginRatio), 3);
        assert_eq!(log.total(Endpoint::BandwidthFlow), 0);
    }

    #[test]
    fn a_printed_record_does_not_show_the_signature() {
        assert!(!format!("{:?}", record("a")).contains("f7e472"));
    }

    #[test]
    fn the_highest_number_of_requests_under_way_stays() {
        let log = RequestLog::new(0);
        let (first, second) = (log.enter(), log.enter());
        drop(first);
        drop(second);
        drop(log.enter());
        assert_eq!(log.max_concurrency(), 2);
    }
}
