//! Plans for recorded facts of each kernel.

use super::*;

fn facts(release: &str, reset_reasons: bool, missing: &[&str]) -> Facts {
    let hooks = HOOKS.iter().map(|hook| {
        let is_missing = missing.contains(&hook.name);
        (
            hook.name,
            if is_missing { Answer::No("this kernel has no such thing".to_owned()) } else { Answer::Yes },
        )
    });
    Facts {
        release: release.to_owned(),
        fentry: Answer::Yes,
        kprobe: Answer::Yes,
        ring_buffer: Answer::Yes,
        reset_reasons,
        hooks: hooks.collect(),
        tried: Vec::new(),
    }
}

/// As Debian builds them.
fn debian() -> [Facts; 4] {
    [
        facts("5.10.0", false, &["sock_send_length"]),
        facts("6.1.0", false, &["sock_send_length"]),
        facts("6.12.0", true, &[]),
        facts("7.2.0", true, &[]),
    ]
}

/// A 6.18 that refuses BPF trampolines and is built without kprobes.
fn hardened() -> Facts {
    Facts {
        fentry: Answer::Refused("not permitted by the kernel".to_owned()),
        kprobe: Answer::No("this kernel is built without kprobes".to_owned()),
        ..facts("6.18.0", true, &[])
    }
}

fn only(mechanism: Mechanism) -> Preferences {
    Preferences { mechanism: Some(mechanism), ..Preferences::default() }
}

/// `hook mechanism`, for those that are attached.
fn attached(facts: &Facts, preferences: &Preferences) -> Vec<String> {
    let plan = plan(facts, preferences).unwrap();
    let hooks = plan.hooks.iter();
    hooks.filter_map(|hook| Some(format!("{} {}", hook.hook.name, hook.mechanism?.word()))).collect()
}

fn of(facts: &Facts, preferences: &Preferences, hook: &str) -> Planned {
    plan(facts, preferences).unwrap().hooks.into_iter().find(|planned| planned.hook.name == hook).unwrap()
}

#[test]
fn functions_use_trampolines_if_the_kernel_has_them() {
    let [old, _, new, newest] = debian();
    let common = [
        "inet_sock_set_state raw_tracepoint",
        "tcp_send_reset raw_tracepoint",
        "tcp_receive_reset raw_tracepoint",
        "tcp_destroy_sock raw_tracepoint",
    ];
    let functions = ["tcp_send_fin fentry", "tcp_send_active_reset fentry"];
    let last = ["__tcp_close fentry", "sk_stream_wait_close fentry", "sk_stream_error fentry"];
    let silent = ["tcp_v4_send_reset fentry", "tcp_v6_send_reset fentry"];
    let expected = [&common[..], &functions, &silent, &last].concat();
    assert_eq!(attached(&old, &Preferences::default()), expected);
    let expected = [&common[..], &functions, &last].concat();
    assert_eq!(attached(&new, &Preferences::default()), expected);
    assert_eq!(attached(&newest, &Preferences::default()), expected);
}

#[test]
fn no_send_is_traced_if_failed_ones_are() {
    for facts in debian() {
        let hook = of(&facts, &Preferences::default(), "sock_send_length");
        assert_eq!((hook.mechanism, hook.status, hook.word()), (None, HookStatus::NotNeeded, "-"));
        assert_eq!(hook.reason, "not needed: sk_stream_error covers it");
    }
}

#[test]
fn a_hook_without_a_kprobe_keeps_its_tracepoint() {
    for facts in debian() {
        let plan = attached(&facts, &only(Mechanism::Kprobe));
        assert!(plan.contains(&"tcp_send_fin kprobe".to_owned()), "{plan:?}");
        assert!(plan.contains(&"sk_stream_error kprobe".to_owned()), "{plan:?}");
        assert!(plan.contains(&"signal_deliver raw_tracepoint".to_owned()), "{plan:?}");
        assert!(!plan.iter().any(|hook| hook.ends_with("fentry")), "{plan:?}");
    }
}

#[test]
fn tracepoints_alone_are_enough() {
    for facts in debian() {
        let plan = attached(&facts, &only(Mechanism::RawTracepoint));
        assert!(plan.iter().all(|hook| hook.ends_with("raw_tracepoint")), "{plan:?}");
        assert_eq!(
            plan.contains(&"sock_send_length raw_tracepoint".to_owned()),
            facts.hook("sock_send_length").is_yes()
        );
    }
}

#[test]
fn a_refusal_is_named_and_marked_and_its_substitute_is_used() {
    let fin = of(&hardened(), &Preferences::default(), "tcp_send_fin");
    assert_eq!(
        (fin.mechanism, fin.refused, fin.status, fin.word()),
        (None, true, HookStatus::Refused, "refused")
    );
    assert_eq!(fin.reason, "covered by inet_sock_set_state");
    let close = of(&hardened(), &Preferences::default(), "__tcp_close");
    assert_eq!(
        (close.word(), close.reason.as_str()),
        ("refused", "needs fentry or kprobe; neither is available")
    );
    let sends = of(&hardened(), &Preferences::default(), "sock_send_length");
    assert_eq!((sends.mechanism, sends.refused), (Some(Mechanism::RawTracepoint), false));
    assert_eq!(sends.reason, "covers sk_stream_error, which is not available");
}

