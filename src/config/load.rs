//! From a file and an environment to a configuration, or to every problem of both at once.

use std::path::Path;
use std::time::Duration;

use crate::plan::MAX_SHARDS;

use super::accounts::accounts;
use super::environment::Environment;
use super::file;
use super::parse::{
    Given, base_url, boolean, bytes, duration, host_and_port, integer, is_loopback, rate, raw_text, show,
    time_zone,
};
use super::problems::Problems;
use super::walk::{Node, Walk};
use super::{Api, Config, Poll, Settle};

/// One window of the provider's data.
pub(super) const WINDOW_LENGTH: Duration = Duration::from_secs(5 * 60);
/// The provider answers for 7 days at most at `origin_ratio`.
const MAX_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
/// A poll more often than this is taken for a slip of the pen.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
/// A poll less often than daily is taken for a slip of the pen.
pub(super) const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// "Over 0" in the unit that durations are written in.
const MIN_TIMEOUT: Duration = Duration::from_millis(1);
/// A request that takes longer outlives its window.
const MAX_TIMEOUT: Duration = Duration::from_secs(5 * 60);
const MAX_CONCURRENCY: usize = 1024;
pub(super) const MAX_REQUESTS_PER_SECOND: f64 = 100_000.0;
const MAX_REPLY_BYTES: usize = 1024 * 1024 * 1024;

/// Reads and checks a configuration file (YAML) under the overrides of the environment
/// (`JDCLOUD_CDN_EXPORTER__API__TIMEOUT=5s`), and reads the secrets that it points to.
///
/// # Errors
/// Every problem at once, each with its place, key and remedy, and without secrets.
pub fn load(path: &Path, environment: &Environment) -> Result<Config, Problems> {
    let place = path.display().to_string();
    parse(&file::read(path, &place)?, &place, environment)
}

/// The same for a text, whose problems are told of `place`.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, place: &str, environment: &Environment) -> Result<Config, Problems> {
    let tree = file::tree(text, place, environment)?;
    let mut walk = Walk::new(place, tree.problems);
    walk.section(
        &Node::root(&tree.sections),
        "write the keys api, poll, shards and accounts",
    );
    let root = Node::root(&tree.merged);
    let api = api(&mut walk, &root.child("api"));
    let poll = poll(&mut walk, &root.child("poll"));
    let shards = shards(&mut walk, &root);
    let accounts = accounts(&mut walk, &root, environment);
    let mut problems = walk.into_problems();
    let unheard = environment.unheard(text);
    match (api, poll, shards, accounts) {
        (Some(api), Some(poll), Some(shards), Some(accounts)) if problems.is_empty() => Ok(Config {
            api,
            poll,
            shards,
            accounts,
            unheard,
        }),
        _ => {
            // One of them may be the cure.
            problems.extend(unheard);
            Err(problems.into())
        }
    }
}

fn api(walk: &mut Walk<'_>, section: &Node<'_>) -> Option<Api> {
    if !walk.section(section, "write its keys below it, indented by two blanks") {
        return None;
    }
    let base_url = walk.setting(section, "base_url", base_url);
    let timeout = walk.setting(section, "timeout", duration(MIN_TIMEOUT, MAX_TIMEOUT));
    let max_concurrency = walk.setting(section, "max_concurrency", integer(1..=MAX_CONCURRENCY));
    let max_requests_per_second =
        walk.setting(section, "max_requests_per_second", rate(MAX_REQUESTS_PER_SECOND));
    let max_reply_bytes = walk.setting(section, "max_reply_bytes", bytes(1..=MAX_REPLY_BYTES));
    let time_zone = walk.setting(section, "time_zone", time_zone);
    let allow_plain_http = walk.setting(section, "allow_plain_http", boolean);
    if let (Some(url), Some(false)) = (&base_url, allow_plain_http)
        && url.scheme() == "http"
        && !is_loopback(url)
    {
        walk.problem(
            &section.child("base_url"),
            "sends the signature, which is valid for a day, in the clear; write https://, or set \
             api.allow_plain_http: true",
        );
    }
    Some(Api {
        base_url: base_url?,
        allow_plain_http: allow_plain_http?,
        timeout: timeout?,
        max_concurrency: max_concurrency?,
        max_requests_per_second: max_requests_per_second?,
        max_reply_bytes: max_reply_bytes?,
        time_zone: time_zone?,
    })
}

/// Where all shards serve; none where the key is absent.
fn shards(walk: &mut Walk<'_>, root: &Node<'_>) -> Option<Vec<String>> {
    if !root.child("shards").is_present() {
        return Some(Vec::new());
    }
    let items = walk.list(
        root,
        "shards",
        "list where each shard serves, as \"- host:port\", or remove the key",
    )?;
    if !u32::try_from(items.len()).is_ok_and(|count| count <= MAX_SHARDS) {
        let text = format!(
            "lists {} shards; at most {MAX_SHARDS} can share the domains",
            items.len()
        );
        walk.problem(&root.child("shards"), text);
        return None;
    }
    let mut shards = Vec::with_capacity(items.len());
    for item in &items {
        match walk.item(item, host_and_port) {
            Some(address) if shards.contains(&Some(address.clone())) => {
                walk.problem(
                    item,
                    format!("lists {address} again; each shard has an address of its own"),
                );
                shards.push(None);
            }
            address => shards.push(address),
        }
    }
    shards.into_iter().collect()
}

/// `auto` or a duration.
fn settle(given: Given<'_>) -> Result<Settle, String> {
    if raw_text(given) == Ok("auto") {
        return Ok(Settle::Auto);
    }
    duration(Duration::ZERO, MAX_WINDOW)(given)
        .map(Settle::Fixed)
        .map_err(|problem| format!("{problem}, or auto"))
}

fn poll(walk: &mut Walk<'_>, section: &Node<'_>) -> Option<Poll> {
    if !walk.section(section, "write its keys below it, indented by two blanks") {
        return None;
    }
    let interval = walk.setting(section, "interval", duration(MIN_INTERVAL, MAX_INTERVAL));
    let window = walk.setting(section, "window", duration(WINDOW_LENGTH, MAX_WINDOW));
    let settle = walk.setting(section, "settle", settle);
    let stale_after = walk.setting(section, "stale_after", duration(WINDOW_LENGTH, MAX_WINDOW));
    let learned = match settle {
        Some(Settle::Auto) => " (poll.settle: auto learns up to 30m)",
        _ => "",
    };
    let longest = settle.map(Settle::longest);
    if let (Some(window), Some(settle)) = (window, longest)
        && window < settle + WINDOW_LENGTH
    {
        let text = format!(
            "is {}, too short to hold a settled window; it must be at least poll.settle + 5m = {}{learned}",
            show(window),
            show(settle + WINDOW_LENGTH)
        );
        walk.problem(&section.child("window"), text);
    }
    if let (Some(stale_after), Some(settle)) = (stale_after, longest)
        && stale_after <= settle + WINDOW_LENGTH
    {
        let text = format!(
            "is {}, so that values would vanish before the next window settles; it must exceed poll.settle + \
             5m = {}{learned}",
            show(stale_after),
            show(settle + WINDOW_LENGTH)
        );
        walk.problem(&section.child("stale_after"), text);
    }
    Some(Poll {
        interval: interval?,
        window: window?,
        settle: settle?,
        stale_after: stale_after?,
    })
}
