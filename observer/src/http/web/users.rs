//! Authentication: names and passwords, compared with bcrypt hashes.
//!
//! A comparison takes a tenth of a second or more, on purpose. It runs on a thread of its own, one at a time, and
//! correct passwords are remembered. So clients with wrong passwords cost one CPU at most, and do not delay clients
//! that were admitted before.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::header::HeaderValue;
use ring::{hmac, rand::SystemRandom};
use tokio::sync::Semaphore;

use super::WebError;

/// Maximum passwords that are remembered. Normally there is one per user.
const REMEMBERED: usize = 100;

/// The users, and the passwords that were correct.
pub(in crate::http) struct Users {
    hashes: BTreeMap<String, String>,
    /// Random, so that the remembered codes are of no use outside this process.
    key: hmac::Key,
    /// Authentication codes (HMAC) of names with correct passwords.
    correct: Mutex<HashSet<Vec<u8>>>,
    /// Allows one comparison at a time.
    turn: Arc<Semaphore>,
}

impl Users {
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Result<Self, WebError> {
        for (user, hash) in &hashes {
            // Report a value that is no hash now, and not when a login fails.
            hash.parse::<bcrypt::HashParts>()
                .map_err(|source| WebError::Hash { user: user.clone(), source })?;
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_unspecified| WebError::Random)?;
        Ok(Self { hashes, key, correct: Mutex::default(), turn: Arc::new(Semaphore::new(1)) })
    }

    /// Whether a request with this Authorization header is admitted. Without users, all requests are.
    pub(in crate::http) async fn admit(self: Arc<Self>, authorization: Option<&HeaderValue>) -> bool {
        if self.hashes.is_empty() {
            return true;
        }
        let Some((user, password)) = authorization.and_then(credentials) else { return false };
        let code = self.code(&user, &password);
        if self.remembered().contains(&code) {
            return true;
        }
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else { return false };
        // Another connection may have compared it meanwhile.
        if self.remembered().contains(&code) {
            return true;
        }
        // An unknown name takes as long as a known one, so that the time does not reveal which names exist.
        let known = self.hashes.get(&user);
        let Some(hash) = known.or_else(|| self.hashes.values().next()).cloned() else { return false };
        let comparison = tokio::task::spawn_blocking(move || {
            // The comparison continues when its client has gone, and keeps its turn.
            let _turn = turn;
            bcrypt::verify(password, &hash)
        });
        let same = matches!(comparison.await, Ok(Ok(true)));
        let admitted = same && known.is_some();
        if admitted {
            let mut correct = self.remembered();
            if correct.len() >= REMEMBERED {
                correct.clear();
            }
            correct.insert(code);
        }
        admitted
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashSet<Vec<u8>>> {
        // No code panics while it holds the lock.
        self.correct.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The authentication code of a name with a password.
    fn code(&self, user: &str, password: &[u8]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        // A name contains no colon, so no two pairs have the same text.
        context.update(user.as_bytes());
        context.update(b":");
        context.update(password);
        context.sign().as_ref().to_vec()
    }
}

/// The name and the password of `Basic BASE64`.
fn credentials(header: &HeaderValue) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = std::str::from_utf8(&decoded[..colon]).ok()?;
    Some((user.to_owned(), decoded[colon + 1..].to_vec()))
}
