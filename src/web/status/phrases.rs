//! Every phrase of the status page in both of its languages, and which language a reader wants.

use std::fmt::Display;

use hyper::header::{ACCEPT_LANGUAGE, HeaderMap};

use crate::model::Reason;
use crate::web::negotiate;

/// A language of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Chinese,
}

impl Language {
    /// Every language; the first is for readers of neither.
    pub(super) const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// The value of `?lang=`: the primary subtag of BCP 47.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh",
        }
    }

    /// For `<html lang>` and `Content-Language`: the Chinese phrases are in simplified letters.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-Hans",
        }
    }

    /// In itself.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "中文",
        }
    }

    /// The language that a tag or range such as `zh-CN` begins with.
    pub(super) fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL
            .into_iter()
            .find(|language| language.code().eq_ignore_ascii_case(primary))
    }

    /// The one that `Accept-Language` weighs highest (RFC 9110, section 12.5.4); of equal ones, the
    /// one named first, as browsers list them by preference.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Self {
        let ranges: Vec<(String, u16)> = negotiate::weighted(headers, &ACCEPT_LANGUAGE).collect();
        let wish = |language: Self| {
            let named = || {
                ranges
                    .iter()
                    .enumerate()
                    .filter(move |(_, (range, _))| Self::of_tag(range) == Some(language))
            };
            let others = || ranges.iter().enumerate().filter(|(_, (range, _))| range == "*");
            let best = |place: usize, weight: u16| (weight, std::cmp::Reverse(place));
            named()
                .map(|(place, (_, weight))| best(place, *weight))
                .max()
                .or_else(|| others().map(|(place, (_, weight))| best(place, *weight)).max())
                .filter(|(weight, _)| *weight > 0)
        };
        match (wish(Self::English), wish(Self::Chinese)) {
            (english, Some(chinese)) if english.is_none_or(|english| chinese > english) => Self::Chinese,
            _ => Self::English,
        }
    }

    /// A phrase.
    pub(super) const fn text(self, phrase: Phrase) -> &'static str {
        match self {
            Self::English => phrase.english(),
            Self::Chinese => phrase.chinese(),
        }
    }

    /// A phrase with each `{}` replaced, in order.
    pub(super) fn fill(self, phrase: Phrase, values: &[&dyn Display]) -> String {
        let mut pieces = self.text(phrase).split("{}");
        let mut filled = pieces.next().unwrap_or_default().to_owned();
        for (piece, value) in pieces.zip(values) {
            filled.push_str(&value.to_string());
            filled.push_str(piece);
        }
        filled
    }
}

/// The table, a row for each phrase: its name, English, Chinese.
macro_rules! phrases {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        /// A phrase of the page.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Phrase { $($name),* }

        impl Phrase {
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$name),*];

            const fn english(self) -> &'static str {
                match self { $(Self::$name => $english),* }
            }

            const fn chinese(self) -> &'static str {
                match self { $(Self::$name => $chinese),* }
            }
        }
    };
}

phrases! {
    Title: "JD Cloud CDN exporter", "京东云 CDN exporter";
    Version: "version {}", "版本 {}";
    Uptime: "up for {}", "已运行 {}";
    Shard: "shard {} (counted from 0)", "分片 {}（从 0 起计）";
    Pages: "Pages", "页面";
    LanguageChoice: "Language", "语言";
    Overview: "Overview", "概览";
    Settled: "A window counts as settled {} after its end ({}).", "窗口结束 {} 后视为稳定（{}）。";
    SettleLearned: "learned", "自动学习";
    SettleFixed: "as configured", "按配置";
    SettleEnough: "Of {} windows seen to appear over the last day, fewer than 1 in 1,000 changed more than {} after their end: that would have been enough.", "过去一天观察到 {} 个窗口，结束 {} 后仍变化的不足千分之一：该时长已足够。";
    SettleNeverEnough: "Of {} windows seen to appear over the last day, 1 in 1,000 or more still changed {} after their end.", "过去一天观察到 {} 个窗口，结束 {} 后仍变化的达到千分之一以上。";
    Domains: "Domains", "域名";
    Domain: "Domain", "域名";
    Account: "Account", "账号";
    Endpoint: "Endpoint", "接口";
    Endpoints: "Accounts and endpoints", "账号与接口";
    LastSuccess: "Last success", "上次成功";
    NextPoll: "Next poll", "下次轮询";
    FailedPolls: "Failed polls since start", "启动以来失败的轮询";
    LastFailure: "Last failure", "上次失败";
    FirstRound: "first round under way", "首轮轮询进行中";
    FailingBatches: "failing batches: {}", "失败批次：{}";
    Discovery: "Discovery", "域名发现";
    Discovered: "Discovered domains", "发现的域名";
    NextAttempt: "Next attempt", "下次尝试";
    Bandwidth: "Bandwidth", "带宽";
    BandwidthColumn: "Bandwidth, Mbit/s", "带宽 (Mbit/s)";
    Flow: "Flow in 5 min", "5 分钟流量";
    OriginRatio: "Origin ratio", "回源率";
    Age: "Window ended", "窗口结束于";
    State: "State", "状态";
    LastError: "Last error", "最近错误";
    Up: "up", "正常";
    NoData: "no data", "暂无数据";
    Stale: "stale", "已过期";
    Failing: "failing", "失败";
    Filter: "Filter by name", "按名称筛选";
    Apply: "Filter", "筛选";
    ShowAll: "Show all", "显示全部";
    Rows: "Rows {} to {} of {}", "第 {} 至 {} 行，共 {} 行";
    NoRows: "No domain matches.", "没有匹配的域名。";
    Previous: "Previous", "上一页";
    Next: "Next", "下一页";
    Json: "This list as JSON", "此列表的 JSON";
    AsOf: "As of {} UTC. Values belong to 5-minute windows and are those of the last poll.",
        "截至 {} UTC。数值属于 5 分钟窗口，取自最近一次轮询。";
    Never: "never", "从未";
    None: "none", "无";
    UnderWay: "under way", "进行中";
    Ago: "{} ago", "{}前";
    In: "in {}", "{}后";
    Seconds: "{} s", "{} 秒";
    Minutes: "{} min", "{} 分钟";
    Hours: "{} h", "{} 小时";
    Days: "{} d", "{} 天";
    Timeout: "no reply in time", "响应超时";
    Connect: "cannot connect", "无法连接";
    HttpStatus: "unexpected HTTP status", "HTTP 状态异常";
    Throttled: "rate limited by the provider", "被服务商限流";
    TooLarge: "reply too large", "响应过大";
    Decode: "reply not understood", "响应无法解析";
    Signature: "signature refused: check key, clock and time zone", "签名被拒绝：请检查密钥、时钟和时区";
    UnknownUser: "username not known", "用户名不存在";
    ForeignDomain: "refused: not of this account, or unknown to this endpoint", "被拒绝：不属于该账号，或此接口不认识它";
    BadRequest: "request refused as wrong", "请求被判为有误";
    ApiError: "error from the provider", "服务商返回错误";
}

