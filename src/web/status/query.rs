//! PURE: what a reader wants to see, as the query string says it.

use url::form_urlencoded;

use super::Language;

/// How the domains are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Domain,
    State,
    Bandwidth,
    Flow,
    OriginRatio,
    Age,
}

impl Sort {
    /// Every order, as the columns of the table stand.
    pub(super) const ALL: [Self; 6] = [
        Self::Domain,
        Self::State,
        Self::Bandwidth,
        Self::Flow,
        Self::OriginRatio,
        Self::Age,
    ];

    /// The value of `?sort=`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::State => "state",
            Self::Bandwidth => "bandwidth",
            Self::Flow => "flow",
            Self::OriginRatio => "origin_ratio",
            Self::Age => "age",
        }
    }

    /// Whether the order begins at the large end unless `?order=` says otherwise: names begin at
    /// A, for the rest the largest, the worst and the oldest are what one looks for.
    pub(super) const fn descends(self) -> bool {
        !matches!(self, Self::Domain)
    }
}

/// The kinds of state that a domain can be filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StateKind {
    Up,
    NoData,
    Stale,
    Failing,
}

impl StateKind {
    /// Every kind, the best first.
    pub(super) const ALL: [Self; 4] = [Self::Up, Self::NoData, Self::Stale, Self::Failing];

    /// The value of `?state=`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::NoData => "no_data",
            Self::Stale => "stale",
            Self::Failing => "failing",
        }
    }
}

/// The query of the status page and of its JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// `q`: a part of the domain's name, in lower case.
    pub(super) part: String,
    /// `state`.
    pub(super) state: Option<StateKind>,
    /// `sort`.
    pub(super) sort: Sort,
    /// `order=desc`.
    pub(super) descending: bool,
    /// `limit`: the most rows.
    pub(super) limit: usize,
    /// `offset`: how many rows to pass over.
    pub(super) offset: usize,
    /// `lang`: the language of the page, whatever the browser prefers.
    pub(crate) language: Option<Language>,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            part: String::new(),
            state: None,
            sort: Sort::Domain,
            descending: false,
            limit: Self::LIMIT,
            offset: 0,
            language: None,
        }
    }
}

impl Query {
    /// Rows unless `limit` says otherwise: what a browser lays out at once without a pause.
    pub(super) const LIMIT: usize = 500;

    /// The largest `limit`, which bounds the size of a page to a few megabytes.
    pub(super) const LARGEST_LIMIT: usize = 10_000;

    /// Reads a query string. Parameters that are not known are passed over, empty ones are as if
    /// left out, so that a form can be sent with empty fields.
    ///
    /// # Errors
    /// One line that names the parameter and what it may be.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self::default();
        let mut descending = None;
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            match &*name {
                "q" => query.part = value.to_lowercase(),
                "state" => query.state = Some(choice("state", value, StateKind::ALL, StateKind::name)?),
                "sort" => query.sort = choice("sort", value, Sort::ALL, Sort::name)?,
                "order" => descending = Some(choice("order", value, [false, true], order_name)?),
                "limit" => query.limit = number("limit", value, 1, Self::LARGEST_LIMIT)?,
                "offset" => query.offset = number("offset", value, 0, usize::MAX)?,
                "lang" => {
                    query.language = Some(Language::of_tag(value).ok_or_else(|| {
                        wrong("lang", value, &Language::ALL.map(Language::code).join(", "))
                    })?);
                }
                _ => {}
            }
        }
        query.descending = descending.unwrap_or_else(|| query.sort.descends());
        Ok(query)
    }

    /// The same rows in another order, from the first on; the order that is in use is reversed.
    pub(super) fn sorted(&self, sort: Sort) -> Self {
        let descending = if self.sort == sort {
            !self.descending
        } else {
            sort.descends()
        };
        Self {
            sort,
            descending,
            offset: 0,
            ..self.clone()
        }
    }

    /// The rows of one state, from the first on.
    pub(super) fn of_state(&self, state: Option<StateKind>) -> Self {
        Self {
            state,
            offset: 0,
            ..self.clone()
        }
    }

    /// Other rows of the same list.
    pub(super) fn at(&self, offset: usize) -> Self {
        Self {
            offset,
            ..self.clone()
        }
    }

    /// The same in another language.
    pub(super) fn in_language(&self, language: Language) -> Self {
        Self {
            language: Some(language),
            ..self.clone()
        }
    }

    /// A link to `path` with this query, of which only what differs from the default is written.
    pub(super) fn link(&self, path: &str) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.parameters() {
            text.append_pair(name, &value);
        }
        let text = text.finish();
        if text.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{text}")
        }
    }

    /// Names and values of what differs from the default.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        if !self.part.is_empty() {
            all.push(("q", self.part.clone()));
        }
        if let Some(state) = self.state {
            all.push(("state", state.name().to_owned()));
        }
        if self.sort != Sort::Domain {
            all.push(("sort", self.sort.name().to_owned()));
        }
        if self.descending != self.sort.descends() {
            all.push(("order", self.order().to_owned()));
        }
        if self.limit != Self::LIMIT {
            all.push(("limit", self.limit.to_string()));
        }
        if self.offset > 0 {
            all.push(("offset", self.offset.to_string()));
        }
        if let Some(language) = self.language {
            all.push(("lang", language.code().to_owned()));
        }
        all
    }

    /// The value of `?order=`.
    pub(super) const fn order(&self) -> &'static str {
        order_name(self.descending)
    }
}

