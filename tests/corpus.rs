//! The corpora of the fuzz targets as an ordinary test, through the same functions.
#![cfg(test)]

#[path = "../fuzz/checks.rs"]
mod checks;

fn each(target: &str, check: fn(&[u8])) {
    let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut inputs = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        let input = std::fs::read(&path).unwrap();
        check(&input);
        // Cut off and damaged in one place too.
        check(&input[..input.len() / 2]);
        let mut damaged = input;
        if let Some(byte) = damaged.last_mut() {
            *byte ^= 0x55;
        }
        check(&damaged);
        inputs += 1;
    }
    assert!(inputs > 2, "{folder} holds {inputs} files");
}

#[test]
fn bandwidth_flow() {
    each("bandwidth_flow", checks::bandwidth_flow);
}

#[test]
fn origin_ratio() {
    each("origin_ratio", checks::origin_ratio);
}

#[test]
fn query_domains() {
    each("query_domains", checks::query_domains);
}

#[test]
fn config() {
    each("config", checks::config);
}

#[test]
fn web_config() {
    each("web_config", checks::web_config);
}

#[test]
fn routes() {
    each("routes", checks::routes);
}
