//! The data of `origin_ratio`: an array of `{"domain", "data": [{"time": epoch seconds,
//! "bandwidth": Mbit/s, "originBandwidth": Mbit/s, "originRatio": percent}]}` (document, section 4).

use serde::de::{IgnoredAny, MapAccess};
use serde_json::value::RawValue;

use super::items::{Item, Items};
use super::rows::Rows;
use super::wire::Text;
use crate::model::{Field, Reading, Reject, Units, Values};

/// `{"domain": "www.a.com", "data": […]}`
pub(super) struct Domains<'r, 'a>(pub(super) &'r mut Rows<'a>);

impl<'de> Item<'de> for Domains<'_, '_> {
    fn object<A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        let mut place = None;
        let mut named = false;
        let mut empty = true;
        let mut readings = Vec::new();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            empty = false;
            if key.is("domain") {
                named = true;
                let name = serde_json::from_str::<Text<'_>>(map.next_value::<&RawValue>()?.get());
                place = if let Ok(name) = name {
                    self.0.domain(&name.0)
                } else {
                    self.0.reject(Reject::Shape);
                    None
                };
            } else if key.is("data") && named && place.is_none() {
                // One reject, already counted, for a domain that is of no use.
                map.next_value::<IgnoredAny>()?;
            } else if key.is("data") {
                // The name may come after the rows, as it does where keys are sorted.
                map.next_value_seed(Items::list(&mut DomainRows {
                    rows: self.0,
                    readings: &mut readings,
                }))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        match place {
            Some(place) => self.0.extend(place, readings),
            None if !named && !empty => self.0.reject(Reject::Shape),
            None => {}
        }
        Ok(())
    }

    fn reject(&mut self, kind: Reject) {
        self.0.reject(kind);
    }
}

/// `{"time": 1513540200, "originRatio": 23.62, "originBandwidth": 1.53, "bandwidth": 6.46}`
struct DomainRows<'r, 'a> {
    rows: &'r mut Rows<'a>,
    readings: &'r mut Vec<Reading>,
}

impl<'de> Item<'de> for DomainRows<'_, '_> {
    fn object<A: MapAccess<'de>>(&mut self, mut map: A) -> Result<(), A::Error> {
        let mut window = None;
        let mut timed = false;
        let mut values = Values::NONE;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            if key.is("time") {
                timed = true;
                window = self.rows.window_of_epoch(map.next_value::<&RawValue>()?);
            } else if key.is("bandwidth") {
                let raw = map.next_value::<&RawValue>()?;
                self.rows
                    .set(&mut values, Field::EdgeBandwidth, raw, Units::bytes_per_second);
            } else if key.is("originBandwidth") {
                let raw = map.next_value::<&RawValue>()?;
                self.rows
                    .set(&mut values, Field::OriginBandwidth, raw, Units::bytes_per_second);
            } else if key.is("originRatio") {
                // Never computed from the two rounded bandwidths: the provider divides before it rounds.
                let raw = map.next_value::<&RawValue>()?;
                self.rows
                    .set(&mut values, Field::OriginRatio, raw, |_, percent| percent / 100.0);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        match window {
            Some(window) if !values.is_empty() => {
                self.rows.collect(self.readings, Reading { window, values });
            }
            None if timed => {}
            _ => self.rows.reject(Reject::Shape),
        }
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
    use crate::model::{Endpoint, Window};

    /// The return example of the document, word for word: two domains asked for, one returned.
    const EXAMPLE: &str = r#"{
    "status": 0,
    "msg": "Successful",
    "data": [
        {
            "domain": "www.a.com",
            "data": [
                {
                    "time": 1513540200,
                    "originRatio": 23.62,
                    "originBandwidth": 1.53,
                    "bandwidth": 6.46
                },  
{
                    "time": 1513588500,
                    "originRatio": 6,
                    "originBandwidth": 0.81,
                    "bandwidth": 13.5
                }
            ]
        }
    ]
}"#;

