//! The result of the comparison, as `observer status` shows it.

use serde::{Deserialize, Serialize};

/// The result of the comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of compared namespaces.
    pub namespaces: usize,
    /// Namespaces beyond the limit, or whose counters cannot be read.
    pub left_out: usize,
    /// Processes whose namespace the observer must not read.
    pub hidden: usize,
    /// The differences of the counters that can be compared.
    pub counters: Vec<Difference>,
    /// Counters that cannot be compared on this kernel, each with the reason.
    pub not_comparable: Vec<(String, String)>,
    /// Namespaces with a difference; the first 16 by number.
    pub differing: Vec<Differing>,
    /// The reason if nothing is compared.
    pub failed: Option<String>,
}

/// The difference of a counter in all namespaces together. An excess in one namespace does not cancel a shortage in
/// another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The kernel's name of the counter.
    pub counter: String,
    /// Events that the kernel counted and nothing reported.
    pub not_reported: u64,
    /// Events that were reported and the kernel did not count.
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

    /// One sentence.
    #[must_use]
    pub fn text(&self) -> String {
        if let Some(why) = &self.failed {
            return format!("the kernel's counters are not compared: {why}");
        }
        if self.namespaces == 0 {
            return "the kernel's counters are not compared yet".to_owned();
        }
        let differences: Vec<_> = self.counters.iter().filter_map(Difference::text).collect();
        let mut text =
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
        text.extend([format!(" ({})", parts.join(", "))].into_iter().chain(not_comparable));
        text
    }
}

impl Difference {
    /// The differences in both directions.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.not_reported + self.not_counted
    }

    fn text(&self) -> Option<String> {
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