#[test]
fn a_reason_that_holds_for_a_mechanism_is_given_once() {
    let plan = plan(&hardened(), &Preferences::default()).unwrap();
    let closed: Vec<_> = plan.closed.iter().map(ToString::to_string).collect();
    let refused = "fentry: not permitted by the kernel";
    assert_eq!(closed, [refused, "kprobe: this kernel is built without kprobes"]);
    assert_eq!(plan.refusals(), [refused]);
    for hook in &plan.hooks {
        let columns = "tcp_send_active_reset  raw_tracepoint  ".len() + hook.reason.len();
        assert!(columns <= 100, "{columns} columns: {}", hook.reason);
    }

    let [_, _, facts, _] = debian();
    let plan = super::plan(&facts, &only(Mechanism::Kprobe)).unwrap();
    assert_eq!(plan.closed.iter().map(ToString::to_string).collect::<Vec<_>>(), ["fentry: excluded"]);
    assert_eq!(plan.refusals(), [""; 0]);
    let fin = of(&facts, &only(Mechanism::Kprobe), "tcp_send_fin");
    assert_eq!((fin.status, fin.reason.as_str()), (HookStatus::Attached, "instead of fentry"));
    let wait = of(&facts, &only(Mechanism::Kprobe), "sk_stream_wait_close");
    assert_eq!((wait.status, wait.reason.as_str()), (HookStatus::LeftOut, "covered by signal_deliver"));
}

#[test]
fn unseen_events_are_named_unless_the_user_excluded_them() {
    let unseen = |facts: &Facts, preferences: &Preferences| plan(facts, preferences).unwrap().unseen();
    for facts in debian().iter().chain([&hardened()]) {
        assert_eq!(unseen(facts, &Preferences::default()), [""; 0], "{}", facts.release);
    }
    // Before 6.3.
    let facts = Facts { hooks: debian()[1].hooks.clone(), reset_reasons: false, ..hardened() };
    let writes = "failed writes cannot be seen: neither sk_stream_error nor sock_send_length is available";
    let resets = "resets for no live connection cannot be seen: tcp_v4_send_reset is not available";
    assert_eq!(unseen(&facts, &Preferences::default()), [writes, resets]);
    let chosen = Preferences { without: vec!["sk_stream_error".to_owned()], ..Preferences::default() };
    assert_eq!(unseen(&facts, &chosen), [resets]);
    let chosen = Preferences { without: vec!["sock_send_length".to_owned()], ..Preferences::default() };
    assert_eq!(unseen(&hardened(), &chosen), [""; 0]);
}

#[test]
fn one_function_that_cannot_be_traced_falls_back_alone() {
    let [_, _, mut facts, _] = debian();
    facts.tried.push(("tcp_send_fin", Mechanism::Fentry, Answer::Refused("not traceable".to_owned())));
    let fin = of(&facts, &Preferences::default(), "tcp_send_fin");
    assert_eq!((fin.mechanism, fin.refused), (Some(Mechanism::Kprobe), true));
    assert_eq!(fin.reason, "fentry: not traceable");
    let plan_of = plan(&facts, &Preferences::default()).unwrap();
    assert_eq!(plan_of.refusals(), ["tcp_send_fin: fentry: not traceable"]);
    facts.tried.push(("tcp_send_fin", Mechanism::Kprobe, Answer::Refused("not there either".to_owned())));
    let fin = of(&facts, &Preferences::default(), "tcp_send_fin");
    assert_eq!(fin.mechanism, None);
    assert_eq!(fin.reason, "fentry: not traceable; kprobe: not there either; covered by inet_sock_set_state");
    assert_eq!(of(&facts, &Preferences::default(), "sk_stream_error").mechanism, Some(Mechanism::Fentry));
}

#[test]
fn a_hook_is_left_out_as_requested_and_its_substitute_is_used() {
    let [_, _, facts, _] = debian();
    let without = |name: &str| Preferences { without: vec![name.to_owned()], ..Preferences::default() };
    let left_out = of(&facts, &without("sk_stream_error"), "sk_stream_error");
    assert_eq!((left_out.status, left_out.word()), (HookStatus::LeftOut, "-"));
    assert_eq!(left_out.reason, "left out as requested");
    assert!(of(&facts, &without("sk_stream_error"), "sock_send_length").mechanism.is_some());
    assert_eq!(plan(&facts, &without("tcp_send")).unwrap_err(), PlanError::NoSuchHook("tcp_send".to_owned()));
    let error = plan(&facts, &without("inet_sock_set_state")).unwrap_err();
    assert!(matches!(error, PlanError::MissingHook { hook: "inet_sock_set_state", .. }), "{error}");
}

#[test]
fn an_unavailable_preferred_mechanism_is_an_error() {
    assert_eq!(
        plan(&hardened(), &only(Mechanism::Kprobe)).unwrap_err().to_string(),
        "kprobe is not available: this kernel is built without kprobes"
    );
}

#[test]
fn a_missing_required_hook_is_an_error() {
    let error = plan(&facts("5.8.0", false, &["inet_sock_set_state"]), &Preferences::default()).unwrap_err();
    assert!(matches!(error, PlanError::MissingHook { hook: "inet_sock_set_state", .. }), "{error}");
}

#[test]
fn a_missing_ring_buffer_is_an_error() {
    let facts = Facts { ring_buffer: Answer::No("it came with 5.8".to_owned()), ..hardened() };
    assert_eq!(
        plan(&facts, &Preferences::default()).unwrap_err().to_string(),
        "no BPF ring buffer: it came with 5.8"
    );
}
