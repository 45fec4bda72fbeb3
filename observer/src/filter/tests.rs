//! What fits and what does not, over verdicts of made-up connections.

use super::*;
use crate::{classify::classify, event::State, story::tests::Script};

fn close() -> Report {
    let script =
        Script::opened().close_to(State::FinWait1).orphan_to(State::FinWait2).orphan_to(State::Close);
    let mut story = script.story();
    story.write_errors.insert(32, 1);
    Report::Close(Box::new(classify(&story)))
}

fn fits(filter: &Filter) -> bool {
    filter.fits(&close(), &mut Cgroups::none())
}

#[test]
fn no_condition_fits_everything() {
    assert!(fits(&Filter::default()));
}

#[test]
fn each_condition_fits_its_own_reports_only() {
    let word = |word: &str| Some(word.to_owned());
    let address = |text: &str| Some(text.parse().expect("an address"));
    let pairs = [
        (Filter { pid: Some(812), ..Filter::default() }, Filter { pid: Some(1), ..Filter::default() }),
        (
            Filter { comm: Some(Comm::from("closer")), ..Filter::default() },
            Filter { comm: Some(Comm::from("close")), ..Filter::default() },
        ),
        (
            Filter { local: address("127.0.0.1:1000"), ..Filter::default() },
            Filter { local: address(":2000"), ..Filter::default() },
        ),
        (
            Filter { remote: address(":2000"), ..Filter::default() },
            Filter { remote: address("127.0.0.2"), ..Filter::default() },
        ),
        (
            Filter { outcome: word("graceful"), ..Filter::default() },
            Filter { outcome: word("refused"), ..Filter::default() },
        ),
        (
            Filter { cause: word("closed_first"), ..Filter::default() },
            Filter { cause: word("orderly"), ..Filter::default() },
        ),
        (
            Filter { errno: word("EPIPE"), ..Filter::default() },
            Filter { errno: word("ECONNRESET"), ..Filter::default() },
        ),
    ];
    for (fitting, other) in pairs {
        assert!(fits(&fitting), "{fitting:?}");
        assert!(!fits(&other), "{other:?}");
        assert!(!fits(&Filter { pid: Some(1), ..fitting.clone() }), "one condition that fails is enough");
    }
    // A recording has no cgroups.
    assert!(!fits(&Filter { unit: word("nginx.service"), ..Filter::default() }));
}
