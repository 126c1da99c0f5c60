//! The status page in a real Chromium: the exporter runs in this process against the simulator, and
//! what the browser made of the page is compared with the simulator's truth.
//!
//! Without Chromium (Debian's package `chromium`) these tests say so and do nothing, unless
//! `JDCLOUD_REQUIRE_REAL_PARTS=1` asks for it.
#![cfg(test)]

mod chromium;
mod exporter;

use chromium::Chromium;
use exporter::Running;
use jdcloud_cdn_exporter::model::{Domain, Window};

/// The newest settled window at [`exporter::NOW`].
const NEWEST: i64 = 1_795_348_500; // 2026-11-22T11:55:00Z

/// The text of a domain's row, with one blank between cells.
fn row(dom: &str, domain: &str) -> String {
    let start = dom
        .find(&format!("<td class=\"name\">{domain}<"))
        .unwrap_or_else(|| panic!("no row of {domain} in {dom}"));
    let row = &dom[start..start + dom[start..].find("</tr>").unwrap()];
    let mut text = String::new();
    for piece in row.split('<').skip(1) {
        text.push(' ');
        text.push_str(piece.split_once('>').unwrap().1);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The domains' names in the order of the table.
fn names(dom: &str) -> Vec<String> {
    let table = dom.split("<table class=\"domains\">").nth(1).unwrap();
    table
        .split("<td class=\"name\">")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap().to_owned())
        .collect()
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_every_domain_in_the_readers_language() {
    let Some(chromium) = Chromium::find() else { return };
    let exporter = Running::start().await;
    let window = Window::ending_at(NEWEST).unwrap();
    for (accepted, tag, up, failing, minutes, meaning) in [
        (
            "en-US,en",
            "en",
            "up",
            "failing",
            "min ago",
            "refused: not of this account, or unknown to this endpoint",
        ),
        (
            "zh-CN,zh",
            "zh-Hans",
            "正常",
            "失败",
            "分钟前",
            "被拒绝：不属于该账号，或此接口不认识它",
        ),
    ] {
        let dom = chromium.dom(&exporter.url("/"), accepted).await;
        assert!(
            dom.contains(&format!("<html lang=\"{tag}\">")),
            "{accepted}: {dom}"
        );
        for name in ["www.example.com", "shop.example.com", "m.example.com"] {
            let truth = exporter.simulator.truth(&domain(name), window);
            let text = row(&dom, name);
            // 12:06 less 11:55.
            let age = format!(" 11 {minutes}");
            for expected in [
                format!("media {up} {:.2} ", truth.bandwidth_mbps),
                format!(" {:.2} % ", truth.origin_ratio_percent.unwrap()),
                age,
            ] {
                assert!(text.contains(&expected), "{accepted}: {expected:?} in {text:?}");
            }
        }
        let spike = row(&dom, "shop.example.com");
        assert!(spike.contains(" 62.00 % "), "{spike}");
        let refused = row(&dom, "news.example.com");
        assert!(
            refused.contains(failing) && refused.contains(meaning),
            "{refused}"
        );
        let wrong_key = row(&dom, "old.example.com");
        assert!(wrong_key.contains("(signature)"), "{wrong_key}");
    }
    // The reader's choice wins over the browser's.
    let dom = chromium.dom(&exporter.url("/?lang=zh"), "en-US").await;
    assert!(dom.contains("<html lang=\"zh-Hans\">"), "{dom}");
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headings_and_filter_work_without_script() {
    let Some(chromium) = Chromium::find() else { return };
    let exporter = Running::start().await;
    let dom = chromium.dom(&exporter.url("/"), "en-US").await;
    let mut by_name = names(&dom);
    assert_eq!(by_name.len(), 13);
    assert!(by_name.is_sorted(), "{by_name:?}");
    let heading = dom.split("Bandwidth, Mbit/s</a>").next().unwrap();
    let link = heading
        .rsplit("href=\"")
        .next()
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let sorted = chromium
        .dom(&exporter.url(&link.replace("&amp;", "&")), "en-US")
        .await;
    let window = Window::ending_at(NEWEST).unwrap();
    let bandwidth = |name: &String| exporter.simulator.truth(&domain(name), window).bandwidth_mbps;
    // The account with the wrong key has no values, so its domain stands last.
    by_name.retain(|name| name != "old.example.com");
    by_name.sort_by(|a, b| bandwidth(b).total_cmp(&bandwidth(a)));
    by_name.push("old.example.com".to_owned());
    assert_eq!(names(&sorted), by_name);
    let filtered = chromium.dom(&exporter.url("/?q=Live"), "en-US").await;
    assert_eq!(names(&filtered), ["live.example.com"]);
    exporter.stop().await;
}

/// The page's background is `--page` of `src/web/status/style.rs`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_light_or_dark_as_the_reader_prefers_and_fits_a_phone() {
    let Some(chromium) = Chromium::find() else { return };
    let exporter = Running::start().await;
    let (light, dark) = ([0xf6, 0xf7, 0xf9], [0x12, 0x16, 0x1c]);
    for (name, path, size, scheme, background) in [
        (
            "status",
            "/?lang=en&sort=origin_ratio",
            (1_280, 1_240),
            chromium::LIGHT,
            light,
        ),
        (
            "status-zh-dark",
            "/?lang=zh&sort=bandwidth",
            (1_280, 940),
            chromium::DARK,
            dark,
        ),
        (
            "status-phone",
            "/?lang=en&sort=state",
            (390, 1_800),
            chromium::LIGHT,
            light,
        ),
        (
            "status-phone-dark",
            "/?lang=zh&q=shop",
            (390, 844),
            chromium::DARK,
            dark,
        ),
    ] {
        let picture = chromium.picture(name, &exporter.url(path), size, scheme).await;
        assert_eq!(picture.size, size, "{name}");
        assert_eq!(picture.top_left, background, "{name}");
        // Where a page is wider than the window, its margin on the right is beyond the edge.
        assert_eq!(picture.right_edge, vec![background; size.1], "{name}");
    }
    exporter.stop().await;
}
