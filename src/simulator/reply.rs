//! Renders the replies of both endpoints in the documents' shapes, with any habits on top.

use std::fmt::Write as _;

use chrono::{DateTime, FixedOffset, Utc};

use crate::model::{Domain, Endpoint, LabelledBy, Window, WindowRange};
use crate::simulator::habits::{Habit, Habits};
use crate::simulator::traffic::{DomainTraffic, Traffic, Truth};

/// What an accepted call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where it was asked.
    pub endpoint: Endpoint,
    /// The domains, each once, in the order of the call.
    pub domains: Vec<Domain>,
    /// Both ends included; `last` before `first` where no window ends in the asked time.
    pub range: WindowRange,
}

/// How `originRatio` is printed at zero bandwidth; the documents do not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdleRatio {
    /// As `"-"`.
    #[default]
    Dash,
    /// As `null`.
    Null,
    /// Not at all.
    Missing,
}

/// How replies are printed.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Of the labels.
    pub time_zone: FixedOffset,
    /// See [`IdleRatio`].
    pub idle_ratio: IdleRatio,
    /// Which end of a window the labels of `origin_ratio` name.
    pub origin_ratio_label: LabelledBy,
    /// What is odd about them.
    pub habits: Habits,
}

/// Values of bins that must not be used are the true ones times this, so that using them shows.
const STRAY_FACTOR: f64 = 7.0;
/// The earlier of two contradicting values is the later, true one times this.
const CONTRADICTION_FACTOR: f64 = 0.5;
/// How many bins are added before, after and beyond the present by the habits that add some.
const EXTRA_BINS: u32 = 2;

/// The whole reply to a good call.
#[must_use]
pub fn render(question: &Question, traffic: &Traffic, style: &Style, now: DateTime<Utc>) -> String {
    let data = if style.habits.has(Habit::DataObject) {
        "{}".to_owned()
    } else if style.habits.has(Habit::DataArray) {
        "[]".to_owned()
    } else if style.habits.has(Habit::DataNull) {
        "null".to_owned()
    } else {
        let mut table = Table {
            out: String::with_capacity(64 + 100 * question.domains.len() * question.range.count().min(2_016)),
            style,
            now,
        };
        match question.endpoint {
            Endpoint::BandwidthFlow => table.bandwidth_flow(question, traffic),
            Endpoint::OriginRatio => table.origin_ratio(question, traffic),
        }
        table.out
    };
    envelope(0, "成功", &data, style.habits)
}

/// The whole reply to a refused call; `data` is `{}` as on the provider's sibling pages.
#[must_use]
pub fn refusal(status: i64, habits: Habits) -> String {
    envelope(status, message(status), "{}", habits)
}

/// What the provider says to a status, in its own language.
fn message(status: i64) -> &'static str {
    match status {
        2 => "用户名为空或请求格式错误",
        3 => "签名为空",
        4 => "域名为空或格式错误",
        7 => "签名错误",
        12 => "开始时间为空",
        13 => "开始时间格式错误",
        14 => "结束时间格式错误",
        15 | 18 => "域名不属于该用户",
        19 => "开始时间大于结束时间",
        20 => "用户不存在",
        22 => "域名个数超过限制",
        42 => "查询时间跨度超过7天",
        45 => "查询时间跨度超过30天",
        _ => "系统异常",
    }
}

/// The reply around `data`.
pub(super) fn envelope(status: i64, msg: &str, data: &str, habits: Habits) -> String {
    let msg = if habits.has(Habit::MsgAbsent) {
        String::new()
    } else if habits.has(Habit::MsgEmpty) {
        "\"msg\":\"\",".to_owned()
    } else {
        format!("\"msg\":\"{msg}\",")
    };
    if habits.has(Habit::StatusQuotedAndLast) {
        format!("{{{msg}\"data\":{data},\"status\":\"{status}\"}}")
    } else {
        format!("{{\"status\":{status},{msg}\"data\":{data}}}")
    }
}

/// One bin of a reply.
#[derive(Clone, Copy)]
struct Bin {
    window: Window,
    kind: BinKind,
}

