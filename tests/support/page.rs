//! Reads the samples of an exposition, in either format.

use crate::truth::Samples;

/// Every sample of a page. Our label values hold no blank, comma or quote in these tests.
pub(crate) fn samples(page: &str) -> Samples {
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a value after a blank");
            (ordered(series), value.parse().expect("a number"))
        })
        .collect()
}

/// The samples about the domains, without those about the exporter itself.
pub(crate) fn about_domains(samples: &Samples) -> Samples {
    let about = |name: &str| name.starts_with("jdcloud_cdn_") && !name.starts_with("jdcloud_cdn_exporter_");
    samples
        .iter()
        .filter(|(series, _)| about(series))
        .map(|(series, value)| (series.clone(), *value))
        .collect()
}

fn ordered(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else {
        return series.to_owned();
    };
    let mut labels: Vec<&str> = labels.trim_end_matches('}').split(',').collect();
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join(","))
}
