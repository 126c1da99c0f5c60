//! The walls between the rooms: reads `src/` and checks who names what. The rules and their reasons
//! are in `ARCHITECTURE.md`.
#![cfg(test)]

use std::collections::BTreeMap;
use std::path::Path;

/// What pure code does not name. Addresses are values, so only the sockets of `std::net` are here.
const IMPURE: [&str; 14] = [
    "tokio",
    "reqwest",
    "hyper",
    "hyper_util",
    "prometheus",
    "tracing",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "net::TcpListener",
    "net::TcpStream",
    "net::ToSocketAddrs",
    "net::UdpSocket",
];

/// Rooms and files that are pure: they are handed everything and do nothing but compute.
const PURE: [&str; 14] = [
    "model/",
    "plan/",
    "exposition/families.rs",
    "exposition/domains.rs",
    "exposition/encode.rs",
    "provider/signature.rs",
    "provider/request.rs",
    "provider/wire.rs",
    "provider/decode.rs",
    "provider/status.rs",
    "provider/bandwidth_flow.rs",
    "provider/origin_ratio.rs",
    "provider/query_domains.rs",
    "discovery/paging.rs",
];

/// A wall: files under `within` (everywhere, if empty) but not under `except` do not name `names`.
struct Wall {
    within: &'static [&'static str],
    except: &'static [&'static str],
    names: &'static [&'static str],
}

const WALLS: [Wall; 10] = [
    Wall {
        within: &PURE,
        except: &[],
        names: &IMPURE,
    },
    Wall {
        within: &["model/"],
        except: &[],
        names: &[
            "crate::app",
            "crate::clock",
            "crate::config",
            "crate::exposition",
            "crate::observer",
            "crate::plan",
            "crate::poller",
            "crate::provider",
            "crate::simulator",
            "crate::store",
            "crate::web",
        ],
    },
    Wall {
        within: &["provider/"],
        except: &[],
        names: &[
            "crate::poller",
            "crate::discovery",
            "crate::store",
            "crate::exposition",
            "crate::web",
            "crate::app",
        ],
    },
    Wall {
        within: &["poller/", "plan/", "discovery/", "store.rs"],
        except: &[],
        names: &["crate::provider", "crate::exposition", "crate::web", "crate::app"],
    },
    // A scrape never causes a poll, and what serves does not know what is served.
    Wall {
        within: &["exposition/"],
        except: &[],
        names: &["crate::poller", "crate::provider", "crate::web", "crate::app"],
    },
    Wall {
        within: &["web/"],
        except: &[],
        names: &["crate::poller", "crate::provider", "crate::store", "crate::app"],
    },
    Wall {
        within: &[],
        except: &["exposition/"],
        names: &["prometheus"],
    },
    Wall {
        within: &[],
        except: &["provider/"],
        names: &["reqwest"],
    },
    Wall {
        within: &[],
        except: &["clock.rs"],
        names: &["SystemTime::now", "Utc::now", "Local::now"],
    },
    // Only `main` ends the process, and it does so by returning.
    Wall {
        within: &[],
        except: &[],
        names: &["process::exit", "process::abort"],
    },
];

