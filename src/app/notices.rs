//! What an operator should know of what this process really polls, told in the log once for each change of it.

use std::sync::{Mutex, PoisonError};

use crate::config::Config;
use crate::model::AccountName;
use crate::plan::Shard;

/// Says it, and keeps what has been said.
#[derive(Default)]
pub(super) struct Notices(Mutex<Told>);

/// What there is to say.
#[derive(Default, PartialEq)]
pub(super) struct Told {
    over_budget: Vec<(AccountName, String)>,
    owns_none_of: Option<usize>,
    barren: Vec<(AccountName, String)>,
}

impl Told {
    /// Looks at all that is configured and discovered, before it is shared out; `barren` are the accounts
    /// whose filter selects nothing, and why.
    pub(super) fn of(config: &Config, barren: Vec<(AccountName, String)>, shard: Shard) -> Self {
        let all = || config.accounts.iter().flat_map(|account| &account.domains);
        let owns_none = !all().any(|domain| shard.owns(&domain.name));
        Self {
            over_budget: config.over_budget(shard),
            // There may be none at all before the first discovery.
            owns_none_of: owns_none.then(|| all().count()).filter(|count| *count > 0),
            barren,
        }
    }
}

impl Notices {
    /// Says what this shard has not said before.
    pub(super) fn tell(&self, now: Told, shard: Shard) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (account, numbers) in &now.over_budget {
            if !told.over_budget.contains(&(account.clone(), numbers.clone())) {
                tracing::warn!(%account, "polled as fast as allowed, but not in time: its domains {numbers}");
            }
        }
        for (account, why) in &now.barren {
            if !told.barren.contains(&(account.clone(), why.clone())) {
                tracing::warn!(%account, "domains.discover selects no domain: {why}");
            }
        }
        if let Some(domains) = now.owns_none_of
            && told.owns_none_of != now.owns_none_of
        {
            tracing::info!(%shard, domains, "this shard owns none of the domains");
        }
        *told = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::{Environment, parse};
    use crate::telemetry::kept::keep;

    #[test]
    fn what_is_too_much_or_nothing_is_told_once_for_each_change() {
        let config = |domains: usize| {
            let names: Vec<String> = (0..domains).map(|i| format!("d{i}.example.com")).collect();
            let text = format!(
                "api: {{max_requests_per_second: 0.1}}\naccounts:\n  - {{username: a, secret_key: made-up, domains: \
                 [{}]}}\n",
                names.join(", ")
            );
            parse(&text, "test", &Environment::default()).unwrap()
        };
        let notices = Notices::default();
        let (sink, _kept) = keep(Clock::System);
        let told = |config: &Config, shard| {
            notices.tell(Told::of(config, Vec::new(), shard), shard);
            sink.take().concat()
        };
        // Six calls a minute are allowed: five domains and one batch of them.
        let mut warnings = Vec::new();
        for domains in [5, 6, 6, 7, 5, 6] {
            let log = told(&config(domains), Shard::WHOLE);
            assert!(
                log.is_empty() || log.starts_with("level=warn ") && log.ends_with(" account=a"),
                "{log}"
            );
            warnings.push(log.contains(&format!("its domains take {} calls every 1m", domains + 1)));
        }
        assert_eq!(warnings, [false, true, false, true, false, true]);

        // d0 is shard 0's of 2 and d1 shard 1's.
        let second = Shard::new(1, 2).unwrap();
        let owns_none = [1, 1, 2, 1].map(|domains| {
            let log = told(&config(domains), second);
            log.contains("this shard owns none of the domains")
        });
        assert_eq!(owns_none, [true, false, false, true]);
    }

    #[test]
    fn a_filter_that_selects_nothing_is_told_once_for_each_change() {
        let config = parse(
            "accounts: [{username: a, secret_key: made-up, domains: {discover: {}}}]",
            "test",
            &Environment::default(),
        )
        .unwrap();
        let notices = Notices::default();
        let (sink, _kept) = keep(Clock::System);
        let told = [Some("one"), Some("one"), Some("other"), None, Some("other")].map(|why| {
            let barren = why.map(|why| (AccountName::new("a"), why.to_owned()));
            let told = Told::of(&config, barren.into_iter().collect(), Shard::WHOLE);
            notices.tell(told, Shard::WHOLE);
            sink.take()
        });
        let line = |why| {
            vec![format!(
                "level=warn msg=\"domains.discover selects no domain: {why}\" account=a"
            )]
        };
        assert_eq!(told, [line("one"), vec![], line("other"), vec![], line("other")]);
    }
}