#[derive(Clone, Copy)]
enum BinKind {
    Asked,
    Contradicting,
    Stray,
}

/// The bins that are printed, in order.
fn bins(range: WindowRange, habits: Habits, now: DateTime<Utc>) -> Vec<Bin> {
    let asked = range.count();
    let mut windows: Vec<Window> = (0..u32::try_from(asked).unwrap_or(0))
        .map(|i| range.first.plus(i))
        .collect();
    if habits.has(Habit::ReversedOrder) {
        windows.reverse();
    }
    let mut bins = Vec::with_capacity(windows.len());
    let stray = |window| Bin {
        window,
        kind: BinKind::Stray,
    };
    if habits.has(Habit::BinsOutsideRange) {
        bins.extend((1..=EXTRA_BINS).map(|i| stray(range.first.minus(i))));
        bins.extend((1..=EXTRA_BINS).map(|i| stray(range.last.plus(i))));
    }
    for window in windows {
        if habits.has(Habit::ContradictoryBins) {
            bins.push(Bin {
                window,
                kind: BinKind::Contradicting,
            });
        }
        let bin = Bin {
            window,
            kind: BinKind::Asked,
        };
        bins.push(bin);
        if habits.has(Habit::DuplicatedBins) {
            bins.push(bin);
        }
    }
    if habits.has(Habit::FutureBins) {
        let newest = Window::newest_ended(now);
        bins.extend((1..=EXTRA_BINS).map(|i| stray(newest.plus(i))));
    }
    bins
}

/// A domain that is in no account, for [`Habit::DomainsNeverAskedFor`].
fn stranger() -> Option<Domain> {
    Domain::parse("never-asked-for.example.net").ok()
}

/// `data` while it is written.
struct Table<'a> {
    out: String,
    style: &'a Style,
    now: DateTime<Utc>,
}

