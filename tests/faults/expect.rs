//! What each fault must look like on `/metrics`: one row per fault of the catalogue.

use jdcloud_cdn_exporter::simulator::{Fault, Habit};

/// What a scrape shows of the domains that a fault strikes, while it lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Expect {
    /// Nothing but good values.
    Good,
    /// The same, and the provider's clock is told to be off by so many seconds.
    Skew(i64),
    /// Good values, and this reject is counted.
    Counted(&'static str),
    /// Good values but for one absent field (`flow` or `originRatio`); this reject, if any.
    FieldAbsent(Option<&'static str>),
    /// A good reply that says nothing: the old values stay, `up` is 0; this reject, if any.
    Nothing(Option<&'static str>),
    /// Calls fail with this reason: the old values stay, `up` is 0.
    Fails(&'static str),
    /// The same for the domain that is struck alone: the others of its call are asked without it.
    Isolated(&'static str),
}

pub(crate) fn expect(fault: Fault) -> Expect {
    use Expect::{Counted, Fails, FieldAbsent, Good, Isolated, Nothing, Skew};
    match fault {
        Fault::HttpStatus { code: 429, .. } => Fails("throttled"),
        Fault::HttpStatus { .. } | Fault::Redirect => Fails("http_status"),
        Fault::CloseBeforeReply | Fault::ResetBeforeReply => Fails("connect"),
        Fault::Hang | Fault::Drip(_) => Fails("timeout"),
        Fault::Endless | Fault::Bomb | Fault::Oversize => Fails("too_large"),
        Fault::CutOff | Fault::EmptyBody | Fault::HtmlPage => Fails("decode"),
        Fault::DeepNesting(_) => Nothing(Some("shape")),
        Fault::InvalidUtf8 | Fault::ContentType | Fault::Gzip | Fault::Latency(_) => Good,
        Fault::ClockSkew(seconds) => Skew(seconds),
        Fault::OtherDay | Fault::Status(7) => Fails("signature"),
        Fault::Status(status) => match status {
            20 => Fails("unknown_user"),
            15 | 18 | 22 => Isolated("foreign_domain"),
            2 | 42 => Fails("bad_request"),
            _ => Fails("api_error"),
        },
        Fault::Habit(habit) => match habit {
            Habit::NumbersInQuotes
            | Habit::BlanksAroundNames
            | Habit::UpperCaseNames
            | Habit::ReversedOrder
            | Habit::DuplicatedBins
            | Habit::DataBeforeDomain
            | Habit::StatusQuotedAndLast
            | Habit::LabelsWithTwoBlanks
            | Habit::IdleBinsLeftOut
            | Habit::MsgAbsent
            | Habit::MsgEmpty => Good,
            Habit::ContradictoryBins => Counted("contradiction"),
            Habit::BinsOutsideRange | Habit::FutureBins => Counted("out_of_range"),
            Habit::DomainsNeverAskedFor => Counted("unknown_domain"),
            Habit::FieldNull | Habit::FieldDash | Habit::FieldMissing => FieldAbsent(None),
            Habit::FieldNan | Habit::FieldBareNan | Habit::FieldNegative => FieldAbsent(Some("value")),
            Habit::DataObject | Habit::DataArray | Habit::DataNull => Nothing(None),
        },
    }
}
