//! Everything that can go wrong at the provider or on the way, and when it does.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::{Domain, Endpoint};
use crate::simulator::habits::{Habit, Habits};
use crate::simulator::traffic::{hash_unit, mix};

/// What is called: an endpoint, or the list of an account's domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A statistics call.
    Read(Endpoint),
    /// `queryDomains`; what strikes one domain strikes the lists that have it.
    List,
}

impl Target {
    const COUNT: usize = Endpoint::ALL.len() + 1;

    const fn index(self) -> usize {
        match self {
            Self::Read(endpoint) => endpoint.index(),
            Self::List => Endpoint::ALL.len(),
        }
    }
}

impl From<Endpoint> for Target {
    fn from(endpoint: Endpoint) -> Self {
        Self::Read(endpoint)
    }
}

/// The two forms of the `Retry-After` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetryAfter {
    /// So many seconds.
    Seconds(u32),
    /// A date that lies so many seconds after the simulator's now.
    Date(u32),
}

/// One thing that goes wrong. A refused connection is not among them, since no endpoint is known
/// before there is a connection: see [`crate::simulator::Simulator::go_down`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// This HTTP status with an HTML page.
    HttpStatus {
        /// The code.
        code: u16,
        /// What `Retry-After` says, if there is one.
        retry_after: Option<RetryAfter>,
    },
    /// 302 to a path of the same server that must never be asked for
    /// ([`crate::simulator::Simulator::stray_requests`]).
    Redirect,
    /// The connection ends in order before any reply.
    CloseBeforeReply,
    /// The connection is reset before any reply.
    ResetBeforeReply,
    /// No reply, until the client leaves.
    Hang,
    /// A good reply, one byte in each interval.
    Drip(Duration),
    /// A body that goes on for ever.
    Endless,
    /// Half of a good reply, then the connection ends.
    CutOff,
    /// 200 and no body.
    EmptyBody,
    /// 200 and an HTML page.
    HtmlPage,
    /// A good reply whose `msg` holds bytes that are no UTF-8.
    InvalidUtf8,
    /// `data` as so many arrays in each other.
    DeepNesting(u32),
    /// A good reply behind 80 MiB of blanks, which gzip makes a few hundred kilobytes.
    Bomb,
    /// The same without gzip.
    Oversize,
    /// A good reply called `text/html`.
    ContentType,
    /// A good reply, gzip-compressed.
    Gzip,
    /// This `status` instead of 0.
    Status(i64),
    /// A good reply whose `Date` header is off by so many seconds.
    ClockSkew(i64),
    /// A good reply, later.
    Latency(Duration),
    /// The signature of today is refused, that of yesterday or tomorrow is taken: the provider's
    /// date line is somewhere else.
    OtherDay,
    /// A good reply, but odd.
    Habit(Habit),
}

impl Fault {
    /// One of each kind, with the parameters that matter, for table-driven tests.
    #[must_use]
    pub fn catalogue() -> Vec<Self> {
        let http = |code, retry_after| Self::HttpStatus { code, retry_after };
        let mut all = vec![
            http(500, None),
            http(502, None),
            http(503, None),
            http(503, Some(RetryAfter::Seconds(1))),
            http(429, None),
            http(429, Some(RetryAfter::Seconds(1))),
            http(429, Some(RetryAfter::Date(1))),
            Self::Redirect,
            Self::CloseBeforeReply,
            Self::ResetBeforeReply,
            Self::Hang,
            Self::Drip(Duration::from_secs(1)),
            Self::Endless,
            Self::CutOff,
            Self::EmptyBody,
            Self::HtmlPage,
            Self::InvalidUtf8,
            Self::DeepNesting(100),
            Self::DeepNesting(100_000),
            Self::Bomb,
            Self::Oversize,
            Self::ContentType,
            Self::Gzip,
            Self::ClockSkew(3_600),
            Self::ClockSkew(-3_600),
            Self::Latency(Duration::from_millis(200)),
            Self::OtherDay,
        ];
        all.extend([-1, 1, 8, 7, 20, 15, 18, 22, 2, 42, 99].map(Self::Status));
        all.extend(Habit::ALL.map(Self::Habit));
        all
    }
}

