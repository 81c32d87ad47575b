//! What files and hashes hold on to, over all spaces.

use super::*;
use crate::seed::{Rng, Streams};
use crate::units::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashSet;

/// Recorded runs name architectures by these.
const PUBLISHED: [(&str, &str); 18] = [
    ("darts-v1", "12a0f151b81e7dda9e19579f7a5b4ede225aa6f1ae1510925acfad98b8c8c01e"),
    ("darts-v2", "08c362b7987d6f938ae2990d080eee442edbca9122064fd4f9eaae5be4c005d0"),
    ("nasnet-a", "644f2acd176a3f3b1e1ca977def49ec03ab221a955ea8ae2690d6feec450c6a6"),
    ("amoebanet-a", "9638cf05394ab55780eeffcd14fa86f928c0ec8f4cd7d05e5fc82c265dea6d7d"),
    ("enas-micro", "b32afa5a03fe40135bea5d0f7a473903f8dd8776eeccd372df689df73b0d1c56"),
    ("enas-macro", "68caa3edcb719cec9b7cb07dd4b057e8519212b1badd0815be80b113a630ec73"),
    ("nb201-best-cifar10", "9b5e0a9cb849a687d645dce545487f8da366d7191e4a0e4fc4bef9a006bf0507"),
    ("nb201-best-cifar100", "2550253dc5cd0644235c6decd39e7a4b8fea0e729b5358a568de2a298fbb01c4"),
    ("nb201-best-imagenet16", "a022a5d7d416756d31f8f8ee92112cc6c7c3b1325d6fb611bdce903a12639901"),
    ("nb201-resnet", "e27b1ac0def75ba6519e50fce2be9c681d47cd59e070159252eccfa93f6dea26"),
    ("nb201-skips", "e07d3a3bffa2386f73a4a9a6469816179f453b6b9765aa9b1b8dcbfc9f7e3cf9"),
    ("nas-unet-v3", "124455ce2238778f1d3a55c74d6f0bfa12b323c004e69b9aad07580ba81ae043"),
    ("nas-unet-v2", "5caf99e2708f77411dc8d19d17ad7ef753e9fcf8509d286c28536ccec340d838"),
    ("nas-unet-v2-en", "039b7dd20eb44bb1afd27a500c96f5f908d75b98497063ecd05e2418e3800ae1"),
    ("nas-unet-v1-en", "5598def05dcbbcb5d7c9d7912fea8c9075182910ce00c7d5fddf0bde447fc040"),
    ("unet", "3eca4cb15c2e3777de772caec7756afcc292fc6e96f1a3ec5bf9ff446de6828a"),
    ("unet-16", "7e1889668dc91f4267443eec2122822aa7b63d597e4e083c0fa63d864a5ff3b9"),
    ("unet-8", "dd2c04a09dd6d97f4a5f0066cf6dcc56b600d60be4b44e70356786a15039c930"),
];

#[test]
fn published_architectures_have_their_names_and_hashes() {
    let all: Vec<(&str, String)> = published_names().map(|name| (name, published(name).unwrap().hash())).collect();
    assert_eq!(all, PUBLISHED.map(|(name, hash)| (name, hash.to_string())));
}

/// Parameters of draw `i` from a space, and the digest of its first fifty draws: hash and text of each.
type Draws = (&'static str, fn(usize) -> Value, &'static str);

const DRAWS: [Draws; 8] = [
    ("darts", |_| json!({}), "e4760f36d4844f142efb9c08bd5657a8a4b80edc89a3ad8c0e846977e65391d0"),
    (
        "nasnet",
        |_| json!({"operations": nasnet::NASNET_OPS, "stacking": true}),
        "57a98ea0a9b5ee7c59bf82ac1f40f828298e4dae799f7b82a1922730dc236881",
    ),
    (
        "amoebanet",
        |_| json!({"operations": nasnet::AMOEBANET_OPS, "stacking": false}),
        "e531b5e31ecd9f9b8b380ca3471e6986be037e2832a81252e36ade99de92de0c",
    ),
    ("micro", |i| json!({"nodes": 1 + i % 7}), "571b43c725ab0c91c443bbe29be739b06a4a778a818bb3a5ef2b66eb5b61f6c2"),
    ("macro", |i| json!({"layers": 3 + i % 20}), "44e54aa72231e903a02b62d5f5e9811746f49e0d8d9fd5d6524c73bdff0e1313"),
    ("ghn", |i| json!({"nodes": 1 + i % 28}), "1f5e8830ceb44198ce6933da8af197fa951e91b972c22f97b85fc7fa77159077"),
    ("nas-bench-201", |_| json!({}), "f99ffc6e8ba0a054fe0001bcc7ec81929307590cc49e3058889af36c91c8f29a"),
    ("nas_unet", |i| json!({"nodes": 1 + i % 8}), "ed75002a9d8f46b53e1eb6d05e482c7aeabf7779a34dbcb72e21dc9fda353d55"),
];

