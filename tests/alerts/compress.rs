//! Makes hours of rules pass in seconds: every duration is divided by one factor, and nothing else changes.

/// What stands before a duration in rules and in the routes of Alertmanager.
const BEFORE: [&str; 5] = ["for: ", "interval: ", "group_wait: ", "offset ", "["];

/// Milliseconds of each unit, the longer name of two that begin alike first.
const UNITS: [(&str, u64); 7] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("y", 31_536_000_000),
];

/// The text with every duration divided by `factor`, in milliseconds, and how many there were.
pub(crate) fn compressed(text: &str, factor: u64) -> (String, usize) {
    let (mut done, mut count) = (String::new(), 0);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let expected = BEFORE.iter().any(|before| done.ends_with(before));
        if let Some((milliseconds, length)) = expected.then(|| duration(rest)).flatten() {
            done += &(milliseconds / factor).to_string();
            done += "ms";
            count += 1;
            rest = &rest[length..];
        } else {
            done.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    (done, count)
}

/// The duration that a text begins with, in milliseconds, and how long its word is.
fn duration(text: &str) -> Option<(u64, usize)> {
    let length = text
        .find(|letter: char| !letter.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    let (mut word, mut sum) = (&text[..length], 0);
    while !word.is_empty() {
        let digits = word.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = word[..digits].parse().ok()?;
        word = &word[digits..];
        let (unit, milliseconds) = UNITS.iter().find(|(unit, _)| word.starts_with(unit))?;
        sum += number * milliseconds;
        word = &word[unit.len()..];
    }
    (length > 0).then_some((sum, length))
}

#[test]
fn durations_are_divided_and_all_else_stays() {
    let rules = "\
  - name: days
    interval: 4m
    rules:
      - record: domain:x:baseline6h
        expr: |
          sum_over_time(a[6h] offset 15m) / avg_over_time(b[23h59m59s]) > 600
          and c offset 75m
      - alert: Spike # of the last 6 hours
        for: 6m
        annotations: {summary: 'for 5 minutes [{{ $labels.domain }}]'}
  group_by: [alertname]
  group_wait: 30s
  repeat_interval: 4h
";
    let wanted = rules
        .replace("interval: 4m", "interval: 1200ms")
        .replace("[6h] offset 15m", "[108000ms] offset 4500ms")
        .replace("[23h59m59s]", "[431995ms]")
        .replace("offset 75m", "offset 22500ms")
        .replace("for: 6m", "for: 1800ms")
        .replace("group_wait: 30s", "group_wait: 150ms")
        .replace("repeat_interval: 4h", "repeat_interval: 72000ms");
    assert_eq!(compressed(rules, 200), (wanted, 8));
}