/// What a reason means.
pub(super) const fn of_reason(reason: Reason) -> Phrase {
    match reason {
        Reason::Timeout => Phrase::Timeout,
        Reason::Connect => Phrase::Connect,
        Reason::HttpStatus => Phrase::HttpStatus,
        Reason::Throttled => Phrase::Throttled,
        Reason::TooLarge => Phrase::TooLarge,
        Reason::Decode => Phrase::Decode,
        Reason::Signature => Phrase::Signature,
        Reason::UnknownUser => Phrase::UnknownUser,
        Reason::ForeignDomain => Phrase::ForeignDomain,
        Reason::BadRequest => Phrase::BadRequest,
        Reason::ApiError => Phrase::ApiError,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn every_phrase_exists_in_both_languages() {
        let is_han = |letter: char| ('\u{4e00}'..='\u{9fff}').contains(&letter);
        for phrase in Phrase::ALL {
            let (english, chinese) = (phrase.english(), phrase.chinese());
            assert!(!english.trim().is_empty(), "{phrase:?}");
            assert!(english.is_ascii(), "{phrase:?}: {english}");
            assert!(chinese.contains(is_han), "{phrase:?}: {chinese}");
            assert_eq!(
                english.matches("{}").count(),
                chinese.matches("{}").count(),
                "{phrase:?}: as many places to fill"
            );
            for text in [english, chinese] {
                // They stand in HTML and in the quoted strings of the style sheet as they are.
                assert!(
                    !text.contains(['<', '>', '&', '"', '\'', '\\']),
                    "{phrase:?}: {text}"
                );
            }
        }
    }

    #[test]
    fn phrases_are_filled_in_order() {
        let rows = |language: Language| language.fill(Phrase::Rows, &[&1, &500, &"1,000"]);
        assert_eq!(rows(Language::English), "Rows 1 to 500 of 1,000");
        assert_eq!(rows(Language::Chinese), "第 1 至 500 行，共 1,000 行");
    }

    #[test]
    fn the_language_is_negotiated_by_weight() {
        use Language::{Chinese, English};
        for (header, expected) in [
            ("", English),
            ("zh", Chinese),
            ("zh-CN,zh;q=0.9,en;q=0.8", Chinese),
            ("en-US,en;q=0.9,zh-CN;q=0.8", English),
            ("ZH-hans-cn", Chinese),
            ("zh;q=0.5, en;q=0.6", English),
            ("zh;q=0.6, en;q=0.5", Chinese),
            ("zh, en", Chinese),
            ("en, zh", English),
            ("fr, de;q=0.5", English),
            ("fr, zh;q=0.1", Chinese),
            ("*", English),
            ("en;q=0, *", Chinese),
            ("zh;q=0", English),
            ("zh;q=0, en;q=0", English),
            ("zh;q=2, en;q=0.1", English),
            ("zha", English),
            (";;,=,zh;q", English),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_str(header).unwrap());
            assert_eq!(Language::negotiate(&headers), expected, "{header:?}");
        }
        assert_eq!(Language::negotiate(&HeaderMap::new()), English);
    }
}
