//! The table that names every metric about the domains. All of them are gauges.

use crate::model::{Endpoint, Field};

/// What the samples of a family show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A field of the shown window; a sample for each domain that has it.
    Field(Field),
    /// The end of the shown window, for each domain and endpoint that shows one.
    WindowEnd,
    /// Whether the last poll was usable, for each domain and endpoint.
    Up,
    /// 1, with the account in a label, for each domain.
    Account,
    /// The settled windows without a reading, for each endpoint over all domains.
    Missing,
    /// How old a window must be to be settled.
    Settle,
    /// How far the endpoints' bandwidths are apart, if that can be told.
    Difference,
    /// How far the endpoints' labels are apart, if that can be told.
    LabelOffset,
}

impl Source {
    /// The labels, in the order in which they are written.
    #[must_use]
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Field(_) => &["domain"],
            Self::WindowEnd | Self::Up => &["domain", "endpoint"],
            Self::Account => &["domain", "account"],
            Self::Missing => &["endpoint"],
            Self::Settle | Self::Difference | Self::LabelOffset => &[],
        }
    }
}

/// How many samples the families have at most, once every domain shows all that it can: given the
/// endpoints of each domain.
#[must_use]
pub fn samples_of<'a>(domains: &(impl Iterator<Item = &'a [Endpoint]> + Clone)) -> usize {
    let read_at = |endpoint: Endpoint| {
        domains
            .clone()
            .filter(|read_at| read_at.contains(&endpoint))
            .count()
    };
    // The endpoints are compared where a domain is read at both.
    let compared = domains
        .clone()
        .any(|read_at| Endpoint::ALL.iter().all(|endpoint| read_at.contains(endpoint)));
    FAMILIES
        .iter()
        .map(|family| match family.source {
            Source::Field(field) => read_at(field.endpoint()),
            Source::WindowEnd | Source::Up => Endpoint::ALL.into_iter().map(read_at).sum(),
            Source::Account => domains.clone().count(),
            Source::Missing => Endpoint::ALL.len(),
            Source::Settle => 1,
            Source::Difference | Source::LabelOffset => usize::from(compared),
        })
        .sum()
}

/// One metric family.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// The full name; its unit is its last words.
    pub name: &'static str,
    /// What it shows.
    pub source: Source,
    /// The HELP text, one line.
    pub help: &'static str,
}

/// Every family about the domains, in the order in which they are written.
pub const FAMILIES: [Family; 12] = [
    Family {
        name: "jdcloud_cdn_bandwidth_bytes_per_second",
        source: Source::Field(Field::Bandwidth),
        help: "Mean bandwidth over the newest settled 5-minute window, cached from the last poll of \
               /api/live/bandwidth_flow.",
    },
    Family {
        name: "jdcloud_cdn_flow_bytes",
        source: Source::Field(Field::Flow),
        help: "Bytes delivered in the newest settled 5-minute window (a quantity per window, not a counter), \
               cached from the last poll of /api/live/bandwidth_flow.",
    },
    Family {
        name: "jdcloud_cdn_origin_bandwidth_bytes_per_second",
        source: Source::Field(Field::OriginBandwidth),
        help: "Mean back-to-origin bandwidth over the newest settled 5-minute window, cached from the last \
               poll of /api/origin_ratio.",
    },
    Family {
        name: "jdcloud_cdn_edge_bandwidth_bytes_per_second",
        source: Source::Field(Field::EdgeBandwidth),
        help: "Mean total bandwidth that the origin ratio is a part of, over the newest settled 5-minute \
               window, cached from the last poll of /api/origin_ratio.",
    },
    Family {
        name: "jdcloud_cdn_origin_ratio",
        source: Source::Field(Field::OriginRatio),
        help: "The provider's own ratio of back-to-origin to total bandwidth in the newest settled 5-minute \
               window, as a fraction, cached from the last poll of /api/origin_ratio.",
    },
    Family {
        name: "jdcloud_cdn_sample_timestamp_seconds",
        source: Source::WindowEnd,
        help: "Unix time at which the window ended that the values of this domain belong to, cached from the \
               last poll of the endpoint in the label.",
    },
    Family {
        name: "jdcloud_cdn_up",
        source: Source::Up,
        help: "Whether the last poll of this domain gave a usable answer that is not stale yet (1) or not (0), \
               cached from the last poll of the endpoint in the label.",
    },
    Family {
        name: "jdcloud_cdn_domain_info",
        source: Source::Account,
        help: "The account through which a domain is read, always 1, from the configuration; no endpoint is \
               polled for it.",
    },
    Family {
        name: "jdcloud_cdn_exporter_windows_missing",
        source: Source::Missing,
        help: "Settled 5-minute windows within poll.window without a reading, summed over all domains, cached \
               from the last polls of the endpoint in the label.",
    },
    Family {
        name: "jdcloud_cdn_exporter_settle_seconds",
        source: Source::Settle,
        help: "How old a window must be to be shown: poll.settle, or where that is auto, what was learned from \
               the polls of both endpoints.",
    },
    Family {
        name: "jdcloud_cdn_exporter_endpoint_bandwidth_difference_ratio",
        source: Source::Difference,
        help: "Difference of the bandwidths that /api/live/bandwidth_flow and /api/origin_ratio give for the \
               same windows, relative to the larger, as the median over the domains read through both, cached \
               from the last polls; absent without such windows.",
    },
    Family {
        name: "jdcloud_cdn_exporter_endpoint_label_offset_windows",
        source: Source::LabelOffset,
        help: "How many windows later /api/origin_ratio labels the same traffic than /api/live/bandwidth_flow, \
               -2 to 2, cached from the last polls; absent while the traffic does not tell.",
    },
];
