//! Laws of merging, of the bounds, and of the text on disk.

use std::ops::Range;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::entries::{Entries, Entry, VERSIONS};
use super::fault::{Misfit, Unusable};
use super::format::{self, LONGEST_WRITTEN};
use crate::engine::io::{Era, Good};

const LISTS: [(&str, &str); 4] = [
    ("tools/list", "tools"),
    ("prompts/list", "prompts"),
    ("resources/list", "resources"),
    ("resources/templates/list", "resourceTemplates"),
];

pub(super) fn good(version: &str, method: &str, cursor: Option<&str>, result: &str) -> Good {
    Good {
        era: Era::Legacy,
        version: version.to_owned(),
        method: method.to_owned(),
        cursor: cursor.map(str::to_owned),
        result: result.to_owned().into(),
    }
}

fn merged(goods: &[Good]) -> Entries {
    let mut entries = Entries::default();
    for good in goods {
        entries.merge(format::entry(good.clone()).unwrap());
    }
    entries
}

fn text(entries: &Entries) -> String {
    let mut text = Vec::new();
    format::write(entries, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

fn is_list(good: &Good) -> bool {
    good.method.ends_with("/list")
}

fn same_list(one: &Good, other: &Good) -> bool {
    (one.era, &one.version, &one.method) == (other.era, &other.version, &other.method)
}

/// The results of the strategy below name their entries so.
fn has_entries(good: &Good) -> bool {
    good.result.windows(6).any(|at| at == b"\"name\"")
}

/// Of these kinds, four lists and two greetings, with so many entries.
fn any_of(kinds: Range<usize>, lengths: Range<usize>) -> impl Strategy<Value = Good> {
    let era = prop_oneof![Just(Era::Legacy), Just(Era::Modern)];
    let version = prop_oneof![Just("2025-06-18"), Just("2025-11-25")];
    let cursor = prop_oneof![Just(None), Just(Some("\"a\"")), Just(Some("null"))];
    let parts = (era, version, kinds, cursor, lengths, 0..100u8);
    parts.prop_map(|(era, version, kind, cursor, length, mark)| {
        let (method, result) = match LISTS.get(kind) {
            Some((method, member)) => {
                let entries = vec![format!("{{\"name\":{mark}}}"); length].join(",");
                (*method, format!("{{\"_meta\":{{\"at\":{mark}}},\"{member}\":[{entries}]}}"))
            }
            None => (["initialize", "server/discover"][kind - 4], format!("{{\"mark\":{mark}}}")),
        };
        Good { era, ..good(version, method, cursor.filter(|_| kind < 4), &result) }
    })
}

fn any_good() -> impl Strategy<Value = Good> {
    any_of(0..6, 0..3)
}

fn first_page() -> impl Strategy<Value = Good> {
    any_of(0..4, 1..3).prop_map(|good| Good { cursor: None, ..good })
}

fn later_page() -> impl Strategy<Value = Good> {
    any_of(0..4, 1..3).prop_map(|good| Good { cursor: good.cursor.or(Some("7".to_owned())), ..good })
}

fn goods() -> impl Strategy<Value = Vec<Good>> {
    prop::collection::vec(any_good(), 0..40)
}

proptest! {
    #[test]
    fn learning_something_twice_is_learning_it_once(goods in goods(), new in any_good()) {
        let once = merged(&[goods.clone(), vec![new.clone()]].concat());
        let twice = merged(&[goods, vec![new.clone(), new]].concat());
        prop_assert_eq!(text(&once), text(&twice));
    }

    #[test]
    fn living_through_the_same_run_twice_changes_nothing(goods in goods()) {
        // Where an empty list is refused, later pages that it would have removed stay: those runs are not meant.
        let goods: Vec<_> = goods.into_iter().filter(|good| !is_list(good) || has_entries(good)).collect();
        let once = merged(&goods);
        let twice = merged(&[goods.clone(), goods].concat());
        prop_assert!(once.say_the_same_as(&twice), "{}\n{}", text(&once), text(&twice));
    }

    #[test]
    fn a_first_page_takes_the_place_of_its_list_and_of_nothing_else(goods in goods(), new in first_page()) {
        let old = merged(&goods).into_goods();
        let mut expected: Vec<_> = old.into_iter().filter(|old| !same_list(old, &new)).collect();
        expected.push(new.clone());
        prop_assert_eq!(merged(&[goods, vec![new]].concat()).into_goods(), expected);
    }

    #[test]
    fn anything_else_takes_the_place_of_its_like_alone(goods in goods(), new in prop_oneof![later_page(), any_of(4..6, 0..1)]) {
        let old = merged(&goods).into_goods();
        let like = |old: &Good| same_list(old, &new) && old.cursor == new.cursor;
        let mut expected: Vec<_> = old.into_iter().filter(|old| !like(old)).collect();
        expected.push(new.clone());
        prop_assert_eq!(merged(&[goods, vec![new]].concat()).into_goods(), expected);
    }

    #[test]
    fn what_is_refused_by_now_is_erased_and_nothing_else(goods in goods(), new in any_of(4..6, 0..1)) {
        let erased = Good { result: "".into(), ..new.clone() };
        let kept = merged(&[&goods[..], &[erased]].concat()).into_goods();
        let like = |good: &Good| {
            (good.era, &good.version, &good.method, &good.cursor) == (new.era, &new.version, &new.method, &new.cursor)
        };
        let others: Vec<Good> = merged(&goods).into_goods().into_iter().filter(|good| !like(good)).collect();
        prop_assert_eq!(kept, others);
    }

    #[test]
    fn an_empty_list_costs_no_entries(goods in goods(), new in any_of(0..4, 0..1)) {
        let full = |goods: Vec<Good>| -> Vec<Good> { goods.into_iter().filter(has_entries).collect() };
        let before = full(merged(&goods).into_goods());
        let after = full(merged(&[goods, vec![new]].concat()).into_goods());
        prop_assert_eq!(before, after);
    }

    #[test]
    fn what_was_written_is_read(goods in goods()) {
        let entries = merged(&goods);
        let read = format::read(text(&entries).as_bytes()).unwrap();
        prop_assert_eq!(read.into_goods(), entries.into_goods());
    }

    #[test]
    fn trimming_keeps_whole_lists_and_greetings_longest(goods in goods(), room in 0..2000usize) {
        let mut entries = merged(&goods);
        let all = entries.clone().into_goods();
        entries.trim(room, format::weight);
        let total: usize = entries.iter().map(format::weight).sum();
        let kept = entries.into_goods();
        let gone: Vec<_> = all.iter().filter(|good| !kept.contains(good)).collect();
        prop_assert!(total <= room);
        prop_assert_eq!(kept.len() + gone.len(), all.len());
        for gone in gone {
            prop_assert!(is_list(gone) || !kept.iter().any(is_list), "a greeting went before a list");
            prop_assert!(!is_list(gone) || !kept.iter().any(|kept| same_list(kept, gone)), "half a list stayed");
        }
    }
}

#[test]
fn an_empty_list_never_replaces_a_good_one() {
    for (method, member) in LISTS {
        let full = good("v", method, None, &format!(r#"{{"{member}":[{{"name":"a"}}],"nextCursor":"2"}}"#));
        let page = good("v", method, Some("\"2\""), &format!(r#"{{"{member}":[{{"name":"b"}}]}}"#));
        for empty in [
            format!(r#"{{"{member}":[]}}"#),
            format!(r#"{{"ttlMs":5,"{member}": [ ],"_meta":{{"{member}":[1]}},"other":[{{"name":"x"}}]}}"#),
            format!(r#"{{"{member}":[],"nextCursor":"2"}}"#),
            format!(r#"{{"{member}":null}}"#),
            format!(r#"{{"{member}":{{"name":1}}}}"#),
            "{}".to_owned(),
        ] {
            for cursor in [None, Some("\"2\"")] {
                let empty = good("v", method, cursor, &empty);
                let both = [full.clone(), page.clone()];
                let after = merged(&[&both[..], std::slice::from_ref(&empty)].concat()).into_goods();
                assert_eq!(after, both, "{empty:?}");
                assert_eq!(merged(std::slice::from_ref(&empty)).into_goods(), [empty], "better than nothing");
            }
        }
        let escaped =
            good("v", method, None, &format!(r#"{{"\u00{:x}{}":[7]}}"#, member.as_bytes()[0], &member[1..]));
        assert_eq!(
            merged(&[full, escaped.clone()]).into_goods(),
            [escaped],
            "it has entries, however it is spelt"
        );
    }
}

#[test]
fn of_more_versions_those_written_longest_ago_go() {
    let mut goods: Vec<_> =
        (0..VERSIONS + 2).map(|at| good(&format!("v{at}"), "initialize", None, r#"{"a":1}"#)).collect();
    let modern = Good { era: Era::Modern, ..goods[0].clone() };
    // The oldest one is written once more, in another answer: two of the others go.
    goods.extend([good("v0", "tools/list", None, r#"{"tools":[]}"#), modern.clone()]);
    let mut entries = merged(&goods);
    format::trim(&mut entries);
    let gone = |good: &Good| good.era == Era::Legacy && ["v1", "v2"].contains(&good.version.as_str());
    let kept: Vec<_> = goods.into_iter().filter(|good| !gone(good)).collect();
    assert_eq!(entries.into_goods(), kept);
}

#[test]
fn a_file_is_never_longer_than_it_may_be() {
    let big = |name: &str| format!(r#"{{"tools":["{}"]}}"#, name.repeat(7 * 1024 * 1024));
    let greeting = good("v", "initialize", None, r#"{"a":1}"#);
    let goods = [
        greeting.clone(),
        good("v1", "tools/list", None, &big("a")),
        good("v2", "tools/list", None, &big("b")),
        good("v3", "tools/list", None, &big("c")),
    ];
    let mut entries = merged(&goods);
    format::trim(&mut entries);
    assert!(text(&entries).len() <= LONGEST_WRITTEN);
    let kept: Vec<_> = entries.into_goods().into_iter().map(|good| good.version).collect();
    assert_eq!(kept, ["v", "v2", "v3"]);
}

#[test]
fn the_longest_answer_fills_a_file_to_the_byte() {
    let sized =
        |length: usize| good("v", "initialize", None, &format!(r#"{{"a":"{}"}}"#, "x".repeat(length)));
    let overhead = text(&merged(&[sized(0)])).len();
    // The weight counts a separator that the last entry does not have.
    let longest = sized(LONGEST_WRITTEN - overhead - 2);
    let mut entries = merged(std::slice::from_ref(&longest));
    format::trim(&mut entries);
    assert_eq!(text(&entries).len(), LONGEST_WRITTEN - 2);
    assert_eq!(entries.into_goods(), [longest]);
    assert_eq!(format::entry(sized(LONGEST_WRITTEN - overhead - 1)).unwrap_err(), Misfit::TooLarge);
}

#[test]
fn a_file_can_be_read_by_a_person() {
    let modern =
        Good { era: Era::Modern, ..good("2026-07-28", "tools/list", Some("\"p\\n2\""), r#"{"tools":[ ]}"#) };
    let entries =
        merged(&[good("2025-06-18", "initialize", None, r#"{ "serverInfo":{"name":"x"} }"#), modern]);
    let expected = r#"{"format":1,"entries":[
{"era":"legacy","version":"2025-06-18","method":"initialize","result":{ "serverInfo":{"name":"x"} }},
{"era":"modern","version":"2026-07-28","method":"tools/list","cursor":"\"p\\n2\"","result":{"tools":[ ]}}
]}
"#;
    assert_eq!(text(&entries), expected);
    assert_eq!(text(&Entries::default()), "{\"format\":1,\"entries\":[\n\n]}\n");
}

#[test]
fn a_result_comes_back_byte_for_byte() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    for result in [
        r#"{"b":1,"a":1,"a":2}"#,
        r#"{ "n" : 1.0e+00, "big":123456789012345678901234567890 , "z":-0 }"#,
        "{\"s\":\"\\u00e9é\\/\\ud83d\\ude00😀\u{2028}\\n\",\t\"r\":\r1}",
        r#"{"lone":"\ud800"}"#,
        &deep,
    ] {
        let goods = [good("v\"\n", "initialize", Some("null"), result)];
        let read = format::read(text(&merged(&goods)).as_bytes()).unwrap();
        assert_eq!(read.into_goods(), goods);
    }
}

#[test]
fn what_is_no_object_on_one_line_is_not_kept() {
    for result in ["{", "[]", "null", "\"{\"", "{}{}", "{\n}", "{\"a\":1,}"] {
        let refused = format::entry(good("v", "initialize", None, result)).unwrap_err();
        assert_eq!(refused, Misfit::NoObject, "{result}");
    }
    let no_text = Good { result: b"{\"a\":\"\xff\"}".as_slice().into(), ..good("v", "initialize", None, "") };
    assert_eq!(format::entry(no_text).unwrap_err(), Misfit::NoObject);
}

#[test]
fn what_is_not_of_our_shape_is_refused_and_not_quoted() {
    let whole = text(&merged(&[good("2025", "initialize", None, r#"{"word":1}"#)]));
    for half in (0..whole.trim_end().len()).filter(|at| whole.is_char_boundary(*at)) {
        let refused = format::read(&whole.as_bytes()[..half]).unwrap_err();
        assert!(matches!(refused, Unusable::NotJson { line: 1..=3, .. }), "{half}: {refused:?}");
    }
    for (from, to) in [
        ("\"legacy\"", "\"ancient\""),
        ("\"legacy\"", "7"),
        ("\"2025\"", "2025"),
        ("\"2025\"", "null"),
        ("\"initialize\"", "[\"initialize\"]"),
        ("\"method\"", "\"verb\""),
        ("{\"word\":1}", "\"word\""),
        ("{\"word\":1}", "{\"word\":\n1}"),
        ("\"result\"", "\"cursor\":5,\"result\""),
        ("\"result\"", "\"era\":\"modern\",\"result\""),
        ("\"entries\"", "\"things\""),
        ("[\n", "{\"word\":[\n"),
        ("1,", "\"1\","),
        ("{\"format\":1,", "{"),
    ] {
        let broken =
            whole.replacen(from, to, 1).replace("\n]}", if to.contains("[\n") { "\n]}}" } else { "\n]}" });
        let refused = format::read(broken.as_bytes()).unwrap_err();
        assert!(matches!(refused, Unusable::Shape), "{broken}: {refused:?}");
        assert!(!refused.to_string().contains("word"), "{refused}");
    }
    let list = r#"["legacy","2025","initialize",null,{}]"#;
    let refused = format::read(format!(r#"{{"format":1,"entries":[{list}]}}"#).as_bytes());
    assert!(matches!(refused.unwrap_err(), Unusable::Shape));
    assert!(matches!(format::read(b"[1,[]]").unwrap_err(), Unusable::NotJson { .. }));
    assert!(matches!(
        format::read(b"{\"format\":1,\"entries\":[\"\xff\"]}").unwrap_err(),
        Unusable::NotJson { .. }
    ));
    assert!(matches!(format::read(br#"{"format":2,"entries":7}"#).unwrap_err(), Unusable::Format(2)));
}

#[test]
fn what_a_later_hand_adds_to_a_file_is_no_harm() {
    let text = r#"{"note":"x","format":1,"entries":[{"era":"legacy","version":"v","method":"m","by":1,"result":{}},
        {"era":"legacy","version":"v","method":"m","result":{"a":1}}]}"#;
    assert_eq!(format::read(text.as_bytes()).unwrap().into_goods(), [good("v", "m", None, r#"{"a":1}"#)]);
}

#[test]
fn saying_the_same_needs_the_same_entries_and_not_the_same_order() {
    let [a, b] = ["a", "b"].map(|version| good(version, "initialize", None, r#"{"a":1}"#));
    let c = Good { result: r#"{"a":2}"#.into(), ..b.clone() };
    let says = |one: &[&Good], other: &[&Good]| {
        let [one, other] =
            [one, other].map(|goods| merged(&goods.iter().map(|good| (*good).clone()).collect::<Vec<_>>()));
        one.say_the_same_as(&other)
    };
    assert!(says(&[&a, &b], &[&b, &a]));
    assert!(!says(&[&a, &b], &[&a]));
    assert!(!says(&[&a, &b], &[&a, &c]));
}

#[test]
fn an_entry_needs_an_object() {
    let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
    let made = |text: &str| Entry::new(Era::Legacy, "v".into(), "m".into(), None, raw(text));
    assert!(made("{}").is_ok());
    assert_eq!(made("[]").unwrap_err(), Misfit::NoObject);
}
