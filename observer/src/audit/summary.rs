//! How the comparison stands, as `observer status` shows it and says it.

use serde::{Deserialize, Serialize};

/// How it stands, for `observer status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Namespaces that are compared.
    pub namespaces: usize,
    /// Those beyond the limit, or whose counters cannot be read.
    pub left_out: usize,
    /// Processes whose namespace is not ours to know.
    pub hidden: usize,
    /// By counter, for those that can be compared.
    pub counters: Vec<Difference>,
    /// Counters that cannot be compared with what this kernel lets us see, and why.
    pub not_comparable: Vec<(String, String)>,
    /// The first namespaces with a difference.
    pub differing: Vec<Differing>,
    /// Why nothing is compared.
    pub failed: Option<String>,
}

/// By how much a counter differs, in all namespaces together. What is too much in one does not make up for what is
/// too little in another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The kernel's name.
    pub counter: String,
    /// Counted by the kernel and not reported.
    pub not_reported: u64,
    /// Reported and not counted by the kernel.
    pub not_counted: u64,
}

/// A namespace with a difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differing {
    /// The namespace.
    pub netns: u32,
    /// Kernel minus reported, of the counters that differ.
    pub differences: Vec<(String, i64)>,
}

impl Summary {
    /// Whether the kernel counted what was reported.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.counters.iter().all(|counter| counter.total() == 0)
    }

    /// In words.
    #[must_use]
    pub fn told(&self) -> String {
        if let Some(why) = &self.failed {
            return format!("the kernel's counters are not compared: {why}");
        }
        if self.namespaces == 0 {
            return "the kernel's counters are not compared yet".to_owned();
        }
        let differences: Vec<_> = self.counters.iter().filter_map(Difference::told).collect();
        let mut told =
            if differences.is_empty() { "kernel counters agree".to_owned() } else { differences.join("; ") };
        let number = |number: usize, one: &str, many: &str| {
            format!("{number} {}", if number == 1 { one } else { many })
        };
        let mut parts = vec![number(self.namespaces, "namespace", "namespaces")];
        if self.left_out > 0 {
            parts.push(format!("{} left out", self.left_out));
        }
        if self.hidden > 0 {
            parts.push(format!("{} hidden", number(self.hidden, "process", "processes")));
        }
        let not_comparable = self.not_comparable.iter();
        let not_comparable =
            not_comparable.map(|(counter, why)| format!("; {counter} is not comparable here: {why}"));
        told.extend([format!(" ({})", parts.join(", "))].into_iter().chain(not_comparable));
        told
    }
}

impl Difference {
    /// Both ways.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.not_reported + self.not_counted
    }

    fn told(&self) -> Option<String> {
        let Self { counter, not_reported, not_counted } = self;
        Some(match (not_reported, not_counted) {
            (0, 0) => return None,
            (more, 0) => format!("{counter}: kernel counted {more} more than reported"),
            (0, less) => format!("{counter}: kernel counted {less} less than reported"),
            (more, less) => {
                format!(
                    "{counter}: kernel counted {more} more than reported in some namespaces, {less} less in others"
                )
            }
        })
    }
}
