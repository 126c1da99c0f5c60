//! PURE: the status page as HTML; nothing in it needs a script or another file.

use std::fmt::{self, Write};

use chrono::{DateTime, TimeDelta, Utc};

use super::phrases::{Phrase, of_reason};
use super::query::{Query, Sort, StateKind};
use super::text::{self, Escaped};
use super::view::{Row, View};
use super::{DiscoveryStatus, EndpointStatus, Language, sparkline, style};
use crate::build_info;
use crate::model::{AccountName, Field, Settling};

/// Where the page is.
const PATH: &str = "/";

/// Where the same is as JSON.
pub(crate) const JSON_PATH: &str = "/api/status";

/// What stands for a value that is not known.
const ABSENT: &str = "–";

/// The page; `links` are the exporter's other pages.
pub(super) fn page(view: &View<'_>, query: &Query, language: Language, links: &[&str]) -> String {
    let page = Page {
        view,
        query,
        language,
        several_accounts: distinct_accounts(&view.status.endpoints) > 1,
    };
    // About 700 bytes a row.
    let mut html = String::with_capacity(8_192 + 1_024 * view.rows.len());
    // Writing into a String cannot fail.
    let _ = page.write(&mut html, links);
    html
}

fn distinct_accounts(endpoints: &[EndpointStatus]) -> usize {
    let mut names: Vec<&AccountName> = endpoints.iter().map(|endpoint| &endpoint.account).collect();
    names.dedup();
    names.len()
}

/// A page in the making.
struct Page<'a> {
    view: &'a View<'a>,
    query: &'a Query,
    language: Language,
    several_accounts: bool,
}

