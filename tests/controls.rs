//! The control of a method is random search in its own space with its own data, training of children, selection and retraining, at every preset.

use naslab::lab::{CONTROL, Method, Order, Prepared, control_order, resolve_control};
use naslab::record::{Role, settings_digest};
use naslab::reproductions::{METHODS, method};
use serde_json::{Value, json};

fn order(method: &dyn Method, preset: &str, set: &[String]) -> Order {
    Order::new(preset, method.resolve(preset, set).unwrap())
}

fn searches() -> impl Iterator<Item = &'static dyn Method> {
    METHODS.iter().copied().filter(|m| m.card().role == Role::Search)
}

/// Every search, preset and space with the settings that choose the space.
fn everything() -> Vec<(&'static dyn Method, String, &'static str, Vec<String>)> {
    let of = |m: &'static dyn Method, preset: &String| {
        let spaces = m.card().spaces.iter();
        spaces.map(|(space, set)| (m, preset.clone(), *space, set.iter().map(|s| (*s).to_string()).collect())).collect::<Vec<_>>()
    };
    searches().flat_map(|m| m.presets().into_iter().flat_map(move |preset| of(m, &preset))).collect()
}

/// What trains the children of a search: its own child training, or that of its selection.
fn child(settings: &Value) -> &Value {
    if settings["search"]["child"].is_object() { &settings["search"]["child"] } else { &settings["select"] }
}

/// Settings as the method reads them: with every default, and as its variant changes them.
fn protocol(prepared: &Prepared) -> Value {
    json!(prepared.protocol)
}

#[test]
fn every_method_has_a_control_that_equals_it_at_every_preset() {
    let all = everything();
    assert!(all.len() >= 6 * 3 + 3 + 2 * 4, "six methods, three presets, two spaces of DARTS, three of ENAS");
    for (method, preset, space, set) in all {
        let what = format!("{} {preset} {space}", method.card().name);
        let of_method = order(method, &preset, &set);
        let prepared = method.prepare(&of_method.settings).unwrap();
        let control = control_order(method, &of_method).unwrap().unwrap_or_else(|| panic!("{what} has no control"));
        assert_eq!(control.dataset, of_method.dataset, "{what}");
        for section in ["data", "select", "retrain"] {
            assert_eq!(control.settings[section], protocol(&prepared)[section], "{what}: {section}");
        }
        let filled: naslab::lab::ChildTraining = serde_json::from_value(child(&of_method.settings).clone()).unwrap();
        let mut expected = json!(filled);
        if of_method.settings["search"]["child"].is_null() {
            expected = protocol(&prepared)["select"].clone();
        }
        assert_eq!(control.settings["search"]["child"], expected, "{what}: child");
        assert_eq!(control.settings["search"]["space"], space, "{what}");

        // What it draws is of the space that the method searches, and the networks are those of the method.
        let random = naslab::reproductions::method(CONTROL).unwrap().prepare(&control.settings).unwrap();
        assert!(std::ptr::eq(random.example.space(), prepared.example.space()), "{what}");
        assert_eq!(random.example.cells().len(), prepared.example.cells().len(), "{what}");
        let nodes = |p: &Prepared| p.example.cells().iter().map(|(_, cell)| cell.nodes.len()).collect::<Vec<_>>();
        assert_eq!(nodes(&random), nodes(&prepared), "{what}: nodes");

        // The manifest of the method names this very control.
        let record = prepared.declaration(method.card()).control.unwrap();
        assert_eq!((record.method.as_str(), record.variant), (CONTROL, random.variant), "{what}");
        assert_eq!(record.settings_digest, settings_digest(&control.settings), "{what}");
    }
}

#[test]
fn the_settings_of_a_control_are_those_of_its_method_and_no_others() {
    // A setting that is added to the protocol of a method, or to that of random search alone, makes this fail.
    let keys = |value: &Value| value.as_object().map(|m| m.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    for (method, preset, _, set) in everything() {
        let of_method = order(method, &preset, &set);
        let control = control_order(method, &of_method).unwrap().unwrap();
        assert_eq!(keys(&control.settings), ["search", "data", "select", "retrain"]);
        let mut sections = keys(&of_method.settings);
        sections.retain(|s| s != "control");
        sections.sort();
        assert_eq!(sections, ["data", "retrain", "search", "select"], "{} {preset}", method.card().name);
        assert_eq!(keys(&control.settings["search"]), ["space", "region", "trials", "duplicates", "keep", "child"]);
    }
}

#[test]
fn what_a_user_sets_for_a_method_holds_for_its_control() {
    let set = ["retrain.recipe.epochs=7".to_string(), "data.search_images=160".to_string(), "select.channels=6".to_string()];
    for m in searches() {
        let control = control_order(m, &order(m, "smoke", &set)).unwrap().unwrap();
        assert_eq!(control.settings["retrain"]["recipe"]["epochs"], 7, "{}", m.card().name);
        assert_eq!(control.settings["data"]["search_images"], 160);
        assert_eq!(control.settings["select"]["channels"], 6);
        assert!(control.shrunk.iter().any(|s| s.key == "retrain.recipe.epochs" && s.here == 7));
    }
}

#[test]
fn one_of_the_best_is_compared_with_one_random_block_and_neither_is_selected() {
    let ghn = method("ghn").unwrap();
    let form = |experiment: &str| {
        let order = order(ghn, "paper", &[format!("search.experiment=\"{experiment}\"")]);
        let prepared = ghn.prepare(&order.settings).unwrap();
        let record = prepared.declaration(ghn.card()).control.unwrap();
        let control = control_order(ghn, &order).unwrap().unwrap();
        assert_eq!(record.settings_digest, settings_digest(&control.settings));
        assert_eq!(method(CONTROL).unwrap().prepare(&control.settings).unwrap().variant, record.variant);
        (prepared.variant, prepared.keep, record.variant, control.settings["search"]["trials"].as_u64().unwrap())
    };
    assert_eq!(form("search"), ("top-best".into(), 10, "ghn-space".into(), 10));
    assert_eq!(form("top"), ("top".into(), 1, "ghn-space-unselected".into(), 1));
}

#[test]
fn random_search_on_its_own_is_the_control_of_the_method_whose_space_it_searches() {
    let random = method(CONTROL).unwrap();
    assert_eq!(random.card().name, "random");
    for (m, preset, space, _) in everything() {
        let chosen = random.resolve(&preset, &[format!("search.space=\"{space}\"")]).unwrap();
        let control = resolve_control(m, space, &preset, &[]).unwrap();
        assert_eq!((chosen.settings, chosen.dataset), (control.settings, control.dataset), "{} {preset} {space}", m.card().name);
    }
    let unknown = random.resolve("smoke", &["search.space=\"nowhere\"".into()]).unwrap_err().to_string();
    assert!(unknown.contains("nowhere") && unknown.contains("enas-macro") && unknown.contains("nas-unet"), "{unknown}");
    let changed = random.resolve("smoke", &["search.space=\"ghn\"".into(), "search.region.parameters.nodes=3".into()]).unwrap();
    assert_eq!(changed.settings["search"]["region"]["parameters"]["nodes"], 3);
}