/// A word for tables of tests, with its parameters: `http_429_retry_after_1s`, `status_-1`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HttpStatus { code, retry_after } => match retry_after {
                None => write!(f, "http_{code}"),
                Some(RetryAfter::Seconds(n)) => write!(f, "http_{code}_retry_after_{n}s"),
                Some(RetryAfter::Date(n)) => write!(f, "http_{code}_retry_after_date_{n}s"),
            },
            Self::Redirect => f.write_str("redirect"),
            Self::CloseBeforeReply => f.write_str("close_before_reply"),
            Self::ResetBeforeReply => f.write_str("reset_before_reply"),
            Self::Hang => f.write_str("hang"),
            Self::Drip(interval) => write!(f, "drip_{}ms", interval.as_millis()),
            Self::Endless => f.write_str("endless"),
            Self::CutOff => f.write_str("cut_off"),
            Self::EmptyBody => f.write_str("empty_body"),
            Self::HtmlPage => f.write_str("html_page"),
            Self::InvalidUtf8 => f.write_str("invalid_utf8"),
            Self::DeepNesting(depth) => write!(f, "nesting_{depth}"),
            Self::Bomb => f.write_str("bomb"),
            Self::Oversize => f.write_str("oversize"),
            Self::ContentType => f.write_str("content_type"),
            Self::Gzip => f.write_str("gzip"),
            Self::Status(status) => write!(f, "status_{status}"),
            Self::ClockSkew(seconds) => write!(f, "clock_skew_{seconds}s"),
            Self::Latency(time) => write!(f, "latency_{}ms", time.as_millis()),
            Self::OtherDay => f.write_str("other_day"),
            Self::Habit(habit) => write!(f, "habit_{}", habit.name()),
        }
    }
}

/// A fault and the calls that it strikes: all of them, unless narrowed.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    fault: Fault,
    left: Option<u32>,
    chance: Option<(f64, u64)>,
    domain: Option<Domain>,
}

impl Rule {
    /// Strikes every call until it is cleared.
    #[must_use]
    pub const fn always(fault: Fault) -> Self {
        Self {
            fault,
            left: None,
            chance: None,
            domain: None,
        }
    }

    /// Strikes so many calls (of those that the rule strikes otherwise).
    #[must_use]
    pub const fn times(mut self, calls: u32) -> Self {
        self.left = Some(calls);
        self
    }

    /// Strikes each call with this probability, 0 to 1: by a hash of the seed and of how many calls
    /// the endpoint has had, so that a run can be repeated.
    #[must_use]
    pub const fn with_probability(mut self, probability: f64, seed: u64) -> Self {
        self.chance = Some((probability, seed));
        self
    }

    /// Strikes only calls that ask for this domain, alone or among others.
    #[must_use]
    pub fn for_domain(mut self, domain: &Domain) -> Self {
        self.domain = Some(domain.clone());
        self
    }

    /// Whether it strikes the call with this number; a strike is used up.
    fn strikes(&mut self, call: u64, domains: &[Domain]) -> bool {
        let meant = self.domain.as_ref().is_none_or(|d| domains.contains(d))
            && self
                .chance
                .is_none_or(|(probability, seed)| hash_unit(mix(seed, call)) < probability);
        match (meant, &mut self.left) {
            (false, _) | (true, Some(0)) => false,
            (true, None) => true,
            (true, Some(left)) => {
                *left -= 1;
                true
            }
        }
    }
}

/// What goes wrong, by what is called. Clones share one plan, so it can be changed while the simulator runs.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan(Arc<Mutex<[TargetPlan; Target::COUNT]>>);

#[derive(Debug, Default)]
struct TargetPlan {
    rules: Vec<Rule>,
    calls: u64,
}

impl FaultPlan {
    /// Adds a rule to those of an endpoint or of the list. Several may strike one call: habits add up, of the faults
    /// that exclude each other the first added wins.
    pub fn add(&self, target: impl Into<Target>, rule: Rule) {
        self.with(target.into(), |plan| plan.rules.push(rule));
    }

    /// Replaces its rules by one fault on every call.
    pub fn set(&self, target: impl Into<Target>, fault: Fault) {
        self.with(target.into(), |plan| plan.rules = vec![Rule::always(fault)]);
    }

    /// Ends its faults.
    pub fn clear(&self, target: impl Into<Target>) {
        self.with(target.into(), |plan| plan.rules.clear());
    }

    /// Ends every fault.
    pub fn clear_all(&self) {
        for endpoint in Endpoint::ALL {
            self.clear(endpoint);
        }
        self.clear(Target::List);
    }

