//! Settings as JSON values: defaults that are complete, and changes that name only what differs.

use crate::error::{Result, usage};
use crate::record::Shrunk;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A dotted key.
fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}

/// Puts the values of `change` into `base`; every key must exist there and keep its kind.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) that names the key.
pub fn overlay(base: &mut Value, change: &Value, path: &str) -> Result<()> {
    let (Value::Object(base), Value::Object(change)) = (base, change) else {
        return Ok(());
    };
    for (key, value) in change {
        let full = dotted(path, key);
        let known: Vec<&str> = base.keys().map(String::as_str).collect();
        let list = known.join(", ");
        let old = base.get_mut(key).ok_or_else(|| usage!("there is no setting '{full}'; known here: {list}"))?;
        match (&old, value) {
            (Value::Object(_), Value::Object(_)) => overlay(old, value, &full)?,
            (Value::Object(_), _) => return Err(usage!("'{full}' is a group of settings, name one in it")),
            _ => *old = same_kind(old, value, &full)?,
        }
    }
    Ok(())
}

/// Largest whole numbers of settings, by the last word of their keys: far above any use, and small enough that what they ask for can be counted, and refused for want of memory.
const MOST: [(&str, u64); 9] = [
    ("cells", 1000),
    ("depth", 1000),
    ("layers", 1000),
    ("nodes", 1000),
    ("passes", 1000),
    ("searches", 1000),
    ("channels", 65_536),
    ("embedding", 65_536),
    ("hidden", 65_536),
];
/// Of all others, such as images, epochs and trials.
const MOST_ELSE: u64 = 10_000_000;

/// The largest whole number that the setting `key` may have.
fn most(key: &str) -> u64 {
    let last = key.rsplit('.').next();
    MOST.iter().find(|(word, _)| Some(*word) == last).map_or(MOST_ELSE, |(_, most)| *most)
}

fn same_kind(old: &Value, new: &Value, key: &str) -> Result<Value> {
    let fits = match (old, new) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() => return Ok(Value::from(b.as_f64())),
        (Value::Number(_), Value::Number(b)) => {
            let most = most(key);
            match b.as_u64() {
                Some(b) if b <= most => true,
                Some(_) => return Err(usage!("'{key}' = {b}: must be at most {most}")),
                None => !b.is_f64(),
            }
        }
        _ => std::mem::discriminant(old) == std::mem::discriminant(new),
    };
    if fits { Ok(new.clone()) } else { Err(usage!("'{key}' = {new}: expected a value like {old}")) }
}

/// Applies `key=value`, a dotted key and a TOML value; a text needs no quotation marks.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) where the key does not exist, or the value does not fit.
pub fn apply(settings: &mut Value, text: &str) -> Result<()> {
    let (key, value) = text.split_once('=').ok_or_else(|| usage!("'{text}': write --set key=value, such as retrain.recipe.epochs=5"))?;
    let parsed: Value = toml::from_str::<Value>(&format!("v = {value}"))
        .or_else(|_| toml::from_str::<Value>(&format!("v = {}", Value::from(value))))
        .map_err(|e| usage!("'{text}': the value is not TOML: {e}"))?["v"]
        .take();
    let change = key.trim().split('.').rev().fold(parsed, |inner, part| Value::Object(Map::from_iter([(part.to_string(), inner)])));
    overlay(settings, &change, "")
}

/// The dotted keys at which `here` differs from `paper`, with both values.
pub fn differences(paper: &Value, here: &Value) -> Vec<Shrunk> {
    differences_below("", paper, here)
}

fn differences_below(path: &str, paper: &Value, here: &Value) -> Vec<Shrunk> {
    if let (Value::Object(paper), Value::Object(here)) = (paper, here) {
        let below = |(key, value): (&String, &Value)| differences_below(&dotted(path, key), value, here.get(key).unwrap_or(&Value::Null));
        return paper.iter().flat_map(below).collect();
    }
    let differ = (paper != here).then(|| Shrunk { key: path.to_string(), paper: paper.clone(), here: here.clone() });
    differ.into_iter().collect()
}

/// Settings as a method or an algorithm types them; unknown and missing keys are refused.
///
/// # Errors
/// [`Error::Usage`](crate::error::Error::Usage) that names what does not fit.
pub fn typed<S: DeserializeOwned>(method: &str, settings: &Value) -> Result<S> {
    serde_json::from_value(settings.clone()).map_err(|e| usage!("settings of {method}: {e}"))
}

/// Refuses a value of a setting below `least`.
pub fn at_least(key: &str, value: u64, least: u64) -> Result<()> {
    if value >= least { Ok(()) } else { Err(usage!("{key} = {value}: must be at least {least}")) }
}

/// Refuses a value of a setting above `most`.
pub fn at_most(key: &str, value: u64, most: u64) -> Result<()> {
    if value <= most { Ok(()) } else { Err(usage!("{key} = {value}: must be at most {most}")) }
}
