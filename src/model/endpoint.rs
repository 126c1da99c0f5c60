//! The provider's two API methods and the fields that each of them reports.

use std::fmt;

/// One of the provider's API methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// `POST /api/live/bandwidth_flow`.
    BandwidthFlow,
    /// `POST /api/origin_ratio`.
    OriginRatio,
}

impl Endpoint {
    /// Every endpoint, in the order of [`Endpoint::index`].
    pub const ALL: [Self; 2] = [Self::BandwidthFlow, Self::OriginRatio];

    /// The value of the `endpoint` label, and the word for it in the configuration and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BandwidthFlow => "bandwidth_flow",
            Self::OriginRatio => "origin_ratio",
        }
    }

    /// The path below the base URL. The blank in the document's `/api/live/ bandwidth_flow` is an error
    /// of its print.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::BandwidthFlow => "api/live/bandwidth_flow",
            Self::OriginRatio => "api/origin_ratio",
        }
    }

    /// The endpoint of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.name() == name)
    }

    /// Position in [`Endpoint::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::BandwidthFlow => 0,
            Self::OriginRatio => 1,
        }
    }

    /// How many fields a reading of this endpoint has.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::BandwidthFlow => 2,
            Self::OriginRatio => 3,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One measured quantity; its place in a reading is [`Field::column`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Mean bandwidth over the window, bytes per second.
    Bandwidth,
    /// Bytes delivered in the window.
    Flow,
    /// Total bandwidth that `origin_ratio` reports beside the ratio, bytes per second.
    EdgeBandwidth,
    /// Back-to-origin bandwidth, bytes per second.
    OriginBandwidth,
    /// The provider's own ratio, 0 to 1 (a value over 1 is not excluded).
    OriginRatio,
}

impl Field {
    /// Every field, by endpoint and column.
    pub const ALL: [Self; 5] = [
        Self::Bandwidth,
        Self::Flow,
        Self::EdgeBandwidth,
        Self::OriginBandwidth,
        Self::OriginRatio,
    ];

    /// The endpoint that reports it.
    #[must_use]
    pub const fn endpoint(self) -> Endpoint {
        match self {
            Self::Bandwidth | Self::Flow => Endpoint::BandwidthFlow,
            Self::EdgeBandwidth | Self::OriginBandwidth | Self::OriginRatio => Endpoint::OriginRatio,
        }
    }

    /// Its place among the values of a reading.
    #[must_use]
    pub const fn column(self) -> usize {
        match self {
            Self::Bandwidth | Self::EdgeBandwidth => 0,
            Self::Flow | Self::OriginBandwidth => 1,
            Self::OriginRatio => 2,
        }
    }
}