/// Files below `src/` by their path there.
fn sources() -> BTreeMap<String, String> {
    fn walk(directory: &Path, root: &Path, files: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    walk(&root, &root, &mut files);
    files
}

/// The shipped code: without comments, texts and what is compiled for tests only.
fn code(source: &str) -> String {
    let source = source
        .split_once("\n#[cfg(test)]\nmod tests {")
        .map_or(source, |(shipped, _)| shipped);
    let mut code = String::new();
    let mut letters = source.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '/' if letters.peek() == Some(&'/') => {
                code.push('\n');
                letters.by_ref().find(|letter| *letter == '\n');
            }
            '"' => {
                code.push_str("\"\"");
                while let Some(inside) = letters.next() {
                    match inside {
                        '\\' => drop(letters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            // A quotation mark as a character does not open a text.
            '\'' if letters.peek() == Some(&'"') => drop(letters.next()),
            other => code.push(other),
        }
    }
    code
}

/// Whether code names a crate, a module or a function: `name` as whole words, and not as a part of
/// a longer path (`crate::prometheus` or `x.tokio` are not the crate), unless it is a path itself.
fn has_name(code: &str, name: &str) -> bool {
    let is_word =
        |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    let is_path = name.contains("::");
    grouped(code, name)
        || code.match_indices(name).any(|(start, _)| {
            let (before, after) = (&code[..start], &code[start + name.len()..]);
            let stands_alone = !is_word(before.chars().next_back()) && !is_word(after.chars().next());
            let in_path = after.starts_with("::") || before.ends_with("use ") && after.starts_with(';');
            let continues = before.ends_with("::") && !before.ends_with("{::") && !before.ends_with(" ::");
            stands_alone && (is_path || in_path && !continues)
        })
}

/// `use std::{fs, io};` and `use crate::{poller::x, store};` name what they group.
fn grouped(code: &str, name: &str) -> bool {
    let Some((root, member)) = name.split_once("::") else {
        return false;
    };
    code.split(&format!("{root}::{{")).skip(1).any(|rest| {
        let group = rest.split(';').next().unwrap_or_default();
        group
            .split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
            .any(|word| word == member)
    })
}

fn is_under(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| file.starts_with(place))
}

/// What of a wall's names a file names.
fn breaches(wall: &Wall, file: &str, source: &str) -> Vec<String> {
    let applies = (wall.within.is_empty() || is_under(file, wall.within)) && !is_under(file, wall.except);
    // Files of their own for tests, and folders of them, are named so; what is in them is not shipped.
    if !applies || file.ends_with("tests.rs") || file.contains("/tests/") {
        return Vec::new();
    }
    let code = code(source);
    wall.names
        .iter()
        .filter(|name| has_name(&code, name))
        .map(|name| format!("src/{file} names {name}"))
        .collect()
}

#[test]
fn the_walls_stand() {
    let sources = sources();
    assert!(sources.len() > 50, "{} files", sources.len());
    for wall in &WALLS {
        // A wall around a room that has moved would hold nothing.
        for place in wall.within.iter().chain(wall.except) {
            assert!(
                sources.keys().any(|file| file.starts_with(place)),
                "there is no src/{place} any more: move its wall"
            );
        }
    }
    let found: Vec<String> = sources
        .iter()
        .flat_map(|(file, source)| WALLS.iter().flat_map(move |wall| breaches(wall, file, source)))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// What lies behind a wall is really used there: the names are spelt as the code spells them.
#[test]
fn every_name_that_has_a_home_is_found_at_home() {
    let sources = sources();
    for (home, name) in [
        ("exposition/self_metrics.rs", "prometheus"),
        ("provider/client.rs", "reqwest"),
        ("clock.rs", "SystemTime::now"),
        ("app/pollers.rs", "crate::poller"),
        ("app/pollers.rs", "crate::provider"),
        ("store.rs", "tokio"),
        ("poller/mod.rs", "tracing"),
    ] {
        assert!(
            has_name(&code(&sources[home]), name),
            "src/{home} does not name {name}"
        );
    }
}

#[test]
fn breaches_are_seen_and_mere_words_are_not() {
    for (source, expected) in [
        ("use tokio::time::Instant;", true),
        ("fn f() { tokio::spawn(g()) }", true),
        ("use tokio;", true),
        ("use ::tokio::time;", true),
        ("fn f() { std::fs::read(path) }", true),
        ("use std::{fmt, fs};", true),
        ("use std::{\n    fmt,\n    net::TcpStream,\n};", true),
        ("use std::net::{SocketAddr, UdpSocket};", true),
        ("use std::net::IpAddr;", false),
        ("// as tokio::time has it\n", false),
        ("/// [`tokio::time`]\nfn f() {}", false),
        ("const NAME: &str = \"tokio::time\";", false),
        ("const A: &str = \"\\\"\"; use tokio::time;", true),
        ("match c { '\"' => tokio::f(), _ => {} }", true),
        ("use crate::tokio_like::x;", false),
        ("use crate::model::tracing::x;", false),
        ("let tokio = 1;", false),
        ("use std::fmt;", false),
        (
            "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use tokio::time;\n}",
            false,
        ),
    ] {
        let found = breaches(&WALLS[0], "model/window.rs", source);
        assert_eq!(!found.is_empty(), expected, "{source}: {found:?}");
    }
    let exit = "fn f() { std::process::exit(2) }";
    assert!(
        WALLS
            .iter()
            .any(|wall| !breaches(wall, "main.rs", exit).is_empty())
    );
    let clock = "let now = SystemTime::now();";
    let holds = |file| WALLS.iter().any(|wall| !breaches(wall, file, clock).is_empty());
    assert!(holds("store.rs") && !holds("clock.rs"));
    let across = "use crate::{model::Domain, poller::Lane};";
    assert!(
        WALLS
            .iter()
            .any(|wall| !breaches(wall, "provider/client.rs", across).is_empty())
    );
}
