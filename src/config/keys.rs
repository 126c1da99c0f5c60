//! The table of every setting: the walker, the environment, the suggestions and the sample's test
//! read this one list.

use super::key_table::{Key, KeyTable, key, with_default};

/// Every setting, in the order of the sample, and the words of others for them.
pub(super) const SETTINGS: KeyTable = KeyTable {
    keys: &KEYS,
    synonyms: &SYNONYMS,
};

const KEYS: [Key; 32] = [
    with_default("api.base_url", "https://opencdn.jcloud.com"),
    with_default("api.timeout", "10s"),
    with_default("api.max_concurrency", "8"),
    with_default("api.max_requests_per_second", "10"),
    with_default("api.max_reply_bytes", "32MiB"),
    with_default("api.time_zone", "+08:00"),
    with_default("api.allow_plain_http", "false"),
    with_default("poll.interval", "60s"),
    with_default("poll.window", "1h"),
    with_default("poll.settle", "10m"),
    with_default("poll.stale_after", "40m"),
    key("shards[]"),
    key("accounts[].username"),
    key("accounts[].name"),
    key("accounts[].secret_key_file"),
    key("accounts[].secret_key_env"),
    key("accounts[].secret_key"),
    with_default("accounts[].units", "decimal"),
    with_default("accounts[].origin_ratio_label", "end"),
    with_default("accounts[].bandwidth_flow_batch", "1"),
    with_default("accounts[].origin_ratio_batch", "20"),
    with_default("accounts[].max_domains", "2000"),
    key("accounts[].domains[]"),
    key("accounts[].domains[].name"),
    key("accounts[].domains[].endpoints[]"),
    key("accounts[].domains.discover.include[]"),
    key("accounts[].domains.discover.exclude[]"),
    key("accounts[].domains.discover.types[]"),
    key("accounts[].domains.discover.endpoints[]"),
    key("accounts[].domains.list[]"),
    key("accounts[].domains.list[].name"),
    key("accounts[].domains.list[].endpoints[]"),
];

/// Words that other programs and the provider's documents use, and ours for the same thing.
const SYNONYMS: [(&str, &str); 11] = [
    ("user", "username"),
    ("pin", "username"),
    ("password", "secret_key"),
    ("secret", "secret_key"),
    ("key", "secret_key"),
    ("url", "base_url"),
    ("host", "name"),
    ("domain", "name"),
    ("endpoint", "base_url"),
    ("type", "types"),
    ("regex", "include"),
];
