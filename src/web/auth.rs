//! Basic authentication (RFC 7617) against bcrypt hashes, without telling which users exist and
//! without paying for bcrypt at every scrape.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use tokio::sync::Semaphore;

/// Bcrypt runs at once: one core of a machine stays free for everything else.
const RUNNING: usize = 1;
/// Requests that may wait for bcrypt; more are told to come again, which bounds what a flood of
/// wrong passwords can hold.
const WAITING: usize = 16;
/// Remembered correct logins; there are as many as users, times the hashes they had lately.
const REMEMBERED: usize = 1_024;

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// User and password are right.
    Welcome,
    /// They are wrong, or missing.
    Refused,
    /// Too many checks are waiting.
    Busy,
}

/// Checks passwords and remembers those that were right.
#[derive(Debug)]
pub(super) struct Passwords {
    /// Two independent keyed hashes of 64 bits make an entry that cannot be found by trying.
    keys: [RandomState; 2],
    /// Hashes of user, password and stored hash, so that a changed hash ends what was remembered.
    right: Mutex<HashSet<[u64; 2]>>,
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            keys: [RandomState::new(), RandomState::new()],
            right: Mutex::default(),
            running: Arc::new(Semaphore::new(RUNNING)),
            waiting: Semaphore::new(WAITING),
        }
    }
}

impl Passwords {
    /// Checks an `Authorization` header against the users of the configuration.
    pub(super) async fn check(
        &self,
        users: &BTreeMap<String, SecretString>,
        authorization: Option<&HeaderValue>,
    ) -> Verdict {
        let Some((user, password)) = authorization.and_then(credentials) else {
            return Verdict::Refused;
        };
        let known = users.get(&user);
        // An unknown user is checked against the hash of some real one, always the same for the same
        // name, so that it takes as long and even the spread of costs gives nothing away.
        let Some(hash) = known.or_else(|| self.stand_in(users, &user)) else {
            return Verdict::Refused;
        };
        let entry = self
            .keys
            .each_ref()
            .map(|key| key.hash_one((&user, password.expose_secret(), hash.expose_secret())));
        if known.is_some() && self.remembered(&entry) {
            return Verdict::Welcome;
        }
        let Ok(_place) = self.waiting.try_acquire() else {
            return Verdict::Busy;
        };
        let Ok(running) = Arc::clone(&self.running).acquire_owned().await else {
            return Verdict::Busy;
        };
        let hash = hash.clone();
        let right = tokio::task::spawn_blocking(move || {
            let right = bcrypt::verify(password.expose_secret(), hash.expose_secret());
            // Given back here, not in the request's task: a client that goes away does not end the work.
            drop(running);
            right.unwrap_or(false)
        });
        if right.await.unwrap_or(false) && known.is_some() {
            self.remember(entry);
            Verdict::Welcome
        } else {
            Verdict::Refused
        }
    }

    fn stand_in<'a>(
        &self,
        users: &'a BTreeMap<String, SecretString>,
        user: &str,
    ) -> Option<&'a SecretString> {
        let [key, _] = &self.keys;
        let count = u64::try_from(users.len()).ok()?;
        let index = key.hash_one(user).checked_rem(count)?;
        users.values().nth(usize::try_from(index).ok()?)
    }

    fn remembered(&self, entry: &[u64; 2]) -> bool {
        self.right
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(entry)
    }

    fn remember(&self, entry: [u64; 2]) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED {
            right.clear();
        }
        right.insert(entry);
    }
}

/// User and password of a Basic header; `None` for anything else.
fn credentials(header: &HeaderValue) -> Option<(String, SecretSlice<u8>)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut user = STANDARD.decode(encoded.trim()).ok()?;
    let colon = user.iter().position(|&byte| byte == b':')?;
    let password = user.split_off(colon).split_off(1);
    Some((String::from_utf8(user).ok()?, password.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(scheme: &str, credentials: &str) -> HeaderValue {
        HeaderValue::from_str(&format!("{scheme} {}", STANDARD.encode(credentials))).unwrap()
    }

    /// The lowest cost that bcrypt has, to be quick.
    fn users(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretString> {
        pairs
            .iter()
            .map(|(user, password)| ((*user).to_owned(), bcrypt::hash(password, 4).unwrap().into()))
            .collect()
    }

    #[tokio::test]
    async fn who_gets_in() {
        let users = users(&[("alice", "s3cret:with:colons"), ("Bob", "")]);
        let passwords = Passwords::default();
        for (given, expected) in [
            (header("Basic", "alice:s3cret:with:colons"), Verdict::Welcome),
            (header("bASIC", "alice:s3cret:with:colons"), Verdict::Welcome),
            (header("Basic", "alice:wrong"), Verdict::Refused),
            (header("Basic", "alice:"), Verdict::Refused),
            (header("Basic", "Bob:"), Verdict::Welcome),
            (header("Basic", "bob:"), Verdict::Refused),
            (header("Basic", "mallory:s3cret:with:colons"), Verdict::Refused),
            (header("Basic", ":"), Verdict::Refused),
            (header("Basic", "alice"), Verdict::Refused),
            (header("Bearer", "alice:s3cret:with:colons"), Verdict::Refused),
            (HeaderValue::from_static("Basic ???"), Verdict::Refused),
            (HeaderValue::from_static("Basic"), Verdict::Refused),
        ] {
            // Twice: what is remembered must not change the outcome.
            for _ in 0..2 {
                assert_eq!(passwords.check(&users, Some(&given)).await, expected, "{given:?}");
            }
        }
        assert_eq!(passwords.check(&users, None).await, Verdict::Refused);
        assert_eq!(
            passwords.right.lock().unwrap().len(),
            2,
            "only right logins are remembered"
        );
    }

    #[tokio::test]
    async fn an_unknown_user_is_refused_even_with_the_password_of_the_user_it_is_checked_against() {
        let users = users(&[("alice", "s3cret")]);
        let passwords = Passwords::default();
        assert!(
            passwords.stand_in(&users, "mallory").is_some(),
            "bcrypt is paid for unknown users too"
        );
        assert_eq!(
            passwords
                .check(&users, Some(&header("Basic", "mallory:s3cret")))
                .await,
            Verdict::Refused
        );
    }

    #[tokio::test]
    async fn a_changed_hash_ends_what_was_remembered() {
        let passwords = Passwords::default();
        let login = header("Basic", "alice:old");
        assert_eq!(
            passwords.check(&users(&[("alice", "old")]), Some(&login)).await,
            Verdict::Welcome
        );
        assert_eq!(
            passwords.check(&users(&[("alice", "new")]), Some(&login)).await,
            Verdict::Refused
        );
    }

    #[tokio::test]
    async fn a_remembered_login_needs_no_bcrypt_and_the_queue_is_bounded() {
        let users = users(&[("alice", "s3cret")]);
        let passwords = Passwords::default();
        let login = header("Basic", "alice:s3cret");
        assert_eq!(passwords.check(&users, Some(&login)).await, Verdict::Welcome);
        let _everything = passwords
            .waiting
            .acquire_many(u32::try_from(WAITING).unwrap())
            .await
            .unwrap();
        assert_eq!(passwords.check(&users, Some(&login)).await, Verdict::Welcome);
        assert_eq!(
            passwords
                .check(&users, Some(&header("Basic", "alice:wrong")))
                .await,
            Verdict::Busy
        );
    }
}
