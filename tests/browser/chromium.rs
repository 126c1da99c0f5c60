//! Debian's Chromium without a window, an empty profile each time.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Values of Blink's setting `preferredColorScheme`.
pub(crate) const LIGHT: &str = "1";
pub(crate) const DARK: &str = "0";

/// What runs without a display, a sandbox for root, or a network beyond the page.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// Seconds; a start takes one or two on an idle machine.
const PATIENCE: &str = "120";

pub(crate) struct Chromium(PathBuf);

/// What a picture shows, as far as the tests look.
pub(crate) struct Picture {
    pub(crate) size: (usize, usize),
    /// Red, green, blue.
    pub(crate) top_left: [u8; 3],
    /// The same of the last pixel of each line.
    pub(crate) right_edge: Vec<[u8; 3]>,
}

impl Chromium {
    /// The browser, or `None` with a message.
    #[allow(
        clippy::disallowed_methods,
        reason = "the environment says what this test may leave out"
    )]
    pub(crate) fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .map(|directory| directory.join("chromium"))
            .find(|file| file.is_file());
        if found.is_none() {
            let required = std::env::var_os("JDCLOUD_REQUIRE_REAL_PARTS").is_some_and(|value| value == "1");
            assert!(!required, "chromium is not installed: apt-get install chromium");
            eprintln!("left out: chromium is not installed (apt-get install chromium)");
        }
        found.map(Self)
    }

    /// The document after the browser read it, for a reader who prefers these languages.
    pub(crate) async fn dom(&self, url: &str, languages: &str) -> String {
        let languages = format!("--accept-lang={languages}");
        let (dom, messages) = self.run([languages.as_str(), "--dump-dom", url]).await;
        // What the page's own security policy forbids is told on the console.
        assert!(!messages.contains("Content Security Policy"), "{messages}");
        dom
    }

    /// Takes a picture, which stays in the build's directory for temporary files.
    pub(crate) async fn picture(&self, name: &str, url: &str, size: (usize, usize), scheme: &str) -> Picture {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
        let arguments = [
            format!("--window-size={},{}", size.0, size.1),
            format!("--blink-settings=preferredColorScheme={scheme}"),
            format!("--screenshot={}", file.display()),
            url.to_owned(),
        ];
        self.run(arguments).await;
        read_png(&std::fs::read(&file).unwrap())
    }

    /// Its output and its messages.
    async fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> (String, String) {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("timeout");
        command
            .arg(PATIENCE)
            .arg(&self.0)
            .args(FLAGS)
            .arg("--enable-logging=stderr")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(arguments);
        // The exporter goes on in this process meanwhile.
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .unwrap()
            .unwrap();
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "chromium: {} {messages}", output.status);
        (String::from_utf8(output.stdout).unwrap(), messages)
    }
}

/// Reads a PNG of 8 bits a channel without interlace, which is what Chromium writes
/// (<https://www.w3.org/TR/png/>).
fn read_png(file: &[u8]) -> Picture {
    let mut rest = file.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
    let number = |bytes: &[u8]| {
        u32::from_be_bytes(bytes[..4].try_into().unwrap())
            .try_into()
            .unwrap()
    };
    let (mut size, mut channels) = ((0, 0), 0);
    let mut packed = Vec::new();
    while !rest.is_empty() {
        let length: usize = number(rest);
        let (kind, data) = (&rest[4..8], &rest[8..8 + length]);
        match kind {
            b"IHDR" => {
                size = (number(data), number(&data[4..]));
                assert_eq!((data[8], data[12]), (8, 0), "depth and interlace");
                channels = match data[9] {
                    2 => 3,
                    6 => 4,
                    other => panic!("colour type {other}"),
                };
            }
            b"IDAT" => packed.extend_from_slice(data),
            _ => {}
        }
        rest = &rest[12 + length..];
    }
    let mut filtered = Vec::new();
    flate2::read::ZlibDecoder::new(&packed[..])
        .read_to_end(&mut filtered)
        .unwrap();
    let width = size.0 * channels;
    let mut above = vec![0_u8; width];
    let mut top_left = [0; 3];
    let mut right_edge = Vec::new();
    for (place, line) in filtered.chunks_exact(width + 1).enumerate() {
        let line = unfilter(line[0], &line[1..], &above, channels);
        if place == 0 {
            top_left.copy_from_slice(&line[..3]);
        }
        right_edge.push(line[width - channels..][..3].try_into().unwrap());
        above = line;
    }
    Picture {
        size,
        top_left,
        right_edge,
    }
}

/// One line as it was before filtering (section 9 of the specification).
fn unfilter(kind: u8, line: &[u8], above: &[u8], channels: usize) -> Vec<u8> {
    let mut plain = Vec::with_capacity(line.len());
    for (place, byte) in line.iter().enumerate() {
        let left = if place < channels {
            0
        } else {
            plain[place - channels]
        };
        let corner = if place < channels {
            0
        } else {
            above[place - channels]
        };
        let up = above[place];
        let predicted = match kind {
            0 => 0,
            1 => left,
            2 => up,
            3 => u8::midpoint(left, up),
            4 => paeth(left, up, corner),
            other => panic!("filter {other}"),
        };
        plain.push(byte.wrapping_add(predicted));
    }
    plain
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(up) - i16::from(corner);
    [left, up, corner]
        .into_iter()
        .min_by_key(|byte| (guess - i16::from(*byte)).abs())
        .unwrap()
}
