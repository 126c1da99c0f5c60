//! PURE: prints one page of an account's domains as `queryDomains` does, with any oddities on top.

use std::collections::BTreeMap;

use crate::model::Domain;
use crate::simulator::habits::{Habit, Habits};
use crate::simulator::reply::envelope;

/// What the document calls the default of `pageSize`.
const PAGE_SIZE: usize = 10;

/// What `total` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Total {
    /// How many rows there are.
    #[default]
    True,
    /// This number.
    Fixed(u64),
    /// Nothing: there is none.
    Absent,
    /// 0, and there are no rows, although the account has domains.
    Empty,
}

/// How lists are printed. The document shows one reply; all of this must be expected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListStyle {
    /// `total` and `domains` stand beside `status`, and not in `data`.
    pub at_the_top: bool,
    /// See [`Total`].
    pub total: Total,
    /// No page has more rows, whatever is asked for; no limit if 0.
    pub most_rows: usize,
    /// Every page is the first one.
    pub page_number_ignored: bool,
    /// Pages never end: rows are made up behind those of the account.
    pub endless: bool,
    /// Rows before those of the account, of names that need not be host names.
    pub others: Vec<String>,
    /// The word for a domain's kind; `下载` where none is given.
    pub kinds: BTreeMap<Domain, String>,
}

/// One page: `number` from 1, of `size` rows; what is not given is the document's default.
pub(super) fn page(
    domains: &[Domain],
    number: Option<usize>,
    size: Option<usize>,
    style: &ListStyle,
    habits: Habits,
) -> String {
    let mut rows: Vec<String> = style
        .others
        .iter()
        .map(|name| row(name, "下载", habits))
        .collect();
    for domain in domains {
        let kind = style.kinds.get(domain).map_or("下载", String::as_str);
        rows.push(row(domain.as_str(), kind, habits));
        if habits.has(Habit::DuplicatedBins) {
            rows.push(row(domain.as_str(), kind, habits));
        }
    }
    if style.total == Total::Empty {
        rows.clear();
    }
    if habits.has(Habit::ReversedOrder) {
        rows.reverse();
    }
    let number = if style.page_number_ignored {
        0
    } else {
        number.unwrap_or(1).saturating_sub(1)
    };
    let size = size.unwrap_or(PAGE_SIZE);
    let size = if style.most_rows == 0 {
        size
    } else {
        size.min(style.most_rows)
    };
    let start = number.saturating_mul(size);
    let total = match style.total {
        Total::True => Some(u64::try_from(rows.len()).unwrap_or(u64::MAX)),
        Total::Fixed(total) => Some(total),
        Total::Absent => None,
        Total::Empty => Some(0),
    };
    let mut shown: Vec<String> = rows.into_iter().skip(start).take(size).collect();
    if style.endless {
        shown.extend((shown.len()..size).map(|place| {
            row(
                &format!("made-up-{}.example.com", start.saturating_add(place)),
                "下载",
                habits,
            )
        }));
    }
    let total = match total {
        Some(total) if habits.has(Habit::NumbersInQuotes) => format!("\"total\":\"{total}\","),
        Some(total) => format!("\"total\":{total},"),
        None => String::new(),
    };
    let list = format!("{total}\"domains\":[{}]", shown.join(","));
    if habits.has(Habit::DataObject) {
        envelope(0, "成功", "{}", habits)
    } else if habits.has(Habit::DataArray) {
        envelope(0, "成功", "[]", habits)
    } else if habits.has(Habit::DataNull) {
        envelope(0, "成功", "null", habits)
    } else if style.at_the_top {
        envelope(0, "成功", &format!("{{}},{list}"), habits)
    } else {
        envelope(0, "成功", &format!("{{{list}}}"), habits)
    }
}

fn row(name: &str, kind: &str, habits: Habits) -> String {
    let name = if habits.has(Habit::UpperCaseNames) {
        name.to_ascii_uppercase()
    } else {
        name.to_owned()
    };
    let blank = if habits.has(Habit::BlanksAroundNames) {
        " "
    } else {
        ""
    };
    let kind = if habits.has(Habit::FieldNull) {
        "\"type\":null,".to_owned()
    } else if habits.has(Habit::FieldMissing) {
        String::new()
    } else {
        format!("\"type\":\"{blank}{kind}{blank}\",")
    };
    format!(
        "{{\"domain\":\"{blank}{name}{blank}\",\"cname\":\"{name}.cdn.example.net\",{kind}\"status\":\"已启用\"}}"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn domains(count: usize) -> Vec<Domain> {
        (0..count)
            .map(|i| Domain::parse(&format!("d{i:03}.example.com")).unwrap())
            .collect()
    }

    fn printed(count: usize, number: Option<usize>, size: Option<usize>, style: &ListStyle) -> Value {
        serde_json::from_str(&page(&domains(count), number, size, style, Habits::NONE)).unwrap()
    }

    fn names(reply: &Value) -> Vec<&str> {
        let rows = reply["data"]["domains"].as_array().unwrap();
        rows.iter().map(|row| row["domain"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_page_is_the_documented_object() {
        let reply = printed(1, Some(1), Some(100), &ListStyle::default());
        let expected = json!({"status": 0, "msg": "成功", "data": {"total": 1, "domains": [{
            "domain": "d000.example.com",
            "cname": "d000.example.com.cdn.example.net",
            "type": "下载",
            "status": "已启用",
        }]}});
        assert_eq!(reply, expected);
    }

    #[test]
    fn pages_count_from_one_and_have_ten_rows_by_default() {
        let style = ListStyle::default();
        assert_eq!(names(&printed(25, None, None, &style)).len(), 10);
        assert_eq!(names(&printed(25, Some(3), Some(10), &style)).len(), 5);
        assert_eq!(
            names(&printed(25, Some(2), Some(2), &style)),
            ["d002.example.com", "d003.example.com"]
        );
        assert!(names(&printed(25, Some(4), Some(10), &style)).is_empty());
        assert_eq!(printed(25, Some(4), Some(10), &style)["data"]["total"], 25);
    }

    #[test]
    fn oddities_are_there() {
        let endless = ListStyle {
            endless: true,
            total: Total::Absent,
            ..ListStyle::default()
        };
        let first = printed(2, Some(1), Some(5), &endless);
        let second = printed(2, Some(2), Some(5), &endless);
        assert_eq!((names(&first).len(), names(&second).len()), (5, 5));
        assert!(names(&second).iter().all(|name| !names(&first).contains(name)));
        assert_eq!(first["data"].get("total"), None);
        let empty = ListStyle {
            total: Total::Empty,
            ..ListStyle::default()
        };
        assert_eq!(
            printed(5, None, None, &empty)["data"],
            json!({"total": 0, "domains": []})
        );
        let odd = ListStyle {
            at_the_top: true,
            total: Total::Fixed(7),
            most_rows: 3,
            page_number_ignored: true,
            others: vec!["*.example.com".to_owned()],
            ..ListStyle::default()
        };
        let reply = printed(5, Some(2), Some(100), &odd);
        assert_eq!(reply["total"], 7);
        assert_eq!(reply["domains"].as_array().unwrap().len(), 3);
        assert_eq!(reply["domains"][0]["domain"], "*.example.com");
    }
}
