//! Closed sets of words that have the same name in JSON lines, metric labels and sentences.
//!
//! A set is written once, with `words!`, and every output takes its words from there. A set that belongs to one
//! stage is in that stage's module: [`Outcome`](crate::classify::Outcome) in `classify`,
//! [`Mechanism`](crate::attach::answer::Mechanism) in `attach`.

pub mod errno;

/// Defines a closed set of words: an enum whose variants have the given names in JSON and in labels.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name { $($(#[$doc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every variant, in the order of their definition.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word in JSON and in labels.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// One end of a connection.
    Side {
        /// This host's socket.
        Local = "local",
        /// The peer.
        Remote = "remote",
    }
}

words! {
    /// The call or event on this host that ended its side of the connection (`local_action` in JSON).
    LocalAction {
        /// The last file descriptor was closed.
        Close = "close",
        /// `shutdown(SHUT_RD)`. It ends a connection only during the handshake.
        ShutdownRead = "shutdown_read",
        /// `shutdown(SHUT_WR)`.
        ShutdownWrite = "shutdown_write",
        /// `shutdown(SHUT_RDWR)`, or one `shutdown()` for each direction.
        ShutdownBoth = "shutdown_both",
        /// The process exited while the file descriptor was open.
        ProcessExit = "process_exit",
        /// A signal killed the process.
        Killed = "killed",
        /// `connect(AF_UNSPEC)`.
        Disconnect = "disconnect",
    }
}

impl LocalAction {
    /// Whether the action queues a FIN.
    #[must_use]
    pub const fn sends_fin(self) -> bool {
        !matches!(self, Self::Disconnect | Self::ShutdownRead)
    }
}