    /// What strikes the next call.
    pub(super) fn strike(&self, target: impl Into<Target>, domains: &[Domain]) -> Struck {
        self.with(target.into(), |plan| {
            plan.calls += 1;
            let call = plan.calls;
            let mut struck = Struck::default();
            for rule in &mut plan.rules {
                if rule.strikes(call, domains) {
                    struck.add(rule.fault);
                }
            }
            struck
        })
        .unwrap_or_default()
    }

    fn with<T>(&self, target: Target, act: impl FnOnce(&mut TargetPlan) -> T) -> Option<T> {
        let mut plans: MutexGuard<'_, _> = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        plans.get_mut(target.index()).map(act)
    }
}

/// The faults of one call, by what they touch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Struck {
    pub(super) latency: Duration,
    pub(super) skew_seconds: i64,
    pub(super) other_day: bool,
    pub(super) status: Option<i64>,
    pub(super) habits: Habits,
    /// How the reply is carried, or what comes instead: every fault that is none of the above.
    pub(super) carriage: Option<Fault>,
}

impl Struck {
    fn add(&mut self, fault: Fault) {
        match fault {
            Fault::Latency(time) => self.latency += time,
            Fault::ClockSkew(seconds) => self.skew_seconds += seconds,
            Fault::OtherDay => self.other_day = true,
            Fault::Status(status) => self.status = self.status.or(Some(status)),
            Fault::Habit(habit) => self.habits = self.habits.with(habit),
            other => self.carriage = self.carriage.or(Some(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const HERE: Endpoint = Endpoint::OriginRatio;

    fn domains(names: &[&str]) -> Vec<Domain> {
        names.iter().map(|name| Domain::parse(name).unwrap()).collect()
    }

    fn struck(plan: &FaultPlan, calls: u32) -> Vec<bool> {
        (0..calls)
            .map(|_| plan.strike(HERE, &[]) != Struck::default())
            .collect()
    }

    #[test]
    fn names_are_unique() {
        let all = Fault::catalogue();
        let names: BTreeSet<String> = all.iter().map(Fault::to_string).collect();
        assert_eq!(names.len(), all.len());
        assert!(names.contains("http_429_retry_after_1s") && names.contains("status_-1"));
    }

    #[test]
    fn a_rule_ends_after_its_calls_or_when_cleared() {
        let plan = FaultPlan::default();
        plan.add(HERE, Rule::always(Fault::Hang).times(2));
        assert_eq!(struck(&plan, 4), [true, true, false, false]);
        plan.set(HERE, Fault::Bomb);
        assert_eq!(struck(&plan, 3), [true; 3]);
        assert_eq!(plan.strike(Endpoint::BandwidthFlow, &[]), Struck::default());
        plan.clear_all();
        assert_eq!(struck(&plan, 2), [false; 2]);
    }

    #[test]
    fn a_rule_for_a_domain_spares_the_other_calls_and_is_not_used_up_by_them() {
        let plan = FaultPlan::default();
        let [bad] = domains(&["bad.example.com"]).try_into().unwrap();
        plan.add(HERE, Rule::always(Fault::Status(15)).for_domain(&bad).times(1));
        assert_eq!(plan.strike(HERE, &domains(&["good.example.com"])).status, None);
        let both = domains(&["good.example.com", "bad.example.com"]);
        assert_eq!(plan.strike(HERE, &both).status, Some(15));
        assert_eq!(plan.strike(HERE, &both).status, None);
    }

    #[test]
    fn chance_strikes_its_share_of_calls_and_can_be_repeated() {
        let run = |seed| {
            let plan = FaultPlan::default();
            plan.add(HERE, Rule::always(Fault::Hang).with_probability(0.25, seed));
            struck(&plan, 2_000)
        };
        let hits = run(1).into_iter().filter(|hit| *hit).count();
        assert!((440..560).contains(&hits), "{hits}");
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn habits_add_up_and_of_two_carriages_the_first_wins() {
        let plan = FaultPlan::default();
        for fault in [
            Fault::Habit(Habit::MsgEmpty),
            Fault::Gzip,
            Fault::Habit(Habit::ReversedOrder),
            Fault::Hang,
        ] {
            plan.add(HERE, Rule::always(fault));
        }
        let struck = plan.strike(HERE, &[]);
        let both = Habits::NONE.with(Habit::MsgEmpty).with(Habit::ReversedOrder);
        assert_eq!(struck.habits, both);
        assert_eq!(struck.carriage, Some(Fault::Gzip));
    }
}