const fn order_name(descending: bool) -> &'static str {
    if descending { "desc" } else { "asc" }
}

/// The one of `all` that has this name.
fn choice<T: Copy, const N: usize>(
    parameter: &str,
    value: &str,
    all: [T; N],
    name: impl Fn(T) -> &'static str + Copy,
) -> Result<T, String> {
    all.into_iter()
        .find(|one| name(*one) == value)
        .ok_or_else(|| wrong(parameter, value, &all.map(name).join(", ")))
}

fn number(parameter: &str, value: &str, least: usize, most: usize) -> Result<usize, String> {
    value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| {
            let most = if most == usize::MAX {
                "up".to_owned()
            } else {
                format!("to {most}")
            };
            wrong(parameter, value, &format!("a whole number from {least} {most}"))
        })
}

fn wrong(parameter: &str, value: &str, allowed: &str) -> String {
    format!("query parameter {parameter}: {value:?} is not one of: {allowed}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn queries_are_read() {
        let default = Query::default();
        for (text, expected) in [
            ("", default.clone()),
            ("q=&sort=&order=&limit=&other=1", default.clone()),
            (
                "q=+WWW.a%2Eb+&sort=bandwidth",
                Query {
                    part: "www.a.b".to_owned(),
                    sort: Sort::Bandwidth,
                    descending: true,
                    ..default.clone()
                },
            ),
            (
                "order=asc&sort=age&state=no_data&limit=20&offset=40&lang=zh-CN",
                Query {
                    sort: Sort::Age,
                    state: Some(StateKind::NoData),
                    limit: 20,
                    offset: 40,
                    language: Some(Language::Chinese),
                    ..default
                },
            ),
        ] {
            assert_eq!(Query::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_name_the_parameter_and_the_choice() {
        for (text, expected) in [
            (
                "sort=size",
                "query parameter sort: \"size\" is not one of: domain, state, bandwidth, flow, origin_ratio, age",
            ),
            (
                "order=down",
                "query parameter order: \"down\" is not one of: asc, desc",
            ),
            (
                "limit=0",
                "query parameter limit: \"0\" is not one of: a whole number from 1 to 10000",
            ),
            (
                "offset=-1",
                "query parameter offset: \"-1\" is not one of: a whole number from 0 up",
            ),
            ("lang=fr", "query parameter lang: \"fr\" is not one of: en, zh"),
        ] {
            assert_eq!(Query::parse(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_heading_reverses_the_order_in_use() {
        let query = Query::parse("q=a&sort=flow&offset=500").unwrap();
        assert_eq!(query.sorted(Sort::Flow).link("/"), "/?q=a&sort=flow&order=asc");
        assert_eq!(query.sorted(Sort::Domain).link("/"), "/?q=a");
        assert_eq!(Query::default().link("/api/status"), "/api/status");
    }

    proptest! {
        /// A link leads to the query that it was made of, and no text makes parsing fail otherwise
        /// than with a message.
        #[test]
        fn links_lead_back(text in "((q|state|sort|order|limit|offset|lang)=[ -~]{0,8}&?|sort=flow&|limit=7&|q=[a-zé%&]{1,4}&){0,4}") {
            if let Ok(query) = Query::parse(&text) {
                let link = query.link("/");
                let again = link.split_once('?').map_or("", |(_, text)| text);
                prop_assert_eq!(Query::parse(again), Ok(query), "{}", link);
            }
        }
    }
}
