//! Parts of the host that a snapshot could not read.

/// Counts of namespaces and processes that a snapshot had to leave out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unseen {
    /// Other network namespaces that this process must not enter.
    pub namespaces: usize,
    /// Processes whose network namespace this process must not read.
    pub process_namespaces: usize,
    /// Processes whose descriptors this process must not read; 0 if the snapshot found every owner without them.
    pub process_descriptors: usize,
}

impl Unseen {
    /// One sentence; None if nothing was left out.
    #[must_use]
    pub fn summary(self) -> Option<String> {
        let Self { namespaces, process_namespaces, process_descriptors } = self;
        let count = |number: usize, one: &str, many: &str| {
            format!("{number} {}", if number == 1 { one } else { many })
        };
        let processes = |number| count(number, "process", "processes");
        let mut parts = Vec::new();
        if namespaces > 0 {
            let namespaces = count(namespaces, "network namespace", "network namespaces");
            parts.push(format!("cannot enter {namespaces} (needs CAP_SYS_ADMIN)"));
        }
        if process_namespaces > 0 {
            parts.push(format!("cannot read the network namespace of {}", processes(process_namespaces)));
        }
        if process_descriptors > 0 {
            parts.push(format!("cannot read the descriptors of {}", processes(process_descriptors)));
        }
        (!parts.is_empty()).then(|| format!("half-closed list incomplete: {}", parts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_only_what_was_left_out() {
        assert_eq!(Unseen::default().summary(), None);
        let unseen = Unseen { namespaces: 2, process_namespaces: 0, process_descriptors: 1 };
        let expected = "half-closed list incomplete: cannot enter 2 network namespaces (needs CAP_SYS_ADMIN), \
                        cannot read the descriptors of 1 process";
        assert_eq!(unseen.summary().as_deref(), Some(expected));
        let hidden = Unseen { process_namespaces: 1, ..Unseen::default() };
        let expected = "half-closed list incomplete: cannot read the network namespace of 1 process";
        assert_eq!(hidden.summary().as_deref(), Some(expected));
    }
}
