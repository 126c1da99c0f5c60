//! The real programs that tests need: left out with a word where they are missing, unless required.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

/// A switch of the test suite, not of the exporter.
#[allow(
    clippy::disallowed_methods,
    reason = "tests are told through the environment which parts they have"
)]
pub(crate) fn switch(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Says that something was left out, which is a failure where the real parts are required.
pub(crate) fn left_out(what: &str) {
    assert!(
        switch("JDCLOUD_REQUIRE_REAL_PARTS").is_none_or(|value| value != "1"),
        "{what} is not installed, and JDCLOUD_REQUIRE_REAL_PARTS=1 asks for it: run `make test`"
    );
    // The harness captures what a test prints, but not what is written to the stream itself.
    writeln!(
        std::io::stderr(),
        "skipped: {what} is not installed; `make test` installs it"
    )
    .expect("a standard error to write to");
}

/// Feeds text to a program; `None` if it is not installed.
pub(crate) fn feed(program: &str, arguments: &[&str], input: &[u8]) -> Option<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that refuses the input early says so by its exit code.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("a child to wait for");
    writer.join().expect("a writer that does not panic");
    Some(output)
}

/// The linter that Prometheus ships has nothing to say about a text exposition.
pub(crate) fn promtool_is_silent(text: &str) {
    let Some(output) = feed("promtool", &["check", "metrics"], text.as_bytes()) else {
        return left_out("promtool");
    };
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success() && said.is_empty(),
        "{}\n{text}",
        String::from_utf8_lossy(&said)
    );
}

/// The OpenMetrics reference parser, which is `prometheus-client` on the Python Package Index, takes an exposition and
/// finds every family in it. `JDCLOUD_TEST_PYTHON` names a Python that has it.
pub(crate) fn reference_parser_accepts(text: &str) {
    const IMPORT: &str =
        "from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse";
    let python = switch("JDCLOUD_TEST_PYTHON").unwrap_or_else(|| "python3".to_owned());
    if !feed(&python, &["-c", IMPORT], b"").is_some_and(|output| output.status.success()) {
        return left_out("prometheus-client for python3");
    }
    let script = format!("import sys\n{IMPORT}\nfor family in parse(sys.stdin.read()): print(family.name)");
    let output = feed(&python, &["-X", "utf8", "-c", &script], text.as_bytes()).expect("it ran before");
    let families = String::from_utf8_lossy(&output.stdout).lines().count();
    assert!(
        output.status.success() && families == text.matches("# TYPE ").count(),
        "{families} families: {}\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
}
