//! The table that names the metrics of true time: one sample for each window, under the window's own
//! timestamp. All of them are gauges with the label `domain`.

use crate::model::Field;

/// One metric family of true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowFamily {
    /// The full name; its unit is its last words.
    pub name: &'static str,
    /// The field of a reading that it shows.
    pub field: Field,
    /// The HELP text, one line.
    pub help: &'static str,
}

/// Every family of true time, in the order in which they are written.
pub const WINDOW_FAMILIES: [WindowFamily; 5] = [
    WindowFamily {
        name: "jdcloud_cdn_window_bandwidth_bytes_per_second",
        field: Field::Bandwidth,
        help: "Mean bandwidth over the 5-minute window that ends at the sample's timestamp, from \
               /api/live/bandwidth_flow.",
    },
    WindowFamily {
        name: "jdcloud_cdn_window_flow_bytes",
        field: Field::Flow,
        help: "Bytes delivered in the 5-minute window that ends at the sample's timestamp (a quantity per \
               window, not a counter), from /api/live/bandwidth_flow.",
    },
    WindowFamily {
        name: "jdcloud_cdn_window_origin_bandwidth_bytes_per_second",
        field: Field::OriginBandwidth,
        help: "Mean back-to-origin bandwidth over the 5-minute window that ends at the sample's timestamp, \
               from /api/origin_ratio.",
    },
    WindowFamily {
        name: "jdcloud_cdn_window_edge_bandwidth_bytes_per_second",
        field: Field::EdgeBandwidth,
        help: "Mean total bandwidth over the 5-minute window that ends at the sample's timestamp, the \
               denominator of the origin ratio, from /api/origin_ratio.",
    },
    WindowFamily {
        name: "jdcloud_cdn_window_origin_ratio",
        field: Field::OriginRatio,
        help: "Share of the edge bandwidth that came from the origin in the 5-minute window that ends at the \
               sample's timestamp, from 0 to 1, as the provider computes it, from /api/origin_ratio.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::families::{FAMILIES, Source};

    /// The names follow from those of `/metrics`: `window_` after the prefix.
    #[test]
    fn each_field_has_one_family_named_after_its_plain_gauge() {
        for family in WINDOW_FAMILIES {
            let plain = FAMILIES
                .iter()
                .find(|plain| plain.source == Source::Field(family.field))
                .unwrap();
            let expected = plain.name.replacen("jdcloud_cdn_", "jdcloud_cdn_window_", 1);
            assert_eq!(family.name, expected);
            assert!(!family.help.contains(['\n', '\\', '"']), "{}", family.name);
        }
        let fields: Vec<Field> = WINDOW_FAMILIES.iter().map(|family| family.field).collect();
        assert!(Field::ALL.iter().all(|field| fields.contains(field)));
    }
}
