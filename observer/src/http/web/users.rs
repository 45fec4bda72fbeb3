//! Who may ask: names and passwords against bcrypt hashes.
//!
//! A comparison takes a tenth of a second and more, on purpose. It is done beside the server, one at a time, and what
//! was right is remembered; a client with a wrong password costs one CPU at most, and holds up nobody who has been let
//! in before.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::header::HeaderValue;
use ring::{hmac, rand::SystemRandom};
use tokio::sync::Semaphore;

use super::WebError;

/// Passwords that are remembered; there is one for each user, unless it is changed.
const REMEMBERED: usize = 100;

/// The users, and what they have proved.
pub(in crate::http) struct Users {
    hashes: BTreeMap<String, String>,
    /// Drawn at start: what is remembered is of no use without it.
    key: hmac::Key,
    /// Marks of names with their passwords that were right.
    right: Mutex<HashSet<Vec<u8>>>,
    /// One comparison at a time.
    turn: Arc<Semaphore>,
}

impl Users {
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Result<Self, WebError> {
        for (user, hash) in &hashes {
            // A hash that nothing could ever match is told now.
            hash.parse::<bcrypt::HashParts>()
                .map_err(|source| WebError::Hash { user: user.clone(), source })?;
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_unspecified| WebError::Random)?;
        Ok(Self { hashes, key, right: Mutex::default(), turn: Arc::new(Semaphore::new(1)) })
    }

    /// Whether this Authorization header lets in. Without users, everybody is.
    pub(in crate::http) async fn admit(self: Arc<Self>, authorization: Option<&HeaderValue>) -> bool {
        if self.hashes.is_empty() {
            return true;
        }
        let Some((user, password)) = authorization.and_then(credentials) else { return false };
        let mark = self.mark(&user, &password);
        if self.remembered().contains(&mark) {
            return true;
        }
        let Ok(turn) = Arc::clone(&self.turn).acquire_owned().await else { return false };
        // Another connection may have proved it meanwhile.
        if self.remembered().contains(&mark) {
            return true;
        }
        // An unknown name takes as long as a known one, so that time does not tell which there are.
        let known = self.hashes.get(&user);
        let Some(hash) = known.or_else(|| self.hashes.values().next()).cloned() else { return false };
        let comparison = tokio::task::spawn_blocking(move || {
            // It goes on when its client has gone, and so does its turn.
            let _turn = turn;
            bcrypt::verify(password, &hash)
        });
        let same = matches!(comparison.await, Ok(Ok(true)));
        let admitted = same && known.is_some();
        if admitted {
            let mut right = self.remembered();
            if right.len() >= REMEMBERED {
                right.clear();
            }
            right.insert(mark);
        }
        admitted
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashSet<Vec<u8>>> {
        // Nobody panics while holding it.
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands for a name and a password; of another pair it differs.
    fn mark(&self, user: &str, password: &[u8]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        // A name holds no colon.
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
