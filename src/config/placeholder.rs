//! PURE: credentials that nobody filled in: they are accepted, since a name may look like anything, and
//! told of.

use secrecy::ExposeSecret as _;

use super::Config;

/// What documents and samples write where the reader's own text belongs, in small letters.
const WORDS: [&str; 14] = [
    "username",
    "user",
    "secret",
    "secret_key",
    "secret-key",
    "the key",
    "the other key",
    "placeholder",
    "change-me",
    "change_me",
    "changeme",
    "replace-me",
    "example",
    "todo",
];

/// How such a text begins, in small letters.
const BEGINNINGS: [&str; 6] = ["your_", "your-", "your ", "my_secret", "你的", "您的"];

/// The settings that still hold a placeholder, each with what belongs there. No secret is in it, and none
/// that is one either.
#[must_use]
pub fn placeholders(config: &Config) -> Vec<String> {
    let mut found = Vec::new();
    for (place, account) in config.accounts.iter().enumerate() {
        if is_placeholder(&account.username) {
            found.push(format!(
                "accounts[{place}].username: {:?} looks like a placeholder; write the account's name at the provider",
                account.username
            ));
        }
        if is_placeholder(account.secret_key.expose_secret()) {
            found.push(format!(
                "accounts[{place}]: its secret key looks like a placeholder; write the key of the CDN Open API that \
                 the provider's support issued"
            ));
        }
    }
    found
}

fn is_placeholder(text: &str) -> bool {
    let text = text.trim().to_lowercase();
    let in_brackets = [('<', '>'), ('[', ']'), ('{', '}')]
        .into_iter()
        .any(|(open, close)| text.starts_with(open) && text.ends_with(close));
    let of_one_letter = text.len() > 2 && text.chars().all(|letter| letter == 'x' || letter == '*');
    in_brackets
        || of_one_letter
        || WORDS.contains(&text.as_str())
        || BEGINNINGS.iter().any(|beginning| text.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, parse};

    fn found(username: &str, secret_key: &str) -> Vec<String> {
        let text = format!(
            "accounts:\n  - username: {username:?}\n    secret_key: {secret_key:?}\n    domains: [www.a.com]\n"
        );
        placeholders(&parse(&text, "f", &Environment::default()).unwrap())
    }

    #[test]
    fn what_nobody_filled_in_is_told() {
        assert_eq!(
            found("your_username", "Your_Secret"),
            [
                "accounts[0].username: \"your_username\" looks like a placeholder; write the account's name at \
                 the provider",
                "accounts[0]: its secret key looks like a placeholder; write the key of the CDN Open API that the \
                 provider's support issued",
            ]
        );
        for text in [
            "<username>",
            "USERNAME",
            "xxxx",
            "****",
            "changeme",
            "您的用户名",
            "{{ username }}",
        ] {
            assert_eq!(found(text, "0123456789abcdef").len(), 1, "{text}");
            assert_eq!(found("jcloud_00", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn names_and_keys_that_are_some_are_not() {
        for text in [
            "jcloud_00",
            "demo",
            "youradio",
            "x",
            "xx1x",
            "example-media",
            "e7a31b1c5ea0efa9aa2f29c6559f7d61",
            "made-up-key-of-the-demo-account",
        ] {
            assert_eq!(found(text, text), Vec::<String>::new(), "{text}");
        }
    }
}
