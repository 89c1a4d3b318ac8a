use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Inner {
    batch: u64,
    rate: f64,
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Tagged {
    One(Inner),
    Two { depth: u32 },
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Whole {
    updates: u64,
    agent: Tagged,
    seeds: Vec<u64>,
}

fn base() -> Value {
    json!({"updates": 10, "agent": {"kind": "one", "batch": 256, "rate": 0.1}, "seeds": [0]})
}

fn read(text: &str, changes: &[(&str, Value)]) -> Result<Whole> {
    let changes: Vec<Change> =
        changes.iter().map(|(key, value)| Change { key: (*key).into(), value: value.clone() }).collect();
    let written = Written::parse("run.toml", text, &changes)?;
    written.read_over(&base())
}

#[test]
fn what_is_written_lies_over_the_defaults_and_changes_over_both() {
    let text = "updates = 1e3\nseeds = [3, 0x10]\n[agent]\nbatch = 1_024\n";
    let whole = read(text, &[("agent.rate", json!(2)), ("seeds", json!([5]))]).unwrap();
    let agent = Tagged::One(Inner { batch: 1024, rate: 2.0 });
    assert_eq!(whole, Whole { updates: 1000, agent, seeds: vec![5] });
    let two = read("agent.kind = 'two'\nagent.depth = 3", &[]).unwrap();
    assert_eq!(two.agent, Tagged::Two { depth: 3 });
    // Another kind starts afresh, the same one does not.
    let changes = [("agent.kind", json!("two")), ("agent.depth", json!(4))];
    assert_eq!(read("[agent]\nbatch = 3\nkind = 'one'", &changes).unwrap().agent, Tagged::Two { depth: 4 });
    let mut written = Written::parse("run.toml", "[agent]\nbatch = 3\nkind = 'one'", &[]).unwrap();
    assert_eq!(set(&mut written.entries, "agent.kind", &json!("two")).unwrap(), ["batch"], "dropped, and said so");
    assert!(set(&mut written.entries, "agent.depth", &json!(4)).unwrap().is_empty());
    let same = read("[agent]\nkind = 'one'\nbatch = 3", &[("agent.kind", json!("one"))]).unwrap();
    assert_eq!(same.agent, Tagged::One(Inner { batch: 3, rate: 0.1 }));
}

#[test]
fn mistakes_name_file_line_and_key() {
    for (text, parts) in [
        ("updates = 1\n\nupdatez = 2", &["run.toml:3", "'updatez'", "did you mean 'updates'?"][..]),
        ("updates = 1\n[agent]\nbatsch = 2", &["run.toml:3", "'agent.batsch'", "'batch'"]),
        ("[agent]\nkind = 'one'\nepochs = 2", &["run.toml:3", "'agent.epochs'", "batch, kind, rate"]),
        ("[agent]\nkind = 'two'\ndepht = 2", &["run.toml", "agent", "depth"]),
        ("[agent]\nkind = 'two'\ndepth = 2.5", &["run.toml:3", "'agent.depth'", "2.5"]),
        ("seeds = [1,\n2, 'x']", &["run.toml:1", "'seeds'", "\"x\""]),
        ("seeds = 3", &["run.toml:1", "'seeds'", "integer `3`", "sequence"]),
        ("\nupdates = 'many'", &["run.toml:2", "'updates'", "many"]),
        ("\nupdates = -1", &["run.toml:2", "'updates'", "-1"]),
        ("updates = 1979-05-27", &["run.toml:1", "'updates'", "time"]),
        ("updates = inf", &["run.toml:1", "'updates'", "inf"]),
        ("updates = 1\nagent = {", &["run.toml:2"]),
        ("updates = 1\nupdates = 2", &["run.toml:2", "duplicate"]),
        ("[agent]\nbatch = 1\nrate = 'x'", &["run.toml:3", "'agent.rate'", "\"x\""]),
    ] {
        let message = read(text, &[]).unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "{text}: {message}");
        }
    }
    let message = |key: &str, value| read("updates = 1", &[(key, value)]).unwrap_err().to_string();
    assert!(message("updatse", json!(1)).starts_with("--set: 'updatse'"), "{}", message("updatse", json!(1)));
    assert!(message("updates.x", json!(1)).contains("not a group"));
    assert!(message("agent..x", json!(1)).contains("empty"));
}

#[test]
fn a_rule_finds_its_setting_by_the_end_of_its_path() {
    let written = Written::parse("f", "[a.b]\nc = 1\n[a]\nd = 2", &[]).unwrap();
    assert_eq!(written.wrong_below("a", "b.c", "bad").to_string(), "f:2: 'a.b.c': bad");
    assert_eq!(written.wrong_below("a", "x", "bad").to_string(), "f:3: 'a.x': bad");
    assert_eq!(written.wrong("a.b.nothing", "bad").to_string(), "f:1: 'a.b.nothing': bad");
    assert_eq!(written.get("a.d"), Some(json!(2)));
}

#[test]
fn tables_of_an_array_are_settings_of_their_own() {
    let text = "updates = 1\n\n[[agent]]\nkind = 'one'\nbatch = 3\n[[agent]]\nkind = 'two'\ndepht = 4\n";
    let written = Written::parse("f", text, &[]).unwrap();
    assert_eq!(written.get("agent").unwrap()[0], json!({"kind": "one", "batch": 3}));
    let each = written.each("agent", "agent").unwrap();
    assert_eq!(each.len(), 2);
    assert_eq!(each[0].wrong("agent.batch", "bad").to_string(), "f:5: 'agent.batch': bad");
    assert_eq!(each[1].wrong("agent.nothing", "bad").to_string(), "f:6: 'agent.nothing': bad");
    let base = json!({"agent": {"kind": "one", "batch": 256, "rate": 0.1}});
    let merged = each[0].over(base).unwrap();
    assert_eq!(merged["agent"], json!({"kind": "one", "batch": 3, "rate": 0.1}));
    let base = json!({"agent": {"kind": "two", "depth": 1}});
    assert!(each[1].over(base).unwrap_err().to_string().starts_with("f:8: 'agent.depht'"));
    assert_eq!(written.without("agent").get("agent"), None);
    assert!(written.each("updates", "x").is_none() && written.each("nothing", "x").is_none());
}
