//! Where rules come from, and what happens to those that cannot work.

use std::fs;

use ostracon::{ErrorKind, Kind, RetentionLimits, RetentionPolicy, RetentionRule, Store};

use super::support;

#[test]
fn rules_come_from_the_file_unless_code_gives_others() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    Store::open(&root).unwrap().close().unwrap();
    let origins = |store: Store| -> Vec<_> {
        store.retention_rules().into_iter().map(|rule| (rule.name, rule.origin)).collect()
    };
    let said = |name: &str, origin: &str| (name.to_owned(), origin.to_owned());
    assert_eq!(origins(Store::open(&root).unwrap()), []);
    fs::write(
        root.join("ostracon.toml"),
        "[retention]\nmax_age = '90d'\n[retention.audits]\nmax_records = 5\n\
         [[retention.rule]]\nname = 'crashes'\nkind = 'events'\nwhere = \"event_type = 'ActorCrashed'\"\n",
    )
    .unwrap();
    assert_eq!(
        origins(Store::open(&root).unwrap()),
        [
            said("crashes", "ostracon.toml, [[retention.rule]] \"crashes\""),
            said("audits", "ostracon.toml, [retention.audits]"),
            said("store", "ostracon.toml, [retention]"),
        ]
    );
    let code = RetentionPolicy::new().kind(Kind::Event, RetentionLimits::new().max_records(1));
    let open = |policy: &RetentionPolicy| Store::builder().retention(policy.clone()).open(&root).unwrap();
    assert_eq!(origins(open(&code)), [said("events", "code, instead of ostracon.toml")]);
    // Also one that keeps everything.
    assert_eq!(origins(open(&RetentionPolicy::new())), []);
    fs::remove_file(root.join("ostracon.toml")).unwrap();
    assert_eq!(origins(open(&code)), [said("events", "code")]);
}

#[test]
fn rules_that_cannot_work_keep_a_store_from_being_opened_or_made() {
    let folder = support::scratch();
    let root = folder.path().join("facts");
    let wrong = RetentionRule::new("r", RetentionLimits::new()).kind(Kind::Event).predicate("evnt = 1");
    let error = Store::builder().retention(RetentionPolicy::new().rule(wrong)).open(&root).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Settings);
    assert!(error.to_string().contains("evnt") && error.to_string().contains("\"r\""), "{error}");
    assert!(!root.exists(), "nothing is made");

    Store::open(&root).unwrap().close().unwrap();
    let commits = || fs::read_dir(root.join("ledger")).unwrap().count();
    let before = commits();
    for (text, why) in [
        ("[retention]\nmax_agee = '1d'", "max_agee"),
        ("[retention]\nmax_age = 'soon'", "soon"),
        ("[[retention.rule]]\nname = 'a'\nkind = 'events'\nwhere = 'random() < 0.5'", "random()"),
        ("[[retention.rule]]\nname = 'a'\nwhere = \"event_type = 'x'\"", "give it one"),
        ("[[retention.rule]]\nname = 'store'", "limits of the store"),
        ("[[retention.rule]]\nname = 'a'\n[[retention.rule]]\nname = 'a'", "another"),
    ] {
        fs::write(root.join("ostracon.toml"), text).unwrap();
        for builder in [
            Store::builder(),
            Store::builder().access(ostracon::Access::Read),
            Store::builder().access(ostracon::Access::Maintain),
        ] {
            let error = builder.open(&root).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Settings, "{text}: {error}");
            assert!(error.to_string().contains(why), "{text}: {error}");
        }
    }
    assert_eq!(commits(), before);
}
