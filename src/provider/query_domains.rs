//! The reply of `queryDomains`: `{"total": …, "domains": [{"domain", "cname", "type", "status"}]}`, in
//! `data` as the sibling calls have it, or beside `status` as the document's table may be read. Total:
//! any bytes give a page or one error.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::decode::{DecodeError, Payload, read};
use super::wire::{Text, integer};
use crate::model::{ListPage, ListRow};

/// No host name is longer, so what is longer is passed over whatever it is.
const LONGEST_NAME: usize = 253;

/// The provider's words for a kind of acceleration are a handful; so many bytes are read.
const LONGEST_KIND: usize = 200;

/// Reads one page of the list of domains, of which `keep` rows are kept and the others counted.
///
/// # Errors
/// When the reply's status is not 0, when it is no JSON object with a status, or when it says nothing of
/// domains at all: that is no empty list.
pub fn decode_list(body: &[u8], keep: usize) -> Result<ListPage, DecodeError> {
    let list = read(body, || List {
        keep,
        page: ListPage::default(),
        listed: false,
        null: false,
    })?;
    let says_none = list.page.total == Some(0) || list.null && list.page.total.is_some();
    if !list.listed && !says_none {
        return Err(DecodeError::Malformed(
            "the reply lists no domains and does not say that there are none".to_owned(),
        ));
    }
    Ok(list.page)
}

/// The page while it is read.
struct List {
    keep: usize,
    page: ListPage,
    /// Whether a list was there, if only an empty one.
    listed: bool,
    /// Whether `null` was there in its place, as some languages write an empty list. With a total it is a
    /// page behind the end; without one it may be anything.
    null: bool,
}

impl Payload for List {
    fn member<'de, A: MapAccess<'de>>(&mut self, key: &Text<'de>, map: &mut A) -> Result<bool, A::Error> {
        if key.is("data") {
            map.next_value_seed(Part {
                list: self,
                what: What::Data,
            })?;
            Ok(true)
        } else {
            self.own(key, map)
        }
    }
}