fn space_of(stream: &str) -> &'static Space {
    let name = match stream {
        "amoebanet" => "nasnet",
        "micro" => "enas_micro",
        "macro" => "enas_macro",
        own => own,
    };
    named(name).unwrap()
}

#[test]
fn draws_texts_and_hashes_stay_what_they_were() {
    for (stream, parameters, expected) in DRAWS {
        let mut digest = Sha256::new();
        for i in 0..50 {
            let drawn = space_of(stream).draw(&parameters(i), &mut Streams::new(11).rng(stream, i as u64)).unwrap();
            let text = serde_json::to_string(&drawn).unwrap();
            digest.update(format!("{} {text}\n", drawn.hash()));
            let read: Architecture = serde_json::from_str(&text).unwrap();
            assert_eq!((&read, read.hash()), (&drawn, drawn.hash()));
        }
        assert_eq!(hex(&digest.finalize()), expected, "{stream}");
    }
}

#[test]
fn equal_architectures_are_one_in_a_set_and_those_of_other_spaces_are_others() {
    let mut rng = Streams::new(1).rng("sample", 0);
    let cells = enas_micro::sample(2, &mut rng);
    let text = serde_json::to_string(&Architecture::from(cells.clone())).unwrap();
    let other: Architecture = serde_json::from_str(&text.replace("enas_micro", "nasnet")).unwrap();
    let set: HashSet<Architecture> = [cells.clone().into(), cells.clone().into(), other.clone()].into();
    assert_eq!(set.len(), 2);
    assert!(other.get::<CellPair<MicroOp>>().is_none());
    assert_eq!(Architecture::from(cells.clone()).get(), Some(&cells));
}

#[test]
fn a_file_with_another_space_or_another_field_is_refused() {
    let refused = |text: &str, says: &str| {
        let error = serde_json::from_str::<Architecture>(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    };
    refused(
        r#"{"space":"hexagons"}"#,
        "unknown space 'hexagons'; the known ones are darts, nasnet, enas_micro, enas_macro, ghn, nas-bench-201, nas_unet, unet",
    );
    refused(r#"{"channels":8,"depth":4}"#, "missing field `space`");
    refused(r#"{"space":7}"#, "space is the name of one, not 7");
    refused(r#"{"space":"unet","channels":8,"depth":4,"colour":1}"#, "unknown field `colour`");
    refused(r#"{"space":"enas_macro","layers":[{"op":"identity","skips":[]}]}"#, "unknown variant `identity`");
}

#[test]
fn parameters_that_no_draw_has_are_named() {
    let mut rng = Streams::new(0).rng("sample", 0);
    for (name, parameters, says) in [
        ("darts", json!({"nodes": 4}), "for the space 'darts': unknown field `nodes`"),
        ("ghn", json!({"nodes": 0}), "at least one node"),
        ("ghn", json!({}), "missing field `nodes`"),
        ("nas_unet", json!({"nodes": 9}), "1 to 8, not 9"),
        ("enas_macro", json!({"layers": 2}), "at least 3 layers"),
        ("nasnet", json!({"operations": [], "stacking": true}), "at least one operation"),
        ("nasnet", json!({"operations": ["skip_connect"], "stacking": true}), "unknown variant `skip_connect`"),
        ("unet", json!({"channels": 8, "depth": 1}), "a depth of 2 to 8"),
    ] {
        let error = named(name).unwrap().draw(&parameters, &mut rng).unwrap_err().to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
}

/// A space of chains of so many links.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
struct Chain {
    links: u64,
}

static CHAINS: Space =
    Space { name: "chains", home: "darts", pixels: false, read: read::<Chain>, sample: draw_chain, published: &[], spelled: None };

fn draw_chain(given: &Value, _: &mut Rng) -> crate::error::Result<Architecture> {
    parameters::<Nodes>(&CHAINS, given).map(|Nodes { nodes }| Chain { links: nodes as u64 }.into())
}

impl Genotype for Chain {
    const SPACE: &'static Space = &CHAINS;

    fn check(&self) -> crate::error::Result<()> {
        Ok(())
    }
}

#[test]
fn a_space_can_be_added_once_by_its_name() {
    static NAMESAKE: Space =
        Space { name: "darts", home: "darts", pixels: false, read: read::<Chain>, sample: draw_chain, published: &[], spelled: None };
    register(&CHAINS).unwrap();
    register(&CHAINS).unwrap();
    assert!(register(&NAMESAKE).unwrap_err().to_string().contains("a space 'darts' already"));
    let drawn = named("chains").unwrap().draw(&json!({"nodes": 3}), &mut Streams::new(0).rng("sample", 0)).unwrap();
    let text = serde_json::to_string(&drawn).unwrap();
    assert_eq!(text, r#"{"space":"chains","links":3}"#);
    assert_eq!(serde_json::from_str::<Architecture>(&text).unwrap(), drawn);
}
