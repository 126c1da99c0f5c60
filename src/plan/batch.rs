//! Which domains are asked for together.

use crate::model::Domain;

/// Divides domains into batches of at most `size` (at least 1), ordered by the stable hash of their
/// names, so that batches are spread over the interval and change little when a domain is added.
#[must_use]
pub fn batches(domains: &[Domain], size: usize) -> Vec<Vec<Domain>> {
    let mut sorted: Vec<_> = domains
        .iter()
        .map(|domain| (domain.stable_hash(), domain))
        .collect();
    sorted.sort_unstable();
    sorted
        .chunks(size.max(1))
        .map(|chunk| chunk.iter().map(|(_, domain)| (*domain).clone()).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_domain_is_in_exactly_one_batch_of_at_most_the_size() {
        let domains: Vec<_> = (0..45)
            .map(|i| Domain::parse(&format!("d{i}.example.com")).unwrap())
            .collect();
        let batches = batches(&domains, 20);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 5]);
        let mut all: Vec<_> = batches.concat();
        all.sort();
        let mut expected = domains;
        expected.sort();
        assert_eq!(all, expected);
    }
}
