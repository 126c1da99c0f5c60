//! What this process really polls: of a configuration, what its shard owns.

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use crate::config::Config;
use crate::model::AccountName;
use crate::plan::Shard;

/// The configuration with only the domains that the shard owns; one that is a copy is not copied again.
pub(super) fn effective(config: Cow<'_, Config>, shard: Shard) -> Cow<'_, Config> {
    Config::shared_out(config, shard)
}

/// Says what an operator should know of what is really polled, once for each change of it.
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
    use std::io;
    use std::sync::Arc;

    use super::*;
    use crate::config::{Environment, parse};

    /// What is logged while `work` runs.
    fn log_of(work: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let text = kept.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

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
        // Six calls a minute are allowed: five domains and one batch of them.
        let mut warnings = Vec::new();
        for domains in [5, 6, 6, 7, 5, 6] {
            let log =
                log_of(|| notices.tell(Told::of(&config(domains), Vec::new(), Shard::WHOLE), Shard::WHOLE));
            assert!(
                log.is_empty() || log.contains(" WARN ") && log.contains("account=a"),
                "{log}"
            );
            warnings.push(log.contains(&format!("its domains take {} calls every 1m", domains + 1)));
        }
        assert_eq!(warnings, [false, true, false, true, false, true]);

        // d0 is shard 0's of 2 and d1 shard 1's.
        let second = Shard::new(1, 2).unwrap();
        let told = [1, 1, 2, 1].map(|domains| {
            let log = log_of(|| notices.tell(Told::of(&config(domains), Vec::new(), second), second));
            log.contains("this shard owns none of the domains")
        });
        assert_eq!(told, [true, false, false, true]);
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
        let told = [Some("one"), Some("one"), Some("other"), None, Some("other")].map(|why| {
            let barren = why.map(|why| (AccountName::new("a"), why.to_owned()));
            let told = Told::of(&config, barren.into_iter().collect(), Shard::WHOLE);
            let log = log_of(|| notices.tell(told, Shard::WHOLE));
            why.is_some_and(|why| {
                log.contains(" WARN ") && log.contains(&format!("selects no domain: {why} account=a"))
            })
        });
        assert_eq!(told, [true, false, true, false, true]);
    }

    #[test]
    fn shards_have_every_domain_once_and_all_accounts() {
        let names: Vec<String> = (0..40).map(|i| format!("d{i}.example.com")).collect();
        let text = format!(
            "accounts:\n  - {{username: a, secret_key: made-up, domains: [{}]}}\n  - {{username: b, secret_key: \
             made-up, domains: [{{name: only.example.com, endpoints: [origin_ratio]}}]}}\n",
            names.join(", ")
        );
        let config = parse(&text, "test", &Environment::default()).unwrap();
        let mut owned = Vec::new();
        for ordinal in 0..3 {
            let part = effective(Cow::Borrowed(&config), Shard::new(ordinal, 3).unwrap());
            assert_eq!(part.accounts.len(), 2);
            let of_a = part.accounts[0].domains.iter();
            owned.extend(of_a.chain(&part.accounts[1].domains).cloned());
        }
        let mut all = config.accounts[0].domains.clone();
        all.extend(config.accounts[1].domains.clone());
        owned.sort_by(|a, b| a.name.cmp(&b.name));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(owned, all);
        let whole = effective(Cow::Borrowed(&config), Shard::WHOLE);
        assert_eq!(whole.accounts[0].domains, config.accounts[0].domains);
        // What has been copied to join it with lists is not copied once more.
        let copy: Cow<'_, Config> = Cow::Owned(config.clone());
        let place = copy.accounts[0].domains.as_ptr();
        let part = effective(copy, Shard::new(0, 3).unwrap());
        assert_eq!(part.accounts[0].domains.as_ptr(), place);
    }
}
