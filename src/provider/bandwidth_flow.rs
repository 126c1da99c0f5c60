//! The data of `bandwidth_flow`: an array with one object per window, whose one key is the window's
//! label and whose value maps domains to `{"bandwidth": Mbit/s, "flow": MB}` (document, section 4).

use serde::de::{IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::items::{Item, Items};
use super::rows::Rows;
use super::wire::Text;
use crate::model::{Field, Reject, Units, Values, Window};

/// `{"2018-06-02 17:15": {…}}`
pub(super) struct Bins<'r, 'a>(pub(super) &'r mut Rows<'a>);

impl<'de> Item<'de> for Bins<'_, '_> {
    fn object<A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(label) = map.next_key::<Text<'de>>()? {
            match self.0.window_of_label(&label.0) {
                Some(window) => {
                    map.next_value_seed(Items::one(&mut Bin { rows: self.0, window }))?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn reject(&mut self, kind: Reject) {
        self.0.reject(kind);
    }
}

/// `{" play.live.com ": {…}, …}`
struct Bin<'r, 'a> {
    rows: &'r mut Rows<'a>,
    window: Window,
}

impl<'de> Item<'de> for Bin<'_, '_> {
    fn object<A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Text<'de>>()? {
            match self.rows.domain(&name.0) {
                Some(place) => {
                    map.next_value_seed(Items::one(&mut Row {
                        rows: self.rows,
                        window: self.window,
                        place,
                    }))?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn reject(&mut self, kind: Reject) {
        self.rows.reject(kind);
    }
}

/// `{"bandwidth": 6.1, "flow": 228.88}`
struct Row<'r, 'a> {
    rows: &'r mut Rows<'a>,
    window: Window,
    place: usize,
}

impl<'de> Item<'de> for Row<'_, '_> {
    fn object<A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        let mut values = Values::NONE;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if key.is("bandwidth") {
                let raw = map.next_value::<&RawValue>()?;
                self.rows
                    .set(&mut values, Field::Bandwidth, raw, Units::bytes_per_second);
            } else if key.is("flow") {
                let raw = map.next_value::<&RawValue>()?;
                self.rows.set(&mut values, Field::Flow, raw, Units::bytes);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        self.rows.push(self.place, self.window, values);
        Ok(())
    }

    fn reject(&mut self, kind: Reject) {
        self.rows.reject(kind);
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::fixtures::{asked, decoded, domains, window};
    use super::*;
    use crate::model::{Endpoint, Reading};

    /// The return example of the document, word for word.
    const EXAMPLE: &str = r#"{
    "status": 0,
    "msg": "Successful",
    "data": [
        {
            "2018-06-02 17:15": {
                " play.live.com ": {
                    "bandwidth": 6.1,
                    "flow": 228.88
                }
            }
        },
        {
            "2018-06-02 17:20": {
                " play.live.com ": {
                    "bandwidth": 122.07,
                    "flow": 4577.64
                }
            }
        }
    ]
}"#;

    #[test]
    fn the_documents_example_gives_bytes() {
        let domains = domains(&["play.live.com"]);
        let asked = asked(&domains, "2018-06-02T09:15:00Z", "2018-06-02T09:30:00Z");
        let answer = decoded(Endpoint::BandwidthFlow, EXAMPLE, &asked);
        // 6.1 Mbit/s = 762,500 B/s; 228.88 MB = 228,880,000 B (base 1000).
        let reading = |time, bandwidth, flow| Reading {
            window: window(time),
            values: Values::NONE
                .with(Field::Bandwidth, bandwidth)
                .with(Field::Flow, flow),
        };
        assert_eq!(
            answer.readings,
            [[
                reading("2018-06-02T09:15:00Z", 762_500.0, 228_880_000.0),
                reading("2018-06-02T09:20:00Z", 15_258_750.0, 4_577_640_000.0),
            ]]
        );
        assert_eq!(answer.rejects.total(), 0);
    }

    #[test]
    fn what_is_unusable_is_counted_and_touches_nothing_else() {
        let domains = domains(&["a.com", "b.com"]);
        let asked = asked(&domains, "2018-06-02T09:15:00Z", "2018-06-02T09:30:00Z");
        let good = r#"{"2018-06-02 17:30":{"b.com":{"bandwidth":1,"flow":2}}}"#;
        for (bad, rejects) in [
            (
                r#"{"2018-06-02 17:20":{"a.com":{"bandwidth":-1,"flow":"x"}}}"#,
                vec![(Reject::Value, 2), (Reject::Shape, 1)],
            ),
            (
                r#"{"2018-06-02 17:20":{"a.com":{"bandwidth":NaN,"flow":-}}}"#,
                vec![(Reject::Value, 1), (Reject::Shape, 1)],
            ),
            (r#"{"2018-06-02 17:20":{"a.com":{}}}"#, vec![(Reject::Shape, 1)]),
            (r#"{"2018-06-02 17:20":{"a.com":null}}"#, vec![(Reject::Shape, 1)]),
            (r#"{"2018-06-02 17:20":[]}"#, vec![(Reject::Shape, 1)]),
            (
                r#"{"2018-06-02 17:21":{"a.com":{"bandwidth":1}}}"#,
                vec![(Reject::Time, 1)],
            ),
            (r#"{"now":{"a.com":{"bandwidth":1}}}"#, vec![(Reject::Time, 1)]),
            (
                r#"{"2018-06-02 17:10":{"a.com":{"bandwidth":1}}}"#,
                vec![(Reject::OutOfRange, 1)],
            ),
            (
                r#"{"2038-06-02 17:10":{"a.com":{"bandwidth":1}}}"#,
                vec![(Reject::OutOfRange, 1)],
            ),
            (
                r#"{"2018-06-02 17:20":{"c.com":{"bandwidth":1}}}"#,
                vec![(Reject::UnknownDomain, 1)],
            ),
            (
                r#""text", 5, -5, 0.5, true, null, [[[[1]]]]"#,
                vec![(Reject::Shape, 7)],
            ),
        ] {
            let body = format!(r#"{{"data":[{bad},{good}],"status":"0"}}"#);
            let answer = decoded(Endpoint::BandwidthFlow, &body, &asked);
            let counted: Vec<_> = answer.rejects.iter().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, rejects, "{bad}");
            assert_eq!(answer.readings[0], [], "{bad}");
            assert_eq!(answer.readings[1].len(), 1, "{bad}");
        }
    }

    #[test]
    fn windows_are_ordered_and_repeated_ones_are_one() {
        let domains = domains(&["a.com"]);
        let asked = asked(&domains, "2018-06-02T09:15:00Z", "2018-06-02T09:30:00Z");
        let body = r#"{"status":0,"data":[
            {"2018-06-02 17:30":{"A.com":{"bandwidth":"8"}}},
            {"2018-06-02 17:25":{"a.com":{"bandwidth":8}}},
            {"2018-06-02 17:25":{"a.com":{"bandwidth":8,"flow":1}}},
            {"2018-06-02 17:30":{"a.com":{"bandwidth":16}}}]}"#;
        let answer = decoded(Endpoint::BandwidthFlow, body, &asked);
        let got: Vec<_> = answer.readings[0]
            .iter()
            .map(|r| {
                (
                    r.window,
                    r.values.get(Field::Bandwidth),
                    r.values.get(Field::Flow),
                )
            })
            .collect();
        assert_eq!(
            got,
            [
                (window("2018-06-02T09:25:00Z"), Some(1e6), Some(1e6)),
                (window("2018-06-02T09:30:00Z"), Some(2e6), None),
            ]
        );
        let contradictions = answer
            .rejects
            .iter()
            .find(|(kind, _)| *kind == Reject::Contradiction);
        assert_eq!(contradictions, Some((Reject::Contradiction, 1)));
    }
}
