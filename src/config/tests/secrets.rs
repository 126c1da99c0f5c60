//! Where a secret may come from, and where it must never go.

use secrecy::ExposeSecret;

use super::super::Summary;
use super::*;
use crate::plan::Shard;

#[test]
fn secrets_come_from_one_place_and_are_taken_as_they_are() {
    let directory = file("");
    let path = directory.directory.path().join("key");
    let from_file = with_account(&format!("secret_key_file: {}", path.display()));
    for (content, outcome) in [
        ("0123abcd", Ok("0123abcd")),
        ("0123abcd\r\n", Ok("0123abcd")),
        ("0123abcd\n\n\n", Ok("0123abcd")),
        ("", Err("empty")),
        ("\n", Err("empty")),
        (" 0123abcd", Err("white space")),
        ("0123abcd \n", Err("white space")),
        ("0123\nabcd\n", Err("several lines")),
        ("\u{feff}0123abcd\r\n", Ok("0123abcd")),
        ("\"0123abcd\"\n", Err("quotation marks")),
        ("'0123abcd'", Err("quotation marks")),
        ("\"", Ok("\"")),
        ("secret_key: 0123abcd\n", Err("without \"secret_key:\"")),
        ("secret_key=0123abcd\n", Err("without \"secret_key:\"")),
    ] {
        std::fs::write(&path, content).unwrap();
        check_secret(&load_text(&from_file, &[]), outcome, content);
    }
    std::fs::write(&path, vec![b'a'; 5000]).unwrap();
    check_secret(
        &load_text(&from_file, &[]),
        Err("larger than 4096 bytes"),
        "5000 bytes",
    );

    let from_variable = with_account("secret_key_env: MY_KEY");
    for (value, outcome) in [
        ("0123abcd", Ok("0123abcd")),
        ("0123abcd\n", Err("white space or a line break")),
        (" 0123abcd", Err("white space or a line break")),
        ("", Err("empty")),
        ("\"0123abcd\"", Err("quotation marks")),
    ] {
        check_secret(&load_text(&from_variable, &[("MY_KEY", value)]), outcome, value);
    }
    check_secret(&load_text(&from_variable, &[]), Err("MY_KEY is not set"), "unset");

    // The working directory matters for a relative path only.
    for (path, ends) in [
        (
            "no-such-key",
            "name another file (relative to the working directory)",
        ),
        ("/no/such/key", "name another file"),
    ] {
        let problems = load_text(&with_account(&format!("secret_key_file: {path}")), &[]).unwrap_err();
        assert!(problems.to_string().ends_with(ends), "{problems}");
    }

    // The environment takes the place of the file's source, whichever of the three it is.
    let variable = [("JDCLOUD_CDN_EXPORTER__ACCOUNTS__0__SECRET_KEY", "fedc9876")];
    check_secret(&load_text(&from_file, &variable), Ok("fedc9876"), "override");
}

fn check_secret(loaded: &Result<Config, Problems>, outcome: Result<&str, &str>, case: &str) {
    match (loaded, outcome) {
        (Ok(config), Ok(key)) => assert_eq!(config.accounts[0].secret_key.expose_secret(), key),
        (Err(problems), Err(part)) => assert!(problems.to_string().contains(part), "{case:?}: {problems}"),
        (Ok(_), Err(part)) => panic!("{case:?} was taken, though {part}"),
        (Err(problems), Ok(_)) => panic!("{case:?}: {problems}"),
    }
}

#[test]
fn no_message_and_no_debug_holds_a_secret() {
    let key = "e7a31b1c5ea0efa9aa2f29c6559f7d61";
    let mut texts = Vec::new();
    for lines in [
        format!("secret_key: \" {key}\""),
        format!("secret_key: \"{key}\\n\""),
        format!("secret_key: \"{key}\"\n    secret_key: \"{key}\""),
        format!("secret_key_file: {key}"),
        format!("secret_key_env: {key}"),
        format!("secret_key: [{key}]"),
        format!("secret_key: {{{key}: 1}}"),
        format!("secret_key: \"{key}\" x"),
        format!("secret_key: \"{key}"),
        format!("secret_key: {key}: x"),
        format!("secret_key: @{key}"),
        format!("secret_key: *{key}"),
        format!("secret_key: %{key}\n  x"),
        format!("secret_key:{key}"),
    ] {
        texts.push(load_text(&with_account(&lines), &[]).unwrap_err().to_string());
    }
    texts.push(load_text(key, &[]).unwrap_err().to_string());
    let loaded = load_text(&with_account(&format!("secret_key: {key}")), &[]).unwrap();
    texts.push(format!("{loaded:?}"));
    texts.push(
        Summary {
            config: &loaded,
            shard: Shard::WHOLE,
        }
        .to_string(),
    );
    for text in texts {
        assert!(!text.contains(&key[..8]), "{text}");
    }
}