impl Page<'_> {
    fn text(&self, phrase: Phrase) -> &'static str {
        self.language.text(phrase)
    }

    fn write(&self, out: &mut String, links: &[&str]) -> fmt::Result {
        let title = self.text(Phrase::Title);
        write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{}",
            self.language.tag(),
            style::SHEET,
        )?;
        self.card_labels(out)?;
        out.write_str("</style>\n</head>\n<body>\n")?;
        self.header(out, links)?;
        out.write_str("<main>\n")?;
        self.tiles(out)?;
        self.endpoints(out)?;
        self.discoveries(out)?;
        self.domains(out)?;
        out.write_str("</main>\n")?;
        self.settle(out)?;
        let json = self.query.link(JSON_PATH);
        let now = self.view.status.now.format("%Y-%m-%d %H:%M:%S");
        write!(
            out,
            "<footer class=\"quiet\">\n<p>{} <a href=\"{}\">{}</a></p>\n</footer>\n</body>\n</html>\n",
            self.language.fill(Phrase::AsOf, &[&now]),
            Escaped(&json),
            self.text(Phrase::Json),
        )
    }

    /// On a phone each cell says what it is; once here rather than in every cell.
    fn card_labels(&self, out: &mut String) -> fmt::Result {
        out.write_str("@media (max-width:44rem){\n")?;
        for (table, columns) in [
            ("domains", &DOMAIN_COLUMNS[..]),
            ("plain", &ENDPOINT_COLUMNS[..]),
            ("lists", &DISCOVERY_COLUMNS[..]),
        ] {
            for (place, column) in (1..).zip(columns) {
                let label = self.text(*column);
                writeln!(
                    out,
                    ".{table} td:nth-child({place})::before{{content:\"{label}\"}}"
                )?;
            }
        }
        out.write_str("}\n")
    }

    fn header(&self, out: &mut String, links: &[&str]) -> fmt::Result {
        let uptime = TimeDelta::from_std(self.view.status.uptime).unwrap_or(TimeDelta::MAX);
        write!(
            out,
            "<header>\n<div><h1>{}</h1>\n<span class=\"quiet\">{} · {}",
            self.text(Phrase::Title),
            self.language.fill(Phrase::Version, &[&build_info::VERSION]),
            self.language
                .fill(Phrase::Uptime, &[&text::duration(uptime, self.language)]),
        )?;
        let shard = self.view.status.shard;
        if !shard.is_whole() {
            write!(out, " · {}", self.language.fill(Phrase::Shard, &[&shard]))?;
        }
        write!(
            out,
            "</span></div>\n<nav aria-label=\"{}\">",
            self.text(Phrase::Pages)
        )?;
        for link in links {
            let link = Escaped(link);
            write!(out, "<a href=\"{link}\">{link}</a>")?;
        }
        write!(
            out,
            "</nav>\n<nav aria-label=\"{}\">",
            self.text(Phrase::LanguageChoice)
        )?;
        for language in Language::ALL {
            let link = self.query.in_language(language).link(PATH);
            let (tag, name) = (language.tag(), language.name());
            if language == self.language {
                write!(out, "<span class=\"quiet\" lang=\"{tag}\">{name}</span>")?;
            } else {
                let link = Escaped(&link);
                write!(
                    out,
                    "<a href=\"{link}\" lang=\"{tag}\" hreflang=\"{tag}\">{name}</a>"
                )?;
            }
        }
        out.write_str("</nav>\n</header>\n")
    }

    /// How old a window must be, and what the last day taught of it.
    fn settle(&self, out: &mut String) -> fmt::Result {
        let Some(settle) = &self.view.status.settle else {
            return Ok(());
        };
        let origin = if settle.learned {
            Phrase::SettleLearned
        } else {
            Phrase::SettleFixed
        };
        let present = text::duration(settle.present, self.language);
        let rule = self
            .language
            .fill(Phrase::Settled, &[&present, &self.text(origin)]);
        let (lesson, age) = match settle.enough {
            Some(enough) => (Phrase::SettleEnough, enough),
            None => (
                Phrase::SettleNeverEnough,
                TimeDelta::from_std(Settling::LONGEST).unwrap_or(TimeDelta::MAX),
            ),
        };
        write!(out, "<p class=\"quiet\">{rule}")?;
        if settle.windows > 0 {
            let age = text::duration(age, self.language);
            write!(out, " {}", self.language.fill(lesson, &[&settle.windows, &age]))?;
        }
        out.write_str("</p>\n")
    }

    fn tiles(&self, out: &mut String) -> fmt::Result {
        let summary = &self.view.summary;
        let total: usize = summary.states.iter().sum();
        writeln!(
            out,
            "<div class=\"tiles\" role=\"group\" aria-label=\"{}\">",
            self.text(Phrase::Overview)
        )?;
        let bandwidth = summary.bandwidth.map_or(ABSENT.to_owned(), text::bits);
        let ratio = summary.origin_ratio.map_or(ABSENT.to_owned(), text::percent);
        for (phrase, value) in [(Phrase::Bandwidth, bandwidth), (Phrase::OriginRatio, ratio)] {
            writeln!(
                out,
                "<div class=\"tile\">{}<b>{value}</b></div>",
                self.text(phrase)
            )?;
        }
        self.tile(out, None, Phrase::Domains, total)?;
        for (kind, count) in StateKind::ALL.into_iter().zip(summary.states) {
            self.tile(out, Some(kind), phrase_of(kind), count)?;
        }
        out.write_str("</div>\n")
    }

    /// A count that leads to the domains counted.
    fn tile(&self, out: &mut String, state: Option<StateKind>, phrase: Phrase, count: usize) -> fmt::Result {
        let mood = match state {
            Some(StateKind::Failing) if count > 0 => " bad",
            Some(StateKind::Stale | StateKind::NoData) if count > 0 => " warn",
            _ => "",
        };
        let current = if state.is_some() && state == self.query.state {
            " aria-current=\"true\""
        } else {
            ""
        };
        let link = self.query.of_state(state).link(PATH);
        writeln!(
            out,
            "<a class=\"tile{mood}\" href=\"{}\"{current}>{}<b>{}</b></a>",
            Escaped(&link),
            self.text(phrase),
            text::count(count),
        )
    }

    fn endpoints(&self, out: &mut String) -> fmt::Result {
        write!(
            out,
            "<section>\n<div class=\"head\"><h2>{}</h2></div>\n<div class=\"scroll\"><table class=\"plain\">\n<thead><tr>",
            self.text(Phrase::Endpoints)
        )?;
        for column in ENDPOINT_COLUMNS {
            write!(out, "<th scope=\"col\">{}</th>", self.text(column))?;
        }
        out.write_str("</tr></thead>\n<tbody>\n")?;
        for endpoint in &self.view.status.endpoints {
            self.endpoint(out, endpoint)?;
        }
        out.write_str("</tbody>\n</table></div>\n</section>\n")
    }

    fn endpoint(&self, out: &mut String, status: &EndpointStatus) -> fmt::Result {
        write!(
            out,
            "<tr><td class=\"name\">{}</td><td>{}</td><td>",
            Escaped(status.account.as_str()),
            status.endpoint
        )?;
        match status.last_success {
            Some(at) => self.time(out, at)?,
            None => out.write_str(self.text(Phrase::Never))?,
        }
        out.write_str("</td><td>")?;
        match status.next_poll {
            Some(at) => self.time(out, at)?,
            None => out.write_str(self.text(Phrase::UnderWay))?,
        }
        if !status.first_round_done {
            write!(
                out,
                " <span class=\"state no_data\">{}</span>",
                self.text(Phrase::FirstRound)
            )?;
        }
        out.write_str("</td><td>")?;
        let mut separator = "";
        for (reason, count) in status.failures() {
            write!(out, "{separator}<span class=\"nowrap\">{reason} {count}</span>")?;
            separator = ", ";
        }
        if separator.is_empty() {
            out.write_str(self.text(Phrase::None))?;
        }
        if status.failing > 0 {
            let failing = self.language.fill(Phrase::FailingBatches, &[&status.failing]);
            write!(out, " <span class=\"state failing\">{failing}</span>")?;
        }
        out.write_str("</td><td class=\"message\">")?;
        if let Some((at, failure)) = &status.last_failure {
            out.write_str("<span class=\"quiet\">")?;
            self.time(out, *at)?;
            write!(out, " ·</span> {}", Escaped(&failure.message))?;
        }
        out.write_str("</td></tr>\n")
    }

    /// How the lists of domains fare, where any are read.
    fn discoveries(&self, out: &mut String) -> fmt::Result {
        if self.view.status.discoveries.is_empty() {
            return Ok(());
        }
        write!(
            out,
            "<section>\n<div class=\"head\"><h2>{}</h2></div>\n<div class=\"scroll\"><table class=\"plain lists\">\n<thead><tr>",
            self.text(Phrase::Discovery)
        )?;
        for column in DISCOVERY_COLUMNS {
            write!(out, "<th scope=\"col\">{}</th>", self.text(column))?;
        }
        out.write_str("</tr></thead>\n<tbody>\n")?;
        for discovery in &self.view.status.discoveries {
            self.discovery(out, discovery)?;
        }
        out.write_str("</tbody>\n</table></div>\n</section>\n")
    }

    fn discovery(&self, out: &mut String, status: &DiscoveryStatus) -> fmt::Result {
        let domains = status.domains.map_or(ABSENT.to_owned(), text::count);
        write!(
            out,
            "<tr><td class=\"name\">{}</td><td>{domains}</td><td>",
            Escaped(status.account.as_str()),
        )?;
        match status.last_success {
            Some(at) => self.time(out, at)?,
            None => out.write_str(self.text(Phrase::Never))?,
        }
        out.write_str("</td><td>")?;
        match status.next_attempt {
            Some(at) => self.time(out, at)?,
            None => out.write_str(self.text(Phrase::UnderWay))?,
        }
        out.write_str("</td><td class=\"message\">")?;
        if let Some((at, message)) = &status.last_failure {
            out.write_str("<span class=\"quiet\">")?;
            self.time(out, *at)?;
            write!(out, " ·</span> {}", Escaped(message))?;
        }
        out.write_str("</td></tr>\n")
    }

    fn domains(&self, out: &mut String) -> fmt::Result {
        write!(
            out,
            "<section>\n<div class=\"head\"><h2>{}</h2>\n<form action=\"{PATH}\" method=\"get\" role=\"search\">",
            self.text(Phrase::Domains)
        )?;
        for (name, value) in self.query.at(0).parameters() {
            if name != "q" {
                write!(
                    out,
                    "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
                    Escaped(&value)
                )?;
            }
        }
        let label = self.text(Phrase::Filter);
        write!(
            out,
            "<input type=\"search\" name=\"q\" value=\"{}\" placeholder=\"{label}\" aria-label=\"{label}\">\
             <button>{}</button>",
            Escaped(&self.query.part),
            self.text(Phrase::Apply),
        )?;
        if !self.query.part.is_empty() || self.query.state.is_some() {
            let all = Query {
                part: String::new(),
                ..self.query.of_state(None)
            };
            write!(
                out,
                "<a href=\"{}\">{}</a>",
                Escaped(&all.link(PATH)),
                self.text(Phrase::ShowAll)
            )?;
        }
        out.write_str("</form></div>\n<div class=\"scroll\"><table class=\"domains\">\n<thead><tr>")?;
        self.headings(out)?;
        out.write_str("</tr></thead>\n<tbody>\n")?;
        for row in &self.view.rows {
            self.domain(out, row)?;
        }
        out.write_str("</tbody>\n</table></div>\n")?;
        self.pager(out)?;
        out.write_str("</section>\n")
    }

    /// Each leads to the same list in its own order; the last has none.
    fn headings(&self, out: &mut String) -> fmt::Result {
        for (place, column) in DOMAIN_COLUMNS.into_iter().enumerate() {
            let label = self.text(column);
            let Some(sort) = Sort::ALL.get(place).copied() else {
                write!(out, "<th scope=\"col\">{label}</th>")?;
                continue;
            };
            let class = if matches!(sort, Sort::Domain | Sort::State) {
                ""
            } else {
                " class=\"n\""
            };
            let (order, arrow) = match (sort == self.query.sort, self.query.descending) {
                (false, _) => ("", ""),
                (true, false) => (" aria-sort=\"ascending\"", " ▲"),
                (true, true) => (" aria-sort=\"descending\"", " ▼"),
            };
            let link = self.query.sorted(sort).link(PATH);
            write!(
                out,
                "<th scope=\"col\"{class}{order}><a href=\"{}\">{label}{arrow}</a></th>",
                Escaped(&link)
            )?;
        }
        Ok(())
    }

    fn domain(&self, out: &mut String, row: &Row<'_>) -> fmt::Result {
        write!(
            out,
            "<tr><td class=\"name\">{}",
            Escaped(row.entry.domain.as_str())
        )?;
        if self.several_accounts {
            write!(
                out,
                "<small class=\"quiet\">{}</small>",
                Escaped(row.entry.account.as_str())
            )?;
        }
        let kind = row.state.kind();
        write!(
            out,
            "</td><td><span class=\"state {}\">{}</span></td>",
            kind.name(),
            self.text(phrase_of(kind))
        )?;
        number(out, row.bandwidth.map(text::megabits))?;
        sparkline::draw(out, &self.view.recent(row, Field::Bandwidth))?;
        out.write_str("</td>")?;
        number(out, row.flow.map(text::bytes))?;
        out.write_str("</td>")?;
        number(out, row.origin_ratio.map(text::percent))?;
        sparkline::draw(out, &self.view.recent(row, Field::OriginRatio))?;
        out.write_str("</td>")?;
        let age = |age| {
            let length = text::duration(age, self.language);
            self.language.fill(Phrase::Ago, &[&length])
        };
        number(out, row.age.map(age))?;
        out.write_str("</td><td class=\"error\">")?;
        let mut separator = "";
        for (endpoint, reason) in row.failures() {
            let meaning = self.text(of_reason(reason));
            write!(out, "{separator}{endpoint}: {meaning} ({reason})")?;
            separator = "<br>";
        }
        out.write_str("</td></tr>\n")
    }

    fn pager(&self, out: &mut String) -> fmt::Result {
        let (query, shown, matched) = (self.query, self.view.rows.len(), self.view.matched);
        out.write_str("<nav class=\"pager\">")?;
        if shown == 0 {
            out.write_str(self.text(Phrase::NoRows))?;
        } else {
            let (first, last) = (query.offset + 1, query.offset + shown);
            let values = [first, last, matched].map(text::count);
            let [first, last, matched] = &values;
            out.write_str(&self.language.fill(Phrase::Rows, &[first, last, matched]))?;
        }
        if query.offset > 0 {
            let link = query.at(query.offset.saturating_sub(query.limit)).link(PATH);
            write!(
                out,
                " <a rel=\"prev\" href=\"{}\">{}</a>",
                Escaped(&link),
                self.text(Phrase::Previous)
            )?;
        }
        if let Some(next) = self.view.next(query) {
            let link = next.link(PATH);
            write!(
                out,
                " <a rel=\"next\" href=\"{}\">{}</a>",
                Escaped(&link),
                self.text(Phrase::Next)
            )?;
        }
        out.write_str("</nav>\n")
    }

    /// How long ago, or how soon, an instant is; its date and time on pointing at it.
    fn time(&self, out: &mut String, at: DateTime<Utc>) -> fmt::Result {
        let age = self.view.status.now.signed_duration_since(at);
        let phrase = if age < TimeDelta::zero() {
            Phrase::In
        } else {
            Phrase::Ago
        };
        let relative = self
            .language
            .fill(phrase, &[&text::duration(age.abs(), self.language)]);
        let exact = text::rfc3339(at);
        write!(
            out,
            "<time datetime=\"{exact}\" title=\"{exact}\">{relative}</time>"
        )
    }
}