impl Table<'_> {
    /// An array with one object per bin: its label to domains to values (`bandwidth_flow`, section 4).
    fn bandwidth_flow(&mut self, question: &Question, traffic: &Traffic) {
        let stranger = self.has(Habit::DomainsNeverAskedFor).then(stranger).flatten();
        let domains: Vec<(&Domain, DomainTraffic<'_>)> = stranger
            .iter()
            .chain(&question.domains)
            .map(|domain| (domain, traffic.of(domain)))
            .collect();
        self.out.push('[');
        for bin in bins(question.range, self.style.habits, self.now) {
            let mut open = false;
            for (domain, traffic) in &domains {
                let Some(truth) = self.value(traffic, bin) else {
                    continue;
                };
                if open {
                    self.out.push(',');
                } else {
                    self.comma_unless_first();
                    self.label(bin.window);
                    open = true;
                }
                self.name(domain);
                self.out.push_str(":{");
                self.field("bandwidth", Some(truth.bandwidth_mbps));
                self.damaged_field("flow", Some(truth.flow_mb));
                self.out.push('}');
            }
            if open {
                self.out.push_str("}}");
            }
        }
        self.out.push(']');
    }

    /// An array with one object per domain, whose `data` has one object per bin (`origin_ratio`,
    /// section 4).
    fn origin_ratio(&mut self, question: &Question, traffic: &Traffic) {
        let stranger = self.has(Habit::DomainsNeverAskedFor).then(stranger).flatten();
        let labelled_by = self.style.origin_ratio_label;
        let meant = WindowRange {
            first: labelled_by.meant_by(question.range.first),
            last: labelled_by.meant_by(question.range.last),
        };
        let bins = bins(meant, self.style.habits, self.now);
        self.out.push('[');
        for domain in stranger.iter().chain(&question.domains) {
            let traffic = traffic.of(domain);
            self.comma_unless_first();
            self.out.push('{');
            if self.has(Habit::DataBeforeDomain) {
                self.rows(&traffic, &bins);
                self.out.push_str(",\"domain\":");
                self.name(domain);
            } else {
                self.out.push_str("\"domain\":");
                self.name(domain);
                self.out.push(',');
                self.rows(&traffic, &bins);
            }
            self.out.push('}');
        }
        self.out.push(']');
    }

    fn rows(&mut self, traffic: &DomainTraffic<'_>, bins: &[Bin]) {
        self.out.push_str("\"data\":[");
        for bin in bins {
            let Some(truth) = self.value(traffic, *bin) else {
                continue;
            };
            self.comma_unless_first();
            self.out.push_str("{\"time\":");
            let label = self.style.origin_ratio_label.label_of(bin.window);
            self.number(label.end_seconds());
            self.damaged_field("originRatio", truth.origin_ratio_percent);
            self.field("originBandwidth", Some(truth.origin_mbps));
            self.field("bandwidth", Some(truth.edge_mbps));
            self.out.push('}');
        }
        self.out.push(']');
    }

    fn value(&self, traffic: &DomainTraffic<'_>, bin: Bin) -> Option<Truth> {
        match bin.kind {
            BinKind::Asked => traffic.visible(bin.window, self.now),
            BinKind::Contradicting => traffic
                .visible(bin.window, self.now)
                .map(|truth| truth.scaled(CONTRADICTION_FACTOR)),
            BinKind::Stray => Some(traffic.truth(bin.window).scaled(STRAY_FACTOR)),
        }
        .filter(|truth| !(truth.is_idle() && self.has(Habit::IdleBinsLeftOut)))
    }

    /// `{"2018-06-02 17:15":{`
    fn label(&mut self, window: Window) {
        let blanks = if self.has(Habit::LabelsWithTwoBlanks) {
            "  "
        } else {
            " "
        };
        let local = window.end().with_timezone(&self.style.time_zone);
        let _infallible = write!(
            self.out,
            "{{\"{}{blanks}{}\":{{",
            local.format("%Y-%m-%d"),
            local.format("%H:%M")
        );
    }

    fn name(&mut self, domain: &Domain) {
        let blank = if self.has(Habit::BlanksAroundNames) {
            " "
        } else {
            ""
        };
        let upper;
        let name = if self.has(Habit::UpperCaseNames) {
            upper = domain.as_str().to_ascii_uppercase();
            &upper
        } else {
            domain.as_str()
        };
        for part in ["\"", blank, name, blank, "\""] {
            self.out.push_str(part);
        }
    }

    /// A field of a row; whole numbers without a fraction, as in the documents' `"originRatio": 6`.
    fn field(&mut self, key: &str, value: Option<f64>) {
        let Some(value) = value else {
            match self.style.idle_ratio {
                IdleRatio::Dash => self.raw_field(key, "\"-\""),
                IdleRatio::Null => self.raw_field(key, "null"),
                IdleRatio::Missing => {}
            }
            return;
        };
        self.key(key);
        self.number(value);
    }

    /// The field on which the habits of damaged values show: `flow` or `originRatio`.
    fn damaged_field(&mut self, key: &str, value: Option<f64>) {
        let damage = [
            (Habit::FieldNull, "null"),
            (Habit::FieldDash, "\"-\""),
            (Habit::FieldNan, "\"NaN\""),
            (Habit::FieldBareNan, "NaN"),
            (Habit::FieldNegative, "-1"),
        ];
        if let Some((_, text)) = damage.into_iter().find(|(habit, _)| self.has(*habit)) {
            self.raw_field(key, text);
        } else if !self.has(Habit::FieldMissing) {
            self.field(key, value);
        }
    }

    fn raw_field(&mut self, key: &str, text: &str) {
        self.key(key);
        self.out.push_str(text);
    }

    fn key(&mut self, key: &str) {
        self.comma_unless_first();
        for part in ["\"", key, "\":"] {
            self.out.push_str(part);
        }
    }

    fn number(&mut self, value: impl std::fmt::Display) {
        let quote = if self.has(Habit::NumbersInQuotes) {
            "\""
        } else {
            ""
        };
        let _infallible = write!(self.out, "{quote}{value}{quote}");
    }

    fn comma_unless_first(&mut self) {
        if !self.out.ends_with(['[', '{']) {
            self.out.push(',');
        }
    }

    fn has(&self, habit: Habit) -> bool {
        self.style.habits.has(habit)
    }
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
