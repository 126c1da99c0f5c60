//! PURE: the shards as targets in Prometheus' HTTP service discovery.

use serde::Serialize;

#[derive(Serialize)]
struct Group<'a> {
    targets: [&'a str; 1],
    labels: Labels,
}

/// Labels that begin with `__meta_` are there for relabelling and vanish afterwards.
#[derive(Serialize)]
struct Labels {
    #[serde(rename = "__meta_jdcloud_cdn_shard")]
    shard: String,
    #[serde(rename = "__meta_jdcloud_cdn_shards")]
    shards: String,
}

/// A JSON array with a group for each shard, in the order of their ordinals.
///
/// # Errors
/// Never in practice: it holds nothing that JSON cannot.
pub(super) fn document(shards: &[String]) -> Result<Vec<u8>, serde_json::Error> {
    let groups: Vec<Group<'_>> = shards
        .iter()
        .enumerate()
        .map(|(ordinal, address)| Group {
            targets: [address],
            labels: Labels {
                shard: ordinal.to_string(),
                shards: shards.len().to_string(),
            },
        })
        .collect();
    let mut bytes = serde_json::to_vec(&groups)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of Prometheus' documentation of `http_sd_config`: strings only.
    #[test]
    fn each_shard_is_a_group_of_one_target() {
        let shards = ["a.example.com:10530".to_owned(), "[::1]:2".to_owned()];
        let text = String::from_utf8(document(&shards).unwrap()).unwrap();
        assert_eq!(
            text,
            "[{\"targets\":[\"a.example.com:10530\"],\"labels\":{\"__meta_jdcloud_cdn_shard\":\"0\",\
             \"__meta_jdcloud_cdn_shards\":\"2\"}},{\"targets\":[\"[::1]:2\"],\"labels\":\
             {\"__meta_jdcloud_cdn_shard\":\"1\",\"__meta_jdcloud_cdn_shards\":\"2\"}}]\n"
        );
    }
}