/// The columns of the domains' table; all but the last in the order of [`Sort::ALL`].
const DOMAIN_COLUMNS: [Phrase; 7] = [
    Phrase::Domain,
    Phrase::State,
    Phrase::BandwidthColumn,
    Phrase::Flow,
    Phrase::OriginRatio,
    Phrase::Age,
    Phrase::LastError,
];

const DISCOVERY_COLUMNS: [Phrase; 5] = [
    Phrase::Account,
    Phrase::Discovered,
    Phrase::LastSuccess,
    Phrase::NextAttempt,
    Phrase::LastFailure,
];

const ENDPOINT_COLUMNS: [Phrase; 6] = [
    Phrase::Account,
    Phrase::Endpoint,
    Phrase::LastSuccess,
    Phrase::NextPoll,
    Phrase::FailedPolls,
    Phrase::LastFailure,
];

const fn phrase_of(kind: StateKind) -> Phrase {
    match kind {
        StateKind::Up => Phrase::Up,
        StateKind::NoData => Phrase::NoData,
        StateKind::Stale => Phrase::Stale,
        StateKind::Failing => Phrase::Failing,
    }
}

/// An open cell with a number.
fn number(out: &mut String, value: Option<String>) -> fmt::Result {
    match value {
        Some(value) => write!(out, "<td class=\"n\">{value}"),
        None => write!(out, "<td class=\"n\">{ABSENT}"),
    }
}