    #[test]
    fn the_documents_example_gives_bytes_and_ratios() {
        let domains = domains(&["www.a.com", "www.b.com"]);
        let asked = asked(&domains, "2017-12-17T00:00:00Z", "2017-12-18T12:00:00Z");
        let answer = decoded(Endpoint::OriginRatio, EXAMPLE, &asked);
        let reading = |time, edge, origin, ratio| Reading {
            window: Window::ending_at(time).unwrap(),
            values: Values::NONE
                .with(Field::EdgeBandwidth, edge)
                .with(Field::OriginBandwidth, origin)
                .with(Field::OriginRatio, ratio),
        };
        // 6.46 Mbit/s = 807,500 B/s, 1.53 = 191,250, 13.5 = 1,687,500, 0.81 = 101,250 (base 1000).
        assert_eq!(
            answer.readings,
            [
                vec![
                    reading(1_513_540_200, 807_500.0, 191_250.0, 23.62 / 100.0),
                    reading(1_513_588_500, 1_687_500.0, 101_250.0, 0.06),
                ],
                vec![],
            ]
        );
        assert_eq!(answer.rejects.total(), 0);
    }

    #[test]
    fn the_name_may_follow_the_rows_and_the_ratio_may_be_missing() {
        let domains = domains(&["a.com", "b.com"]);
        let asked = asked(&domains, "2017-12-17T00:00:00Z", "2017-12-18T12:00:00Z");
        let body = r#"{"data":[
            {"data":[{"bandwidth":"8","originBandwidth":0,"originRatio":"-","time":"1513540200"}],"domain":" B.com "},
            {"domain":"a.com","data":{}}],"msg":"","status":0}"#;
        let answer = decoded(Endpoint::OriginRatio, body, &asked);
        assert_eq!(answer.readings[0], []);
        let values = answer.readings[1][0].values;
        assert_eq!(answer.readings[1][0].window, window("2017-12-17T19:50:00Z"));
        assert_eq!(values.get(Field::EdgeBandwidth), Some(1e6));
        assert_eq!(values.get(Field::OriginBandwidth), Some(0.0));
        assert_eq!(values.get(Field::OriginRatio), None);
    }

    #[test]
    fn what_is_unusable_is_counted_and_touches_nothing_else() {
        let domains = domains(&["a.com", "b.com"]);
        let asked = asked(&domains, "2017-12-17T00:00:00Z", "2017-12-18T12:00:00Z");
        let good = r#"{"domain":"b.com","data":[{"time":1513540200,"originRatio":101.5}]}"#;
        for (bad, rejects) in [
            (
                r#"{"domain":"a.com","data":[{"time":1513540200}]}"#,
                vec![(Reject::Shape, 1)],
            ),
            (
                r#"{"domain":"a.com","data":[{"bandwidth":1}]}"#,
                vec![(Reject::Shape, 1)],
            ),
            (
                r#"{"domain":"a.com","data":[{"time":1513540200123,"bandwidth":1}]}"#,
                vec![(Reject::Time, 1)],
            ),
            (
                r#"{"domain":"a.com","data":[{"time":"x","bandwidth":1}]}"#,
                vec![(Reject::Time, 1)],
            ),
            (
                r#"{"domain":"a.com","data":[{"time":300,"bandwidth":1}]}"#,
                vec![(Reject::OutOfRange, 1)],
            ),
            (
                r#"{"domain":"c.com","data":[{"time":1513540200,"bandwidth":1}]}"#,
                vec![(Reject::UnknownDomain, 1)],
            ),
            (r#"{"domain":7,"data":[]}"#, vec![(Reject::Shape, 1)]),
            (
                r#"{"data":[{"time":1513540200,"bandwidth":1}]}"#,
                vec![(Reject::Shape, 1)],
            ),
            (r#"{"domain":"a.com","data":[1,null]}"#, vec![(Reject::Shape, 2)]),
            (r#"{"domain":"a.com","data":null}"#, vec![]),
            (r"{}", vec![]),
        ] {
            let body = format!(r#"{{"status":0,"data":[{bad},{good}]}}"#);
            let answer = decoded(Endpoint::OriginRatio, &body, &asked);
            let counted: Vec<_> = answer.rejects.iter().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, rejects, "{bad}");
            assert_eq!(answer.readings[0], [], "{bad}");
            assert_eq!(
                answer.readings[1][0].values.get(Field::OriginRatio),
                Some(1.015),
                "{bad}"
            );
        }
    }
}