impl List {
    /// Reads `total` and `domains`, wherever they stand.
    fn own<'de, A: MapAccess<'de>>(&mut self, key: &Text<'de>, map: &mut A) -> Result<bool, A::Error> {
        if key.is("total") {
            let total = integer(map.next_value::<&RawValue>()?);
            self.page.total = total
                .and_then(|total| u64::try_from(total).ok())
                .or(self.page.total);
        } else if key.is("domains") {
            map.next_value_seed(Part {
                list: self,
                what: What::Rows,
            })?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn push(&mut self, row: ListRow) {
        if self.page.rows.len() < self.keep {
            self.page.rows.push(row);
        } else {
            self.page.left_out += 1;
        }
    }
}

/// What a value of the reply is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// `data`: an object with `total` and `domains`, or the rows themselves.
    Data,
    /// `domains`: the rows.
    Rows,
    /// One of them.
    Row,
}

/// A value of the reply that is read into the list; whatever else stands there is passed over.
struct Part<'l> {
    list: &'l mut List,
    what: What,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Part<'_> {
    /// A row that names nothing still is one of those that the provider counts.
    fn nothing(self) {
        if self.what == What::Row {
            self.list.push(ListRow::default());
        }
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.what == What::Row {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            self.nothing();
            return Ok(());
        }
        // An empty `data` is what other calls have where there is nothing to say, and no list.
        self.list.listed |= self.what == What::Rows;
        while seq
            .next_element_seed(Part {
                list: &mut *self.list,
                what: What::Row,
            })?
            .is_some()
        {
            self.list.listed = true;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut row = ListRow::default();
        let mut empty = true;
        while let Some(key) = map.next_key::<Text<'de>>()? {
            empty = false;
            match self.what {
                What::Data if self.list.own(&key, &mut map)? => {}
                What::Row if key.is("domain") => row.name = name(map.next_value::<&RawValue>()?),
                What::Row if key.is("type") => row.kind = kind(map.next_value::<&RawValue>()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        match self.what {
            What::Row => self.list.push(row),
            // `{}` where a list should be is an empty one, as it is where a call fails.
            What::Rows => self.list.listed |= empty,
            What::Data => {}
        }
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.what == What::Row {
            self.list.push(ListRow {
                name: lower_case(text),
                kind: String::new(),
            });
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.list.null |= self.what == What::Rows;
        self.nothing();
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.nothing();
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.nothing();
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.nothing();
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.nothing();
        Ok(())
    }
}

fn text(raw: &RawValue) -> Option<Text<'_>> {
    serde_json::from_str(raw.get()).ok()
}

/// A name as names are compared; empty if it is no text, or too long to be a host name.
fn name(raw: &RawValue) -> String {
    text(raw).map_or_else(String::new, |text| lower_case(&text.0))
}

/// In lower case, and without the dot at the end that DNS allows: `www.example.com.` is the same host.
fn lower_case(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.len() > LONGEST_NAME {
        String::new()
    } else {
        text.to_ascii_lowercase()
    }
}

/// The provider's own words; empty if they are no text.
fn kind(raw: &RawValue) -> String {
    let Some(text) = text(raw) else {
        return String::new();
    };
    let text = text.0.trim();
    if text.len() > LONGEST_KIND {
        String::new()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEEP: usize = 1_000;

    fn row(name: &str, kind: &str) -> ListRow {
        ListRow {
            name: name.to_owned(),
            kind: kind.to_owned(),
        }
    }

    fn decoded(body: &str) -> ListPage {
        decode_list(body.as_bytes(), KEEP).unwrap()
    }

    #[test]
    fn a_page_stands_in_data_or_beside_the_status() {
        let list = r#""total":2,"domains":[
            {"domain":"www.a.com","cname":"www.a.com.s.galileo.jcloud-cdn.com","type":"下载","status":"已启用"},
            {"domain":"img.a.com","cname":null,"type":"\u56fe\u7247","status":"已停用"}]"#;
        let expected = ListPage {
            total: Some(2),
            rows: vec![row("www.a.com", "下载"), row("img.a.com", "图片")],
            left_out: 0,
        };
        for body in [
            format!(r#"{{"status":0,"msg":"成功","data":{{{list}}}}}"#),
            format!(r#"{{"status":0,"msg":"成功",{list}}}"#),
            format!(r#"{{{list},"data":{{}},"status":"0"}}"#),
            format!(r#"{{"data":{{{list}}},"Status ":0}}"#),
        ] {
            assert_eq!(decoded(&body), expected, "{body}");
        }
    }

    #[test]
    fn names_are_trimmed_and_lower_case_and_kinds_are_trimmed() {
        let page = decoded(
            r#"{"status":0,"data":{"total":" 4 ","domains":[{" Domain":" WWW.A.com ","TYPE":" 下载 "},
               {"type":"视频","domain":"b.com"},"C.com",{"domain":"*.A.com"},{"domain":" Img.a.com. "},"d.com..",
               "."]}}"#,
        );
        assert_eq!(page.total, Some(4));
        assert_eq!(
            page.rows,
            [
                row("www.a.com", "下载"),
                row("b.com", "视频"),
                row("c.com", ""),
                row("*.a.com", ""),
                // The dot at the end is DNS's; two are nobody's.
                row("img.a.com", ""),
                row("d.com.", ""),
                row("", "")
            ]
        );
    }

    #[test]
    fn what_is_of_no_use_is_a_row_all_the_same() {
        let long = "x".repeat(254);
        let page = decoded(&format!(
            r#"{{"status":0,"data":{{"domains":[{{"domain":7,"type":{{}}}},null,1,true,-1.5,[[]],{{}},
               {{"domain":"{long}","type":"{long}"}},{{"domain":"a.com","type":null}}]}}}}"#
        ));
        let mut expected = vec![ListRow::default(); 8];
        expected.push(row("a.com", ""));
        assert_eq!(page.rows, expected);
        assert_eq!(page.total, None);
    }

    #[test]
    fn an_empty_list_is_one_only_if_the_reply_says_so() {
        for body in [
            r#"{"status":0,"data":{"total":0,"domains":[]}}"#,
            r#"{"status":0,"data":{"total":0,"domains":null}}"#,
            r#"{"status":0,"data":{"total":"0"}}"#,
            r#"{"status":0,"data":{"domains":[]}}"#,
            // Behind the end of the list, as much as at its start.
            r#"{"status":0,"data":{"total":5,"domains":null}}"#,
            r#"{"status":0,"data":{"domains":null,"total":"5"}}"#,
            r#"{"status":0,"data":{"domains":{}}}"#,
            r#"{"status":0,"domains":[]}"#,
        ] {
            assert_eq!(decoded(body).rows, [], "{body}");
        }
        for body in [
            r#"{"status":0}"#,
            r#"{"status":0,"data":null}"#,
            r#"{"status":0,"data":[]}"#,
            r#"{"status":0,"data":{}}"#,
            r#"{"status":0,"data":"ok"}"#,
            r#"{"status":0,"data":{"total":5}}"#,
            r#"{"status":0,"data":{"total":-1,"domains":null}}"#,
            r#"{"status":0,"data":{"domains":null}}"#,
            r#"{"status":0,"data":{"total":5,"domains":false}}"#,
            r#"{"status":0,"data":{"domains":"www.a.com"}}"#,
            r#"{"status":0,"data":{"domains":{"www.a.com":{}}}}"#,
        ] {
            let error = decode_list(body.as_bytes(), KEEP).unwrap_err();
            assert!(matches!(error, DecodeError::Malformed(_)), "{body}: {error}");
        }
    }

    #[test]
    fn a_refusal_is_a_refusal() {
        let error = decode_list(r#"{"status":7,"msg":"签名错误","data":{}}"#.as_bytes(), KEEP).unwrap_err();
        assert!(matches!(error, DecodeError::Status { status: 7, .. }), "{error}");
        let cut = decode_list(br#"{"status":0,"data":{"total":2,"domains":[{"do"#, KEEP).unwrap_err();
        assert!(matches!(cut, DecodeError::CutOff(_)), "{cut}");
    }

    #[test]
    fn rows_beyond_those_that_are_kept_are_counted() {
        let rows = vec![r#"{"domain":"a.com"}"#; 50].join(",");
        let body = format!(r#"{{"status":0,"data":{{"total":1000000000,"domains":[{rows}]}}}}"#);
        let page = decode_list(body.as_bytes(), 20).unwrap();
        assert_eq!((page.rows.len(), page.left_out), (20, 30));
        assert_eq!(page.total, Some(1_000_000_000));
    }

    #[test]
    fn a_word_that_is_no_json_spoils_nothing_else() {
        let page = decoded(r#"{"status":0,"data":{"total":1,"domains":[{"domain":"a.com","type":NaN}]}}"#);
        assert_eq!(page.rows, [row("a.com", "NaN")]);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_page_or_an_error(body: Vec<u8>) {
            let _ = decode_list(&body, KEEP);
        }

        /// Damage to a good reply never panics and never invents a row.
        #[test]
        fn damage_never_invents_a_row(cut in 0_usize..120, place in 0_usize..120, byte: u8) {
            let body = br#"{"status":0,"data":{"total":2,"domains":[{"domain":"a.com","type":"t"},{"domain":"b.com"}]}}"#;
            let mut damaged = body.to_vec();
            damaged.truncate(body.len().saturating_sub(cut));
            if let Some(there) = damaged.get_mut(place) {
                *there = byte;
            }
            if let Ok(page) = decode_list(&damaged, KEEP) {
                prop_assert!(page.rows.len() <= 3);
            }
        }
    }
}
