//! What this process really polls: of a configuration, what its shard owns.

use crate::config::Config;
use crate::plan::Shard;

/// The configuration with only the domains that the shard owns. Accounts that are left without any
/// stay: their limits and names do not depend on how many shards there are.
pub(super) fn effective(config: &Config, shard: Shard) -> Config {
    let mut config = config.clone();
    if !shard.is_whole() {
        for account in &mut config.accounts {
            account.domains.retain(|domain| shard.owns(&domain.name));
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, parse};

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
            let part = effective(&config, Shard::new(ordinal, 3).unwrap());
            assert_eq!(part.accounts.len(), 2);
            let of_a = part.accounts[0].domains.iter();
            owned.extend(of_a.chain(&part.accounts[1].domains).cloned());
        }
        let mut all = config.accounts[0].domains.clone();
        all.extend(config.accounts[1].domains.clone());
        owned.sort_by(|a, b| a.name.cmp(&b.name));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(owned, all);
        let whole = effective(&config, Shard::WHOLE);
        assert_eq!(whole.accounts[0].domains, config.accounts[0].domains);
    }
}
